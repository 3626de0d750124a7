"""The loop against loops written by hand, to the bit."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score
from torch import Tensor, nn
from torch.nn import functional as F

from cnncli.datasets import Split
from cnncli.datasets.mnist import MNIST
from cnncli.errors import DataError, DivergedError
from cnncli.models.lenet5 import LeNet5
from cnncli.pipeline import Batch
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.loader import Recipe
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.resident import ResidentLoader
from cnncli.registry import OPTIMIZERS, SCHEDULES
from cnncli.runtime import Runtime, choose_runtime
from cnncli.training.loop import StepRecord, Watch, evaluate, fit, pausing, train_one_epoch
from cnncli.training.losses import CrossEntropy, cross_entropy
from cnncli.training.state import TrainState
from tests.networks import TestNet

PREPROCESS = Preprocess(28, 1, MNIST.mean, MNIST.std)
SILENT = Watch(1, lambda record: None, lambda batches, number, label: batches)


@pytest.fixture(scope="module")
def digits() -> Split:
    """Return 300 digits, 30 of each class."""
    return MNIST().load("train", limit=30)


def state_of(model: nn.Module, optimizer: str = "sgd", schedule: str = "constant", **options: object) -> TrainState:
    runtime = choose_runtime("cpu", options.pop("precision", "fp32"))  # type: ignore[arg-type]
    model = runtime.place(model)
    made = OPTIMIZERS.get(optimizer)(model.parameters(), **options.pop("optimizer_options", {}))  # type: ignore[arg-type]
    return TrainState(model, nn.CrossEntropyLoss(), made, SCHEDULES.get(schedule)(20, 10), runtime, **options)  # type: ignore[arg-type]


def loader_of(split: Split, state: TrainState, augment: Augment | None = None) -> ResidentLoader:
    return ResidentLoader(split, Recipe(PREPROCESS, 32, seed=7, augment=augment or Augment()), state.runtime)


def hand_written(split: Split, optimizer_class: type[torch.optim.Optimizer], **options: object) -> nn.Module:
    """Train LeNet-5 for two epochs as a tutorial would, on the same plan, layout and threads; ragged last batch."""
    torch.manual_seed(1)
    model = LeNet5().to(memory_format=torch.channels_last)
    optimizer = optimizer_class(model.parameters(), **options)  # type: ignore[arg-type]
    model.train()
    for epoch in range(2):
        order = torch.from_numpy(np.random.default_rng((7, epoch)).permutation(len(split)))
        for start in range(0, len(split), 32):
            index = order[start : start + 32]
            images = (split.images[index].float() / 255 - 0.1307) / 0.3081
            images = images.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), split.labels[index])
            loss.backward()
            optimizer.step()
    return model


@pytest.fixture(params=[False, True], ids=["host", "device"])
def waits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether the host is treated as a device that has to be waited for."""
    monkeypatch.setattr(Runtime, "waits_for_nothing", not request.param)
    waits: bool = request.param
    return waits


@pytest.mark.parametrize(
    ("name", "class_", "options"),
    [
        ("sgd", torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "fused": True}),
        ("adam", torch.optim.Adam, {"lr": 1e-3, "fused": True}),
        ("adamw", torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 1e-2, "fused": True}),
        ("rmsprop", torch.optim.RMSprop, {"lr": 1e-3}),
    ],
)
def test_the_loop_equals_a_hand_written_one_bit_for_bit(
    digits: Split, name: str, class_: type[torch.optim.Optimizer], options: dict[str, object]
) -> None:
    torch.manual_seed(1)
    state = state_of(LeNet5(), name)
    records = list(fit(state, loader_of(digits, state), None, 2, SILENT))
    expected = hand_written(digits, class_, **options)
    for (key, ours), theirs in zip(state.model.state_dict().items(), expected.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), key
    assert [record.epoch for record in records] == [1, 2]
    assert records[-1].step == 2 * 10  # 300 images at 32 are ten steps


def test_clipping_equals_torch_clip_grad_norm(digits: Split) -> None:
    torch.manual_seed(1)
    state = state_of(LeNet5(), clip_norm=0.1)
    torch.manual_seed(1)
    model = LeNet5().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
    for images, labels, *_ in list(loader_of(digits, state).epoch(0))[:3]:
        state.backward(state.criterion(state.model(images), labels), 1.0)
        state.step()
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(state.model.parameters(), model.parameters(), strict=True))


