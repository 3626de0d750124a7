"""What a run that goes on may do otherwise than before."""

from pathlib import Path
from typing import Any

import pytest

from cnncli.checkpoint import Checkpoint
from cnncli.config.schema import Config
from cnncli.config.validation import load_config
from cnncli.errors import CheckpointError
from cnncli.resuming import changes_of, continued, data_changes_of, without_foreign_state


def config(path: Path, *sets: str) -> Config:
    return load_config(path, sets)


def checkpoint_of(config: Config, **fields: Any) -> Checkpoint:
    return Checkpoint("lenet5", {}, {}, [], {}, config.model_dump(), {}, **fields)


@pytest.mark.parametrize(
    "change",
    [
        *("train.log_every=7", "train.output=elsewhere", "train.name=other", "train.epochs=99", "data.workers=3"),
        *("data.cache=off", "runtime.threads=1", "checkpoint.every_steps=5", "checkpoint.every_minutes=0.5"),
        "logging.tensorboard=true",
    ],
)
def test_what_may_change(change: str, tiny_config: Path) -> None:
    key = change.partition("=")[0]
    assert list(changes_of(config(tiny_config, change), checkpoint_of(config(tiny_config)), allow=False)) == [key]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("optimizer.lr=0.5", "optimizer.lr: was 0.05, would be 0.5"),
        ("train.batch_size=8", "train.batch_size: was 16, would be 8"),
        ("schedule={name: onecycle}", "schedule.name: was constant, would be onecycle"),
        ("augment.shift=2", "augment.shift: was 0, would be 2"),
        ("model.activation=relu", "model.activation: was tanh, would be relu"),
        ("train.seed=1", "train.seed: was 0, would be 1"),
        ("runtime.precision=bf16", "runtime.precision: was fp32, would be bf16"),
        ("model.freeze=features", "model.freeze: was None, would be features"),
        ("optimizer.backbone_lr=0.1", "optimizer.backbone_lr: was None, would be 0.1"),
    ],
)
def test_what_may_not_is_listed_or_allowed(change: str, line: str, tiny_config: Path) -> None:
    changed, checkpoint = config(tiny_config, change, "train.log_every=7"), checkpoint_of(config(tiny_config))
    with pytest.raises(CheckpointError, match=r"--allow-changes") as error:
        changes_of(changed, checkpoint, allow=False)
    assert f"  {line}" in str(error.value).splitlines()
    assert "log_every" not in str(error.value)
    assert {"train.log_every", line.partition(":")[0]} <= set(changes_of(changed, checkpoint, allow=True))


def test_more_epochs_would_bend_a_schedule_that_depends_on_their_number(tiny_config: Path) -> None:
    for name, refused in (("onecycle", True), ("cosine", True), ("step", False), ("plateau", False)):
        checkpoint = checkpoint_of(config(tiny_config, f"schedule={{name: {name}}}"))
        longer = config(tiny_config, f"schedule={{name: {name}}}", "train.epochs=9")
        if refused:
            with pytest.raises(CheckpointError, match=r"train\.epochs: was 2, would be 9"):
                changes_of(longer, checkpoint, allow=False)
        else:
            assert changes_of(longer, checkpoint, allow=False) == {"train.epochs": [2, 9]}


def test_other_images_are_named(tiny_config: Path) -> None:
    before = {"train": {"num_images": 48, "digest": "a"}, "val": {"num_images": 12, "digest": "b"}}
    checkpoint = checkpoint_of(config(tiny_config), data=before)
    assert data_changes_of(before, checkpoint, allow=False) == {}
    fewer = {**before, "train": {"num_images": 47, "digest": "c"}}
    with pytest.raises(CheckpointError, match="  the train split: was 48 images, would be 47 images\n"):
        data_changes_of(fewer, checkpoint, allow=False)
    others = {**before, "val": {"num_images": 12, "digest": "c"}}
    with pytest.raises(CheckpointError, match="  the val split: was 12 images, would be 12 images that are others\n"):
        data_changes_of(others, checkpoint, allow=False)
    assert list(data_changes_of(others, checkpoint, allow=True)) == ["the val split"]
    with pytest.raises(CheckpointError, match="  the val split: was 12 images, would be 0 images\n"):
        data_changes_of({"train": before["train"]}, checkpoint, allow=False)


@pytest.mark.parametrize("sets", [["data.on_error=skip"], ["augment.resized_crop=[0.5, 1.0]"]])
def test_where_pictures_are_kept_may_not_change_if_it_changes_what_is_trained_on(
    sets: list[str], tiny_config: Path
) -> None:
    """Broken files are left out of the plan or of the batch; crops are cut from canvases or from pictures."""
    with pytest.raises(CheckpointError, match=r"data\.cache: was memory, would be off"):
        changes_of(
            config(tiny_config, *sets, "data.cache=off"),
            checkpoint_of(config(tiny_config, *sets, "data.cache=memory")),
            allow=False,
        )


def test_a_run_goes_on_with_its_own_choices_and_what_is_said_again(tiny_config: Path) -> None:
    """What is left open in the file given is as the run settled it."""
    begun = config(tiny_config, "runtime.threads=3", "optimizer={name: adam, lr: 0.1}")
    assert continued(begun, config(tiny_config)).runtime.threads == 3
    assert continued(begun, config(tiny_config)).optimizer.name == "adam"
    other = continued(begun, config(tiny_config, "optimizer={name: sgd}", "train.seed=5"))
    assert (other.optimizer.name, other.optimizer.options["momentum"], other.train.seed) == ("sgd", 0.9, 5)


def test_another_optimizer_begins_anew() -> None:
    state = {"optimizer": 1, "schedule": 2, "model": 3}
    assert without_foreign_state(state, {"optimizer.name": ["sgd", "adam"]}) == {**state, "optimizer": None}
    assert without_foreign_state(state, {"optimizer.lr": [1, 2]}) == state


def test_other_weights_to_train_begin_anew() -> None:
    """Momentum is noted by the number of a parameter, which is another one then."""
    state = {"optimizer": 1, "schedule": 2}
    for changes in ({"model.freeze": [None, "features"]}, {"optimizer.backbone_lr": [None, 0.1]}):
        assert without_foreign_state(state, changes) == {"optimizer": None, "schedule": 2}
    assert without_foreign_state(state, {"optimizer.backbone_lr": [0.2, 0.1]}) == state
