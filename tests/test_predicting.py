"""Pictures that are found and predicted, against each picture by itself and against evaluation."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from itertools import chain, islice, repeat
from pathlib import Path

import pytest
import torch
from PIL import Image

from cnncli import checkpoint as checkpoints
from cnncli.checkpoint import Network, load_network
from cnncli.config.validation import load_config
from cnncli.datasets import Split
from cnncli.datasets.image_folder import ImageFolder
from cnncli.experiment import Experiment
from cnncli.predicting import PATH_MAX, Found, find, names_in, predict
from cnncli.run import Run
from cnncli.runtime import choose_runtime
from cnncli.scoring import experiment_of
from cnncli.scoring import predict as evaluated
from cnncli.training.loop import Watch
from tests.conftest import PictureFolder


@pytest.fixture(scope="module")
def network(folder_run: Run) -> Network:
    return load_network(folder_run.best)


@pytest.fixture(scope="module")
def pictures(folder_run: Run) -> Path:
    """Return the 24 pictures that the network was trained with."""
    return folder_run.path.parents[1] / "pictures"


def predicted(
    network: Network, found: Iterable[Found], device: str = "cpu", **options: int
) -> dict[str, dict[str, float]]:
    """Return the probabilities of the classes, by path."""
    batches = predict(network, found, choose_runtime(device), **options)
    return {path: dict(top) for path, top, error in chain.from_iterable(batches) if not error}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_each_picture_is_what_it_is_by_itself(workers: int, resize: str, network: Network, pictures: Path) -> None:
    """Against ``cnncli.load``'s model and preprocessing, on a canvas of which the middle is seen."""
    preprocess = replace(network.preprocess, canvas=40, resize=resize)
    network = replace(network, preprocess=preprocess)
    found = predicted(network, find([str(pictures)]), batch_size=5, workers=workers)
    assert list(found) == sorted(map(str, pictures.rglob("*.jpg")))
    for path, ranking in found.items():
        with torch.inference_mode():
            alone = network.model(preprocess(path)).softmax(1)[0].tolist()
        assert ranking == pytest.approx(dict(zip(network.classes, alone, strict=True)), abs=1e-6)
        assert list(ranking.values()) == sorted(ranking.values(), reverse=True)


def test_they_are_the_predictions_of_evaluation(folder_run: Run, network: Network, pictures: Path) -> None:
    checkpoint = checkpoints.load(folder_run.best)
    experiment = experiment_of(checkpoint, pictures, "cpu")
    experiment.config.data.cache = "off"
    experiment.config.train.eval_batch_size = 7
    loader = experiment.eval_loader("test")
    assert loader is not None
    assert loader.files is not None
    _, theirs = evaluated(experiment, checkpoint, loader, Watch())
    ours = predicted(network, find([str(pictures)]), batch_size=7)
    assert list(ours) == [str(loader.files.path(row)) for row in theirs.rows.tolist()]
    probabilities = torch.tensor([[ranking[name] for name in network.classes] for ranking in ours.values()])
    assert torch.equal(probabilities, theirs.probabilities)


