"""Whatever goes wrong, through the real command: the documented exit code, one message, and what was there is whole."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cnncli import checkpoint as checkpoints
from cnncli.run import Run
from tests import killing
from tests.conftest import PictureFolder
from tests.forks import Forks, forking

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")

# Two epochs of 24 steps, the first of which is the best one.
CONFIG = killing.CONFIG.replace("epochs: 5", "epochs: 2, seed: 8").replace("every_steps: 2", "every_steps: 8")
RESUME = ("train", "-c", "run.yaml", "--resume", "auto")

# Python code that is run before a command.
OWN_MOUNTS = "import ctypes; ctypes.CDLL(None).unshare(0x20000)\n"  # CLONE_NEWNS
STEP = "'cnncli.training.state:TrainState', 'step'"
READ = "'cnncli.pipeline.reading:Reader', '__getitem__'"  # in a worker, where there are some
LOAD = "'cnncli.datasets.npz:NpzArchive', 'load'"


def when(call: str, number: int, do: str) -> str:
    """Have a command ``do`` something before a call of that ``number``."""
    return f"when({call}, {number}, lambda: {do})\n"


def sends(name: str) -> str:
    """Have a process send itself a signal, and give it time to hear it."""
    return f"(os.kill(os.getpid(), signal.{name}), time.sleep(0.2))"


@pytest.fixture(scope="module")
def inside() -> list[str]:
    """Return what a command is started inside to mount file systems of its own; nothing where it may not."""
    command = ["unshare", "-rm"]
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return []
    tried = subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, check=False)
    return command if tried.returncode == 0 else []


@pytest.fixture(scope="module")
def forks(inside: list[str]) -> Iterator[Forks]:
    with forking(*inside) as made:
        yield made


@pytest.fixture
def mounting(inside: list[str]) -> None:
    if not inside:
        pytest.skip("may not mount a file system")


class Stage:
    """A folder with a config and a run, and the command in it."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self.forks, self.folder, self.run = forks, folder, Run(folder / "runs" / "run")

    def cnn(self, *words: object, before: str = "") -> tuple[int, str]:
        """Run a command; return its exit code and what it says."""
        code = self.forks.wait(self.forks.start(self.folder, *map(str, words), before=before))
        said = (self.folder / "said").read_text()
        assert "Traceback" not in said
        assert "a bug of its own" not in said
        return code, said

    def failed(self, exit_code: int, *words: object, before: str = "") -> str:
        """Run a command that fails; return its one message."""
        code, said = self.cnn(*words, before=before)
        assert code == exit_code, said
        assert said.count("error: ") == 1
        return said[said.index("error: ") :]

    def refused(self, exit_code: int, *words: object, before: str = "") -> str:
        """Run a command that fails and leaves the runs as they were; return its one message."""
        there = self.files()
        message = self.failed(exit_code, *words, before=before)
        assert self.files() == there
        return message

    def killed(self, before: str, *words: str) -> None:
        """Go on with the run until it is killed."""
        code, said = self.cnn(*RESUME, *words, before=before)
        assert code == -signal.SIGKILL, said

    def finish(self, *words: str, before: str = "") -> str:
        """Take the run to its end; return what it says."""
        code, said = self.cnn(*RESUME, *words, before=before)
        assert code == 0, said
        return said

    def files(self) -> dict[str, bytes]:
        """Return what is in each file of the runs."""
        found = (path for path in self.run.path.parent.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path): path.read_bytes() for path in found}

    @property
    def fingerprint(self) -> str:
        """What the run has come to."""
        assert not list(self.run.path.rglob("*.tmp"))
        return killing.fingerprint(self.folder)

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something."""
        deadline = time.monotonic() + 60
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def in_a_long_step(self) -> int:
        """Go on with the run; return its process number once it takes a step of a minute."""
        steps = self.run.steps.read_text().count("\n")
        process = self.forks.start(self.folder, *RESUME, before=when(STEP, 5, "time.sleep(60)"))
        self.until(lambda: self.run.steps.read_text().count("\n") == steps + 4)
        return process


@pytest.fixture(scope="module")
def ended(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a run that nothing happened to."""
    stage = Stage(forks, tmp_path_factory.mktemp("ended"))
    killing.prepare(stage.folder, CONFIG.replace("data.npz", str(stage.folder / "data.npz")))
    assert "resumed" not in stage.finish()
    return stage