def test_ema_is_the_decayed_mean_of_the_weights_and_is_what_is_evaluated(digits: Split) -> None:
    state = state_of(LeNet5(), ema_decay=0.9)
    weight, averages = state.model.classifier[5].weight, []  # type: ignore[index]
    expected: Tensor | None = None
    for batch in loader_of(digits, state).epoch(0):
        state.backward(state.criterion(state.model(batch.images), batch.labels), 1.0)
        state.step()
        # torch's AveragedModel starts from the weights after the first update.
        expected = weight.detach().clone() if expected is None else 0.9 * expected + 0.1 * weight.detach()
        averages.append(state.evaluated_model.classifier[5].weight.detach().clone())  # type: ignore[index]
    assert expected is not None
    torch.testing.assert_close(averages[-1], expected)
    assert not torch.equal(averages[-1], weight)


def test_evaluation_agrees_with_scikit_learn(digits: Split) -> None:
    state = state_of(LeNet5())
    metrics = evaluate(state.model, state.criterion, loader_of(digits, state).in_order(), state.runtime)
    with torch.no_grad():
        logits = state.model(PREPROCESS.normalise(digits.images).contiguous(memory_format=torch.channels_last))
    probabilities = logits.double().softmax(1).numpy()
    labels = digits.labels.numpy()
    assert metrics.num_images == 300
    assert metrics.accuracy == accuracy_score(labels, probabilities.argmax(1))
    assert metrics.top5_accuracy == pytest.approx(top_k_accuracy_score(labels, probabilities, k=5), abs=1e-12)
    assert metrics.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-6)


def test_top5_is_not_counted_with_under_six_classes(digits: Split) -> None:
    state = state_of(LeNet5(num_classes=5))
    few = Split(digits.images[:40], digits.labels[:40] % 5)
    assert evaluate(state.model, state.criterion, loader_of(few, state).in_order(), state.runtime).top5_accuracy is None


def test_evaluation_changes_nothing(digits: Split) -> None:
    state = state_of(TestNet(num_classes=10, image_size=28))
    before = {key: value.clone() for key, value in state.model.state_dict().items()}
    evaluate(state.model, state.criterion, loader_of(digits, state).in_order(), state.runtime)
    assert all(torch.equal(before[key], value) for key, value in state.model.state_dict().items())


def test_train_metrics_are_the_means_over_all_images(digits: Split) -> None:
    state = state_of(LeNet5(), optimizer_options={"lr": 1e-12})  # so that the weights stay
    train = train_one_epoch(state, loader_of(digits, state).epoch(0), SILENT)
    scored = evaluate(state.model, state.criterion, loader_of(digits, state).in_order(), state.runtime)
    assert train.loss == pytest.approx(scored.loss, rel=1e-6)
    assert train.num_images == scored.num_images == 300
    assert train.accuracy == scored.accuracy


def spoiled(batches: Iterable[Batch], at: int) -> Iterable[Batch]:
    """Put an infinite pixel into the ``at``-th batch, counted from 1."""
    for number, batch in enumerate(batches, start=1):
        if number == at:
            batch.images[0, 0, 0, 0] = torch.inf
        yield batch


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_no_update_follows_a_loss_that_is_not_finite(digits: Split, optimizer: str, waits: bool) -> None:
    torch.manual_seed(1)
    state = state_of(LeNet5(), optimizer)
    reference = state_of(LeNet5(), optimizer)
    reference.model.load_state_dict(state.model.state_dict())
    train_one_epoch(reference, list(loader_of(digits, reference).epoch(0))[:3], SILENT)
    watch = Watch(8, SILENT.log, SILENT.progress)  # looks only after step 8
    with pytest.raises(DivergedError, match="at step 4 ") as error:
        train_one_epoch(state, spoiled(loader_of(digits, state).epoch(0), at=4), watch)
    assert error.value.exit_code == 6
    pairs = zip(state.model.parameters(), reference.model.parameters(), strict=True)
    assert all(torch.equal(ours, before) for ours, before in pairs)


def test_divergence_between_two_looks_is_seen_before_the_epoch_is_yielded(digits: Split, waits: bool) -> None:
    state = state_of(LeNet5())
    watch = Watch(1000, SILENT.log, lambda batches, number, label: spoiled(batches, at=9))
    with pytest.raises(DivergedError, match="at step 9 "):
        next(fit(state, loader_of(digits, state), None, 1, watch))


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])  # on a device looked at after the epoch, and at each step
def test_a_divergence_names_its_images(digits: Split, optimizer: str, waits: bool) -> None:
    """Those of the third batch of the second epoch, by their numbers in the split."""
    state = state_of(LeNet5(), optimizer)
    list(fit(state, loader_of(digits, state), None, 1, SILENT))
    images = np.random.default_rng((7, 1)).permutation(300)[2 * 32 : 3 * 32]
    watch = Watch(1000, SILENT.log, lambda batches, number, label: spoiled(batches, at=3))
    with pytest.raises(DivergedError) as error:
        next(fit(state, loader_of(digits, state), None, 2, watch))
    named = f", images {', '.join(map(str, images))} of the split, in epoch 2)"
    assert "at step 13 (learning rate " in str(error.value)
    assert named in str(error.value)


