"""Files are whole or as they were."""

from pathlib import Path

import pytest

from cnncli import files


def test_a_file_is_there_when_the_context_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with files.whole(path) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fails", ["while it is written", "when it is looked at"])
def test_an_error_leaves_what_there_was(fails: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail(where: str) -> None:
        if where == fails:
            raise OSError(fails)

    def write() -> None:
        with files.whole(path, check=lambda written: fail("when it is looked at")) as file:
            file.write(b"after")
            fail("while it is written")

    with pytest.raises(OSError, match=fails):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".last.pt.tmp", ".config.yaml.tmp", "last.pt", ".lock", "mine.tmp"):
        (tmp_path / name).write_text("")
    files.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", ".lock", "mine.tmp"}
