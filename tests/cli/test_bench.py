"""``cnn bench``: a table for people, an object for programs, and nothing left behind."""

import json
from pathlib import Path

from tests.conftest import Cnn

SHORT = ("--rounds", 2, "--seconds", 0.02)


def test_the_table_names_all_and_ends_with_a_verdict(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = cnn("bench", tiny_config, *SHORT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "images a second, medians of 2 rounds (range)"
    names = [line.split()[0] for line in lines[2:]]
    assert names == ["loop", "limit", "limit", "loader", "evaluation", "inference", "memory", "verdict"]
    assert "of the limit" in lines[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_json_has_each_speed_with_its_range(cnn: Cnn, tiny_config: Path) -> None:
    result = json.loads(cnn("bench", tiny_config, *SHORT, "--json", "--set", "train.batch_size=16").stdout)
    assert (result["batch_size"], result["rounds"]) == (16, 2)
    for speed in result["images_per_second"].values():
        assert 0 < speed["min"] <= speed["median"] <= speed["max"]
    assert result["verdict"]


def test_pictures_that_are_streamed_are_waited_for(cnn: Cnn, folder_config: Path) -> None:
    """One thread decodes and trains in turn, so that the decoding is all waited for."""
    done = cnn("bench", folder_config, *SHORT, "--set", "data.cache=off", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["waiting"] > 0


def test_a_broken_picture_is_named(cnn: Cnn, folder_config: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "pictures").rglob("*.*"):
        path.write_bytes(b"none")
    done = cnn("bench", folder_config, *SHORT)
    assert done.returncode == 3
    assert "pictures cannot be read" in done.stderr


def test_mistakes_are_said_before_anything_is_timed(cnn: Cnn, tiny_config: Path) -> None:
    done = cnn("bench", tiny_config, "--rounds", 0)
    assert done.returncode == 2
    done = cnn("bench", "lenet55")
    assert done.returncode == 2
    assert "lenet5" in done.stderr
