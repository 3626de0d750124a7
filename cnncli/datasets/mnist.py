"""MNIST: 70,000 handwritten digits, which come with the package (see mnist.md for their licence)."""

from pathlib import Path

from cnncli.datasets import Split, SplitName
from cnncli.datasets.npz import NpzArchive
from cnncli.registry import DATASETS


@DATASETS.register
class MNIST:
    """The MNIST database of LeCun, Cortes and Burges: 28×28 grey digits, 60,000 to train on and 10,000 to test."""

    classes = tuple("0123456789")
    channels, image_size = 1, 28
    mean, std = (0.1307,), (0.3081,)  # of all pixels of the training images
    splits: tuple[SplitName, ...] = ("train", "test")

    def load(self, split: SplitName, limit: int | None = None) -> Split:
        """Read one split from the file beside this module."""
        return NpzArchive(str(Path(__file__).with_name("mnist.npz"))).load(split, limit)
