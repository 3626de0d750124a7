"""From plain data to a :class:`Config`, with all that is wrong said at once."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError, create_model
from pydantic_core import ErrorDetails

from cnncli.config.loading import Document, KeyPath, dotted, find, override, read_file
from cnncli.config.schema import REGISTRIES, Config, NamedSection, section_class, section_for
from cnncli.errors import ConfigError, did_you_mean

FLAGS: dict[str, KeyPath] = {
    "epochs": ("train", "epochs"),
    "batch_size": ("train", "batch_size"),
    "lr": ("optimizer", "lr"),
    "seed": ("train", "seed"),
    "device": ("runtime", "device"),
    "output": ("train", "output"),
    "name": ("train", "name"),
    "init_from": ("model", "init_from"),
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
        checked.train.name = re.sub(r"^\W+|[^\w.+-]+", "-", path.stem).lstrip("-")[:100] or "run"
    return checked


def validate(document: Document) -> Config:
    """Check a document against the schema and the signatures it names; ``ConfigError`` lists every problem."""
    classes: dict[str, type[NamedSection]] = {}
    problems: list[Problem] = []
    for section in REGISTRIES:
        name = _name_given(document, section)
        try:
            classes[section] = section_class(section) if name is None else section_for(section, name)
        except ConfigError as error:
            problems.append(Problem((section, "name"), str(error)))
            classes[section] = section_class(section)
    sections: dict[str, Any] = {}
    for section, class_ in classes.items():
        needed = section in document.data or Config.model_fields[section].is_required()
        sections[section] = (class_, ... if needed else class_())  # type: ignore[call-arg]  # its name has a default
    try:
        config = create_model("Config", __base__=Config, **sections).model_validate(document.data)
        problems += contradictions(config)
    except ValidationError as error:
        problems += _problems(error, document.data, classes)
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
    class_ = section_for(kind, name)
    if common := [key for key in options if key in section_class(kind).model_fields and key != "name"]:
        raise ConfigError(f"{kind}.{common[0]}: no option of {name} itself{did_you_mean(common[0], class_._own)}")
    section = {"name": name, **options}
    try:
        return class_.model_validate(section).options
    except ValidationError as error:
        problems = _problems(error, {kind: section}, {kind: class_}, inside=(kind,))
        raise ConfigError("\n".join(f"{dotted(p.path)}: {p.message}" for p in problems)) from None


def contradictions(config: Config) -> list[Problem]:
    """Return what is wrong between fields that are each right."""
    train, optimizer, found = config.train, config.optimizer.options, []
    if train.validate_on == "test" and train.report == "best":
        found.append(
            Problem(
                ("train", "report"),
                "best would be chosen on the test images, since train.validate_on is test; set train.report: last",
            )
        )
    if train.validate_on == "test" and train.patience is not None:
        found.append(Problem(("train", "patience"), "would end training by the test images: train.validate_on is test"))
    if train.validate_on == "test" and config.schedule.name == "plateau":
        problem = "plateau would lower the learning rate by the test images: train.validate_on is test"
        found.append(Problem(("schedule", "name"), problem))
    if train.validate_on == "test" and config.checkpoint.keep_best > 1:
        problem = "would be chosen on the test images: train.validate_on is test"
        found.append(Problem(("checkpoint", "keep_best"), problem))
    if config.model.weights and config.model.init_from:
        found.append(Problem(("model", "weights"), "cannot go with model.init_from: each says what to begin with"))
    found += [
        Problem(("augment", key), f"from {ends[0]} to {ends[1]} is no range: the smaller one comes first")
        for key in ("resized_crop", "aspect")
        if (ends := getattr(config.augment, key)) and ends[0] > ends[1]
    ]
    if config.augment.crop and config.augment.resized_crop:
        found.append(Problem(("augment", "crop"), "cannot go with augment.resized_crop, which takes crops of its own"))
    if optimizer.get("nesterov") and not optimizer.get("momentum"):
        found.append(Problem(("optimizer", "nesterov"), "looks ahead along the momentum, but optimizer.momentum is 0"))
    return found


def _name_given(document: Document, section: str) -> str | None:
    """Return the name in a section, or the one it has by default; ``None`` if there is neither, or no text."""
    given = document.data.get(section)
    default = section_class(section).model_fields["name"].default
    name = given.get("name", default) if isinstance(given, dict) else default
    return name if isinstance(name, str) else None


def _line(problem: Problem, document: Document) -> str:
    path = f"{dotted(problem.path)}: " if problem.path else ""
    return f"{document.place(problem.path)}: {path}{problem.message}"


def _problems(
    error: ValidationError, data: dict[str, Any], classes: Mapping[str, type[NamedSection]], inside: KeyPath = ()
) -> list[Problem]:
    """Translate pydantic's errors; those of one field (the branches of a union) become one problem.

    ``classes`` are the sections with the options of what they name, or without where that is unknown: there, a
    strange key may be an option and is no problem yet.
    """
    problems: list[Problem] = []
    unmet: dict[KeyPath, list[ErrorDetails]] = {}
    bare = {section for section, class_ in classes.items() if class_ is section_class(section)}
    for details in error.errors(include_url=False):
        path = (*inside, *details["loc"])
        if details["type"] == "missing":
            problems.append(Problem(path, _missing(path)))
        elif details["type"] == "extra_forbidden":
            if len(path) == 1 or path[0] not in bare:
                problems.append(Problem(path, _unknown_key(path, classes)))
        else:
            unmet.setdefault(_path_in(data, path), []).append(details)
    return problems + [Problem(path, _unmet(path, branches)) for path, branches in unmet.items()]


def _path_in(data: Any, location: KeyPath) -> KeyPath:
    """Cut from pydantic's location what names no key: the branches of a union."""
    path: KeyPath = ()
    for key in location:
        with suppress(KeyError, TypeError):
            data, path = data[key], (*path, key)
    return path