@pytest.fixture(scope="module")
def whole(ended: Stage) -> str:
    return ended.fingerprint


@pytest.fixture(scope="module")
def stopped(ended: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a run that was stopped in its second epoch."""
    stage = Stage(ended.forks, tmp_path_factory.mktemp("stopped"))
    shutil.copy(ended.folder / "run.yaml", stage.folder)
    stage.failed(143, *RESUME, before=when(STEP, 30, sends("SIGTERM")))
    return stage


@pytest.fixture
def fresh(ended: Stage, tmp_path: Path) -> Stage:
    """Return a folder without a run."""
    shutil.copy(ended.folder / "run.yaml", tmp_path)
    return Stage(ended.forks, tmp_path)


@pytest.fixture
def begun(stopped: Stage, tmp_path: Path) -> Stage:
    """Return a copy of a run that was stopped in its second epoch; its data are where they were."""
    shutil.copytree(stopped.folder, tmp_path, dirs_exist_ok=True)
    return Stage(stopped.forks, tmp_path)


@pytest.fixture
def data(ended: Stage) -> Iterator[Path]:
    """Return the data of all runs, which are put back."""
    path = ended.folder / "data.npz"
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


@pytest.fixture
def pictures(forks: Forks, picture_folder: PictureFolder) -> Stage:
    """Return a folder of pictures, of which two workers make six steps an epoch, and no run."""
    folder = picture_folder("train", "val").parent
    (folder / "run.yaml").write_text(
        "data: {name: image_folder, root: pictures, size: 32, cache: off, workers: 2}\n"
        "model: {name: testnet}\n"
        "train: {epochs: 2, batch_size: 4, log_every: 1}\n"
        "checkpoint: {every_steps: 2}\n"
        "runtime: {device: cpu, threads: 1}\n"
    )
    return Stage(forks, folder)


# What is asked for


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{name: adam}",
            "{name: adam, bata1: 0.9}",
            "run.yaml:5: optimizer.bata1: unknown option of adam; did you mean",
        ),
        ("runtime:", "model: {name: lenet5}\nruntime:", "run.yaml:8: model is given twice, first at run.yaml:2"),
        ("{name: adam}", "{name: adam", "run.yaml:6: not valid YAML"),
        ("{name: adam}", "{name: adam, lr: -0.1}", "run.yaml:5: optimizer.lr: must be above 0, got -0.1"),
        ("{name: adam}", "{name: adam, lr: .nan}", "run.yaml:5: optimizer.lr: must be a finite number, got nan"),
        ("train: {", "train: {name: ../run, ", "run.yaml:4: train.name: "),
    ],
    ids=["unknown key", "doubled key", "no YAML", "negative lr", "NaN lr", "name of elsewhere"],
)
def test_a_config_that_is_wrong(old: str, new: str, message: str, begun: Stage) -> None:
    config = begun.folder / "run.yaml"
    config.write_text(config.read_text().replace(old, new))
    assert message in begun.refused(2, *RESUME)


@pytest.mark.parametrize("name", ["../run", "a/b", "..", "/run", ""])
def test_a_name_that_leads_out_of_the_folder_of_runs(name: str, begun: Stage) -> None:
    assert "--name: train.name: " in begun.refused(2, "train", "-c", "run.yaml", "--name", name)


# Data


def change(path: Path, **arrays: Any) -> None:
    """Change some arrays of an archive."""
    with np.load(path) as archive:
        np.savez(path, **{**archive, **arrays})


def test_labels_out_of_range(begun: Stage, data: Path) -> None:
    change(data, classes=np.array(["a", "b", "c"]))
    message = begun.refused(3, "train", "-c", "run.yaml")
    assert "data.npz: train_labels: 0 to 3, but classes are 0 to 2" in message


def test_data_that_are_gone(begun: Stage, data: Path) -> None:
    data.unlink()
    assert f"{data}: No such file" in begun.refused(3, *RESUME, "--allow-changes")


def test_a_class_that_is_only_validated(pictures: Stage) -> None:
    (pictures.folder / "pictures" / "val" / "top").rename(pictures.folder / "pictures" / "val" / "bottom")
    assert "no picture to train on of class bottom; add some" in pictures.refused(3, *RESUME)


@pytest.mark.parametrize("classes", ["['3', '2', '1', '0']", "['0', '1']"], ids=["order", "number"])
def test_other_classes_than_before(classes: str, begun: Stage) -> None:
    message = begun.refused(4, *RESUME, "--set", f"data.classes={classes}", "--allow-changes")
    assert "was trained on classes 0, 1, 2, 3, but there are now " in message
    assert "bring them back, or start a new run" in message


def noted(stage: Stage) -> dict[str, list[Any]]:
    """Return the changes that the run directory tells of."""
    (resumed,) = stage.run.read_environment()["resumed"]
    changes: dict[str, list[Any]] = resumed["changes"]
    return changes


def test_another_optimizer_than_before(begun: Stage) -> None:
    other = ("--set", "optimizer={name: sgd, lr: 0.01}")
    message = begun.refused(4, *RESUME, *other)
    assert "  optimizer.name: was adam, would be sgd\n" in message
    assert "accept them with --allow-changes" in message
    begun.finish(*other, "--allow-changes")
    assert noted(begun)["optimizer.name"] == ["adam", "sgd"]
    assert yaml.safe_load(begun.run.config.read_text())["optimizer"]["name"] == "sgd"


OTHER_IMAGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "fewer": (lambda images: images[:-80], "the train split: was 384 images, would be 320 images\n"),
    "more": (lambda images: np.concatenate([images, images[:20]]), "the train split: was 384 images, would be 400 ima"),
    "others": (lambda images: 255 - images, "the train split: was 384 images, would be 384 images that are others\n"),
}


@pytest.mark.parametrize("which", OTHER_IMAGES)
def test_other_images_than_before(which: str, begun: Stage, data: Path) -> None:
    make, message = OTHER_IMAGES[which]
    labels = np.arange(480) % 4
    with np.load(data) as archive:
        images = archive["train_images"]
    change(data, train_images=make(images), train_labels=labels if which == "others" else make(labels))
    assert message in begun.refused(4, *RESUME)
    begun.finish("--allow-changes")
    assert set(noted(begun)) == {"the train split", "the val split"}


def test_other_pictures_than_before(pictures: Stage) -> None:
    left = pictures.folder / "pictures" / "train" / "left"
    pictures.failed(143, *RESUME, before=when(STEP, 9, sends("SIGTERM")))
    (left / "0.jpg").rename(left / "8.jpg")
    assert "train split: was 24 images, would be 24 images that are others" in pictures.refused(4, *RESUME)
    (left / "8.jpg").unlink()
    assert "train split: was 24 images, would be 23 images" in pictures.refused(4, *RESUME)
    pictures.finish("--allow-changes")
    assert noted(pictures) == {"the train split": ["24 images", "23 images"]}


# Checkpoints


def damage(path: Path) -> None:
    """Flip a bit of a file, of which others are links."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(begun: Stage, whole: str) -> None:
    damage(begun.run.last)
    assert "last.pt: damaged" in begun.refused(4, "eval", begun.run.last)  # which was asked for by name
    warning = begun.finish().splitlines()[0]
    assert warning.startswith("warning: runs/run/checkpoints/last.pt: damaged")
    assert warning.endswith("taking the generation before, runs/run/checkpoints/last.prev.pt")
    assert begun.fingerprint == whole


def test_all_generations_are_damaged(begun: Stage) -> None:
    for path in (begun.run.last, checkpoints.previous(begun.run.last)):
        damage(path)
    for command in (RESUME, ("train", "--resume", "runs/run")):
        message = begun.refused(4, *command)
        assert re.search(r"last\.pt: damaged(.*\n)*.*last\.prev\.pt: damaged", message)
        assert "no generation of this run can be read; begin a new one" in message


def test_the_best_checkpoint_is_damaged_at_the_end(begun: Stage) -> None:
    damage(begun.run.best)
    message = begun.failed(4, *RESUME)
    assert "best.pt: damaged" in message
    command = re.search("training is done: score its last epoch with: cnn (.*)", message)
    assert command is not None
    assert begun.cnn(*command[1].split())[0] == 0


def test_a_checkpoint_of_a_newer_version(begun: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not damaged, so the one before, which could be read, must not take its place."""
    checkpoint = checkpoints.load(begun.run.last)
    with monkeypatch.context() as newer:
        newer.setattr(checkpoints, "FORMAT", checkpoints.FORMAT + 1)
        checkpoints.save(checkpoint, begun.run.last)
    said = f"last.pt: format {checkpoints.FORMAT + 1}, but this cnncli reads {checkpoints.FORMAT}; use the version"
    for command in (("eval", "runs/run/checkpoints/last.pt"), RESUME, ("train", "--resume", "runs/run")):
        assert said in begun.refused(4, *command)


def test_going_on_where_nothing_was_begun(fresh: Stage) -> None:
    assert "runs/run is no run directory" in fresh.refused(4, "train", "--resume", "runs/run")


def test_killed_before_the_first_checkpoint(fresh: Stage, whole: str) -> None:
    fresh.killed(when("'cnncli.session:Session', '_save'", 1, sends("SIGKILL")))
    message = fresh.refused(4, "train", "--resume", "runs/run")
    assert "runs/run has no checkpoint; begin it again with: cnn train --config runs/run/config.yaml" in message
    fresh.finish()
    assert fresh.fingerprint == whole


def test_a_finished_run_is_tested_again(ended: Stage, whole: str) -> None:
    first, second = (
        [line for line in said.splitlines() if line.startswith(("best ", "test "))]
        for said in ((ended.folder / "said").read_text(), ended.finish())
    )
    assert len(first) == 2
    assert second == first
    assert ended.fingerprint == whole


SAVING = {
    "while it is written": when("'cnncli.checkpoint:_Sealed', 'write'", 500, sends("SIGKILL")),
    "before it is looked at": when("'cnncli.checkpoint', '_make_way'", 4, sends("SIGKILL")),
    "before the last one is kept": when("'cnncli.files', 'link'", 3, sends("SIGKILL")),
    "before its name is durable": when("'cnncli.files', '_sync'", 6, sends("SIGKILL")),
}


@pytest.mark.parametrize("where", SAVING)
def test_killed_inside_a_save(where: str, fresh: Stage, whole: str) -> None:
    fresh.killed(SAVING[where])
    assert fresh.run.last.with_name(".last.pt.tmp").exists() == (where != "before its name is durable")
    checkpoints.load(fresh.run.last)
    fresh.finish()
    assert fresh.fingerprint == whole


# The machine


@pytest.mark.parametrize("output", ["/proc", "run.yaml"])
def test_an_output_that_takes_no_folder(output: str, begun: Stage) -> None:
    message = begun.refused(5, "train", "-c", "run.yaml", "--output", output)
    assert f"cannot write run directories to {output}: " in message
    assert "choose another with --output" in message


@pytest.mark.usefixtures("mounting")
def test_an_output_that_may_only_be_read(begun: Stage) -> None:
    script = "mount --bind runs runs && mount -o remount,bind,ro runs"
    before = f"{OWN_MOUNTS}subprocess.run({script!r}, shell=True, check=True)"
    message = begun.refused(5, "train", "-c", "run.yaml", before=before)
    assert "cannot write run directories to runs: Read-only file system; choose another" in message
    assert "runs/run/.lock: Read-only file system" in begun.refused(5, *RESUME, before=before)


SMALL = "subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%dk', 'none', 'runs'], check=True)\n"
FILL = "subprocess.run('head -c 2M /dev/zero > runs/ballast', shell=True, stderr=subprocess.DEVNULL)"


@pytest.fixture
def seen(fresh: Stage, mounting: None) -> Stage:
    """Return how the folder looks to those who can mount something in it."""
    (fresh.folder / "runs").mkdir()
    return Stage(fresh.forks, Path(f"/proc/{fresh.forks.server.pid}/root", fresh.folder.relative_to("/")))


def test_a_file_system_that_becomes_full(fresh: Stage, seen: Stage, whole: str) -> None:
    message = fresh.failed(5, *RESUME, before=SMALL % 1000 + when(STEP, 30, FILL))
    assert re.search(r"last\.pt: cannot write \d.* MB: .*, \d.* MB are missing; what was saved before is", message)
    assert checkpoints.load(seen.run.last).state["progress"]["steps"] == 24
    assert "runs/run/steps.jsonl: No space left on device" in fresh.failed(5, *RESUME)  # it cannot be cut
    fresh.finish(before="os.remove('runs/ballast')")
    assert seen.fingerprint == whole


def test_a_file_system_without_room_for_the_first_checkpoint(fresh: Stage, seen: Stage) -> None:
    assert re.match("error: runs/run/.*: No space left on device", fresh.failed(5, *RESUME, before=SMALL % 16))
    assert not list((seen.folder / "runs").iterdir())


def test_a_second_run_in_the_same_directory(begun: Stage, whole: str) -> None:
    process = begun.in_a_long_step()
    for command in (RESUME, ("train", "--resume", "runs/run")):
        message = begun.refused(8, *command)
        assert f"runs/run is in use by process {process} on {os.uname().nodename}; wait for its end, or " in message
    begun.forks.kill(process)
    begun.finish()
    assert begun.fingerprint == whole


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers may live on for a while")
def test_a_lock_does_not_outlive_a_process_that_had_workers(pictures: Stage) -> None:
    pictures.killed(when(STEP, 9, sends("SIGKILL")))
    assert "resumed after 1 epoch" in pictures.finish()


def test_a_worker_that_is_killed(pictures: Stage) -> None:
    """Torch raises that in the loop, wherever that is; here inside a step."""
    slow = when(STEP, 3, "time.sleep(60)")
    dies = when(READ, 3, "(time.sleep(1), os.kill(os.getpid(), signal.SIGKILL))")
    message = pictures.failed(5, *RESUME, before=slow + dies)
    assert re.search(
        r"a process that reads images died: .* signal: Killed; try fewer with --set data\.workers=1", message
    )
    pictures.finish()


@pytest.mark.usefixtures("mounting")
@pytest.mark.parametrize(
    ("kilobytes", "message"),
    [
        (4, "cannot start processes that read images: No space left on device in shared memory (/dev/shm); try fewer"),
        (60, "a process that reads images died: its shared memory (/dev/shm) is full; try fewer with --set data.work"),
    ],
    ids=["locks", "images"],
)
def test_shared_memory_that_is_full(kilobytes: int, message: str, pictures: Stage) -> None:
    """Of which the locks of two workers take 40 kB, and each batch 48."""
    mount = f"['mount', '-t', 'tmpfs', '-o', 'size={kilobytes}k', 'none', '/dev/shm']"
    assert message in pictures.failed(5, *RESUME, before=f"{OWN_MOUNTS}subprocess.run({mount}, check=True)")
    pictures.finish("--set", "data.workers=0")


def test_a_device_without_memory(begun: Stage, whole: str) -> None:
    """As CUDA says it."""
    fail = "def fail(): import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')\n"
    message = begun.failed(7, *RESUME, before=fail + when("'tests.networks:TestNet', 'forward'", 5, "fail()"))
    assert "no memory left for a batch of 16 images (CUDA out of memory" in message
    assert "try --batch-size 8" in message
    begun.finish()
    assert begun.fingerprint == whole


def test_a_clock_that_jumps(fresh: Stage, whole: str) -> None:
    """By a year, back and forth: it decides nothing."""
    jumping = "import random; now = time.time; time.time = lambda: now() + random.choice((-1, 1)) * 365 * 86400\n"
    often = ("--set", "checkpoint.every_steps=null", "--set", "checkpoint.every_minutes=1e-9")
    fresh.killed(jumping + when(STEP, 31, sends("SIGKILL")), *often)
    assert checkpoints.load(fresh.run.last).state["progress"]["steps"] == 30
    fresh.finish(*often, before=jumping)
    assert fresh.fingerprint == whole
    assert all(0 < row["seconds"] < 300 and row["images_per_second"] > 0 for row in fresh.run.read_history())


# Signals


@pytest.mark.parametrize(("name", "exit_code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143)])
def test_stopped_in_the_middle_of_an_epoch(name: str, exit_code: int, fresh: Stage, whole: str) -> None:
    message = fresh.failed(exit_code, *RESUME, before=when(STEP, 30, sends(name)))
    assert "stopped after 1 epoch and " in message
    command = re.search("runs/run/checkpoints/last.pt holds the run. Go on with: cnn (.*)", message)
    assert command is not None
    assert fresh.cnn(*command[1].split())[0] == 0
    assert fresh.fingerprint == whole


def test_a_second_ctrl_c_leaves_a_long_step(begun: Stage, whole: str) -> None:
    process = begun.in_a_long_step()
    there, said = begun.files(), begun.folder / "said"
    os.kill(process, signal.SIGINT)
    begun.until(lambda: "stopping after this step; Ctrl-C leaves at once" in said.read_text())
    pressed = time.monotonic()
    os.kill(process, signal.SIGINT)
    assert begun.forks.wait(process) == 130
    assert time.monotonic() - pressed < 20  # of a step of a minute
    assert said.read_text().endswith("interrupted again: left at once; what was saved before is whole\n")
    assert begun.files() == there
    begun.finish()
    assert begun.fingerprint == whole


def test_a_signal_to_save_saves_and_one_that_is_ignored_does_nothing(fresh: Stage, whole: str) -> None:
    nohup = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + when(STEP, 28, sends("SIGHUP"))
    save = when(STEP, 30, sends("SIGUSR1"))
    fresh.killed(nohup + save + when(STEP, 40, sends("SIGKILL")), "--set", "checkpoint.every_steps=null")
    assert "saved after 1 epoch and " in (fresh.folder / "said").read_text()
    assert checkpoints.load(fresh.run.last).state["progress"]["steps"] > 24
    fresh.finish()
    assert fresh.fingerprint == whole


@pytest.mark.parametrize(
    ("name", "exit_code", "message"),
    [("SIGINT", 130, "interrupted before the first step"), ("SIGTERM", 143, "terminated before the first step")],
)
def test_stopped_while_images_are_loaded(name: str, exit_code: int, message: str, begun: Stage) -> None:
    before = when(LOAD, 1, sends(name))
    said = begun.refused(exit_code, *RESUME, before=before)
    assert said == f"error: {message}; nothing was changed\n"
    shutil.rmtree(begun.run.path)
    assert begun.failed(exit_code, *RESUME, before=before) == said
    assert not list((begun.folder / "runs").iterdir())


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_while_a_cache_is_decoded(workers: int, pictures: Stage) -> None:
    """A terminal sends it to all processes; of two workers one may be about to begin."""
    before = "os.environ['CNN_CACHE'] = 'cache'\n" + when(READ, 1, "os.killpg(0, signal.SIGINT)")
    words = ("--set", f"data.workers={workers}", "--set", "data.cache=disk")
    message = pictures.failed(130, *RESUME, *words, before=before)
    assert message == "error: interrupted before the first step; nothing was changed\n"
    assert not list((pictures.folder / "runs").iterdir())
    assert not list((pictures.folder / "cache").iterdir())


# Streams

STREAMS = {
    "stdout has no reader": "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\nleave = sys.exit",
    "stdout is closed": "os.close(1); sys.stdout = None",
    "stderr has no reader": "read, write = os.pipe(); os.close(read); sys.stderr = open(write, 'w', 1)",
    "stderr is closed": "os.close(2); sys.stderr = None",
    "stderr is full": "sys.stderr = open('/dev/full', 'w', 1)",
}


@pytest.mark.parametrize("how", STREAMS)
def test_nobody_reads(how: str, fresh: Stage, whole: str) -> None:
    if "/dev/full" in STREAMS[how] and not Path("/dev/full").exists():
        pytest.skip("has no device that is full")
    fresh.finish(before=STREAMS[how])
    assert fresh.fingerprint == whole
    if how.startswith("stderr"):  # an error is not said elsewhere, and stays what it is
        assert fresh.cnn("eval", "missing.pt", before=STREAMS[how]) == (4, "")


def test_nobody_reads_on(tiny_config: Path, tmp_path: Path) -> None:
    """As in ``cnn train 2>&1 | head -n 1``."""
    command = [sys.executable, "-m", "cnncli", "train", "-c", str(tiny_config)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"lenet5, ")
        process.stdout.close()
        assert process.wait(timeout=120) == 0
    assert checkpoints.load(tmp_path / "runs" / "tiny" / "checkpoints" / "last.pt").state["progress"]["epoch"] == 2
