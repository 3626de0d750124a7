"""A table of pictures and their labels."""

import csv
import os
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from cnncli.datasets import MAX_CLASSES, SPLITS, Names, Pictures, SplitName, first_of_each_class
from cnncli.errors import DataError, did_you_mean
from cnncli.paths import FilePath, FolderPath
from cnncli.registry import DATASETS
from cnncli.text import one_line

Column = Annotated[str, Field(min_length=1, description="a heading of the table")]


@DATASETS.register
class Table:
    """Pictures named in a CSV file with a column of paths and one of labels, and perhaps one that says the split.

    Paths are relative to ``root``, by default the file's folder. Classes are the labels, sorted: as numbers where all
    are whole numbers, else as text. Without a column of splits (train, val, test) all rows are to train on.
    """

    channels = image_size = None
    mean, std = (0.5,), (0.5,)

    def __init__(
        self,
        file: FilePath,
        root: Annotated[
            FolderPath | None, Field(description="the folder of the paths; null for the table's own")
        ] = None,
        path_column: Column = "path",
        label_column: Column = "label",
        split_column: Column = "split",
    ) -> None:
        self.file = file
        self.root = root or str(Path(file).parent)
        rows = self._rows(path_column, label_column, split_column)
        labels = {label for _, label, _ in rows}
        numeric = all(label.isascii() and label.isdigit() for label in labels)
        self.classes = tuple(sorted(labels, key=(lambda label: (int(label), label)) if numeric else None))
        if len(self.classes) > MAX_CLASSES:
            raise DataError(f"{file}: {len(self.classes):,} different labels; there can be {MAX_CLASSES:,} at most")
        number = {name: index for index, name in enumerate(self.classes)}
        self._pictures: dict[SplitName, Pictures] = {}
        for split in SPLITS:
            if chosen := [(path, number[label]) for path, label, its_split in rows if its_split == split]:
                names = Names(os.fsencode(path) for path, _ in chosen)
                numbers = torch.tensor([label for _, label in chosen])
                self._pictures[split] = Pictures(self.root, names, torch.arange(len(names)), numbers)
        self.splits = tuple(self._pictures)

    def load(self, split: SplitName, limit: int | None = None) -> Pictures:
        """Return the rows of one split, in the order of the file."""
        return first_of_each_class(self._pictures[split], limit)

    def _rows(self, path_column: str, label_column: str, split_column: str) -> list[tuple[str, str, str]]:
        """Read the table as (path, label, split)."""
        rows, lines = [], dict[str, int]()  # a picture that is given twice could be held out and trained on
        try:
            with Path(self.file).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
                reader = csv.DictReader(file)
                headings = reader.fieldnames or []
                for column in (path_column, label_column):
                    if column not in headings:
                        raise DataError(f"{self.file}:1: no column {column!r}{did_you_mean(column, headings)}")
                for row in reader:
                    where = f"{self.file}:{reader.line_num}"
                    path, label, split = row[path_column], row[label_column], row.get(split_column, "train")
                    if not path or not label:
                        raise DataError(f"{where}: {path_column if not path else label_column} is empty")
                    if "\0" in path:
                        raise DataError(f"{where}: {path_column} holds a NUL character, which no file name may have")
                    if (first := lines.setdefault(os.path.normpath(path), reader.line_num)) != reader.line_num:
                        raise DataError(f"{where}: {one_line(path)} is given twice, first in line {first}")
                    if split not in SPLITS:
                        raise DataError(f"{where}: {split_column} is {split!r}; it must be train, val or test")
                    rows.append((path, label, split))
        except OSError as error:
            raise DataError(f"{self.file}: {error.strerror}") from None
        except csv.Error as error:
            raise DataError(f"{self.file}: not a table of comma-separated values: {error}") from None
        if not rows:
            raise DataError(f"{self.file}: no rows in it")
        return rows
