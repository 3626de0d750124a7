"""What a shell is offered at Tab, asked as bash and zsh ask."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cnncli.config.loading import bundled_names
from cnncli.registry import DATASETS, MODELS, OPTIMIZERS
from tests.conftest import Cnn

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(cnn: Cnn) -> Complete:
    """Return a function that gives what bash is offered for the last of some words, taken apart as bash does."""

    def asked(*words: str) -> list[str]:
        protocol = {"_CNN_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(("cnn", *words))}
        done = cnn(*words, COMP_CWORD=str(len(words)), **protocol)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return asked


def test_names_of_commands_configs_models_devices_and_kernels(complete: Complete) -> None:
    assert complete("tr") == ["train"]
    assert complete("train", "-c", "lenet5_") == ["lenet5_1998", "lenet5_fast", "lenet5_valid"]
    assert complete("train", "--config", "=", "") == bundled_names()
    assert complete("data", "check", "tinyvgg_") == ["tinyvgg_folder"]
    assert complete("config", "validate", "basic") == ["basic_cnn"]
    assert complete("summary", "") == [*MODELS.names(), "torchvision/"]
    assert complete("summary", "torchvision/resnet5") == ["torchvision/resnet50"]
    assert complete("import", "weights.pt", "--model", "tiny") == ["tinyvgg"]
    assert complete("eval", "best.pt", "--device", "c") == ["cpu", "cuda"]
    assert complete("conv", "a.png", "--kernel", "s") == ["sobel-x", "sobel-y", "sharpen"]


def test_files_and_runs(complete: Complete, tmp_path: Path) -> None:
    for name in ("mine.yaml", "more/other.yaml", "more/with spaces.yaml", "runs/a/config.yaml", "runs/b/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "runs" / "not_one").mkdir()
    assert complete("train", "-c", "m") == ["mine.yaml", "more/other.yaml"]
    assert complete("train", "-c", "./mi") == ["./mine.yaml"]
    assert complete("train", "--resume", "") == ["runs/a", "runs/b"]
    assert complete("compare", "runs/a", "") == ["runs/a", "runs/b"]
    assert complete("lr-find", "m") == complete("sweep", "m") == ["mine.yaml", "more/other.yaml"]
    assert complete("curves", "runs/a", "runs/b") == ["runs/b"]
    assert complete("eval", "runs/") == []  # so that the shell offers its files


def test_keys_of_settings_are_those_of_what_the_section_names(complete: Complete, tmp_path: Path) -> None:
    assert complete("train", "--set", "runtime.d") == ["runtime.device=", "runtime.deterministic="]
    assert "model.hidden=" in complete("train", "--set", "model.")  # while any model may be meant
    assert "model.hidden=" not in complete("train", "-c", "lenet5", "--set", "model.")
    named = ("-c", "lenet5", "--set", "model.name", "=", "tinyvgg")
    assert "model.hidden=" in complete("train", *named, "--set", "model.")
    assert "optimizer.momentum=" in complete("train", "--set", "optimizer.")  # of sgd, which is the default
    (tmp_path / "broken.yaml").write_text("model: [")
    assert "model.groups=" in complete("train", "-c", "broken.yaml", "--set", "model.")


def test_values_follow_a_key_that_is_the_only_one(complete: Complete) -> None:
    """With the default among them, lest the shell puts a space after the sign."""
    assert complete("train", "--set", "train.epo") == ["train.epochs=", "train.epochs=5"]
    assert complete("train", "--set", "augment.fl") == ["augment.flip=", "augment.flip=false", "augment.flip=true"]
    assert complete("train", "--set", "model.name", "=") == [*MODELS.names(), "torchvision/"]
    assert complete("train", "--set", "model.name", "=", "torchvision/vit_b") == [
        "torchvision/vit_b_16",
        "torchvision/vit_b_32",
    ]
    assert complete("train", "--set", "data.name", "=", "m") == ["mnist"]
    assert complete("data", "stats", "mine.yaml", "--set", "data.name", "=") == DATASETS.names()
    assert complete("train", "--set", "=", "optimizer.name", "=", "") == OPTIMIZERS.names()
    assert complete("train", "--set", "data.resize", "=", "") == ["squash", "crop", "pad"]
    assert complete("train", "--set", "data.resize=c") == ["data.resize=crop"]  # where bash leaves words whole
    assert complete("train", "--device", "cuda", ":", "0", "--set", "data.size", "=", "") == ["null"]
    assert complete("summary", "tinyvgg", "--set", "hid") == ["hidden=", "hidden=10"]
    assert complete("import", "a.pt", "--model", "alexnet", "--set", "lrn", "=") == ["false", "true"]


@pytest.mark.parametrize(
    "words",
    [
        ["--debug", "train"],
        ["train", "--debug"],
        ["train", "--lr", "fast", "--bogus"],
        ["train", "--set", "data.name", "=", "5"],
    ],
)
def test_what_else_is_said_does_no_harm(words: list[str], complete: Complete) -> None:
    assert complete(*words, "--set", "data.resize", "=", "c") == ["crop"]


def test_zsh_leaves_words_whole_and_shows_what_they_mean(cnn: Cnn) -> None:
    asked = {"_CNN_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "cnn train --set model.name=le"}
    assert cnn(**asked).stdout == '_arguments \'*: :(("model.name=lenet5"\n"model.name=lenet5_1998"))\'\n'
    asked = {"_CNN_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "cnn train --set train.ep"}
    assert '"train.epochs=":"passes over the training images"' in cnn(**asked).stdout


def test_it_comes_at_once() -> None:
    """It imports neither torch nor what else takes long; some versions of Typer import pydantic by themselves."""
    script = (
        "import sys\n"
        "from cnncli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    words = ["cnn", "train", "-c", "lenet5", "--set", "model.name", "=", "le"]
    asked = {"_CNN_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "lenet5\nlenet5_1998\n", "")