def test_an_fp16_step_that_overflows_is_counted_and_moves_no_schedule(digits: Split) -> None:
    """With a scale of 2²⁴ the first gradients are infinite, and each such step halves it."""
    torch.manual_seed(1)
    state = state_of(LeNet5(), schedule="cosine", precision="fp16")
    state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": 2.0**24})
    weight, rows = state.model.classifier[5].weight, list[StepRecord]()  # type: ignore[index]
    weights = [weight.detach().clone()]

    def look() -> None:
        weights.append(weight.detach().clone())

    records = list(fit(state, loader_of(digits, state), None, 2, Watch(1, rows.append, SILENT.progress, look)))
    moved = [not torch.equal(*pair) for pair in pairwise(weights)]
    assert moved[:4] == [False] * 4
    assert any(moved)
    assert records[-1].overflows == moved.count(False)
    factors = [SCHEDULES.get("cosine")(20, 10).factor(sum(moved[:step])) for step in range(20)]
    assert [row.lr for row in rows] == pytest.approx([0.05 * factor for factor in factors])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_learns_and_keeps_fp32_weights(digits: Split, precision: str) -> None:
    torch.manual_seed(1)
    state = state_of(LeNet5(), precision=precision)
    losses: list[float] = []
    watch = Watch(1, lambda record: losses.append(record.loss), SILENT.progress)
    list(fit(state, loader_of(digits, state), None, 5, watch))
    assert losses[-1] < losses[0] / 2
    assert {parameter.dtype for parameter in state.model.parameters()} == {torch.float32}


def test_no_fp16_update_follows_a_loss_that_is_not_finite(digits: Split, waits: bool) -> None:
    torch.manual_seed(1)
    state, weights = state_of(LeNet5(), precision="fp16"), list[Tensor]()
    watch = Watch(9, SILENT.log, SILENT.progress, lambda: weights.append(state.model.classifier[5].weight.clone()))  # type: ignore[index]
    with pytest.raises(DivergedError, match="at step 4 "):
        train_one_epoch(state, spoiled(loader_of(digits, state).epoch(0), at=4), watch)
    assert all(torch.equal(weights[2], later) for later in weights[3:])
    assert len(weights) == (8 if waits else 3)


def test_fp16_gradients_that_never_become_finite_end_the_run(digits: Split) -> None:
    """Each halves the scale, 2¹⁶ at first."""
    state = state_of(LeNet5(), precision="fp16")
    for parameter in state.model.parameters():
        parameter.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(DivergedError):
        list(fit(state, loader_of(digits, state), None, 3, SILENT))
    assert state.steps == 17


def test_a_pass_that_is_scored_is_read_to_its_end() -> None:
    """Or those who read ahead would begin anew with each."""
    ended = []

    def batches() -> Iterator[int]:
        yield from (1, 2)
        ended.append(True)

    pauses: list[None] = []
    assert list(pausing(batches(), 3, lambda: pauses.append(None))) == [1, 2]  # type: ignore[arg-type]
    assert (len(pauses), ended) == (3, [True])


def test_rows_are_logged_every_so_many_steps(digits: Split) -> None:
    state, rows = state_of(LeNet5()), list[StepRecord]()
    list(fit(state, loader_of(digits, state), None, 2, Watch(4, rows.append, SILENT.progress)))
    assert [(row.step, row.epoch) for row in rows] == [(4, 1), (8, 1), (12, 2), (16, 2), (20, 2)]
    assert all(row.lr == 0.05 for row in rows)


