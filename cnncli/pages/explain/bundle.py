"""The page's modules, and its style sheets, joined to one: from disk a browser runs no module that imports another."""

import re
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
STATEMENT = re.compile(r"^import\b[^;]*;?\n*", re.MULTILINE)
IMPORT = re.compile(r'import \{\s*([\w$]+(?:,\s+[\w$]+)*),?\s*\} from "\./([\w-]+\.js)";\n*')
DECLARATION = re.compile(r"^(export )?(?:async )?(?:function\*?|const|let|var|class) ([\w$]+)", re.MULTILINE)
LEFT_OUT = re.compile(r"^[ \t]*(?:/\*.*?\*/\n|//[^\n]*\n|\n)|^[ \t]+", re.MULTILINE | re.DOTALL)


def bundle(names: Sequence[str] = ("main.js",), folder: Path = FOLDER) -> str:
    """Return the modules ``names`` of a folder and all that they import, dependencies first, for one inline script.

    Imports and the word ``export`` are gone, and so are comments and indentation, a fifth of it all. Raises
    ``AssertionError`` where a module imports what the other does not export, where two declare the same name, and
    where the source would end the script that it stands in.
    """
    modules: dict[str, _Module] = {}
    for name in names:
        _collect(name, folder, modules, ())
    _check_imports(modules)
    _check_names(modules)
    joined = "".join(_lean(module.plain) for module in modules.values())
    end = re.search(r"</script|<!--", joined, re.IGNORECASE)
    assert end is None, f"{end.group()} ends the script in a page; write it in two parts"
    return joined


def style(folder: Path = FOLDER) -> str:
    """Return the page's style sheets, what concerns all of it first."""
    first = folder / "page.css"
    others = sorted(path for path in folder.glob("*.css") if path != first)
    return "".join(_lean(path.read_text(encoding="utf-8")) for path in (first, *others))


def _lean(source: str) -> str:
    """Return a source without comments that have lines of their own, indentation, and empty lines."""
    for line in re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL).splitlines():
        assert line.count("`") % 2 == 0, f"{line}: a string over several lines would lose its indentation"
    return LEFT_OUT.sub("", source)


class _Module:
    """A file: what it imports, and from where; what it declares; what it exports; the source without both words."""

    def __init__(self, path: Path) -> None:
        source = path.read_text(encoding="utf-8")
        self.imports = [_parsed(statement, path.name) for statement in STATEMENT.findall(source)]
        self.declared = [name for _, name in DECLARATION.findall(source)]
        self.exported = {name for word, name in DECLARATION.findall(source) if word}
        self.plain = STATEMENT.sub("", source)
        self.plain = DECLARATION.sub(lambda found: found[0].removeprefix("export "), self.plain)
        left = re.search(r"^export\b.*", self.plain, re.MULTILINE)
        assert left is None, f"{path.name}: {left.group()}: export a function, a const or a class where it is declared"


def _parsed(statement: str, file: str) -> tuple[list[str], str]:
    found = IMPORT.fullmatch(statement)
    assert found is not None, f'{file}: {statement.strip()}: write import {{ a, b }} from "./other.js";'
    return re.findall(r"[\w$]+", found[1]), found[2]


def _collect(name: str, folder: Path, modules: dict[str, _Module], around: tuple[str, ...]) -> None:
    """Add a module to ``modules``, after those that it imports; ``around`` are those that led to it."""
    assert name not in around, f"modules import one another: {' -> '.join((*around, name))}"
    if name in modules:
        return
    module = _Module(folder / name)
    for _, source in module.imports:
        _collect(source, folder, modules, (*around, name))
    modules[name] = module


def _check_imports(modules: dict[str, _Module]) -> None:
    for file, module in modules.items():
        for names, source in module.imports:
            missing = [name for name in names if name not in modules[source].exported]
            assert not missing, f"{file}: {source} exports no {', '.join(missing)}"


def _check_names(modules: dict[str, _Module]) -> None:
    owners: dict[str, str] = {}
    for file, module in modules.items():
        for name in module.declared:
            assert name not in owners, f"{name} is declared twice: in {owners[name]} and in {file}"
            owners[name] = file
