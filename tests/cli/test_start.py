"""What a command imports before it does anything."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("arguments", ["summary lenet5", "train -c lenet5 --set data.limit=8 --dry-run"])
def test_torchvision_is_imported_by_who_needs_it(arguments: str, tmp_path: Path) -> None:
    """It imports PyTorch's compiler, which takes half as long as torch itself; a small summary needs neither."""
    code = "import sys; from cnncli.cli import main; sys.argv[0] = 'cnn'\ntry: main()\nfinally: print(*sys.modules)"
    command = [sys.executable, "-c", code, *arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    modules = done.stdout.splitlines()[-1].split()
    assert "torch" in modules, done.stderr
    assert "torchvision" not in modules
    assert ("torch._dynamo" in modules) is arguments.startswith("train")  # for PyTorch's optimizers
