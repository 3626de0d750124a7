"""The figures of ``cnn bench``, on a clock that only moves when told to, and on real training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cnncli import benching
from cnncli.benching import Figures, Timed, measure, verdict
from cnncli.config.validation import load_config
from cnncli.experiment import Experiment
from cnncli.pipeline import Batch
from cnncli.runtime import MemoryFormat

LAYOUTS: tuple[MemoryFormat, MemoryFormat] = ("contiguous", "channels_last")


class Clock:
    """Seconds that pass when somebody takes them."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(benching, "time", clock)
    return clock


def figures(loop: float = 90.0, **changes: Any) -> Figures:
    made: dict[str, Any] = {
        "loop": [loop],
        "limits": {"contiguous": [80.0], "channels_last": [100.0]},
        "layout": "channels_last",
        "loader": [1000.0],
        "evaluation": [1.0],
        "inference": [1.0],
        "waiting": 0.0,
        "streams": False,
        "peak_memory": None,
    }
    return Figures(**made | changes)


def test_speeds_are_images_by_seconds_and_waiting_is_a_share_of_the_loops(clock: Clock) -> None:
    """A batch of 10 takes 1 s to come and 3 s to train on; the limit takes 2 s a batch."""

    def coming() -> Iterator[Batch]:
        while True:
            clock.now += 1
            yield Batch(torch.zeros(10), torch.zeros(10), torch.zeros(10), 10)

    batches = Timed(coming())

    def loop(number: int) -> int:
        for _ in range(number):
            next(batches)
            clock.now += 3
        return 10 * number

    def limit(number: int) -> int:
        clock.now += 2 * number
        return 10 * number

    speeds, waiting = benching._race({"loop": loop, "limit": limit}, batches, rounds=3, seconds=8, read_ahead=2)
    assert speeds == {"loop": [2.5] * 3, "limit": [5.0] * 3}
    assert waiting == 0.25


@pytest.mark.parametrize(("seconds_a_batch", "expected"), [(0.1, 20), (5.0, 2), (0.001, 2000)])
def test_a_round_has_as_many_batches_as_its_seconds_hold(clock: Clock, seconds_a_batch: float, expected: int) -> None:
    def work(number: int) -> int:
        clock.now += number * seconds_a_batch
        return number

    assert benching._batches_in(work, seconds=2.0) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (figures(97), "97% of the limit"),
        (figures(90), "90% of the limit: the rest goes to what is done beside each step"),
        (figures(80, waiting=0.15), "80% of the limit: 15% of the time makes batches and augments them"),
        (
            figures(29, waiting=0.71, streams=True, loader=[40.0]),
            "71% of the time waits for decoding: raise data.workers to 5 or set data.cache",
        ),
        (
            figures(29, waiting=0.71, streams=True, loader=[10.0]),  # 20 workers would be needed
            "71% of the time waits for decoding: raise data.workers to 8 or set data.cache",
        ),
        (
            figures(99, layout="contiguous", limits={"contiguous": [100.0], "channels_last": [130.0]}),
            "76% of the limit: the rest goes to what is done beside each step;"
            " 1.3 times as fast with runtime.memory_format: channels_last",
        ),
    ],
)
def test_the_verdict_says_where_the_time_goes(found: Figures, expected: str) -> None:
    assert verdict(found, workers=2, cores=8) == expected


def test_where_all_processors_decode_only_a_cache_helps() -> None:
    found = figures(29, waiting=0.71, streams=True, loader=[40.0])
    assert verdict(found, workers=8, cores=8).endswith("waits for decoding: set data.cache: disk or memory")


def test_ratios_are_of_the_same_round() -> None:
    """Of a machine that becomes half as fast, each round's ratio is 0.9."""
    found = figures(loop=0, limits={"contiguous": [1.0] * 3, "channels_last": [100.0, 50.0, 100.0]})
    found.loop[:] = [90.0, 45.0, 90.0]
    assert found.of_limit == pytest.approx(0.9)


def test_real_training_is_timed_and_nothing_kept(tiny_config: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    experiment = Experiment.prepare(load_config(str(tiny_config), []))
    found = measure(experiment, rounds=2, seconds=0.02, progress=lambda batches, number, label: batches)
    everything = [found.loop, *found.limits.values(), found.loader, found.evaluation, found.inference]
    assert all(len(speeds) == 2 and min(speeds) > 0 for speeds in everything)
    assert set(found.limits) == set(LAYOUTS)
    assert found.layout == experiment.runtime.memory_format
    assert 0 < found.waiting < 1
    assert found.peak_memory is None or found.peak_memory > 10**8  # torch alone takes more
    assert sorted(tmp_path.rglob("*")) == before


def test_the_limit_goes_forward_and_backward_and_leaves_the_state_alone(tiny_config: Path) -> None:
    experiment = Experiment.prepare(load_config(str(tiny_config), []))
    loader = experiment.train_loader()
    state = experiment.build_state(loader)
    weights = {name: value.clone() for name, value in state.model.state_dict().items()}
    batch = next(loader.epoch(0))
    for layout in LAYOUTS:
        assert benching._limit(experiment, state, batch, layout)(3) == 3 * len(batch.labels)
    assert all(torch.equal(value, weights[name]) for name, value in state.model.state_dict().items())
    assert all(parameter.grad is None for parameter in state.model.parameters())
