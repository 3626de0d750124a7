"""Weights that torchvision publishes: which there are, how they want images prepared, and where they come from."""

import hashlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import InterpolationMode

from cnncli.errors import CheckpointError, DataError, did_you_mean
from cnncli.paths import absolute
from cnncli.text import one_line
from cnncli.trust import read_archive

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # layers of GoogLeNet and Inception that only their training had
UNBUILT = {"inception_v3": 3_326_696}  # parameters of those that torchvision counts; GoogLeNet's it leaves out
# Their weights want images from -1 to 1, which torchvision has the network make of ImageNet's normalisation.
FROM_MINUS_ONE_TO_ONE = ("googlenet", "inception_v3")
DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")  # as DenseNet's layers were called when published


@dataclass(frozen=True)
class Preset:
    """How images are prepared that weights were trained with: the shorter side to ``canvas``, the middle ``size``."""

    size: int
    canvas: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic"]
    channels: int = 3


@dataclass(frozen=True)
class Published:
    """The weights of one of torchvision's models, by their names or in a file."""

    model: str

    def settled(self, weights: str) -> str:
        """Return a name other than DEFAULT, or an absolute path; ``ValueError`` where it is neither."""
        if weights in (known := {"DEFAULT": self._default.name, **{name: name for name in self._members}}):
            return str(known[weights])
        if os.sep not in weights and Path(weights).suffix not in (".pth", ".pt"):
            near = did_you_mean(weights, known)
            raise ValueError(f"{one_line(weights)!r:.80} are no published weights, nor a file that ends in .pth{near}")
        return absolute(weights)

    def preset(self, weights: str) -> Preset | None:
        """Return how images are prepared for settled weights; ``None`` of a file that is not one of torchvision's."""
        member = self._member(weights)
        return None if member is None else self._preset(member)

    @property
    def usual(self) -> Preset:
        """How images are prepared for the weights that torchvision has by default."""
        return self._preset(self._default)

    def fetch(self, weights: str, folder: Path, note: Callable[[str], None], may_download: bool = True) -> Path | None:
        """Return where the file of settled weights is, in ``folder`` once it is downloaded; ``None`` if it may not be.

        Raises ``DataError`` where that fails, ``CheckpointError`` where there is no such file.
        """
        if weights not in self._members:
            path = Path(weights)
            if not path.is_file():
                raise CheckpointError(f"{one_line(weights)}: {'not a file' if path.exists() else 'no such file'}")
            return path
        url: str = self._members[weights].url
        path = folder / url.rpartition("/")[2]
        if not path.exists() and not may_download:
            note(f"{weights} of {self.model} are not here yet, and not downloaded now: drawn ones stand in for them")
            return None
        if not path.exists():
            note(f"{weights} of {self.model} are downloaded from {url} to {folder}")
            _download(url, path)
        return path

    def give(self, weights: str, path: Path, network: nn.Module, classes: list[str], image_size: int) -> str:
        """Give ``network`` what is in the file of settled weights, but for a last layer of other classes.

        Returns what to say of it. Raises ``CheckpointError`` where the file is damaged, or holds something else.
        """
        member, state, own = self._member(weights), self._read(weights, path), network.state_dict()
        *_, head = (name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d))
        bias = state.get(f"{head}.bias")
        before = len(bias) if bias is not None and bias.ndim else 0
        fits = classes == member.meta["categories"] if member else before == len(classes)
        if not fits:
            state.update({key: values for key, values in own.items() if key.rpartition(".")[0] == head})
        try:
            network.load_state_dict(state)
        except Exception as error:  # whatever a stranger's shapes and versions of layers lead to
            told = str(error)
            why = one_line(" ".join((told.partition(":\n")[2] or told).split()))[:200]
            raise CheckpointError(f"{path}: not the weights of torchvision/{self.model} as it is here: {why}") from None
        said = f"its last layer, {head}, "
        if not fits:
            said += f"of {before:,} classes is made anew for {len(classes):,}"
        elif member:
            said += "is kept: its classes are these"
        else:
            said += f"is kept: its {before:,} classes are taken to be these, in this order"
        if member is None:
            return f"{said}; how its images were prepared is not known: data.mean and data.std say how these are"
        if (learned := self._preset(member).size) != image_size:
            return f"{said}; it has learned from {learned}×{learned} pixels, and data.size is {image_size}"
        return said

    def _read(self, weights: str, path: Path) -> dict[str, Tensor]:
        """Return what is in a file, under the names that layers have today, without those of training alone."""
        try:
            with path.open("rb") as file:  # once: what is checked is what is read
                if (member := self._member(weights)) is None:
                    state: dict[str, Tensor] = read_archive(file, os.fstat(file.fileno()).st_size)
                elif not hashlib.file_digest(file, "sha256").hexdigest().startswith(_promised(member.url)):
                    raise CheckpointError(
                        "damaged: its sha256 does not begin as its name says; remove and fetch it again"
                    )
                else:
                    file.seek(0)
                    state = torch.load(file, map_location="cpu", weights_only=True)
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror or error}") from None
        except Exception as error:  # whatever a stranger's bytes lead to
            raise CheckpointError(f"{path}: {one_line(str(error))[:300]}") from None
        is_one = isinstance(state, dict) and all(type(key) is str and isinstance(state[key], Tensor) for key in state)
        if not is_one:
            raise CheckpointError(
                f"{path}: holds something other than the state_dict of a network;"
                " 'cnn import' may make a checkpoint of it, to begin with by model.init_from"
            )
        for key in list(state):  # in place, since a state_dict carries the versions of its layers
            values = state.pop(key)
            if not key.startswith(AUXILIARY):
                state[DENSE.sub(r"\1\2", key)] = values
        return state

    @property
    def num_parameters(self) -> int:
        """Parameters of the model at its defaults."""
        return int(self._default.meta["num_params"]) - UNBUILT.get(self.model, 0)

    def _preset(self, member: Any) -> Preset:
        wanted = member.transforms()
        halves = (0.5,) * 3 if self.model in FROM_MINUS_ONE_TO_ONE else None
        return Preset(
            size=wanted.crop_size[0],
            canvas=wanted.resize_size[0],
            mean=halves or tuple(wanted.mean),
            std=halves or tuple(wanted.std),
            interpolation="bicubic" if wanted.interpolation == InterpolationMode.BICUBIC else "bilinear",
        )

    @property
    def _members(self) -> dict[str, Any]:
        """The weights by name, but for those of features alone, whose classifier is not a number anywhere."""
        return {member.name: member for member in models.get_model_weights(self.model) if member.meta["categories"]}

    @property
    def _default(self) -> Any:
        return models.get_model_weights(self.model).DEFAULT

    def _member(self, weights: str) -> Any:
        """Return what torchvision knows of weights, by name or by that of their file; ``None`` if it knows nothing."""
        by_file = {member.url.rpartition("/")[2]: member for member in self._members.values()}
        return self._members.get(weights) or by_file.get(Path(weights).name)


def _promised(url: str) -> str:
    """Return what the sha256 of a published file begins with, which stands in its name."""
    (digits,) = re.findall(r"-([0-9a-f]{8,})\.", url.rpartition("/")[2])
    return str(digits)


def _download(url: str, path: Path) -> None:
    """Download a file, whole or not at all; ``DataError`` says how to do it by hand."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), _promised(url), progress=sys.stderr.isatty())
    except Exception as error:  # whatever urllib, the disk and the hash's check raise
        raise DataError(
            f"{url} could not be downloaded ({one_line(str(error))[-200:]});"
            f" fetch {path.name} in another way and name it: weights: {path.name}"
        ) from None
