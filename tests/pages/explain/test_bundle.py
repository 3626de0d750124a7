"""Modules joined to one script: their order, what is dropped, and what is wrong with them."""

from pathlib import Path

import pytest

from cnncli.pages.explain.bundle import FOLDER, bundle, style


def write(folder: Path, **modules: str) -> Path:
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source)
    return folder


def test_dependencies_come_first_and_each_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        main='import { draw } from "./view.js";\nimport { ONE, two } from "./numbers.js";\n\ndraw(ONE, two());\n',
        view='import { two } from "./numbers.js";\n\n/**\n * Draw.\n */\n'
        "export async function draw() {\n  // why\n  two();\n}\n",
        numbers="export const ONE = 1;\nexport function two() {\n  return 2;\n}\nexport class Three {}\nlet x = 4;\n",
        other="neverSeen();\n",
    )
    assert bundle(folder=tmp_path) == (
        "const ONE = 1;\nfunction two() {\nreturn 2;\n}\nclass Three {}\nlet x = 4;\n"
        "async function draw() {\ntwo();\n}\n"
        "draw(ONE, two());\n"
    )


def test_several_modules_are_joined_in_the_order_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, a='import { c } from "./c.js";\nconst a = c;\n', b="const b = 2;\n", c="export const c = 3;\n")
    assert bundle(["b.js", "a.js"], tmp_path) == "const b = 2;\nconst c = 3;\nconst a = c;\n"


@pytest.mark.parametrize(
    ("main", "other", "message"),
    [
        ('import { b } from "./other.js";', "export const a = 1;", "main.js: other.js exports no b"),
        ('import { b } from "./other.js";', "const b = 1;", "main.js: other.js exports no b"),
        ('import { b } from "./other.js";\nconst c = 1;', "export const b = 1;\nlet c = 2;", "c is declared twice"),
        ("function c() {}\nfunction c() {}", "", "c is declared twice: in main.js and in main.js"),
        ('import { b } from "./other.js";', 'import { c } from "./main.js";', "main.js -> other.js -> main.js"),
        ('import b from "./other.js";', "", "write import"),
        ('import * as b from "./other.js";', "", "write import"),
        ('import { b as c } from "./other.js";', "", "write import"),
        ('import "./other.js";', "", "write import"),
        ("import {\n  b,\n} from './other.js';", "", "write import"),
        ("const b = 1;\nexport { b };", "", "main.js: export { b };"),
        ("export default 1;", "", "main.js: export default 1;"),
        ("export const [b, c] = [1, 2];", "", "main.js: export const"),
        ('const b = "<p></SCRIPT>";', "", "</SCRIPT ends the script"),
        ('const b = "<!--";', "", "<!-- ends the script"),
        ("const b = `\n  c`;", "", "would lose its indentation"),
    ],
)
def test_what_is_wrong_is_said(main: str, other: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, main=main, other=other)
    with pytest.raises(AssertionError) as raised:
        bundle(folder=tmp_path)
    assert message in str(raised.value)


def test_all_modules_of_the_page_can_be_joined() -> None:
    assert bundle(sorted(path.name for path in FOLDER.glob("*.js")))


def test_style_sheets_are_joined_that_of_the_page_first(tmp_path: Path) -> None:
    (tmp_path / "keys.css").write_text("/* Those of a view. */\nkbd {\n  margin: 0;\n}\n")
    (tmp_path / "page.css").write_text("body { margin: 1px; }\n")
    assert style(tmp_path) == "body { margin: 1px; }\nkbd {\nmargin: 0;\n}\n"
