"""What a network makes of pictures that nobody has labelled: files, folders, patterns, lists of names."""

import glob
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, pairwise, tee
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cnncli.checkpoint import Network
from cnncli.datasets import Names, Pictures
from cnncli.datasets.image_folder import EXTENSIONS, is_folder
from cnncli.pipeline.preprocess import Preprocess, centred
from cnncli.pipeline.reading import Read, Reader, Wanted
from cnncli.pipeline.workers import by_workers
from cnncli.runtime import Runtime
from cnncli.text import one_line

PATH_MAX = 4096  # bytes of the longest path that Linux takes
PICTURES = frozenset(map(os.fsencode, EXTENSIONS))
NO_NUMBER = "the network's answer is not a number: its weights are broken"


class Found(NamedTuple):
    """A path as the file system has it, and what is wrong with it if that is known before it is read."""

    path: bytes
    problem: str = ""


class Prediction(NamedTuple):
    """The likeliest classes of a picture with their probabilities, the first being its label; or what is wrong."""

    path: str  # bytes that are no UTF-8 survive as surrogates
    top: list[tuple[str, float]]
    error: str = ""


Answer = Callable[[], list[Prediction]]  # waits for the device


def find(arguments: Iterable[str], names: Iterable[bytes] = ()) -> Iterator[Found]:
    """Yield the pictures that arguments stand for, in the arguments' order and as often as they are named.

    A folder stands for the pictures under it by name, a pattern for those it matches, ``-`` for ``names``, which are
    files or folders. Whatever stands for none is yielded itself with its problem.
    """
    for argument in arguments:
        path = os.fsencode(argument)
        if argument == "-":
            listed = chain.from_iterable(map(_of_path, names))
            yield from _or_else(listed, Found(path, "no name came from stdin"))
        elif glob.has_magic(path) and not os.path.lexists(path):
            yield from _or_else(_matching(path), Found(path, "matches no picture"))
        else:
            yield from _of_path(path)


def names_in(stream: BinaryIO) -> Iterator[bytes]:
    """Yield names: one a line, or each ended by a zero byte, as of ``find -print0``; the first bytes tell which."""
    rest, ends = b"", b""
    while block := stream.read(PATH_MAX):
        ends = ends or (b"\0" if b"\0" in block else b"[\0\r\n]")
        *names, rest = re.split(ends, rest + block)
        yield from filter(None, names)
    if rest:
        yield rest


def is_picture(path: bytes) -> bool:
    """Whether a file is called what pictures are called."""
    return os.path.splitext(path)[1].lower() in PICTURES  # noqa: PTH122  # fast


def _of_path(path: bytes) -> Iterator[Found]:
    if not os.path.isdir(path):  # noqa: PTH112  # bytes
        yield Found(path)
    else:
        yield from _or_else(_under(path), Found(path, "no picture in this folder"))


def _matching(pattern: bytes) -> Iterator[Found]:
    for match in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207  # bytes
        if is_picture(match) and not os.path.isdir(match):  # noqa: PTH112
            yield Found(match)


def _or_else(found: Iterator[Found], nothing: Found) -> Iterator[Found]:
    yield next(found, nothing)
    yield from found


def _under(folder: bytes, around: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Found]:
    """Yield the pictures that ``ImageFolder`` finds under a folder, sorted by path, a folder in memory at a time.

    A link back to one of the folders ``around`` it leads nowhere.
    """
    try:
        here = os.stat(folder)  # noqa: PTH116  # bytes
        with os.scandir(folder) as listing:
            entries = sorted((entry.name + b"/" * is_folder(entry), entry.path) for entry in listing)
    except OSError as error:
        yield Found(folder, error.strerror or str(error))
        return
    identity = (here.st_dev, here.st_ino)
    for name, path in entries if identity not in around else ():
        if name.startswith(b"."):
            continue
        if name.endswith(b"/"):
            yield from _under(path, around | {identity})
        elif is_picture(name):
            yield Found(path)


def predict(
    network: Network, found: Iterable[Found], runtime: Runtime, batch_size: int = 128, workers: int = 0, top: int = 5
) -> Iterator[list[Prediction]]:
    """Yield the ``top`` classes of pictures batch by batch, in their order, while the device is at the next batch.

    Pictures are decoded by worker processes, unless one batch holds them all, and preprocessed as in evaluation.
    """
    rest = iter(found)
    batches = iter(lambda: list(islice(rest, batch_size)), [])
    first = list(islice(batches, 2))
    noted, wanted = tee(chain(first, batches))
    pin = runtime.device.type == "cuda"
    reads = by_workers(_Reader(network.preprocess), wanted, workers if len(first) > 1 else 0, pin)
    answers = _answers(network, zip(noted, reads, strict=True), runtime, min(top, len(network.classes)))
    nothing: Answer = list
    for answer, _ in pairwise(chain(answers, [nothing])):
        yield answer()


class _Reader(Dataset[Read]):
    """Reads the canvases of a batch; runs in the workers."""

    def __init__(self, preprocess: Preprocess) -> None:
        self.preprocess = preprocess

    def __getitem__(self, found: list[Found]) -> Read:
        names, numbers = Names(path for path, _ in found), torch.arange(len(found))
        pictures = Pictures("", names, numbers, numbers)
        pixels, broken, _ = Reader(pictures, self.preprocess)[Wanted(numbers.numpy())]
        errors = {place: text.removeprefix(one_line(f"{pictures.path(place)}: ")) for place, text in broken.items()}
        return Read(pixels, errors | {place: problem for place, (_, problem) in enumerate(found) if problem})


@torch.inference_mode()
def _answers(
    network: Network, reads: Iterable[tuple[list[Found], Read]], runtime: Runtime, top: int
) -> Iterator[Answer]:
    """Set the device to each batch, and yield what waits for its answer."""
    model, preprocess = runtime.place(network.model), network.preprocess
    for found, read in reads:
        pixels = centred(read.pixels.to(runtime.device, non_blocking=True), preprocess.size)
        images = preprocess.normalise(runtime.arrange(pixels))
        best = model(images).float().softmax(1).topk(top)
        values, labels = runtime.later(best.values), runtime.later(best.indices)
        yield partial(_predictions, network.classes, found, read.broken, values, labels)


def _predictions(
    classes: list[str],
    found: list[Found],
    broken: dict[int, str],
    values: Callable[[], Tensor],
    labels: Callable[[], Tensor],
) -> list[Prediction]:
    predictions = []
    for place, (likely, numbers) in enumerate(zip(values().tolist(), labels().tolist(), strict=True)):
        error = broken.get(place, NO_NUMBER if math.isnan(likely[0]) else "")
        top = [] if error else [(classes[label], value) for label, value in zip(numbers, likely, strict=True)]
        predictions.append(Prediction(os.fsdecode(found[place].path), top, error))
    return predictions