def test_a_run_split_anywhere_in_an_epoch_equals_the_whole(digits: Split) -> None:
    """The state is (epoch, position): what is loaded goes on in the middle of an epoch."""
    augment = Augment(shift=2, flip=True)
    torch.manual_seed(1)
    whole = state_of(TestNet(num_classes=10, image_size=28), "adam", ema_decay=0.9)
    start = whole.state_dict()
    start = {**start, "model": {key: value.clone() for key, value in start["model"].items()}}
    list(fit(whole, loader_of(digits, whole, augment), None, 2, SILENT))

    first = state_of(TestNet(num_classes=10, image_size=28), "adam", ema_decay=0.9)
    first.model.load_state_dict(start["model"])
    torch.set_rng_state(start["ranks"][0]["random"]["cpu"])
    batches = list(loader_of(digits, first, augment).epoch(0))
    train_one_epoch(first, batches[:6], SILENT)
    assert (first.epoch, first.position) == (0, 6 * 32)
    saved = first.state_dict()  # before the next network draws its first weights

    second = state_of(TestNet(num_classes=10, image_size=28), "adam", ema_decay=0.9)
    second.load_state_dict(saved)
    list(fit(second, loader_of(digits, second, augment), None, 2, SILENT))
    assert second.steps == whole.steps
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key]), key
    for key, value in whole.evaluated_model.state_dict().items():
        assert torch.equal(value, second.evaluated_model.state_dict()[key]), key


@pytest.mark.parametrize("parts", [2, 3, 8, 100])
@pytest.mark.parametrize("criterion", [CrossEntropy(), CrossEntropy(torch.linspace(0.2, 2, 10))])
def test_a_batch_in_parts_makes_the_same_update(digits: Split, criterion: nn.Module, parts: int) -> None:
    """As torch's own mean over the whole batch, but for rounding; 300 images at 32 have a last batch of 12."""
    trained, rows = [], []
    for accumulate in (1, parts):
        torch.manual_seed(1)
        state, losses = state_of(LeNet5(), clip_norm=1.0), list[float]()
        state.criterion = criterion
        watch = Watch(1, lambda record, losses=losses: losses.append(record.loss), SILENT.progress)  # type: ignore[misc]
        record = next(fit(state, loader_of(digits, state), None, 1, watch, accumulate))
        trained.append(state.model.state_dict())
        rows.append((losses, record.train))
    torch.testing.assert_close(trained[0], trained[1], rtol=1e-4, atol=1e-5)
    assert rows[1][0] == pytest.approx(rows[0][0], rel=1e-4)
    assert rows[1][1].loss == pytest.approx(rows[0][1].loss, rel=1e-4)
    assert rows[1][1].accuracy == rows[0][1].accuracy


def test_the_loss_of_a_batch_is_the_mean_by_the_weights_of_its_classes(digits: Split) -> None:
    """As torch's own, which divides by their sum and not by the number of images."""
    torch.manual_seed(1)
    state, rows = state_of(LeNet5()), list[StepRecord]()
    counts = torch.arange(1, 11)
    state.criterion = cross_entropy(class_weights="balanced", class_counts=counts)
    batch = next(loader_of(digits, state).epoch(0))
    weight = counts.sum() / (10 * counts)
    expected = F.cross_entropy(state.model(batch.images), batch.labels, weight)
    train_one_epoch(state, [batch], Watch(1, rows.append, SILENT.progress))
    assert rows[0].loss == pytest.approx(expected.item(), rel=1e-5)


def test_an_image_that_does_not_count_changes_nothing(digits: Split) -> None:
    """One that stands for a batch of which no file could be read: no gradient, and no image in the means."""
    torch.manual_seed(1)
    state = state_of(LeNet5(), optimizer_options={"momentum": 0.0})
    before = {key: value.clone() for key, value in state.model.state_dict().items()}
    batch = next(loader_of(digits, state).epoch(0))
    one = Batch(batch.images[:1], batch.labels[:1], batch.labels[:1], size=32, counts=False)
    with pytest.raises(DataError, match="none of the images that were looked at can be read"):  # there is no mean
        train_one_epoch(state, [one], SILENT)
    assert (state.position, state.steps) == (32, 1)
    assert all(torch.equal(before[key], value) for key, value in state.model.state_dict().items())


def test_mixed_targets_are_trained_on_and_plain_labels_scored(digits: Split) -> None:
    state, rows = state_of(LeNet5()), list[StepRecord]()
    loader = loader_of(digits, state, Augment(mixup=0.4))
    loader.recipe = replace(loader.recipe, num_classes=10)
    batch = next(loader.epoch(0))
    expected = -(batch.targets * state.model(batch.images).log_softmax(1)).sum(1).mean()
    metrics = train_one_epoch(state, [batch], Watch(1, rows.append, SILENT.progress))
    assert rows[0].loss == pytest.approx(expected.item(), rel=1e-5)
    assert metrics.accuracy * 32 == pytest.approx(round(metrics.accuracy * 32))
