"""Each contender trains the epochs of a task and returns their seconds; one to a process, as each has its threads.

python -m benchmarks.race.contenders CONTENDER TASK      # prints images a second of the epochs after the first
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.race.tasks import LR, MEAN, MOMENTUM, STD, TASKS, THREADS, Task
from cnncli import malloc

Seconds = list[float]  # of each epoch


def cnncli(task: Task) -> Seconds:
    """``cnn train``: its session, run directory, checkpoints, history and all."""
    from cnncli.display import Display
    from cnncli.run import Run
    from cnncli.session import Session

    with tempfile.TemporaryDirectory() as folder, Display() as display:
        run = Run.create(Path(folder), "run")
        Session(task.experiment(), run, display).train(test_at_end=False)
        return [json.loads(line)["seconds"] for line in (run.path / "history.jsonl").read_text().splitlines()]


def limit(task: Task, layout: str = "contiguous") -> Seconds:
    """Forward, backward and step on one batch that stays where it is."""
    images, labels, _ = task.images()
    first, targets = _normalised(images[: task.batch_size]), labels[: task.batch_size]
    first = first.contiguous(memory_format=_torch_layout(layout))
    sizes = [min(task.batch_size, len(labels) - start) for start in range(0, len(labels), task.batch_size)]
    return _loop(task, lambda: ((first[:size], targets[:size]) for size in sizes), layout)


def limit_channels_last(task: Task) -> Seconds:
    """The same in the other layout."""
    return limit(task, "channels_last")


def resident(task: Task) -> Seconds:
    """A loader in the style of airbench (Jordan 2024): all images normalised in memory, a shuffled slice a batch."""
    import torch

    images, labels, _ = task.images()
    whole = _normalised(images).contiguous(memory_format=torch.channels_last)

    def epoch() -> Iterator[Any]:
        order = torch.randperm(len(labels))
        for rows in order.split(task.batch_size):
            yield whole[rows], labels[rows]

    return _loop(task, epoch, "channels_last")


def dataloader(task: Task, workers: int = 0) -> Seconds:
    """A tutorial's loop: one picture at a time through torchvision's transforms, then a DataLoader."""
    loader = _data_loader(task, workers)
    return _loop(task, lambda: iter(loader), "channels_last" if workers else "contiguous", fused=workers > 0)


def dataloader_workers(task: Task) -> Seconds:
    """The same at its best: two processes that stay, channels_last, a fused optimizer."""
    return dataloader(task, workers=2)


def lightning(task: Task, best: bool = False) -> Seconds:
    """PyTorch Lightning at its defaults: progress bar, logger, checkpoints."""
    import lightning as pl
    import torch
    from torch.nn import functional as F

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.seconds, self.started = task.network(), Seconds(), 0.0

        def training_step(self, batch: Any) -> Any:
            return F.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM)

        def on_train_epoch_start(self) -> None:
            self.started = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.seconds.append(time.perf_counter() - self.started)

    module = Module()
    quiet: dict[str, Any] = (
        {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False} if best else {}
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(max_epochs=1 + task.num_epochs, accelerator="cpu", default_root_dir=folder, **quiet)
        trainer.fit(module, _data_loader(task, 2 if best else 0))
    return module.seconds


def lightning_best(task: Task) -> Seconds:
    """The same without logger, checkpoints and bar, with two processes that stay."""
    return lightning(task, best=True)


def keras(task: Task, best: bool = False) -> Seconds:
    """Keras 3 on TensorFlow: ``fit`` on arrays that are normalised before."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import numpy as np
    import tensorflow as tf
    from keras import callbacks, losses, optimizers

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    images, labels, num_classes = task.images()
    x = _normalised(images).permute(0, 2, 3, 1).numpy().copy()
    y = labels.numpy().astype(np.int32)
    model = _keras_network(task.config, x.shape[1:], num_classes)
    model.compile(
        optimizers.SGD(LR, momentum=MOMENTUM), losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=best
    )

    class Clock(callbacks.Callback):
        seconds, started = Seconds(), 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.perf_counter() - self.started)

    clock, epochs = Clock(), 1 + task.num_epochs
    if best:
        whole = tf.data.Dataset.from_tensor_slices((x, y)).cache().shuffle(len(y)).batch(task.batch_size)
        model.fit(whole.prefetch(tf.data.AUTOTUNE), epochs=epochs, callbacks=[clock], verbose=0)
    else:
        model.fit(x, y, batch_size=task.batch_size, epochs=epochs, callbacks=[clock])
    return clock.seconds


