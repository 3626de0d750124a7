"""A user's mistakes, through the real command: one message, the documented exit code, no traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnncli import load
from tests.conftest import Cnn


def failed(done: "subprocess.CompletedProcess[str]", exit_code: int) -> str:
    """Return the one message on stderr."""
    assert done.returncode == exit_code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        ("train", 2, "say what to train: --config NAME"),
        ("train -c nowhere.yaml", 2, "no config file nowhere.yaml"),
        ("train -c broken.yaml", 2, "broken.yaml:2: not valid YAML"),
        ("train -c npz.yaml", 3, "missing.npz: No such file or directory"),
        ("train -c lenet5 --output broken.yaml", 5, "cannot write run directories to broken.yaml"),
        ("train --resume .", 4, "is no run directory"),
        ("eval missing.pt", 4, "no checkpoint at missing.pt"),
        ("eval broken.yaml", 4, "broken.yaml: not a checkpoint of cnncli"),
        ("summary lenet5 --input 1x4x4", 2, "the map vanishes at features.3"),
        ("summary alexnett", 2, "unknown model 'alexnett'; did you mean alexnet"),
        ("trian", 2, "No such command 'trian'. Did you mean 'train'?"),
        ("train --epoch 3", 2, "--epochs"),
        ("curves .", 2, "no epochs in it"),
        ("config show latin.yaml", 2, "latin.yaml: not UTF-8 text (byte 7)"),
    ],
)
def test_one_clear_message_and_the_documented_exit_code(
    arguments: str, exit_code: int, message: str, cnn: Cnn, tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text("model: {name: lenet5\ntrain: [\n")
    (tmp_path / "npz.yaml").write_text("data: {name: npz, path: missing.npz}\nmodel: {name: lenet5}\n")
    (tmp_path / "latin.yaml").write_bytes("# a caf\u00e9\n\u00e9".encode("latin-1"))
    before = set(tmp_path.iterdir())
    said = failed(cnn(*arguments.split()), exit_code)
    assert message in said
    assert said.count("error: ") + said.count("╭─ Error ") == 1
    assert set(tmp_path.iterdir()) == before  # nothing was written


def test_all_problems_of_a_file_are_said_at_once(cnn: Cnn, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(
        "data: {name: mnist}\nmodel:\n  name: lenet\noptimizer:\n  momentun: 0.9\ntrain:\n  epochs: three\n"
    )
    assert failed(cnn("train", "-c", "my.yaml"), 2).splitlines() == [
        "error: my.yaml:3: model.name: unknown model 'lenet'; did you mean lenet5 or alexnet or lenet5_1998?",
        "my.yaml:5: optimizer.momentun: unknown option of sgd; did you mean momentum?",
        "my.yaml:7: train.epochs: must be a whole number, got 'three'",
    ]


def test_all_problems_of_the_flags_are_said_at_once(cnn: Cnn) -> None:
    done = cnn("train", "-c", "lenet5", "--set", "train.epocs=1", "--lr", "nan", "--device", "tpu", "--batch-size", 0)
    assert failed(done, 2).splitlines() == [
        "error: --set train.epocs: train.epocs: unknown option of train; did you mean epochs?",
        "--batch-size: train.batch_size: must be at least 1, got 0",
        "--lr: optimizer.lr: must be a finite number, got nan",
        "--device: runtime.device: must be auto, cpu, mps, cuda or cuda:N, got 'tpu'",
    ]


def test_other_processes_that_never_come(cnn: Cnn, tiny_config: Path) -> None:
    """A container sets WORLD_SIZE, but nobody starts the other process."""
    done = cnn("train", "-c", tiny_config, WORLD_SIZE="2", RANK="0")
    assert "cannot meet the other processes that WORLD_SIZE speaks of" in failed(done, 5)
    assert "start them by torchrun" in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_may_not_be_written_to(cnn: Cnn, tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = cnn("train", "-c", tiny_config, "--output", "locked")
    assert "cannot write run directories to locked: Permission denied" in failed(done, 5)


def test_an_encoding_that_lacks_a_sign_costs_the_sign_alone(cnn: Cnn, tmp_path: Path) -> None:
    """As on Windows, where what is redirected is cp1252: it has no ⌊, which ``cnn summary`` prints."""
    (tmp_path / "my.yaml").write_text("# ⌊28⌋\n", encoding="utf-8")
    done = cnn("config", "show", "my.yaml", PYTHONIOENCODING="cp1252:strict", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "# ?28?\n"


def test_an_absent_device_is_an_error_of_the_machine(cnn: Cnn) -> None:
    done = cnn("train", "-c", "lenet5", "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert "no cuda here" in failed(done, 5)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_checkpoint_whole(
    cnn: Cnn, tiny_config: Path, tmp_path: Path
) -> None:
    """Decay times rate is 1e5, by which each step multiplies the weights: past fp32's 1e38 by step 9 or so."""
    growing = "optimizer={name: sgd, lr: 1000, momentum: 0, weight_decay: 100}"
    done = cnn("train", "-c", tiny_config, "--epochs", 200, "--set", growing)
    last_line = failed(done, 6).splitlines()[-1]
    assert re.match(
        r"error: the loss or a gradient was not finite at step \d+ \(learning rate 1e\+03, images \d", last_line
    )
    assert "Try a lower --lr" in last_line
    for name in ("last.pt", "best.pt"):
        loaded = load(tmp_path / "runs" / "tiny" / "checkpoints" / name)
        assert all(weights.isfinite().all() for weights in loaded.model.state_dict().values())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_while_torch_is_imported_ends_at_once() -> None:
    script = (
        "import os, signal, sys\n"
        "def press(event, args):\n"
        "    if event == 'import' and args[0] == 'torch': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.addaudithook(press)\n"
        "sys.argv = ['cnn', 'summary', 'lenet5']\n"
        "from cnncli.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_debug_shows_the_traceback(cnn: Cnn) -> None:
    done = cnn("--debug", "eval", "missing.pt")
    assert done.returncode == 4
    assert "Traceback" in done.stderr


def test_help_is_instant() -> None:
    """It imports neither torch nor torchvision, pydantic, numpy or matplotlib, which take seconds."""
    script = (
        "import sys; sys.argv = ['cnn', '--help']\n"
        "from cnncli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'pydantic', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Train, measure and understand" in done.stdout


def test_summary_never_touches_the_data() -> None:
    script = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "sys.argv = ['cnn', 'summary', 'lenet5', '--json']\n"
        "from cnncli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert any('lenet5' in name for name in opened)  # the hook hears\n"
        "touched = [name for name in opened if 'mnist' in name]\n"
        "sys.exit(f'opened {touched}' if touched or 'cnncli.datasets' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