@pytest.mark.parametrize("limit", [20, pytest.param(2_000, marks=pytest.mark.slow)])
def test_digits_as_pictures_are_what_they_are_as_arrays(limit: int, tmp_path: Path) -> None:
    """Against evaluation of MNIST's test digits, of each so many, by a network before its first step."""
    experiment = Experiment.prepare(load_config("lenet5", [f"data.limit={limit}", "runtime.device=cpu"]))
    checkpoint = experiment.checkpoint(experiment.build_state(experiment.train_loader()), [])
    checkpoints.save(checkpoint, tmp_path / "lenet5.pt")
    digits, loader = experiment.splits.load("test"), experiment.eval_loader("test")
    assert isinstance(digits, Split)
    assert loader is not None
    for row, digit in enumerate(digits.images):
        Image.fromarray(digit[0].numpy()).save(tmp_path / f"{row:05}.png")
    _, theirs = evaluated(experiment, checkpoint, loader, Watch())
    found = predicted(load_network(tmp_path / "lenet5.pt"), find([str(tmp_path)]), top=10, workers=2)
    ours = torch.tensor([[ranking[str(label)] for label in range(10)] for ranking in found.values()])
    assert len(ours) == min(limit * 10, 10_000)
    torch.testing.assert_close(ours, theirs.probabilities, rtol=0, atol=1e-6)
    assert torch.equal(ours.argmax(1), theirs.probabilities.argmax(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_says_the_same(network: Network, pictures: Path) -> None:
    found = list(find([str(pictures)]))
    there = predicted(network, found, "cuda", batch_size=5, workers=1)
    for path, ranking in predicted(network, found, batch_size=5).items():
        assert there[path] == pytest.approx(ranking, abs=1e-3)


def test_a_checkpoint_that_names_no_images_will_do(folder_run: Run, pictures: Path, tmp_path: Path) -> None:
    """As it is where weights were brought from elsewhere."""
    bare = replace(checkpoints.load(folder_run.best), config={}, state={}, history=[], data={}, held_out={})
    checkpoints.save(bare, tmp_path / "bare.pt")
    found = list(find([str(pictures / "left")]))
    ours, theirs = (predicted(load_network(path), found) for path in (tmp_path / "bare.pt", folder_run.best))
    assert ours == theirs
    assert len(ours) == 8


def test_fewer_classes_are_the_likeliest(network: Network, pictures: Path) -> None:
    found = list(find([str(pictures)]))
    all_of_them, first = predicted(network, found, top=9), predicted(network, found, top=1)
    assert first == {path: dict(islice(ranking.items(), 1)) for path, ranking in all_of_them.items()}


def test_a_broken_file_is_told_and_the_rest_goes_on(network: Network, pictures: Path, tmp_path: Path) -> None:
    good, cut, text, empty = (tmp_path / f"{name}.jpg" for name in ("good", "cut", "text", "empty"))
    shutil.copy(pictures / "left" / "0.jpg", good)
    cut.write_bytes(good.read_bytes()[:400])
    text.write_text("not a picture")
    empty.touch()
    (tmp_path / "none").mkdir()
    order = [cut, text, good, empty, tmp_path / "none", tmp_path / "nowhere: x.jpg", tmp_path / "*.gif", good]
    batches = predict(network, find(map(str, order)), choose_runtime("cpu"), batch_size=3)
    told = [(Path(path), error) for path, _, error in chain.from_iterable(batches)]
    assert [path for path, _ in told] == order
    errors = [error for _, error in told]
    assert errors.pop(0).startswith("not a whole picture: ")
    assert errors == [
        "not a picture that Pillow knows",
        "",
        "an empty file",
        "no picture in this folder",
        "No such file or directory",
        "matches no picture",
        "",
    ]


def test_an_answer_that_is_no_number_is_an_error(network: Network, pictures: Path, folder_run: Run) -> None:
    broken = load_network(folder_run.best)
    next(iter(broken.model.parameters())).data.fill_(torch.nan)
    (batch,) = predict(broken, find([str(pictures / "left")]), choose_runtime("cpu"))
    assert [(top, error[:40]) for _, top, error in batch] == [([], "the network's answer is not a number: it")] * 8


@pytest.mark.parametrize("workers", [0, 2])
def test_no_more_is_looked_for_than_is_needed(workers: int, network: Network, pictures: Path) -> None:
    """A list without end takes no memory; two batches are read ahead by each worker, and two to see if there is one."""
    asked = 0

    def names() -> Iterator[bytes]:
        nonlocal asked
        for name in repeat(os.fsencode(pictures / "left" / "0.jpg")):
            asked += 1
            yield name

    batches = predict(network, find(["-"], names()), choose_runtime("cpu"), batch_size=4, workers=workers)
    assert [len(batch) for batch in islice(batches, 3)] == [4, 4, 4]
    assert asked <= 4 * (3 + 1 + 2 * workers + 1)


def paths(*arguments: Path | str, names: bytes = b"") -> list[str]:
    found = list(find(map(str, arguments), names_in(BytesIO(names))))
    assert not any(problem for _, problem in found)
    return [os.fsdecode(path) for path, _ in found]


def test_a_folder_stands_for_the_pictures_that_training_would_see(picture_folder: PictureFolder) -> None:
    """Against ``ImageFolder``, whose order is that of whole paths: ``a.jpg`` before ``a/``, ``a-`` before both."""
    root = picture_folder("train", per_class=2)
    left = root / "train" / "left"
    for name in ("a/0.JPG", "a.jpg", "a-.png", ".hidden.jpg", ".git/0.jpg", "notes.txt"):
        (left / name).parent.mkdir(exist_ok=True)
        shutil.copy(left / "0.jpg", left / name)
    shutil.copy(left / "0.jpg", os.fsencode(left) + b"/caf\xe9.jpg")
    (left / "loop").symlink_to(left)
    (left / "self").symlink_to("self")
    (left / "self.jpg").symlink_to("self.jpg")
    listed = ImageFolder(str(root)).load("train")
    assert paths(root) == [str(listed.path(row)) for row in range(len(listed))]
    assert len(listed) == 3 * 2 + 5


def test_arguments_keep_their_order_and_their_wording(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pictures, tmp_path / "shots")
    shutil.copy(pictures / "left" / "0.jpg", tmp_path / "shots" / "[0].jpg")
    (tmp_path / "shots" / "notes.txt").touch()
    (tmp_path / "shots" / "folder.jpg").mkdir()
    monkeypatch.chdir(tmp_path)
    assert paths("shots/top/1.jpg", "./shots/left/0.jpg", "shots/top/1.jpg", "shots/notes.txt") == [
        *("shots/top/1.jpg", "./shots/left/0.jpg", "shots/top/1.jpg", "shots/notes.txt")
    ]
    assert paths("shots/*/[01].jpg") == [f"shots/{name}/{i}.jpg" for name in ("left", "right", "top") for i in (0, 1)]
    assert paths("shots/**") == paths("shots")
    assert paths("shots/*") == paths("shots/[0].jpg") == ["shots/[0].jpg"]  # the name is no pattern where it is a file
    assert paths("shots/", "-", ".", names=b"x.jpg\nshots/left\n")[25:28] == ["x.jpg", *paths("shots/left")[:2]]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_may_not_be_read_is_told_and_the_rest_goes_on(picture_folder: PictureFolder) -> None:
    root = picture_folder(per_class=1)
    (root / "right").chmod(0)
    found = list(find([str(root)]))
    (root / "right").chmod(0o700)
    assert [(Path(os.fsdecode(path)).name, problem) for path, problem in found] == [
        *(("0.jpg", ""), ("right", "Permission denied"), ("0.jpg", ""))
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"a\nb c\n", [b"a", b"b c"]),
        (b"a\r\nb", [b"a", b"b"]),
        (b"a\nb\0c\r\0\0", [b"a\nb", b"c\r"]),
        (b"a\0", [b"a"]),
        (b"caf\xe9\n" * PATH_MAX, [b"caf\xe9"] * PATH_MAX),
        (b"a\n" * PATH_MAX + b"b\0c", [b"a"] * PATH_MAX + [b"b", b"c"]),  # which no name can hold
    ],
)
def test_names_are_lines_or_end_with_a_zero_byte(text: bytes, names: list[bytes]) -> None:
    assert list(names_in(BytesIO(text))) == names
