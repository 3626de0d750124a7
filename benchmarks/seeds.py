"""Train a config with several seeds and print what it reaches: ``python benchmarks/seeds.py lenet5 --seeds 5``."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile


def main() -> None:
    """Run ``cnn train`` once a seed, one after the other; print each result, then mean and range."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--seeds", type=int, default=5)
    options, further = parser.parse_known_args()  # what is not known here goes to cnn train
    accuracies, seconds = [], []
    with tempfile.TemporaryDirectory() as output:
        for seed in range(options.seeds):
            command = [sys.executable, "-m", "cnncli", "train", "-c", options.config, "--seed", str(seed), *further]
            done = subprocess.run([*command, "--output", output, "--json"], stdout=subprocess.PIPE, check=True)
            result = json.loads(done.stdout)
            accuracies.append(100 * result["test"]["accuracy"])
            seconds.append(result["seconds"])
            print(f"seed {seed}: {accuracies[-1]:.2f} % in {seconds[-1]:.0f} s", flush=True)
    print(
        f"{options.config}, n = {options.seeds}: test accuracy mean {statistics.mean(accuracies):.2f} %,"
        f" {min(accuracies):.2f} to {max(accuracies):.2f} %; median time {statistics.median(seconds):.0f} s"
    )


if __name__ == "__main__":
    main()
