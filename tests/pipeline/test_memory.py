"""Memory: flat over epochs, and little for a list of a million files. Read from /proc, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PictureFolder

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")

LISTED = """
import multiprocessing, sys
from cnncli.datasets.image_folder import ImageFolder
from cnncli.pipeline import streaming
from cnncli.pipeline.decode import Picture
from cnncli.pipeline.loader import Recipe
from cnncli.pipeline.preprocess import Preprocess
from cnncli.runtime import choose_runtime

root, number = sys.argv[1], int(sys.argv[2])
some_picture = (root + "/train/left/0.jpg").encode()

def pictures(self, folder, around):
    return (b"%s/n%08d_%05d.JPEG" % (folder.encode(), index, index) for index in range(number // 3))

def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rolled_up:
        return next(int(line.split()[1]) for line in rolled_up if line.startswith("Pss:"))

ImageFolder._pictures = pictures
read = Picture.read
Picture.read = classmethod(lambda cls, path: read(some_picture))
listed = ImageFolder(root).load("train")
recipe = Recipe(Preprocess(32, 3, (0.5,) * 3, (0.5,) * 3), 64)
loader = streaming.StreamingLoader(listed, recipe, choose_runtime("cpu"), 2)
batches = loader.epoch(0)
for _ in range(20):
    next(batches)
workers = [process.pid for process in multiprocessing.active_children()]
assert len(workers) == 2
print(len(listed), sum(map(pss, ["self", *workers])) // 1024)
"""


def listed(folder: Path, root: Path, number: int) -> tuple[int, int]:
    """Return how many files were listed, and the megabytes of all processes, what they share divided among them."""
    script = folder / "listed.py"
    script.write_text(LISTED)
    command = [sys.executable, script, root, str(number)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    files, size = map(int, done.stdout.split())
    return files, size


def test_a_list_of_1_280_000_files_takes_150_mb_at_most(tmp_path: Path, picture_folder: PictureFolder) -> None:
    """As many as ImageNet has, with names as long, loaded by two workers; against a list of 3,000."""
    root = picture_folder("train", per_class=1)
    few, many = listed(tmp_path, root, 3_000), listed(tmp_path, root, 1_280_000)
    assert (few[0], many[0]) == (3_000, 1_279_998)
    assert many[1] - few[1] <= 150, (few, many)


TRAINED = """
import sys
from cnncli import session
from cnncli.config.validation import load_config
from cnncli.display import Display
from cnncli.experiment import Experiment
from cnncli.run import Run
from pathlib import Path

class Watching(Display):
    sizes = []
    def epoch(self, row, num_epochs):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.sizes.append(pages)

augment = "augment={resized_crop: [0.3, 1.0], mixup: 0.2, transforms: [{name: RandAugment}]}"
sets = ["train.epochs=7", f"data.cache={sys.argv[2]}", "data.workers=1", augment]
watching = Watching()
session.Session(Experiment.prepare(load_config(sys.argv[1], sets)), Run.create(Path("runs"), "run"), watching).train()
print(*watching.sizes)
"""


@pytest.mark.parametrize("cache", ["off", "memory"])
def test_memory_is_flat(cache: str, folder_config: Path, tmp_path: Path) -> None:
    """After the sixth epoch within 2 % of that after the second."""
    (tmp_path / "trained.py").write_text(TRAINED)
    command = [sys.executable, "trained.py", folder_config, cache]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    sizes = list(map(int, done.stdout.split()))
    assert len(sizes) == 7
    assert sizes[5] == pytest.approx(sizes[1], rel=0.02)
