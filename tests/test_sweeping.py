"""Sweeps: what is tried, what is kept of it, and how one goes on."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial
from PIL import Image

from cnncli import checkpoint as checkpoints
from cnncli import launch, sweeping
from cnncli.config.space import parse_space
from cnncli.config.validation import load_config
from cnncli.errors import ConfigError, Interrupted, MachineError, OutOfMemoryError
from cnncli.experiment import Experiment
from cnncli.pages.sweep import draw_sweep
from cnncli.run import Run
from cnncli.session import Session
from tests.test_session import Silent

LR = "optimizer.lr=log:1e-3..1e-1"
SHORT = ("train.epochs=1",)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures, which take longer than the trials."""
    monkeypatch.setattr(sweeping, "draw_sweep", lambda rows, space, name, path: path.touch())
    monkeypatch.setattr("cnncli.session.draw_curves", lambda *arguments: None)


def swept(
    config: Path, folder: Path, *params: str, trials: int = 2, sets: tuple[str, ...] = SHORT, display: Any = None
) -> dict[str, Any]:
    sets = (*sets, f"train.output={folder}")
    return sweeping.sweep(str(config), list(sets), parse_space(params or (LR,)), trials, display or Silent())


def outcomes(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "run_dir"} for row in result["trials"]]