def keras_best(task: Task) -> Seconds:
    """The same from tf.data, compiled by XLA, in silence."""
    return keras(task, best=True)


CONTENDERS: dict[str, Callable[[Task], Seconds]] = {
    function.__name__: function
    for function in (
        *(cnncli, limit, limit_channels_last, resident, dataloader, dataloader_workers, lightning, lightning_best),
        *(keras, keras_best),
    )
}


def _normalised(images: Any) -> Any:
    return (images.float() / 255 - MEAN) / STD


def _data_loader(task: Task, workers: int) -> Any:
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    images, labels, _ = task.images()
    channels = images.shape[1]
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,) * channels, (STD,) * channels)])
    arrays, targets = images.permute(0, 2, 3, 1).squeeze(3).numpy(), labels.tolist()

    class Pictures(Dataset):  # type: ignore[type-arg]
        """What ``torchvision.datasets.MNIST`` does for each item."""

        def __len__(self) -> int:
            return len(targets)

        def __getitem__(self, row: int) -> tuple[Any, int]:
            return steps(Image.fromarray(arrays[row])), targets[row]

    return DataLoader(Pictures(), task.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def _torch_layout(name: str) -> Any:
    import torch

    return torch.channels_last if name == "channels_last" else torch.contiguous_format


def _loop(task: Task, epoch: Callable[[], Iterable[Any]], layout: str, fused: bool = True) -> Seconds:
    """Train as plainly as PyTorch allows."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(THREADS)
    network = task.network().to(memory_format=_torch_layout(layout)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM, fused=fused)
    seconds = Seconds()
    for _ in range(1 + task.num_epochs):
        started = time.perf_counter()
        for images, labels in epoch():
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds


def _keras_network(name: str, shape: tuple[int, ...], num_classes: int) -> Any:
    """Return the network of a config, layer by layer."""
    from keras import Sequential, layers

    def conv(filters: int, kernel: int, padding: str = "valid", strides: int = 1) -> Any:
        return layers.Conv2D(filters, kernel, strides=strides, padding=padding, activation="relu")

    if name == "lenet5":
        body = [conv(6, 5, "same"), layers.MaxPooling2D(2), conv(16, 5), layers.MaxPooling2D(2), layers.Flatten()]
        head = [layers.Dense(120, activation="relu"), layers.Dense(84, activation="relu")]
    elif name == "tinyvgg":
        body = [conv(10, 3), conv(10, 3), layers.MaxPooling2D(2), conv(10, 3), conv(10, 3), layers.MaxPooling2D(2)]
        head = [layers.Flatten()]
    else:
        pool = layers.MaxPooling2D
        body = [conv(96, 11, strides=4), pool(3, 2), conv(256, 5, "same"), pool(3, 2), conv(384, 3, "same")]
        body += [conv(384, 3, "same"), conv(256, 3, "same"), pool(3, 2), layers.Flatten()]
        hidden = [layers.Dense(4096, activation="relu"), layers.Dropout(0.2)]
        head = [layers.Dropout(0.2), *hidden, layers.Dense(4096, activation="relu")]
    return Sequential([layers.Input(shape), *body, *head, layers.Dense(num_classes)])


def main() -> None:
    """Run one contender, and print its images a second."""
    name, task = sys.argv[1], TASKS[sys.argv[2]]
    stdout, sys.stdout = sys.stdout, sys.stderr  # where others print their progress
    if name.startswith(("limit", "resident")):
        malloc.keep_freed_memory()  # as cnncli has it: what is compared is the loop
    if name != "cnncli":
        malloc._set = lambda options: None  # reading the images through cnncli leaves others what they have by default
    timed = CONTENDERS[name](task)[1:]
    num_images = len(task.images()[1])
    print(json.dumps({"images_per_second": num_images * len(timed) / sum(timed)}), file=stdout)


if __name__ == "__main__":
    main()
