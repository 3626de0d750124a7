"""What a machine offers cnncli, what it lacks, and what to do about it: asked for, never measured."""

import importlib
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cnncli
from cnncli.text import counted, one_line

ESSENTIAL = {  # modules and the distributions they come with
    **{"torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "PIL": "pillow", "simplejpeg": "simplejpeg"},
    **{"matplotlib": "matplotlib", "pydantic": "pydantic", "yaml": "pyyaml", "rich": "rich", "typer": "typer"},
}
LITTLE_ROOM = 1e9  # bytes of a disk; a checkpoint of AlexNet with its momentum takes half of that
LITTLE_SHARED = 256e6  # bytes of shared memory, by which workers hand over batches; docker gives 64 MB
MOST_FILES = 100_000  # that are counted in a cache
NVIDIA, DISPLAY_CLASS = "0x10de", "0x03"  # of PCI devices
GET_TORCH = "https://pytorch.org/get-started/locally"


@dataclass(frozen=True)
class Check:
    """Something that was asked for: what was found, what to do where that could be better, and the bare facts."""

    name: str
    found: str
    advice: str | None = None
    state: Literal["ok", "note", "broken"] = "ok"
    facts: dict[str, Any] = field(default_factory=dict)
    group: str = ""


Checks = Iterator[Check]


def diagnose() -> Checks:
    """Yield a check after the other; one that fails is broken itself, and the others go on."""
    for group, name, ask in QUESTIONS:
        try:
            for check in ask():
                yield replace(check, group=group, found=one_line(check.found))
        except Exception as error:  # of whatever a machine has in store
            found = f"cannot be asked: {one_line(repr(error))[:200]}"
            yield Check(name, found, "report it, unless something above is broken", "broken", group=group)


def _versions() -> Checks:
    yield Check("cnncli", f"{cnncli.__version__}, in {Path(cnncli.__file__).parent}")
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield Check("Python", f"{platform.python_version()} on {system}", facts={"executable": sys.executable})
    yield from map(_library, ESSENTIAL, ESSENTIAL.values())


def _library(module: str, distribution: str) -> Check:
    """Say which version of a library there is, and whether it can be imported."""
    install = f"pip install --upgrade {'torch torchvision' if 'torch' in module else distribution}"
    version = _version(distribution)
    if version is None:
        return Check(distribution, "is not installed, and nothing works without it", install, "broken")
    try:
        version = str(getattr(importlib.import_module(module), "__version__", version))  # with its build, as 2.10+cpu
    except Exception as error:  # whatever is wrong with a library of somebody else
        return Check(distribution, f"{version} cannot be imported: {str(error)[:200]}", install, "broken")
    return Check(distribution, version, facts={"version": version})


def _processor() -> Checks:
    import torch

    from cnncli.runtime import cores_a_rank

    cores, threads, quota = cores_a_rank(), torch.get_num_threads(), _quota()
    facts = {"cores": cores, "cores_of_machine": os.cpu_count(), "threads": threads, "quota": quota}
    found = f"{counted(cores, 'core')} of {os.cpu_count()}, {counted(threads, 'thread')}"
    found += f", {torch.backends.cpu.get_cpu_capability()}"
    limit = os.environ.get("OMP_NUM_THREADS")
    advice = None
    if quota is not None and quota < cores:
        found += f"; but this container may use the time of {quota:g}"
        fewer = max(int(quota), 1)
        advice = f"more threads than that wait for each other: --set runtime.threads={fewer} --set data.workers={fewer}"
    elif threads < cores and limit is not None:
        advice = f"OMP_NUM_THREADS={one_line(limit)} says so: unset it, or --set runtime.threads={cores}"
    yield Check("processor", found, advice, "note" if advice else "ok", facts)


def _quota() -> float | None:
    """Return how many cores' time a container allows, ``None`` without a limit."""
    limit, _, period = _text(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    return int(limit) / int(period) if limit.isdecimal() else None


def _memory() -> Checks:
    if not hasattr(os, "sysconf"):  # Windows
        return
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found, facts = _size(total), {"total": total}
    if available := re.search(r"MemAvailable:\s+(\d+) kB", _text(Path("/proc/meminfo"))):
        facts["free"] = int(available[1]) * 1024
        found += f", {_size(facts['free'])} of it free"
    limit = _text(Path("/sys/fs/cgroup/memory.max"))
    if limit.isdecimal() and int(limit) < total:
        facts["limit"] = int(limit)
        found += f"; this container may use {_size(facts['limit'])}"
    yield Check("memory", found, facts=facts)


def _shared_memory() -> Checks:
    if not (shared := Path("/dev/shm")).is_dir():
        return
    room = shutil.disk_usage(shared)
    is_little = room.free < LITTLE_SHARED
    advice = "workers hand over batches in it: docker run --shm-size=2g, or --set data.workers=0" if is_little else None
    found, facts = f"{_size(room.total)}, {_size(room.free)} of it free", {"total": room.total, "free": room.free}
    yield Check("shared memory", found, advice, "note" if is_little else "ok", facts)


def _gpu() -> Checks:
    import torch

    with warnings.catch_warnings(record=True) as said:  # torch says so why it cannot use one
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        yield from map(_cuda_device, range(torch.cuda.device_count()))
    elif torch.backends.mps.is_available():
        yield Check("mps", "the GPU of this Mac")
    else:
        yield _unused_gpu(str(said[0].message) if said else "")


def _cuda_device(index: int) -> Check:
    import torch

    name, known = f"cuda:{index}", torch.cuda.get_device_properties(index)
    capability = f"{known.major}.{known.minor}"
    facts: dict[str, Any] = {"name": known.name, "compute_capability": capability, "total": known.total_memory}
    found = f"{known.name}, compute capability {capability}, {_size(known.total_memory)}"
    try:
        torch.zeros(1, device=name).add(1).item()
        facts["free"] = torch.cuda.mem_get_info(index)[0]
    except RuntimeError as error:
        problem = str(error).partition("\n")[0][:200]
        advice = f"use --device cpu, or install a torch that knows this GPU: {GET_TORCH}"
        return Check(name, f"{found}; it computes nothing: {problem}", advice, "broken", facts)
    fast = "it computes bf16 faster than fp32: --set runtime.precision=bf16" if known.major >= 8 else None
    return Check(name, f"{found}, {_size(facts['free'])} of it free", fast, facts=facts)


def _unused_gpu(said: str) -> Check:
    """Say why no GPU is used: there is none, or what is in its way."""
    import torch

    build, cards, driver = torch.version.cuda, _num_nvidia_cards(), _driver()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    facts = {"cuda_build": build, "nvidia_cards": cards, "nvidia_driver": driver}
    here = f"not used: {counted(cards, 'NVIDIA GPU')} here, driver {driver or 'missing'}"
    if not (cards or driver):
        found = f"none, so the processor computes; torch is built for {f'CUDA {build}' if build else 'the CPU'}"
        return Check("GPU", found, f"a smaller torch would do: {GET_TORCH}" if build else None, facts=facts)
    if build is None:
        advice = f"torch is built for the CPU alone; install one for CUDA: {GET_TORCH}"
    elif hidden is not None and hidden.strip() in ("", "-1"):
        advice = f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides it: unset it"
    elif driver is None:
        advice = "install NVIDIA's driver; in a container, start it with --gpus all"
    else:
        here += f"; {said[:200]}" if said else ""
        advice = f"update the driver, or install a torch for an older CUDA than {build}: {GET_TORCH}"
    return Check("GPU", here, advice, "note", facts)


def _num_nvidia_cards() -> int:
    """Return how many graphics cards of NVIDIA Linux sees, whether or not there is a driver."""
    devices = [folder for folder in Path("/sys/bus/pci/devices").glob("*") if _text(folder / "vendor") == NVIDIA]
    return sum(_text(folder / "class").startswith(DISPLAY_CLASS) for folder in devices)


def _driver() -> str | None:
    version = re.search(r"\d+\.\d+(\.\d+)?", _text(Path("/proc/driver/nvidia/version")))
    return version[0] if version else None


def _extras() -> Checks:
    """Say which libraries that only some commands need are there, by the extras that this cnncli was installed with."""
    extras: dict[str, list[str]] = {}
    for requirement in metadata.requires("cnncli") or []:
        if match := re.match(r"""([\w.-]+).*extra == ['"]([\w-]+)['"]""", requirement):
            extras.setdefault(match[2], []).append(match[1])
    for extra in sorted(extras.keys() - {"bench", "dev"}):
        versions = {name: _version(name) for name in extras[extra]}
        is_whole = None not in versions.values()
        found = ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
        advice = None if is_whole else f"only some commands need it: pip install 'cnncli[{extra}]'"
        yield Check(extra, found, advice, "ok" if is_whole else "note", {"libraries": versions})


def _cache() -> Checks:
    from cnncli.pipeline.cache import folder

    path = folder()
    sizes = list(islice(_sizes(path), MOST_FILES))
    found = f"{path}, {_size(sum(sizes))} in {counted(len(sizes), 'file')}"
    elsewhere = "set CNN_CACHE to another folder, or data.cache: memory"
    yield _place("cache", path, found, elsewhere, {"bytes": sum(sizes), "files": len(sizes)})


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the bytes of each file in a folder; what may not be looked at is left out."""
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield Path(path, name).lstat().st_size


def _here() -> Checks:
    yield _place("this folder", Path.cwd(), str(Path.cwd()), "put run directories elsewhere: --output FOLDER", {})


def _place(name: str, path: Path, found: str, elsewhere: str, facts: dict[str, Any]) -> Check:
    """Say whether files can be written to a place, and how many; ``elsewhere`` is what to do where they cannot."""
    nearest = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    room, is_writable = shutil.disk_usage(nearest), os.access(nearest, os.W_OK)
    is_fine = is_writable and room.free > LITTLE_ROOM
    found += f", {_size(room.free)} free on its disk" + "; it cannot be written to" * (not is_writable)
    facts |= {"path": str(path), "is_writable": is_writable, "free": room.free, "disk": room.total}
    return Check(name, found, None if is_fine else elsewhere, "ok" if is_fine else "note", facts)


def _terminal() -> Checks:
    encoding = sys.stdout.encoding
    try:
        "×⌊⌋−→".encode(encoding)
        yield Check("text", encoding)
    except UnicodeEncodeError:
        advice = "set PYTHONIOENCODING=utf-8, and have the terminal show UTF-8"
        yield Check("text", f"{encoding}, which lacks signs that tables have", advice, "note")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _text(path: Path) -> str:
    """Return what the system says in one of its files, nothing where it has none."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


QUESTIONS: list[tuple[str, str, Callable[[], Checks]]] = [
    ("versions", "libraries", _versions),
    ("machine", "processor", _processor),
    ("machine", "memory", _memory),
    ("machine", "shared memory", _shared_memory),
    ("machine", "GPU", _gpu),
    ("extras", "libraries", _extras),
    ("places", "cache", _cache),
    ("places", "this folder", _here),
    ("places", "text", _terminal),
]
