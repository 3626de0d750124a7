"""What the doctor finds, on machines that are made up."""

import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cnncli import diagnosis
from cnncli.diagnosis import Check, diagnose
from cnncli.runtime import cores_a_rank


def checked(name: str) -> Check:
    """Return the one check of a name."""
    found = [check for check in diagnose() if check.name == name]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what files of the system are to hold; all others are absent."""
    texts: dict[str, str] = {}
    monkeypatch.setattr(diagnosis, "_text", lambda path: texts.get(str(path), ""))
    return texts


def test_nothing_is_broken_where_the_tests_run() -> None:
    checks = list(diagnose())
    assert [check.found for check in checks if check.state == "broken"] == []
    assert checked("torch").facts == {"version": torch.__version__}
    assert len({(check.group, check.name) for check in checks}) == len(checks)


def test_a_library_that_is_missing_or_cannot_be_imported_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halfway.py").write_text("raise OSError('libcuda.so.1 is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(diagnosis, "ESSENTIAL", {"nowhere": "nowhere-at-all", "halfway": "rich"})
    missing, halfway = checked("nowhere-at-all"), checked("rich")
    assert (missing.state, missing.advice) == ("broken", "pip install --upgrade nowhere-at-all")
    assert (halfway.state, halfway.advice) == ("broken", "pip install --upgrade rich")
    assert halfway.found.endswith("cannot be imported: libcuda.so.1 is missing")


def test_a_question_that_fails_is_broken_and_the_others_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Any:
        raise ValueError("of\nodd machines")

    monkeypatch.setattr(diagnosis, "QUESTIONS", [("machine", "memory", fails), ("places", "text", diagnosis._terminal)])
    first, second = diagnose()
    assert (first.name, first.state, second.name) == ("memory", "broken", "text")
    assert first.found == r"cannot be asked: ValueError('of\nodd machines')"


def test_a_container_that_allows_less_time_than_it_shows_cores(files: dict[str, str]) -> None:
    """As of docker run --cpus=0.5: torch would start a thread a core, and they would wait for each other."""
    files["/sys/fs/cgroup/cpu.max"] = "50000 100000"
    check = checked("processor")
    assert (check.state, check.facts["quota"], check.facts["cores"]) == ("note", 0.5, cores_a_rank())
    assert check.advice is not None
    assert check.advice.endswith("--set runtime.threads=1 --set data.workers=1")
    files["/sys/fs/cgroup/cpu.max"] = "max 100000"
    assert checked("processor").facts["quota"] is None


def test_the_memory_of_a_container(files: dict[str, str]) -> None:
    files["/sys/fs/cgroup/memory.max"] = "1500000"
    files["/proc/meminfo"] = "MemTotal: 9 kB\nMemAvailable:   2000000 kB"
    assert checked("memory").found.endswith(" GB, 2.0 GB of it free; this container may use 1.5 MB")


ONE_CARD = {"cards": 1, "driver": "580.65.06"}


@pytest.mark.parametrize(
    ("machine", "state", "words"),
    [
        ({"cards": 0, "driver": None}, "ok", ["none, so the processor computes", "a smaller torch would do"]),
        ({"cards": 0, "driver": None, "build": None}, "ok", ["torch is built for the CPU"]),
        ({**ONE_CARD, "build": None}, "note", ["1 NVIDIA GPU here", "built for the CPU alone; install one for CUDA"]),
        ({**ONE_CARD, "hidden": ""}, "note", ["CUDA_VISIBLE_DEVICES is '', which hides it: unset it"]),
        ({"cards": 2, "driver": None}, "note", ["2 NVIDIA GPUs here, driver missing", "install NVIDIA's driver"]),
        (
            {**ONE_CARD, "said": "The NVIDIA driver on your system is too old"},
            "note",
            ["driver 580.65.06; The NVIDIA driver on your system is too old", "an older CUDA than 13.0"],
        ),
    ],
)
def test_why_no_gpu_is_used(
    machine: dict[str, Any], state: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_available() -> bool:
        if "said" in machine:
            import warnings

            warnings.warn(machine["said"], stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", machine.get("build", "13.0"))
    monkeypatch.setattr(diagnosis, "_num_nvidia_cards", lambda: machine["cards"])
    monkeypatch.setattr(diagnosis, "_driver", lambda: machine["driver"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if "hidden" in machine:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", machine["hidden"])
    check = checked("GPU")
    assert check.state == state
    assert all(word in f"{check.found}; {check.advice}" for word in words)


def test_cards_and_driver_are_read_from_the_system(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 13.3.0"
    files["/proc/driver/nvidia/version"] = version
    assert diagnosis._driver() == "580.65.06"
    bus = Path("/sys/bus/pci/devices")
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [bus / name for name in "abc"])
    for name, vendor, kind in (("a", "0x10de", "0x030200"), ("b", "0x10de", "0x040300"), ("c", "0x1002", "0x030000")):
        files |= {str(bus / name / "vendor"): vendor, str(bus / name / "class"): kind}
    assert diagnosis._num_nvidia_cards() == 1  # b is its sound, c another maker's


def test_gpus_that_compute_and_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(size: int, device: str) -> torch.Tensor:
        if device == "cuda:1":
            raise RuntimeError("CUDA error: no kernel image is available\nCUDA kernel errors might be")
        return torch.ones(size)

    cards = [("H100", 9, 0), ("K80", 3, 7)]
    known = [SimpleNamespace(name=name, major=a, minor=b, total_memory=80 * 10**9) for name, a, b in cards]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", known.__getitem__)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (79 * 10**9, 80 * 10**9))
    monkeypatch.setattr(torch, "zeros", zeros)
    good, bad = (check for check in diagnose() if check.name.startswith("cuda"))
    assert good.found == "H100, compute capability 9.0, 80.0 GB, 79.0 GB of it free"
    assert good.advice is not None
    assert "runtime.precision=bf16" in good.advice
    assert bad.state == "broken"
    assert bad.found.endswith("it computes nothing: CUDA error: no kernel image is available")


def test_extras_are_those_that_cnncli_was_installed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "rich>=13",
        "numpy>=1; extra == 'good'",
        'rich; extra == "half"',
        "no-such-thing>=1 ; extra == 'half'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: [*requirements, "pytest; extra == 'dev'"])
    good, half = (check for check in diagnose() if check.group == "extras")
    assert (good.name, good.found, good.state) == ("good", f"numpy {metadata.version('numpy')}", "ok")
    assert (half.name, half.state) == ("half", "note")
    assert half.found.endswith(", no-such-thing not installed")
    assert half.advice == "only some commands need it: pip install 'cnncli[half]'"


@pytest.mark.parametrize(
    ("change", "word", "advice"),
    [
        (lambda path, mode: False, "it cannot be written to", "set CNN_CACHE to another folder"),
        (None, "0.5 MB in 2 files", None),
    ],
)
def test_the_folder_of_caches(
    change: Callable[[Path, int], bool] | None,
    word: str,
    advice: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.uint8", "b.uint8"):
        (tmp_path / name).write_bytes(bytes(250_000))
    monkeypatch.setenv("CNN_CACHE", str(tmp_path))
    if change is not None:
        monkeypatch.setattr(os, "access", change)
    check = checked("cache")
    assert word in check.found
    assert check.facts["bytes"] == 500_000
    assert advice is None or (check.state == "note" and (check.advice or "").startswith(advice))
    monkeypatch.setenv("CNN_CACHE", str(tmp_path / "not" / "made" / "yet"))
    assert "0.0 MB in 0 files" in checked("cache").found
