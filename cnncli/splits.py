"""The splits of a data set: its own, or held out of its training images; in the order of classes that is asked for."""

import os
from dataclasses import replace

import torch
from torch import Tensor

from cnncli.config.schema import Config
from cnncli.datasets import SPLITS, Images, Pictures, Source, SplitName
from cnncli.errors import DataError, did_you_mean
from cnncli.pipeline.plan import hold_out
from cnncli.text import one_line

Record = dict[str, list[str]]  # split -> file names relative to the data set's folder


class Splits:
    """What a run trains, validates and tests on.

    ``record`` names the files that a checkpoint's run held out: they stay held out, whatever came to the folder since.
    """

    def __init__(self, source: Source, config: Config, record: Record | None = None) -> None:
        self.source, self.config = source, config
        self.record = record or {}
        data = config.data
        self.classes = tuple(data.classes or source.classes)
        if unknown := [name for name in self.classes if name not in source.classes]:
            hint = did_you_mean(unknown[0], source.classes)
            raise config.error(("data", "classes"), f"{data.name} has no class {unknown[0]!r}{hint}")
        if len(set(self.classes)) < len(self.classes):
            raise config.error(("data", "classes"), "names a class twice")
        own = set(source.splits)
        self.held_out: list[SplitName] = []
        if "test" not in own and data.test:
            self.held_out.append("test")
        if "val" not in own and data.validation:
            self.held_out.append("val")
        # Pictures, as listing and dividing a million takes seconds, and arrays that are held out of those to train on.
        self._known: dict[SplitName, Images] = {}

    @property
    def names(self) -> list[SplitName]:
        """The splits there are."""
        held = self.held_out if "train" in self.source.splits else []
        return sorted({*self.source.splits, *held}, key=SPLITS.index)

    def load(self, name: SplitName) -> Images | None:
        """Read or list one split; ``None`` if there is none of that name."""
        if name not in self._known:
            images = self._read(name)
            if not isinstance(images, Pictures):
                return images
            self._known[name] = images
        return self._known[name]

    def untaught(self) -> list[str]:
        """Return the classes that none of the images to train on belongs to."""
        train = self.load("train")
        assert train is not None
        counts = train.labels.bincount(minlength=len(self.classes))
        return [name for name, count in zip(self.classes, counts.tolist(), strict=True) if not count]

    def held_out_names(self) -> Record:
        """Return what a checkpoint notes of files that were held out; nothing where images have no names."""
        if not self.record and self.source.image_size is None:
            held = {name: images for name in self.held_out if isinstance(images := self.load(name), Pictures)}
            self.record = {name: [images.name(row) for row in range(len(images))] for name, images in held.items()}
        return self.record

    def _read(self, name: SplitName) -> Images | None:
        if name not in (*self.source.splits, *self.held_out, "train"):
            return None
        if not self.held_out or (name in self.source.splits and name != "train"):
            return self._own(name)
        whole = self._own("train")
        parts = self._parts(whole)
        if isinstance(whole, Pictures):
            self._known |= {part: whole.take(rows) for part, rows in parts.items()}
        elif name == "train":  # what is held out is asked for next: reading and dividing all again takes half a second
            self._known |= {part: whole.take(parts[part]) for part in self.held_out}
        return self._known[name] if name in self._known else whole.take(parts[name])

    def _own(self, name: SplitName) -> Images:
        """Return a split as the data set has it, with the classes that are asked for."""
        if name not in self.source.splits:
            raise DataError(f"the data have no {name} split; they have {' and '.join(self.source.splits)}")
        return self._arranged(self.source.load(name, self.config.data.limit))

    def _arranged(self, images: Images) -> Images:
        if self.classes == self.source.classes:
            return images
        numbers = torch.tensor([self.classes.index(c) if c in self.classes else -1 for c in self.source.classes])
        labels = numbers[images.labels]
        kept = torch.nonzero(labels >= 0).squeeze(1)
        return replace(images.take(kept), labels=labels[kept])

    def _parts(self, whole: Images) -> dict[SplitName, Tensor]:
        """Return the rows of each part of the training images: by name where they were recorded, else drawn."""
        if self.record and isinstance(whole, Pictures):
            return self._recorded(whole)
        rows = torch.arange(len(whole))
        parts: dict[SplitName, Tensor] = {}
        for name in self.held_out:
            share = self.config.data.test if name == "test" else self.config.data.validation
            before = whole.labels[rows].bincount(minlength=len(self.classes))
            kept, held = hold_out(whole.labels[rows], share, self.config.train.seed)
            parts[name], rows = rows[held], rows[kept]
            used_up = (whole.labels[rows].bincount(minlength=len(self.classes)) == 0) & (before > 0)
            if used_up.any():
                key, first = "test" if name == "test" else "validation", self.classes[int(used_up.int().argmax())]
                problem = (
                    f"leaves no image of class {one_line(first)} to train on, as it takes at least one of each class"
                )
                raise self.config.error(("data", key), problem)
        return parts | {"train": rows}

    def _recorded(self, whole: Pictures) -> dict[SplitName, Tensor]:
        split_of = {os.fsencode(file): name for name in self.held_out for file in self.record.get(name, [])}
        rows: dict[SplitName, list[int]] = {name: [] for name in (*self.held_out, "train")}
        for row, number in enumerate(whole.rows.tolist()):
            rows[split_of.pop(whole.names[number], "train")].append(row)
        if split_of:
            file, name = next(iter(split_of.items()))
            raise DataError(
                f"{whole.root}: {len(split_of):,} files that the run held out are gone, or beyond data.limit;"
                f" the first is {one_line(os.fsdecode(file))} of its {name} split"
            )
        return {name: torch.tensor(chosen, dtype=torch.long) for name, chosen in rows.items()}
