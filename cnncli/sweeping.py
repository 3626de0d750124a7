"""A sweep: trials of a config with other values of some keys, which Optuna chooses; validation picks the best."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnncli import launch, ranks
from cnncli.config.schema import Config
from cnncli.config.space import Choices, Parameter
from cnncli.config.validation import load_config
from cnncli.errors import CnnError, ConfigError, DivergedError, MachineError, OutOfMemoryError, RunBusyError
from cnncli.experiment import Experiment
from cnncli.extras import needed
from cnncli.pages.sweep import draw_sweep
from cnncli.pipeline import Batch
from cnncli.resuming import MAY_CHANGE, flat, picked_up
from cnncli.run import Run
from cnncli.session import Display

if TYPE_CHECKING:
    import optuna

PROBLEMS: dict[type[CnnError], str] = {
    DivergedError: "diverged",
    OutOfMemoryError: "out of memory",
    ConfigError: "refused",
}


def sweep(config: str, sets: list[str], space: list[Parameter], num_trials: int, display: Display) -> dict[str, Any]:
    """Train until there are ``num_trials`` in all, those of before included; return what ``--json`` prints.

    A trial that was stopped in the middle goes on first. Raises ``ConfigError`` where a value in the ``space`` is none
    of the config's, the config has nothing to validate on, or the folder holds another sweep.
    """
    needed("optuna", "sweep")
    if ranks.world_size() > 1:
        raise ConfigError("a sweep trains in one process; start it without torchrun, several times for several at once")
    settings = _checked(config, sets)
    for parameter in space:
        for value in parameter.ends:
            try:
                _checked(config, [*sets, f"{parameter.key}={value}"])
            except ConfigError as error:
                raise ConfigError(f"--param {parameter}: {error}") from None
    folder = Path(settings.train.output) / f"{settings.train.name}-sweep"
    with _opened(folder) as study:
        _check_same(study, folder, settings, space)
        trials = Trials(study, folder, settings.train.seed, space, display)
        trials.train(config, sets, num_trials)
        rows = trials.rows()
    if all(row["state"] == "refused" for row in rows):
        raise ConfigError(f"none of the {len(rows)} trials could be trained; the last one: {rows[-1]['problem']}")
    done = [row for row in rows if row["state"] == "complete"]
    best = max(done, key=lambda row: float(row["val_accuracy"]), default=None)
    return {"sweep_dir": str(folder), "best": best, "trials": rows, "picture": str(trials.picture)}


class Trials:
    """The trials of a study, each with a run directory in ``folder`` that has its number."""

    def __init__(
        self, study: "optuna.Study", folder: Path, seed: int, space: list[Parameter], display: Display
    ) -> None:
        self.study, self.folder, self.seed, self.space, self.display = study, folder, seed, space, display
        self.picture = folder / "sweep.png"

    def train(self, config: str, sets: list[str], num_trials: int) -> None:
        """Go on with trials that nobody trains any more, and begin new ones until there are ``num_trials``."""
        import optuna

        running = optuna.trial.TrialState.RUNNING
        for trial in self.study.get_trials(deepcopy=False, states=(running,)):
            if self.study.get_trials(deepcopy=False)[trial.number].state == running:  # else another process ended it
                self._try(optuna.Trial(self.study, trial._trial_id), config, sets)
        while len(self.study.get_trials(deepcopy=False)) < num_trials:
            self._try(self.study.ask(), config, sets)

    def _try(self, trial: "optuna.Trial", config: str, sets: list[str]) -> None:
        """Train once and tell the study what came of it."""
        from optuna import TrialPruned
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        _check_same(self.study, self.folder, load_config(config, sets), self.space)  # the file may have been edited
        assignments = self._assignments(trial)
        run = Run(self.folder / f"trial-{trial.number}")
        self.display.note(f"trial {trial.number}: {', '.join(assignments)}")
        accuracy, state = None, TrialState.PRUNED
        try:
            settings = picked_up(load_config(config, [*sets, *assignments]), run)
            result = launch.train(settings, run, TrialDisplay(self.display, trial), test_at_end=False)
            accuracy, state = result["best"]["val"]["accuracy"], TrialState.COMPLETE
        except TrialPruned:
            self.display.note(f"trial {trial.number}: stopped, as it is worse than half of those before")
        except (RunBusyError, UpdateFinishedTrialError):
            self.display.note(f"trial {trial.number}: left to the process that trains it")
            return
        except (DivergedError, OutOfMemoryError, ConfigError) as error:
            # Of a trial that failed the sampler knows nothing; from one that was pruned it learns to keep away.
            state = TrialState.FAIL if isinstance(error, ConfigError) else state
            trial.set_user_attr("problem", [PROBLEMS[type(error)], str(error)])
            self.display.note(f"trial {trial.number}: {error}")
        self.study.tell(trial, accuracy, state, skip_if_finished=True)
        aside = self.picture.with_name(f".sweep-{trial.number}.png")  # as another process may be drawing, too
        draw_sweep(self.rows(), self.space, self.folder.name, aside)
        aside.replace(self.picture)

    def _assignments(self, trial: "optuna.Trial") -> list[str]:
        """Choose the values of a trial, as ``--set`` takes them; those of one that goes on are what they were.

        Each trial has a sampler of its own, so that a sweep that was stopped goes on as if it had not been.
        """
        from optuna.samplers import TPESampler

        seed = np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0]
        self.study.sampler = TPESampler(seed=int(seed))
        return [f"{parameter.key}={_suggested(trial, parameter)}" for parameter in self.space]

    def rows(self) -> list[dict[str, Any]]:
        """Return what came of each trial: its accuracy is the best on the validation split."""
        rows = []
        for trial in self.study.get_trials(deepcopy=False):
            scores = trial.intermediate_values  # by epoch; the last may be missing where the process was killed
            kind, problem = trial.user_attrs.get("problem", [trial.state.name.lower(), None])
            rows.append(
                {
                    "trial": trial.number,
                    "params": trial.params,
                    "val_accuracy": max([*scores.values(), *(trial.values or [])], default=None),
                    "epochs": max(scores, default=0),
                    "state": kind,
                    "problem": problem,
                    "run_dir": str(self.folder / f"trial-{trial.number}"),
                }
            )
        return rows


class TrialDisplay:
    """Shows what ``display`` shows, tells the study of each epoch, and ends a trial that is not worth another one."""

    def __init__(self, display: Display, trial: "optuna.Trial") -> None:
        self.display, self.trial = display, trial
        self.told = set(trial.study.trials[trial.number].intermediate_values)

    def note(self, text: str) -> None:
        """Say something once."""
        self.display.note(text)

    def follow(self, batches: Iterable[Batch], num_batches: int, label: str) -> Iterable[Batch]:
        """Yield the batches while showing how many there were, and of which trial."""
        return self.display.follow(batches, num_batches, f"trial {self.trial.number}, {label}")

    def epoch(self, row: dict[str, Any], num_epochs: int) -> None:
        """Show an epoch, and raise ``TrialPruned`` where the median of the other trials had been better by now."""
        from optuna import TrialPruned

        self.display.epoch(row, num_epochs)
        if row["epoch"] not in self.told:  # as it is when a trial goes on from a save before it
            self.trial.report(row["val"]["accuracy"], row["epoch"])
        if row["epoch"] < num_epochs and self.trial.should_prune():
            raise TrialPruned


def _suggested(trial: "optuna.Trial", parameter: Parameter) -> str:
    if isinstance(parameter, Choices):
        return trial.suggest_categorical(parameter.key, parameter.values)
    key, low, high = parameter.key, parameter.low, parameter.high
    if isinstance(low, int) and isinstance(high, int):
        return str(trial.suggest_int(key, low, high, log=parameter.log))
    return str(trial.suggest_float(key, low, high, log=parameter.log))


def _checked(config: str, sets: list[str]) -> Config:
    """Load a config that can be judged by validation; ``ConfigError`` where data or network don't allow its values."""
    settings = load_config(config, sets)
    if settings.train.validate_on == "test":
        raise settings.error(("train", "validate_on"), "a sweep would pick by the test images; set it to val")
    tried = settings.model_copy(deep=True)
    tried.data.cache = "off"  # auto would count all pictures
    if "val" not in Experiment.prepare(tried).splits.names:
        raise settings.error(
            ("data", "validation"), "a sweep picks by validation, so hold out some images, such as 0.1"
        )
    return settings


