"""Files are whole or as they were."""

import os
from pathlib import Path

import pytest

from cnncli import files
from cnncli.errors import ConfigError


def test_a_file_is_there_when_the_context_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with files.whole(path) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    path, link = tmp_path / "folder" / "a.txt", tmp_path / "link.txt"
    path.parent.mkdir()
    link.symlink_to(path)
    with files.whole(link) as file:
        file.write(b"after")
    assert link.is_symlink()
    assert path.read_text() == "after"


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="pipe: is a device or a pipe"), files.whole(pipe):
        pass
    with pytest.raises(ConfigError, match=r"--output .*pipe: is a device or a pipe"):
        files.check_target(pipe)
    assert pipe.is_fifo()


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
