"""The splits of a data set: its own, or held out of its training images; in the order of classes that is asked for."""

from dataclasses import replace

import torch
from torch import Tensor

from cnncli.config.schema import Config
from cnncli.datasets import SPLITS, Images, Pictures, Source, SplitName
from cnncli.errors import DataError, did_you_mean
from cnncli.pipeline.plan import hold_out

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
        self._listed: dict[SplitName, Pictures] = {}  # listing a million files twice takes seconds

    @property
    def names(self) -> list[SplitName]:
        """The splits there are."""
        held = self.held_out if "train" in self.source.splits else []
        return sorted({*self.source.splits, *held}, key=SPLITS.index)

    def load(self, name: SplitName) -> Images | None:
        """Read or list one split; ``None`` if there is none of that name."""
        if name in self.source.splits and name != "train":
            return self._own(name)
        if name != "train" and name not in self.held_out:
            return None
        whole = self._own("train")
        return whole.take(self._parts(whole)[name]) if self.held_out else whole

    def held_out_names(self) -> Record:
        """Return what a checkpoint notes of files that were held out; nothing where images have no names."""
        if not self.held_out:
            return {}
        whole = self._own("train")
        if not isinstance(whole, Pictures):
            return {}
        parts = self._parts(whole)
        return {split: [whole.name(row) for row in parts[split].tolist()] for split in self.held_out}

    def _own(self, name: SplitName) -> Images:
        """Return a split as the data set has it, with the classes that are asked for."""
        if name in self._listed:
            return self._listed[name]
        if name not in self.source.splits:
            raise DataError(f"the data have no {name} split; they have {' and '.join(self.source.splits)}")
        images = self._arranged(self.source.load(name, self.config.data.limit))
        if not len(images):
            raise DataError(f"the {name} split holds no images")
        if isinstance(images, Pictures):
            if name == "train":
                self._check_classes(images)
            self._listed[name] = images
        return images

    def _arranged(self, images: Images) -> Images:
        if self.classes == self.source.classes:
            return images
        numbers = torch.tensor([self.classes.index(c) if c in self.classes else -1 for c in self.source.classes])
        labels = numbers[images.labels]
        kept = torch.nonzero(labels >= 0).squeeze(1)
        return replace(images.take(kept), labels=labels[kept])

    def _check_classes(self, train: Pictures) -> None:
        counts = train.labels.bincount(minlength=len(self.classes))
        if empty := [name for name, count in zip(self.classes, counts.tolist(), strict=True) if not count]:
            raise DataError(
                f"{train.root}: no picture to train on of {', '.join(empty[:10])}{' …' * (len(empty) > 10)};"
                " add some, remove the folder, or leave the class out with data.classes"
            )

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
                problem = f"leaves no image of class {first} to train on, as it takes at least one of each class"
                raise self.config.error(("data", key), problem)
        return parts | {"train": rows}

    def _recorded(self, whole: Pictures) -> dict[SplitName, Tensor]:
        row_of = {whole.names[number]: row for row, number in enumerate(whole.rows.tolist())}
        parts: dict[SplitName, Tensor] = {}
        for name in self.held_out:
            wanted = [file.encode("utf-8", "surrogateescape") for file in self.record.get(name, [])]
            if missing := [file for file in wanted if file not in row_of]:
                first = missing[0].decode(errors="replace")
                raise DataError(
                    f"{whole.root}: {len(missing):,} files of the run's {name} split are gone, first {first}"
                )
            parts[name] = torch.tensor(sorted(row_of.pop(file) for file in wanted), dtype=torch.long)
        return parts | {"train": torch.tensor(sorted(row_of.values()), dtype=torch.long)}