def _missing(path: KeyPath) -> str:
    return "is needed" + (f": one of {', '.join(REGISTRIES[str(path[0])].choice())}" if path[-1] == "name" else "")


def _unknown_key(path: KeyPath, classes: Mapping[str, type[NamedSection]]) -> str:
    *around, key = path
    if not around:
        return f"unknown section{did_you_mean(str(key), Config.model_fields)}"
    section = str(around[0])
    class_ = classes.get(section, section_class(section))
    owner = get_args(class_.model_fields["name"].annotation)[0] if section in classes else section
    return f"unknown option of {owner}{did_you_mean(str(key), class_.model_fields)}"


def _unmet(path: KeyPath, branches: list[ErrorDetails]) -> str:
    """Say what a value must be, by each branch of a union, and which of the allowed words is near."""
    given = branches[0]["input"]
    if isinstance(given, str) and path[0] in REGISTRIES and len(path) == 1:
        return f"must be a section, got {_shown(given)}; did you mean {path[0]}: {{name: {given}}}?"
    words = [word for details in branches if details["type"] == "literal_error" for word in _words(details)]
    near = did_you_mean(given, words) if isinstance(given, str) else ""
    hint = near if "did you mean" in near else ""
    needs = dict.fromkeys(_need(details, path) for details in branches)
    return f"must be {' or '.join(needs)}, got {_shown(given)}{hint}"


def _need(details: ErrorDetails, path: KeyPath) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind == "string_pattern_mismatch" and dotted(path) in FORMS:
        return FORMS[dotted(path)]
    if kind not in NEEDS:
        return f"right ({details['msg']})"
    round_ones = {key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in context.items()}
    return NEEDS[kind].format(**round_ones)


def _words(literal_error: ErrorDetails) -> list[str]:
    return str(literal_error["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")


def _shown(value: Any) -> str:
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else None
    return text or f"{value!r:.60}"


NEEDS: dict[str, str] = {  # a value must be …
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_unicode": "text in Unicode",
    "list_type": "a list",
    "model_type": "a section of keys and values",
    "model_attributes_type": "a section of keys and values",
    "string_pattern_mismatch": "of the form {pattern}",
    "string_too_short": "text that is not empty",
    "string_too_long": "text of at most {max_length} characters",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
}
FORMS: dict[str, str] = {  # … where the pattern would tell a reader less
    "runtime.device": "auto, cpu, mps, cuda or cuda:N",
    "train.name": "made of letters, digits and _ . + -, and begin with a letter, a digit or _",
}
