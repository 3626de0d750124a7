"""What is raced: the same network, images, batches and optimizer for all, without augmentation or validation."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnncli.config.validation import load_config
from cnncli.experiment import Experiment

LR, MOMENTUM, THREADS = 0.01, 0.9, 2


@dataclass(frozen=True)
class Task:
    """A bundled config, the images of an epoch, and how many make a batch."""

    config: str
    batch_size: int
    limit: int  # images of each of ten classes
    num_epochs: int  # timed, after one that is not

    def sets(self, *more: str) -> list[str]:
        """Return what all contenders have in common, as ``--set`` takes it."""
        return [
            *(
                f"train.batch_size={self.batch_size}",
                f"train.epochs={1 + self.num_epochs}",
                f"runtime.threads={THREADS}",
            ),
            *("data.validation=0", "augment={shift: 0}", "loss={name: cross_entropy}", "schedule={name: constant}"),
            f"optimizer={{name: sgd, lr: {LR}, momentum: {MOMENTUM}}}",
            *("runtime.device=cpu", "train.report=last", f"data.limit={self.limit}", *more),
        ]

    def experiment(self, *more: str) -> Experiment:
        """Return what ``cnn train`` makes of the task."""
        return Experiment.prepare(load_config(self.config, self.sets(*more)))

    def images(self) -> tuple[Tensor, Tensor, int]:
        """Return uint8 [N, C, H, W], labels [N], and the number of classes."""
        experiment = self.experiment()
        split = experiment.splits.load("train")
        return split.images, split.labels, len(experiment.splits.classes)  # type: ignore[union-attr]

    def network(self) -> nn.Module:
        """Return the network with the first weights of seed 0."""
        return self.experiment().build_model().to(memory_format=torch.contiguous_format)


TASKS = {
    "lenet5-128": Task("lenet5", 128, 2_000, 2),
    "lenet5-256": Task("lenet5", 256, 2_000, 2),
    "tinyvgg-64": Task("tinyvgg", 64, 300, 2),
    "alexnet-64": Task("alexnet_shapes", 64, 19, 1),
}
MEAN, STD = 0.5, 0.5
