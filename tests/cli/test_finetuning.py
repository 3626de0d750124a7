"""Fine-tuning by the real command: what it says, and what a user's mistakes lead to."""

import json
from pathlib import Path

import pytest
import yaml

from cnncli import checkpoint as checkpoints
from cnncli.run import Run
from tests.conftest import Cnn


def test_a_flag_is_all_it_takes(cnn: Cnn, tiny_config: Path, tiny_run: Run, tmp_path: Path) -> None:
    """The path is noted absolute, and what was done is said on stderr."""
    (tmp_path / "there.pt").write_bytes(tiny_run.best.read_bytes())
    sets = (
        "--set",
        "model.freeze=features",
        "--set",
        "data.classes=['3', '1']",
        "--set",
        "optimizer.backbone_lr=0.001",
    )
    done = cnn("train", "-c", tiny_config, "--init-from", "there.pt", *sets, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 2
    said = done.stderr.splitlines()
    assert said[0].startswith(
        f"taken from {tmp_path / 'there.pt'}: 8 of 10 tensors; anew: classifier.5.weight (2 classes"
    )
    assert said[1] == "images are prepared as those it was trained on: 1×12×12, mean [0.5], std [0.5]"
    assert said[2] == (
        "frozen: 2,572 of 14,946 parameters: features.0.weight, features.0.bias, features.3.weight, features.3.bias"
    )
    noted = yaml.safe_load((tmp_path / "runs" / "tiny" / "config.yaml").read_text())
    assert noted["model"]["init_from"] == str(tmp_path / "there.pt")
    assert noted["optimizer"]["backbone_lr"] == 0.001
    (tmp_path / "there.pt").unlink()
    assert cnn("train", "--resume", "runs/tiny", "--epochs", 3).returncode == 0
    done = cnn("train", "--resume", "runs/tiny", "--init-from", "other.pt")
    assert done.returncode == 4
    assert f"  model.init_from: was {tmp_path / 'there.pt'}, would be {tmp_path / 'other.pt'}" in done.stderr


@pytest.mark.parametrize(
    ("model", "exit_code", "message"),
    [
        ("init_from: nowhere.pt", 4, "no checkpoint at {folder}/nowhere.pt"),
        ("init_from: .", 4, "{folder}: not a file"),
        ("init_from: damaged.pt", 4, "{folder}/damaged.pt: damaged: its bytes are not those that were written"),
        ("init_from: my.yaml", 4, "{folder}/my.yaml: not a checkpoint of cnncli, or one that was cut short"),
        ("init_from: tinyvgg.pt", 4, "{folder}/tinyvgg.pt is a checkpoint of model tinyvgg, not of lenet5; name that"),
        ("init_from: ''", 2, "my.yaml:4: model.init_from: must be text that is not empty, got ''"),
        ("freeze: feature", 2, "my.yaml:4: model.freeze: 'feature' names no parameters; did you mean features?"),
        ("freeze: '*'", 2, "my.yaml:4: model.freeze: leaves nothing to train"),
        ("freeze: []", 2, "my.yaml:4: model.freeze: must be text or a list of 1 or more, got []"),
        ("freeze: classifier", 2, "my.yaml:5: optimizer.backbone_lr: the head of lenet5 has nothing to train"),
    ],
)
def test_a_mistake_is_one_message(
    model: str, exit_code: int, message: str, cnn: Cnn, tiny_npz: Path, tiny_run: Run, folder_run: Run, tmp_path: Path
) -> None:
    (tmp_path / "tinyvgg.pt").write_bytes(folder_run.best.read_bytes())
    content = bytearray(tiny_run.best.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.pt").write_bytes(content)
    (tmp_path / "my.yaml").write_text(
        f"data: {{name: npz, path: {tiny_npz}}}\nmodel:\n  name: lenet5\n  {model}\noptimizer: {{backbone_lr: 0.01}}\n"
    )
    done = cnn("train", "-c", "my.yaml")
    assert done.returncode == exit_code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: " + message.format(folder=tmp_path))
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_what_a_stranger_calls_things_moves_no_terminal(
    cnn: Cnn, tiny_config: Path, tiny_run: Run, tmp_path: Path
) -> None:
    there = checkpoints.load(tiny_run.best)
    there.options["activation"] = "\x1b[2J\nerror: gone"
    checkpoints.save(there, tmp_path / "there.pt")
    done = cnn("train", "-c", tiny_config, "--init-from", "there.pt", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert r"activation is tanh here, \x1b[2J\nerror: gone there" in done.stderr