def test_each_trial_is_a_run_of_its_own_that_never_sees_the_test_images(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded = Experiment._images, set()
    monkeypatch.setattr(Experiment, "_images", lambda self, name: (loaded.add(name), load(self, name))[1])
    params = (LR, "train.batch_size=8,16", "augment.shift=0..4", "augment.rotate=0..0.5")
    result = swept(tiny_config, tmp_path / "out", *params, trials=3)
    assert loaded == {"train", "val"}
    assert [row["trial"] for row in result["trials"]] == [0, 1, 2]
    for row in result["trials"]:
        run, values = Run(Path(row["run_dir"])), row["params"]
        assert run.path == tmp_path / "out" / "tiny-sweep" / f"trial-{row['trial']}"
        config = load_config(run.config)
        assert config.optimizer.options["lr"] == values["optimizer.lr"]
        assert (config.train.batch_size, config.augment.shift) == (
            int(values["train.batch_size"]),
            values["augment.shift"],
        )
        assert config.augment.rotate == values["augment.rotate"]
        assert 1e-3 <= values["optimizer.lr"] <= 1e-1
        (epoch,) = run.read_history()
        assert (row["val_accuracy"], row["epochs"], row["state"]) == (epoch["val"]["accuracy"], 1, "complete")
    assert len({row["params"]["optimizer.lr"] for row in result["trials"]}) == 3
    assert result["best"] == max(result["trials"], key=lambda row: row["val_accuracy"])


def test_a_sweep_that_was_stopped_goes_on_as_if_it_had_not_been(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a trial, and in the middle of the next one."""
    two_epochs = ("train.epochs=2",)
    at_once = swept(tiny_config, tmp_path / "a", trials=3, sets=two_epochs)
    swept(tiny_config, tmp_path / "b", trials=1, sets=two_epochs)
    pause = Session._pause

    def stopping(session: Session, state: Any) -> None:
        if state.steps == 4:  # in the second epoch of three steps
            session.signals.stop = signal.SIGINT
        pause(session, state)

    with monkeypatch.context() as patched:
        patched.setattr(Session, "_pause", stopping)
        with pytest.raises(Interrupted):
            swept(tiny_config, tmp_path / "b", trials=3, sets=two_epochs)
    display = Silent()
    again = swept(tiny_config, tmp_path / "b", trials=3, sets=two_epochs, display=display)
    assert any(note.startswith("resumed after 1 epoch and 16 images") for note in display.notes)
    assert outcomes(again) == outcomes(at_once)
    assert outcomes(swept(tiny_config, tmp_path / "b", trials=2, sets=two_epochs)) == outcomes(at_once)  # all done


def test_a_stopped_trial_of_a_network_that_is_fine_tuned_goes_on(
    tiny_config: Path, tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its first weights say of mean and deviation is settled when it begins, and not asked for again."""
    other = checkpoints.load(tiny_run.best)
    preprocess = {**other.preprocess, "mean": [0.4], "std": [0.2]}
    checkpoints.save(checkpoints.Checkpoint(**{**vars(other), "preprocess": preprocess}), tmp_path / "other.pt")
    sets, pause = (*SHORT, f"model.init_from={tmp_path / 'other.pt'}"), Session._pause

    def stopping(session: Session, state: Any) -> None:
        session.signals.stop = signal.SIGINT if state.steps == 2 else 0
        pause(session, state)

    with monkeypatch.context() as patched:
        patched.setattr(Session, "_pause", stopping)
        with pytest.raises(Interrupted):
            swept(tiny_config, tmp_path / "out", trials=1, sets=sets)
    (trial,) = swept(tiny_config, tmp_path / "out", trials=1, sets=sets)["trials"]
    assert trial["state"] == "complete"
    assert load_config(Run(Path(trial["run_dir"])).config).data.mean == [0.4]


def test_a_config_that_is_edited_meanwhile_trains_no_further_trial(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = launch.train

    def editing(*arguments: Any, **options: Any) -> dict[str, Any]:
        tiny_config.write_text(tiny_config.read_text().replace("tanh", "relu"))
        return train(*arguments, **options)

    monkeypatch.setattr(launch, "train", editing)
    with pytest.raises(ConfigError, match=r"of another config: model\.activation was tanh"):
        swept(tiny_config, tmp_path / "out", trials=2)


def test_a_trial_worse_than_the_median_is_stopped_and_its_run_is_whole(tiny_config: Path, tmp_path: Path) -> None:
    sets, folder = ("train.epochs=2", "train.batch_size=16"), tmp_path / "out" / "tiny-sweep"
    params = ("optimizer.lr=0.0001,0.0002",)
    values = CategoricalDistribution(("0.0001", "0.0002"))
    with sweeping._opened(folder) as study:
        for _ in range(5):  # before which nothing is pruned
            scores = {1: 1.0, 2: 1.0}
            given = {"params": {"optimizer.lr": "0.0001"}, "distributions": {"optimizer.lr": values}}
            study.add_trial(create_trial(value=1.0, intermediate_values=scores, **given))
    result = swept(tiny_config, tmp_path / "out", *params, trials=6, sets=sets)
    assert [row["state"] for row in result["trials"]] == [*["complete"] * 5, "pruned"]
    assert result["trials"][5]["epochs"] == 1
    run = Run(folder / "trial-5")
    assert checkpoints.load(run.last).history == run.read_history()
    finished = launch.train(load_config(run.config), run, Silent())
    assert (finished["epochs"], len(run.read_history())) == (2, 2)


def test_a_trial_that_diverges_or_needs_too_much_is_noted_and_the_sweep_goes_on(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = launch.train

    def short_of_memory(config: Any, run: Run, *arguments: Any, **options: Any) -> Any:
        if run.path.name == "trial-0":
            raise OutOfMemoryError("cpu has no memory left")
        return train(config, run, *arguments, **options)

    monkeypatch.setattr(launch, "train", short_of_memory)
    params, sets = ("optimizer.lr=500..1000",), ("train.epochs=3", "model.activation=relu", "optimizer.momentum=0.99")
    result = swept(tiny_config, tmp_path / "out", *params, sets=sets, trials=3)
    assert [row["state"] for row in result["trials"]] == ["out of memory", "diverged", "diverged"]
    assert "not finite at step" in result["trials"][1]["problem"]
    assert result["best"] is None


def test_a_combination_that_no_config_may_have_is_refused_alone(tiny_config: Path, tmp_path: Path) -> None:
    params = ("optimizer.nesterov=true,false", "optimizer.momentum=0.0,0.9")
    result = swept(tiny_config, tmp_path / "out", *params, trials=5)
    refused = {row["state"] for row in result["trials"] if list(row["params"].values()) == ["true", "0.0"]}
    allowed = {row["state"] for row in result["trials"] if list(row["params"].values()) != ["true", "0.0"]}
    assert (refused, allowed) == ({"refused"}, {"complete"})


def test_a_config_error_in_all_trials_ends_the_sweep(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*arguments: Any, **options: Any) -> Any:
        raise ConfigError("never")

    monkeypatch.setattr(launch, "train", refusing)
    with pytest.raises(ConfigError, match="none of the 2 trials could be trained; the last one: never"):
        swept(tiny_config, tmp_path / "out")


def test_a_trial_of_another_process_is_left_to_it(tiny_config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "tiny-sweep"
    with sweeping._opened(folder) as study:
        study.ask()
    with Run.at(folder / "trial-0").locked():
        result = swept(tiny_config, tmp_path / "out")
    assert [row["state"] for row in result["trials"]] == ["running", "complete"]
    result = swept(tiny_config, tmp_path / "out")  # it has died
    assert [row["state"] for row in result["trials"]] == ["complete", "complete"]


@pytest.mark.parametrize(
    ("params", "sets", "message"),
    [
        (("optimizer.lrr=0..1",), (), "--param optimizer.lrr=0..1: .* unknown option of sgd; did you mean lr?"),
        (("optimizer.lr=0.0..0.1",), (), r"--param optimizer.lr=0.0..0.1: .* must be above 0, got 0"),
        (("augment.shift=0..12",), (), "augment.shift: must be below the 12 pixels of a side"),
        (("model.name=lenet5,lenet6",), (), "unknown model 'lenet6'; did you mean lenet5?"),
        ((LR,), ("data.validation=0", "train.report=last"), "data.validation: a sweep picks by validation"),
        ((LR,), ("train.validate_on=test", "train.report=last"), "a sweep would pick by the test images"),
        (("data.validation=0.0,0.2",), ("train.report=last",), "data.validation: a sweep picks by validation"),
    ],
)
def test_what_cannot_be_searched_is_said_before_the_first_trial(
    params: tuple[str, ...], sets: tuple[str, ...], message: str, tiny_config: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        swept(tiny_config, tmp_path / "out", *params, sets=sets)
    assert not (tmp_path / "out").exists()


def test_another_sweep_is_not_mixed_with_the_one_that_is_there(tiny_config: Path, tmp_path: Path) -> None:
    swept(tiny_config, tmp_path / "out", trials=1)
    with pytest.raises(ConfigError, match=r"holds a sweep with --param optimizer.lr=log:0.001..0.1; go on as it began"):
        swept(tiny_config, tmp_path / "out", "optimizer.lr=log:1e-3..1")
    with pytest.raises(ConfigError, match=r"of another config: train.epochs was 1; go on as it began"):
        swept(tiny_config, tmp_path / "out", sets=("train.epochs=2",))
    assert len(swept(tiny_config, tmp_path / "out", sets=(*SHORT, "train.log_every=2"))["trials"]) == 2  # as at resume


def test_a_folder_or_file_that_is_none_of_a_sweep_is_left_alone(tiny_config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "tiny-sweep"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"tiny-sweep holds no sweep, and is not empty; begin one elsewhere"):
        swept(tiny_config, tmp_path / "out")
    (folder / "study.db").write_bytes(b"no database " * 100)
    with pytest.raises(MachineError, match=r"study.db: file is not a database; if it is damaged, move "):
        swept(tiny_config, tmp_path / "out")


def test_several_processes_of_one_run_are_refused(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="start it without torchrun"):
        swept(tiny_config, tmp_path / "out")


def test_any_folder_has_its_own_study(tiny_config: Path, tmp_path: Path) -> None:
    """A database's address has signs of its own."""
    folder = tmp_path / "100% {odd} #1 ü"
    with suppress(OSError):  # where no file's name may have a question mark
        folder = folder.with_name(f"{folder.name}?")
        folder.mkdir()
    before = set(tmp_path.iterdir())
    swept(tiny_config, Path(f'"{folder}"'), trials=1)  # as YAML has a name with a #
    assert (folder / "tiny-sweep" / "study.db").is_file()
    assert set(tmp_path.iterdir()) == before


def test_the_picture_has_a_panel_for_each_parameter(tmp_path: Path) -> None:
    space = parse_space(["a.lr=log:1e-3..1e-1", "b.$odd_^=x,y", "c.shift=0..4", "d.share=0.0..0.5"])
    given = {"a.lr": 0.01, "b.$odd_^": "y", "c.shift": 3, "d.share": 0.25}
    rows: list[dict[str, Any]] = [
        {"trial": 0, "params": {}, "val_accuracy": None, "state": "running"},
        {"trial": 1, "params": given, "val_accuracy": None, "state": "diverged"},
        {"trial": 2, "params": given, "val_accuracy": 0.5, "state": "complete"},
        {"trial": 3, "params": given, "val_accuracy": 0.4, "state": "pruned"},
    ]
    for shown, parameters, height in ((rows, space, 660), (rows[:2], space[:1], 360)):  # of three panels a row
        draw_sweep(shown, parameters, "tiny-sweep", tmp_path / "sweep.png")
        with Image.open(tmp_path / "sweep.png") as picture:
            assert picture.size == (1080, height)
            assert len(np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10  # not blank
