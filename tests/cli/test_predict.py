"""``cnn predict``, through the real command."""

import csv
import json
import os
import shutil
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from cnncli import checkpoint as checkpoints
from cnncli.checkpoint import load_network
from cnncli.predicting import find, predict
from cnncli.run import Run
from cnncli.runtime import choose_runtime
from tests.conftest import Cnn
from tests.forks import Forks

ODD = ("a b.jpg", 'comma, "quote".jpg', "new\nline.jpg", "esc\x1b[31m.jpg", "caf\udce9.jpg", "数字" * 30 + ".jpg")
BROKEN = {"empty.png": "an empty file", "text.jpg": "not a picture that Pillow knows"}


@pytest.fixture
def shots(folder_run: Run, tmp_path: Path) -> Path:
    """Return a folder of pictures with odd names, and of broken ones."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for number, name in enumerate(ODD):
        shutil.copy(folder_run.path.parents[1] / "pictures" / "top" / f"{number}.jpg", folder / name)
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("not a picture")
    return folder


def expected(run: Run, *arguments: str) -> list[dict[str, Any]]:
    """Return what the library says of arguments, as JSON has it."""
    (batch,) = predict(load_network(run.best), find(arguments), choose_runtime("cpu"))
    rankings = [(p.path, [{"label": label, "probability": share} for label, share in p.top]) for p in batch if p.top]
    return [{"path": path, **ranking[0], "top": ranking} for path, ranking in rankings]


def test_json_holds_predictions_and_errors(shots: Path, folder_run: Run, cnn: Cnn) -> None:
    done = cnn("predict", folder_run.best, "shots", "nowhere.jpg", "--json", "--batch-size", 3, "--workers", 1)
    result = json.loads(done.stdout)
    assert done.returncode == 3
    by_itself = expected(folder_run, str(shots))
    assert [Path(shots.parent, each["path"]) for each in result["predictions"]] == [Path(p["path"]) for p in by_itself]
    for ours, theirs in zip(result["predictions"], by_itself, strict=True):
        assert ours["label"] == theirs["label"] == ours["top"][0]["label"]
        shares = [[each["probability"] for each in (p, *p["top"])] for p in (ours, theirs)]
        assert shares[0] == pytest.approx(shares[1], abs=1e-6)
    problems = {f"shots/{name}": problem for name, problem in BROKEN.items()}
    problems["nowhere.jpg"] = "No such file or directory"
    assert {each["path"]: each["error"] for each in result["errors"]} == problems
    assert done.stderr.splitlines() == [
        *(f"{path}: {problem}" for path, problem in problems.items()),
        "error: 3 paths could not be predicted; the lines above say why",
    ]


def test_csv_has_a_line_a_picture_whatever_its_name(shots: Path, folder_run: Run, cnn: Cnn) -> None:
    done = cnn("predict", folder_run.best, "shots", "--csv", "--top", 2)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert lines[0] == "path,label,probability,label_2,probability_2"
    assert [next(csv.reader(StringIO(line)))[0] for line in lines[1:]] == [
        *("shots/a b.jpg", r"shots/caf\udce9.jpg", 'shots/comma, "quote".jpg', r"shots/esc\x1b[31m.jpg"),
        *(r"shots/new\nline.jpg", "shots/" + "数字" * 30 + ".jpg"),
    ]
    for line, theirs in zip(lines[1:], expected(folder_run, str(shots)), strict=True):
        best, second = theirs["top"][:2]
        _, label, probability, label_2, probability_2 = next(csv.reader(StringIO(line)))
        assert (label, label_2) == (best["label"], second["label"])
        assert [float(probability), float(probability_2)] == pytest.approx(
            [best["probability"], second["probability"]], abs=1e-6
        )


def test_a_table_fits_100_columns(shots: Path, folder_run: Run, cnn: Cnn, tmp_path: Path) -> None:
    checkpoint = checkpoints.load(folder_run.best)
    checkpoint.classes[:] = ["a class with a name that is far too long", "c\nd\x1b[2J", "数字" * 20]
    checkpoints.save(checkpoint, tmp_path / "long.pt")
    for path in (folder_run.best, tmp_path / "long.pt"):
        heading, *rows = cnn("predict", path, "shots").stdout.splitlines()
        assert heading.split() == ["path", "label", "probability", "next", "likeliest"]
        assert len(rows) == len(ODD)
        assert max(map(cell_len, rows)) <= 100
        assert {cell_len(row.partition("%")[0]) for row in rows} == {heading.index("  next") - 1}
        assert rows[-1].startswith("…")
        assert "字.jpg  " in rows[-1]


def test_a_checkpoint_of_arrays_predicts_pictures(tiny_run: Run, shots: Path, cnn: Cnn) -> None:
    result = json.loads(cnn("predict", tiny_run.best, "shots/a b.jpg", "--json", "--top", 50).stdout)
    (prediction,) = result["predictions"]
    assert sorted(each["label"] for each in prediction["top"]) == ["0", "1", "2", "3"]
    assert sum(each["probability"] for each in prediction["top"]) == pytest.approx(1)
    assert result["errors"] == []


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        ("BEST empty", 3, "empty: no picture in this folder"),
        ("BEST *.gif", 3, "*.gif: matches no picture"),
        ("BEST nowhere.jpg --json", 3, "nowhere.jpg: No such file or directory"),
        ("shots/text.jpg BEST", 2, "the checkpoint comes first: cnn predict BEST shots/text.jpg"),
        ("shots BEST", 2, "the checkpoint comes first: cnn predict BEST shots"),
        ("shots/text.jpg shots", 2, "the checkpoint comes first: cnn predict runs/lenet5/checkpoints/best.pt shots"),
        ("nowhere.pt shots", 4, "no checkpoint at nowhere.pt"),
        ("BEST", 2, "Missing argument"),
        ("BEST shots --csv --json", 2, "choose one"),
        ("BEST shots --device tpu", 2, "unknown device tpu"),
        ("BEST shots --top 0", 2, "--top"),
    ],
)
def test_mistakes(
    arguments: str, exit_code: int, message: str, shots: Path, folder_run: Run, cnn: Cnn, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    done = cnn("predict", *arguments.replace("BEST", str(folder_run.best)).split())
    assert done.returncode == exit_code
    assert message.replace("BEST", str(folder_run.best)) in done.stderr
    assert "Traceback" not in done.stderr
    if exit_code == 3 and "--json" in arguments:
        assert json.loads(done.stdout)["predictions"] == []


def test_it_is_one_process(folder_run: Run, cnn: Cnn) -> None:
    done = cnn("predict", folder_run.best, ".", WORLD_SIZE="2", RANK="0")
    assert done.returncode == 2
    assert "start it without torchrun" in done.stderr


def stdin(path: Path) -> str:
    """Return what gives a forked command a file as its stdin."""
    return f"os.dup2(os.open({str(path)!r}, os.O_RDONLY), 0); sys.stdin = open(0)"


@pytest.mark.skipif(sys.platform == "win32", reason="forked commands")
def test_names_come_from_stdin(warm: Forks, shots: Path, folder_run: Run, tmp_path: Path) -> None:
    names = [os.fsencode(f"shots/{name}") for name in reversed(ODD)]
    (tmp_path / "names").write_bytes(b"\0".join(names))
    shutil.copy(shots / ODD[0], tmp_path / "-")  # which is not meant
    arguments = ("predict", str(folder_run.best), "-", "-", "--json")
    code = warm.wait(warm.start(tmp_path, *arguments, before=stdin(tmp_path / "names"), files=("out", "err")))
    result = json.loads((tmp_path / "out").read_text())
    assert [os.fsencode(each["path"]) for each in result["predictions"]] == names
    assert result["errors"] == [{"path": "-", "error": "no name came from stdin"}]  # it was read already
    assert code == 3


ENDLESS = (
    "import types;"
    "sys.stdin = types.SimpleNamespace(buffer=types.SimpleNamespace(read=lambda size: {!r}), close=lambda: None);"
)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("as_what", ["--csv", "--json"])
def test_ctrl_c_leaves_at_once_with_whole_rows(
    as_what: str, warm: Forks, shots: Path, folder_run: Run, tmp_path: Path
) -> None:
    press = "when('cnncli.display', '_print', 4, lambda: os.kill(os.getpid(), signal.SIGINT))"
    arguments = ("predict", str(folder_run.best), "-", as_what, "--batch-size", "2", "--workers", "1")
    before = ENDLESS.format(b"shots/a b.jpg\n") + press
    code = warm.wait(warm.start(tmp_path, *arguments, before=before, files=("out", "err")))
    assert (code, (tmp_path / "err").read_text()) == (130, "interrupted\n")
    assert (tmp_path / "out").read_text().count("shots/a b.jpg") == 3 * 2


@pytest.mark.skipif(sys.platform == "win32", reason="forked commands")
@pytest.mark.parametrize("as_what", ["--csv", "--json", "--top=2"])
def test_a_reader_that_goes_away_ends_it(
    as_what: str, warm: Forks, shots: Path, folder_run: Run, tmp_path: Path
) -> None:
    """As ``head -1`` does, although there is no end of pictures."""
    arguments = ("predict", str(folder_run.best), "-", as_what, "--batch-size", "2", "--workers", "1")
    gone = "reading, writing = os.pipe(); os.dup2(writing, 1); os.close(writing); os.close(reading)"
    before = ENDLESS.format(b"shots/a b.jpg\n") + gone
    code = warm.wait(warm.start(tmp_path, *arguments, before=before, files=("out", "err")))
    assert (code, (tmp_path / "err").read_text()) == (0, "")
