"""Tables of pictures and labels."""

from pathlib import Path

import pytest

from cnncli.config.validation import validate_options
from cnncli.datasets.csv import Table
from cnncli.errors import DataError


def table(path: Path, text: str, **options: str) -> Table:
    file = path / "table.csv"
    file.write_text(text, encoding="utf-8")
    return Table(str(file), **options)


def test_rows_keep_their_order_and_splits(tmp_path: Path) -> None:
    text = "path,label,split\nb.jpg,dog,train\na.jpg,cat,train\nsub/c.jpg,cat,test\n"
    source = table(tmp_path, "\ufeff" + text)  # as spreadsheets write it
    assert (source.splits, source.classes) == (("train", "test"), ("cat", "dog"))
    train = source.load("train")
    assert [train.path(row) for row in range(2)] == [tmp_path / "b.jpg", tmp_path / "a.jpg"]
    assert train.labels.tolist() == [1, 0]
    assert source.load("test").name(0) == "sub/c.jpg"


def test_other_headings_another_root_and_no_splits(tmp_path: Path) -> None:
    source = table(
        tmp_path, "id,file,breed\n1,x.png,2\n2,y.png,10\n", path_column="file", label_column="breed", root="/images"
    )
    assert source.classes == ("2", "10")  # whole numbers are sorted as such
    assert source.splits == ("train",)
    assert source.load("train").path(1) == Path("/images/y.png")


def test_numbers_that_are_equal_have_an_order(tmp_path: Path) -> None:
    """Whatever the order in which Python's set of texts has them in this process."""
    rows = "".join(f"{i}.jpg,{label}\n" for i, label in enumerate(["2", "1", "002", "01"]))
    assert table(tmp_path, f"path,label\n{rows}").classes == ("01", "1", "002", "2")


def test_a_root_is_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = validate_options("data", "csv", {"file": "table.csv", "root": "images"})
    assert (options["file"], options["root"]) == (str(tmp_path / "table.csv"), str(tmp_path / "images"))
    assert validate_options("data", "csv", {"file": "table.csv"})["root"] is None


def test_a_comma_in_a_name_is_quoted(tmp_path: Path) -> None:
    assert table(tmp_path, 'path,label\n"a,b.jpg",x\n').load("train").name(0) == "a,b.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"table.csv:1: no column 'path'"),
        ("paths,label\na,b\n", r"table.csv:1: no column 'path'; did you mean paths\?"),
        ("path,label\n", "no rows in it"),
        ("path,label\na.jpg,cat\n,cat\n", "table.csv:3: path is empty"),
        ("path,label\na.jpg\n", "table.csv:2: label is empty"),
        ("path,label\na\0.jpg,cat\n", "table.csv:2: path holds a NUL character"),
        ("path,label\na.jpg,cat\nb.jpg,cat\n./a.jpg,dog\n", "table.csv:4: ./a.jpg is given twice, first in line 2"),
        ("path,label,split\na.jpg,cat,dev\n", "table.csv:2: split is 'dev'; it must be train, val or test"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, text)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: No such file"):
        Table(str(tmp_path / "nowhere.csv"))
