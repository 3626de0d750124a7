"""From plain data to a :class:`Config`, with all that is wrong said at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import ErrorDetails

from cnncli.config.loading import Document, KeyPath, dotted, find, override, read_file
from cnncli.config.schema import REGISTRIES, Config, NamedSection, option_fields, section_for
from cnncli.errors import ConfigError, did_you_mean

FLAGS: dict[str, KeyPath] = {
    "epochs": ("train", "epochs"),
    "batch_size": ("train", "batch_size"),
    "lr": ("optimizer", "lr"),
    "seed": ("train", "seed"),
    "device": ("runtime", "device"),
    "output": ("train", "output"),
    "name": ("train", "name"),
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the value at ``path``."""

    path: KeyPath
    message: str


def load_config(config: str | Path, sets: Iterable[str] = (), flags: Mapping[str, Any] | None = None) -> Config:
    """Read a config file or bundled config, apply ``--set`` and then the flags that are not ``None``, and check it.

    Raises ``ConfigError`` with a line for each problem.
    """
    path = find(str(config))
    document = read_file(path)
    for assignment in sets:
        override(document, assignment)
    for flag, value in (flags or {}).items():
        if value is not None:
            document.set(FLAGS[flag], value, f"--{flag.replace('_', '-')}")
    checked = validate(document)
    if checked.train.name is None:
        checked.train.name = path.stem
    return checked


def validate(document: Document) -> Config:
    """Check a document against the schema and the signatures it names; ``ConfigError`` lists every problem."""
    sections: dict[str, Any] = {}
    problems: list[Problem] = []
    unknown: set[str] = set()
    for section in REGISTRIES:
        try:
            class_ = _section_class(document, section)
        except ConfigError as error:
            problems.append(Problem((section, "name"), str(error)))
            unknown.add(section)  # whose options can't be judged
        else:
            default = ... if Config.model_fields[section].is_required() else class_()  # type: ignore[call-arg]  # its name has a default
            sections[section] = (class_, default)
    try:
        config = create_model("Config", __base__=Config, **sections).model_validate(document.data)
        problems += contradictions(config)
    except ValidationError as error:
        problems += [p for p in _problems(error, document.data) if p.path[:1] not in {(name,) for name in unknown}]
    if problems:
        order = list(document.places)
        problems.sort(key=lambda problem: order.index(document.known(problem.path)))
        raise ConfigError("\n".join(_line(problem, document) for problem in problems))
    config._document = document
    return config


def validate_options(kind: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check ``options`` against the signature of a registered thing and return them with its defaults.

    ``kind`` is the section it belongs to. Raises ``ConfigError``.
    """
    fields = option_fields(REGISTRIES[kind].get(name))
    class_: type[BaseModel] = create_model(f"{kind}_{name}", __config__={"extra": "forbid", "strict": True}, **fields)
    try:
        return dict(class_.model_validate(dict(options)))
    except ValidationError as error:
        data = {kind: {"name": name, **options}}
        problems = _problems(error, data, inside=(kind,))
        raise ConfigError("\n".join(f"{dotted(p.path)}: {p.message}" for p in problems)) from None


def contradictions(config: Config) -> list[Problem]:
    """Return what is wrong between fields that are each right."""
    train, found = config.train, []
    if train.validate_on == "test" and train.report == "best":
        found.append(
            Problem(
                ("train", "report"),
                "best would be chosen on the test images, since train.validate_on is test; set train.report: last",
            )
        )
    return found


def _section_class(document: Document, section: str) -> type[NamedSection]:
    given = document.data.get(section)
    name = given.get("name") if isinstance(given, dict) else None
    if name is None:
        name = Config.model_fields[section].annotation.model_fields["name"].default  # type: ignore[union-attr]
    if not isinstance(name, str):  # not given, or no text: what pydantic says of the bare section is right
        return cast(type[NamedSection], Config.model_fields[section].annotation)
    return section_for(section, name)


def _line(problem: Problem, document: Document) -> str:
    path = f"{dotted(problem.path)}: " if problem.path else ""
    return f"{document.place(problem.path)}: {path}{problem.message}"


def _problems(error: ValidationError, data: dict[str, Any], inside: KeyPath = ()) -> list[Problem]:
    """Translate pydantic's errors; those of one field (the branches of a union) become one problem."""
    messages: dict[KeyPath, list[str]] = {}
    for details in error.errors(include_url=False):
        path = _path_in(data, (*inside, *details["loc"]))
        message = _message(details, path, data)
        if message not in messages.setdefault(path, []):
            messages[path].append(message)
    return [Problem(path, ", or ".join(said)) for path, said in messages.items()]


def _path_in(data: Any, location: KeyPath) -> KeyPath:
    """Cut from pydantic's location what names no key: the branches of a union."""
    path: KeyPath = ()
    for key in location:
        if isinstance(data, dict):
            path, data = (*path, key), data.get(key)
        elif isinstance(data, list) and isinstance(key, int):
            path, data = (*path, key), data[key]
    return path


def _message(details: ErrorDetails, path: KeyPath, data: dict[str, Any]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path, data)
    if kind == "missing":
        return "is needed" + (f": one of {', '.join(REGISTRIES[str(path[0])].names())}" if path[-1] == "name" else "")
    if kind == "literal_error":
        given = details["input"]
        near = did_you_mean(given, _quoted(context["expected"])) if isinstance(given, str) else ""
        hint = near if near.startswith("; did") else ""
        return f"must be {context['expected'].replace(chr(39), '')}, got {_shown(given)}{hint}"
    if template := MESSAGES.get(kind):
        return f"{template.format(**context)}, got {_shown(details['input'])}"
    return details["msg"]


def _unknown_key(path: KeyPath, data: dict[str, Any]) -> str:
    *around, key = path
    if not around:
        return f"unknown section{did_you_mean(str(key), Config.model_fields)}"
    section = str(around[0])
    known: Iterable[str] = Config.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
    owner = section
    if section in REGISTRIES:
        owner = data[section].get("name") or Config.model_fields[section].annotation.model_fields["name"].default  # type: ignore[union-attr]
        known = {*known, *option_fields(REGISTRIES[section].get(owner))} if isinstance(owner, str) else known
    return f"unknown option of {owner}{did_you_mean(str(key), known)}"


def _quoted(expected: str) -> list[str]:
    return expected.replace("'", "").replace(" or ", ", ").split(", ")


def _shown(value: Any) -> str:
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else None
    return text or f"{value!r:.60}"


MESSAGES: dict[str, str] = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "model_type": "must be a section of keys and values",
    "model_attributes_type": "must be a section of keys and values",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} values",
    "too_long": "must have at most {max_length} values",
}