@contextmanager
def _opened(folder: Path) -> "Iterator[optuna.Study]":
    """Open the study of a folder, or begin one; ``MachineError`` where its file cannot be read or written."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    path = folder / "study.db"
    if folder.is_dir() and any(folder.iterdir()) and not path.exists():
        raise ConfigError(f"{folder} holds no sweep, and is not empty; begin one elsewhere with --set train.name=NAME")
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = _storage(path)
        pruner = optuna.pruners.MedianPruner()
        try:
            yield optuna.create_study(
                storage=storage, pruner=pruner, study_name="sweep", direction="maximize", load_if_exists=True
            )
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # what SQLite says stands below what others say of it
            cause = cause.__cause__
        raise MachineError(f"{path}: {cause}; if it is damaged, move {folder} away and begin anew") from None


def _storage(path: Path) -> "optuna.storages.RDBStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy import URL
    from sqlalchemy.exc import OperationalError

    url = URL.create("sqlite", database=str(path)).render_as_string()
    try:
        return RDBStorage(url)
    except OperationalError:  # as where another process makes the tables at this moment
        time.sleep(1)
        return RDBStorage(url)


def _check_same(study: "optuna.Study", folder: Path, settings: Config, space: list[Parameter]) -> None:
    """Note what is asked of a sweep that begins; ``ConfigError`` where one that goes on was asked something else."""
    fields = flat(settings.model_dump())
    now = {"space": sorted(map(str, space)), "config": fields}
    before = study.user_attrs.get("asked")
    if before is None:
        study.set_user_attr("asked", now)
        return
    other = "go on as it began, or begin another sweep with --set train.name=NAME"
    if before["space"] != now["space"]:
        raise ConfigError(f"{folder} holds a sweep with --param {' --param '.join(before['space'])}; {other}")
    keys = sorted((before["config"].keys() | fields.keys()) - MAY_CHANGE)
    if changed := [key for key in keys if before["config"].get(key) != fields.get(key)]:
        were = ", ".join(f"{key} was {before['config'].get(key)}" for key in changed)
        raise ConfigError(f"{folder} holds a sweep of another config: {were}; {other}")
