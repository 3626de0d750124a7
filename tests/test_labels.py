"""Names of classes, as other programs write them."""

from pathlib import Path

import pytest

from cnncli.errors import DataError
from cnncli.labels import read_labels


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '["cat", "dog", "red panda"]'),
        ("a.json", '{"0": "cat", "2": "red panda", "1": "dog"}'),
        ("a.json", '{"red panda": 2, "cat": 0, "dog": 1}'),
        ("a.JSON", '{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"], "2": ["n02509815", "red panda"]}'),
        ("a.txt", "cat\ndog\nred panda\n"),
        ("a", "\ufeffcat\r\n dog \r\nred panda\r\n\r\n"),
    ],
)
def test_names_in_the_order_of_their_numbers(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert read_labels(tmp_path / name) == ["cat", "dog", "red panda"]


def test_a_name_that_two_of_imagenets_classes_share_gets_their_codes(tmp_path: Path) -> None:
    """It has two cranes, a bird and a machine."""
    (tmp_path / "a.json").write_text('{"0": ["n02012849", "crane"], "1": ["n03126707", "crane"], "2": ["n0", "cat"]}')
    assert read_labels(tmp_path / "a.json") == ["crane n02012849", "crane n03126707", "cat"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '["cat", "dog", "cat"]', "two classes are called cat: 0 and 2"),
        ("a.txt", "cat\ndog\ncat\n", "two classes are called cat: 0 and 2"),
        ("a.txt", "cat\n\ndog\n", "class 1 has no name"),
        ("a.txt", "\n", "class 0 has no name"),
        ("a.json", "[]", "class 0 has no name"),
        ("a.json", '{"0": "cat", "2": "dog"}', "2 classes take the numbers 0 to 1; 1 is absent, there is 2"),
        ("a.json", '{"cat": 1, "dog": 2}', "2 classes take the numbers 0 to 1; 0 is absent, there is 2"),
        ("a.json", '{"cat": 0, "dog": 0}', "1 is absent, another is there twice"),
        ("a.json", '{"0": "cat", "0": "dog"}', "0 is there twice"),
        ("a.json", '{"cat": 0, "1": "dog"}', "each class needs its number"),
        ("a.json", "[1, 2]", "a name is text, but here is 1"),
        ("a.json", '{"0": ["n1", "a", "b"]}', r"a name is text, but here is \['n1', 'a', 'b'\]"),
        ("a.json", '"cat"', "expected a list of names"),
        ("a.json", '["cat",\n', "line 2: not valid JSON"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", "[" + "9" * 5_000 + "]", "too long a number"),
        ("a.txt", b"caf\xe9", "not UTF-8 text"),
        ("a.txt", b"a\n" * 5_000_001, "larger than 10 MB"),
    ],
)
def test_what_names_no_classes_is_refused(name: str, text: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as error:
        read_labels(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert len(str(error.value).splitlines()) == 1


def test_a_number_of_many_digits_is_none_of_a_class(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"' + "0" * 5000 + '": "cat"}')
    with pytest.raises(DataError, match="each class needs its number"):
        read_labels(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: No such file or directory"):
        read_labels(tmp_path / "nowhere.json")
