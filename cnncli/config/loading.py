"""From YAML text to plain data, with the place of every key; bundled files by name; overrides."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

import cnncli
from cnncli.errors import ConfigError, did_you_mean
from cnncli.text import one_line

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_NODES = 10_000  # after aliases are followed


class CoreLoader(yaml.SafeLoader):
    """YAML 1.2's core schema: ``1e-3`` is a number; ``no``, ``010`` and ``1:30`` are not what YAML 1.1 made of them."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as PyYAML has it
    num_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Count the nodes while they are read: a megabyte of them would take ten seconds."""
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES:
            raise ConfigError(f"{self.name}:{self.line + 1}: more than {MAX_NODES:,} values, which no config has")
        return super().compose_node(parent, index)


class CoreDumper(yaml.SafeDumper):
    """Quotes what :class:`CoreLoader` would take for something other than text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as PyYAML has it


PREFIX = "tag:yaml.org,2002:"
SCALARS: dict[str, tuple[str | None, Callable[[str], Any]]] = {
    "null": (r"~|null|Null|NULL|", lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]+", int),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    ),
    "str": (None, str),
}
for tag, (pattern, _) in SCALARS.items():
    for class_ in (CoreLoader, CoreDumper):
        if pattern is not None:
            class_.add_implicit_resolver(PREFIX + tag, re.compile(f"^(?:{pattern})$"), None)
CoreDumper.add_representer(  # line breaks and the like are escaped
    str, lambda dumper, text: dumper.represent_scalar(PREFIX + "str", text, None if text.isprintable() else '"')
)


class Document:
    """Plain data and, for each key in it, where it was said: ``my.yaml:7``, ``--set`` or ``--epochs``."""

    def __init__(self, name: str, data: dict[str, Any] | None = None) -> None:
        self.name = name
        self.data = data or {}
        self.places: dict[KeyPath, str] = {(): name}

    def known(self, path: KeyPath) -> KeyPath:
        """Return ``path`` cut to what was said: a key that is missing leads to its section."""
        while path not in self.places:
            path = path[:-1]
        return path

    def place(self, path: KeyPath) -> str:
        """Return where ``path``, or the nearest thing around it, was said."""
        return self.places[self.known(path)]

    def set(self, path: KeyPath, value: Any, place: str) -> None:
        """Put ``value`` at ``path``, making sections on the way, and note that ``place`` said so."""
        target = self.data
        for depth, key in enumerate(path[:-1], start=1):
            inner = target.setdefault(str(key), {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{place}: {dotted(path[:depth])} is a value, not a section")
            target = inner
        target[str(path[-1])] = value
        self.places = {known: said for known, said in self.places.items() if known[: len(path)] != path}
        self.places[path] = place


def dotted(path: KeyPath) -> str:
    """Write a path as users do: ``optimizer.lr``."""
    return ".".join(map(str, path))


def read(text: str, name: str) -> Document:
    """Parse a config; ``ConfigError`` names file and line of whatever is malformed, doubled or dangerous."""
    document = Document(name)
    data = _parse(text, document)
    if not isinstance(data, dict | None):
        raise ConfigError(f"{name}:1: expected sections such as model: and data:, got {data!r:.60}")
    document.data = data or {}
    return document


def _parse(text: str, document: Document) -> Any:
    """Return what ``text`` says, noting in ``document`` where; ``None`` if it says nothing."""
    name = document.name
    try:
        loader = CoreLoader(text)
        loader.name = name
        root = loader.get_single_node()
        return None if root is None else _Builder(document).build(root, (), ())
    except yaml.MarkedYAMLError as error:
        begin, end = error.context_mark, error.problem_mark or error.context_mark
        assert end is not None
        begun = f" (line {begin.line + 1})" if begin is not None and begin.line != end.line else ""
        said = f"{error.context}{begun}; {error.problem}" if error.context else error.problem
        raise ConfigError(f"{name}:{end.line + 1}: not valid YAML: {said}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{name}:{line}: not valid YAML: it has no place for {text[error.position]!a}") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None


class _Builder:
    """Turns YAML nodes into plain data, counting them so that a few aliases can't unfold into billions."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.num_nodes = 0

    def build(self, node: yaml.Node, path: KeyPath, around: tuple[yaml.Node, ...]) -> Any:
        place = f"{self.document.name}:{node.start_mark.line + 1}"
        if path:
            self.document.places.setdefault(path, place)
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES:
            raise ConfigError(f"{place}: aliases unfold into more than {MAX_NODES:,} values")
        if node in around:
            raise ConfigError(f"{place}: an alias that contains itself")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == PREFIX + "seq":
            return [self.build(item, (*path, i), (*around, node)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == PREFIX + "map":
            return self._mapping(node, path, (*around, node))
        raise ConfigError(f"{place}: the tag {one_line(node.tag)} is not allowed in a config")

    def _scalar(self, node: yaml.ScalarNode, place: str) -> Any:
        kind = node.tag.removeprefix(PREFIX)
        if kind not in SCALARS:
            raise ConfigError(f"{place}: the tag {one_line(node.tag)} is not allowed in a config")
        if "\0" in node.value:
            raise ConfigError(f"{place}: text with a NUL character, which no file name may have")
        pattern, convert = SCALARS[kind]
        try:
            if pattern is not None and not re.fullmatch(pattern, node.value):
                raise ValueError("a tag that its text does not bear out")
            return convert(node.value)
        except ValueError:
            raise ConfigError(f"{place}: {node.value!r:.60} is no {kind}") from None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, around: tuple[yaml.Node, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = f"{self.document.name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value or not key_node.value.isprintable():
                raise ConfigError(f"{place}: a key must be a word")
            key = key_node.value
            if key in result:
                first = self.document.place((*path, key))
                raise ConfigError(f"{place}: {dotted((*path, key))} is given twice, first at {first}")
            self.document.places[*path, key] = place
            result[key] = self.build(value_node, (*path, key), around)
        return result


def bundled_directory() -> Path:
    """Return the folder of the configs that come with the package: inside it in a wheel, beside it in a checkout."""
    package = Path(cnncli.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def bundled_names() -> list[str]:
    """Return the names of the bundled configs, sorted."""
    return sorted(path.stem for path in bundled_directory().glob("*.yaml"))


def find(config: str) -> Path:
    """Return the file that ``--config`` means: a path, or the name of a bundled config with or without ``.yaml``."""
    path = Path(config)
    if path.exists() and not path.is_dir():  # a pipe will do
        return path
    name = config.removesuffix(".yaml")
    if name in bundled_names():
        return bundled_directory() / f"{name}.yaml"
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, not a config file")
    raise ConfigError(f"no config file {config}, and no bundled one of that name{did_you_mean(name, bundled_names())}")


def read_file(path: Path) -> Document:
    """Read a config file; ``ConfigError`` if it cannot be read or is no YAML."""
    return read(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Return the text of a config file; ``ConfigError`` if it cannot be read, is too large or no text."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than 1 MB, which no config is")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None


def override(document: Document, assignment: str) -> None:
    """Apply one ``--set section.key=value`` to a document."""
    key, equals, value = assignment.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"--set {assignment}: expected SECTION.KEY=VALUE, such as train.epochs=3")
    place = f"--set {key}"
    document.set(path, _parse(value, Document(place)), place)


def dump(data: dict[str, Any]) -> str:
    """Write plain data as YAML that :func:`read` reads back the same."""
    text: str = yaml.dump(data, Dumper=CoreDumper, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text
