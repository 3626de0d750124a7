"""Race of prediction against evaluation on a folder of JPEGs: ``python -m benchmarks.predicting``.

Both list the folder, decode its pictures anew (``data.cache: off``) and run Tiny VGG over them, one after the other in
each round; starting Python, reading the checkpoint and printing are left out.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks.loading import make_pictures
from cnncli.checkpoint import Checkpoint, Network
from cnncli.config.validation import load_config
from cnncli.experiment import Experiment
from cnncli.pipeline.preprocess import Preprocess
from cnncli.predicting import find, predict
from cnncli.runtime import choose_runtime
from cnncli.scoring import experiment_of, score
from cnncli.training.loop import Watch


def untrained(folder: Path) -> Checkpoint:
    """Return a checkpoint of Tiny VGG before its first step."""
    sets = [f"data.root={folder}", "data.cache=off", "runtime.device=cpu"]
    experiment = Experiment.prepare(load_config("tinyvgg_folder", sets))
    return experiment.checkpoint(experiment.build_state(experiment.train_loader()), [])


def evaluation(checkpoint: Checkpoint, folder: Path, batch_size: int, workers: int) -> None:
    """Score all pictures, as ``cnn eval --data`` does."""
    experiment = experiment_of(checkpoint, folder)
    experiment.config.data.workers, experiment.config.train.eval_batch_size = workers, batch_size
    loader = experiment.eval_loader("test")
    assert loader is not None
    score(experiment, checkpoint, loader, Watch())


def prediction(checkpoint: Checkpoint, folder: Path, batch_size: int, workers: int) -> None:
    """Predict all pictures, as ``cnn predict`` does."""
    runtime = choose_runtime("cpu")
    network = Network(checkpoint.build(), checkpoint.classes, Preprocess.from_dict(checkpoint.preprocess))
    with runtime.guard(batch_size):
        for _ in predict(network, find([str(folder)]), runtime, batch_size, workers):
            pass


def main() -> None:
    """Make the pictures, and print images a second and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    contenders: dict[str, tuple[Callable[..., None], int]] = {
        "eval, batches of 500": (evaluation, 500),  # the default
        "eval, batches of 128": (evaluation, 128),
        "predict, batches of 128": (prediction, 128),  # the default
        "predict, batches of 500": (prediction, 500),
    }
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), options.pictures)
        large, small = Path(folder, "train"), Path(folder, "small")
        for path in large.rglob("*.jpg"):
            copy = small / path.relative_to(large)
            copy.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).resize((64, 64)).save(copy)
        for root, size in ((large, "500×400"), (small, "64×64")):
            checkpoint = untrained(root)
            speeds: dict[str, list[float]] = {name: [] for name in contenders}
            for _ in range(options.rounds):
                for name, (run, batch_size) in contenders.items():
                    started = time.perf_counter()
                    run(checkpoint, root, batch_size, options.workers)
                    speeds[name].append(options.pictures / (time.perf_counter() - started))
            medians = {name: statistics.median(values) for name, values in speeds.items()}
            print(f"{options.pictures:,} JPEGs of {size}, medians of {options.rounds} rounds, images/s")
            for name, median in medians.items():
                print(f"  {name:24} {median:8,.0f}   {min(speeds[name]):,.0f} to {max(speeds[name]):,.0f}")
            best = [max(v for name, v in medians.items() if name.startswith(who)) for who in ("predict", "eval")]
            print(f"  best against best        {best[0] / best[1]:8.2f}", flush=True)


if __name__ == "__main__":
    main()
