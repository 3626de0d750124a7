"""What holds for every registered data set that needs no file."""

import pytest
import torch

from cnncli.config.validation import validate_options
from cnncli.datasets import Split
from cnncli.registry import DATASETS


@pytest.mark.parametrize("name", sorted(set(DATASETS.names()) - {"csv", "image_folder", "npz", "torchvision"}))
def test_a_data_set_is_what_it_says_of_itself(name: str) -> None:
    source = DATASETS.get(name)(**validate_options("data", name, {}))
    assert source.channels is not None
    assert len(source.mean) == len(source.std) == source.channels
    assert all(0 < mean < 1 for mean in source.mean)
    assert all(0 < std <= 0.5 for std in source.std)  # the most that values between 0 and 1 can have
    assert len(set(source.classes)) == len(source.classes) > 1
    assert {"train", "test"} <= set(source.splits)
    for split in source.splits:
        few = source.load(split, limit=2)
        assert isinstance(few, Split)
        assert few.images.dtype == torch.uint8
        assert few.images.shape == (len(few), source.channels, source.image_size, source.image_size)
        assert few.labels.dtype == torch.int64
        assert few.labels.bincount().tolist() == [2] * len(source.classes)
        again = source.load(split, limit=2)
        assert isinstance(again, Split)
        assert torch.equal(few.images, again.images)
        assert torch.equal(few.labels, again.labels)
