"""How a run goes on: with which config, and what may differ from when it began."""

from typing import Any

from cnncli.checkpoint import Checkpoint
from cnncli.config.loading import Document
from cnncli.config.schema import Config
from cnncli.config.validation import load_config, validate
from cnncli.errors import CheckpointError
from cnncli.run import Run
from cnncli.text import counted

# What a resumed run may do otherwise than before; more epochs only where the schedule does not depend on their number.
MAY_CHANGE = {
    "data.workers",
    *("runtime.device", "runtime.threads", "runtime.memory_format", "runtime.deterministic"),
    *("train.log_every", "train.output", "train.name"),
    *("checkpoint.every_epochs", "checkpoint.every_steps", "checkpoint.every_minutes", "checkpoint.keep_best"),
    "logging.tensorboard",
}
OPEN_ENDED = {"constant", "step", "plateau"}

ABSENT = {"num_images": 0}
Changes = dict[str, list[Any]]  # of each key that differs, what it was and what it is


def changes_of(config: Config, checkpoint: Checkpoint, allow: bool) -> Changes:
    """Return what a settled config changes of the one that a run began with.

    Raises ``CheckpointError`` with a list of what must not change, unless it is to ``allow`` all.
    """
    before, now = flat(checkpoint.config), flat(config.model_dump())
    changes = {key: [before.get(key), now.get(key)] for key in sorted(before.keys() | now.keys())}
    changes = {key: values for key, values in changes.items() if values[0] != values[1]}
    _refuse({key: values for key, values in changes.items() if key not in _may_change(config)}, allow)
    return changes


def data_changes_of(seen: dict[str, dict[str, Any]], checkpoint: Checkpoint, allow: bool) -> Changes:
    """Return which splits hold other images than those a run began with, as :func:`changes_of` does."""
    changes: Changes = {}
    for name, before in checkpoint.data.items():
        if (now := seen.get(name, ABSENT)) != before:
            what = counted(now["num_images"], "image")
            what += " that are others" if before["num_images"] == now["num_images"] else ""
            changes[f"the {name} split"] = [counted(before["num_images"], "image"), what]
    _refuse(changes, allow)
    return changes


def _may_change(config: Config) -> set[str]:
    """Return the keys that may change without changing a number but by rounding."""
    allowed = {*MAY_CHANGE, "train.patience"}  # which decides where a run ends, not how it goes on
    if config.schedule.name in OPEN_ENDED:
        allowed.add("train.epochs")
    if config.data.on_error == "fail" and config.augment.resized_crop is None:  # else other images or crops are planned
        allowed.add("data.cache")
    return allowed


def continued(before: Config, given: Config) -> Config:
    """Return the config of a run with what is said in ``given``, and nothing of what it leaves open."""
    sections = before.model_dump()
    for section, values in given.model_dump(exclude_unset=True).items():
        is_other = values.get("name", sections[section].get("name")) != sections[section].get("name")
        sections[section] = values if is_other and section != "train" else {**sections[section], **values}
    return validate(Document("the run's config with the one given", sections))


def picked_up(settings: Config, run: Run) -> Config:
    """Return the config that a run goes on with, or begins with where it was not begun."""
    return continued(load_config(run.config), settings) if run.is_begun else settings


def without_foreign_state(state: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Leave out of a training state what another optimizer or schedule, or one of other weights, cannot take over."""
    foreign = {part for part in ("optimizer", "schedule") if f"{part}.name" in changes}
    if "model.freeze" in changes or None in changes.get("optimizer.backbone_lr", ()):
        foreign.add("optimizer")
    return {**state, **dict.fromkeys(foreign)}


def _refuse(changes: Changes, allow: bool) -> None:
    if changes and not allow:
        lines = [f"  {key}: was {before}, would be {now}" for key, (before, now) in changes.items()]
        raise CheckpointError(
            "a resumed run goes on as it began, but these differ:\n"
            + "\n".join(lines)
            + "\nleave them as they were, start a new run, or accept them with --allow-changes"
        )


def flat(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a config by their dotted keys."""
    return {f"{section}.{key}": value for section, fields in sections.items() for key, value in fields.items()}
