"""Race cnncli against its peers: ``python -m benchmarks.race``; ``pip install '.[bench]'`` brings them.

Each contender runs in a process of its own, one after the other in each round, on two threads. An epoch is thrown away;
of the next ones images a second are taken: a median over rounds, and of the ratio to ours within each round.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.race.contenders import CONTENDERS
from benchmarks.race.tasks import TASKS


def run(contender: str, task: str) -> float | None:
    """Return the images a second of one contender; ``None`` where it fails, and say why."""
    command = [sys.executable, "-m", "benchmarks.race.contenders", contender, task]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{contender} is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    speed: float = json.loads(done.stdout.splitlines()[-1])["images_per_second"]
    return speed


def race(contenders: list[str], task: str, rounds: int) -> dict[str, list[float]]:
    """Return the images a second of each contender in each round."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(speeds):
            speed = run(name, task)
            if speed is None and name == "cnncli":
                sys.exit("there is no race without cnncli")
            if speed is None:
                del speeds[name]
            else:
                speeds[name].append(speed)
                print(f"{task}, round {number + 1}: {name} {speed:,.0f}", file=sys.stderr)
    return speeds


def table(task: str, speeds: dict[str, list[float]]) -> str:
    """Return a race in Markdown; the last column is how many times as fast ours is."""
    ours = speeds["cnncli"]
    lines = [f"| {task} | images a second | range | ours is |", "| --- | --- | --- | --- |"]
    for name, values in speeds.items():
        times = statistics.median(one / other for one, other in zip(ours, values, strict=True))
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        about = (CONTENDERS[name].__doc__ or "").partition(".")[0]
        lines.append(f"| {about} (`{name}`) | {statistics.median(values):,.0f} | {spread} | {times:.2f} × |")
    return "\n".join(lines)


def main() -> None:
    """Run the race, and print a table for each task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="cnncli is always one"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to keep all figures")
    options = parser.parse_args()
    names = ["cnncli", *(name for name in options.contenders if name != "cnncli")]
    results = {}
    for task in options.tasks:
        results[task] = race(names, task, options.rounds)
        print(f"{table(task, results[task])}\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
