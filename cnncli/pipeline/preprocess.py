"""From pixels to what a network sees. It belongs to the checkpoint: every command uses the same."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError
from torch import Tensor
from torch.nn.functional import interpolate

from cnncli.errors import DataError
from cnncli.pipeline.decode import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

Resize = Literal["squash", "crop", "pad"]
Interpolation = Literal["bilinear", "bicubic"]
Byte = Annotated[int, Field(ge=0, le=255)]
MAX_SIDE = 4096


@dataclass(frozen=True)
class Preprocess:
    """Square images of ``size`` pixels a side, then ``(pixel / 255 - mean) / std`` for each channel.

    A picture is brought to a square of ``canvas`` pixels (0: as many as ``size``), of which the middle is seen:
    squashed, or its middle square alone, or padded with ``background``, which also shows where it is transparent.
    """

    size: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    channels: Annotated[int, Field(ge=1, le=64)]
    mean: tuple[FiniteFloat, ...]
    std: tuple[Annotated[FiniteFloat, Field(ge=1e-6)], ...]
    canvas: Annotated[int, Field(ge=0, le=MAX_SIDE)] = 0
    resize: Resize = "squash"
    background: tuple[Byte, Byte, Byte] = (255, 255, 255)
    interpolation: Interpolation = "bilinear"

    @property
    def side(self) -> int:
        """Pixels a side of the canvas."""
        return self.canvas or self.size

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 [B, C, H, W] to float32, to the bits of torchvision's convert_image_dtype and normalize."""
        mean, std = (_of_each_channel(values, images) for values in (self.mean, self.std))
        return images.div(255).sub_(mean).div_(std)

    def shown(self, images: Tensor) -> Tensor:
        """Undo :meth:`normalise`, but for the scale: float [B, C, H, W] from 0 to 1."""
        return images * torch.tensor(self.std).view(-1, 1, 1) + torch.tensor(self.mean).view(-1, 1, 1)

    def on_canvas(self, picture: Picture, may_shrink: bool = False) -> Tensor:
        """Return uint8 [C, side, side]; a JPEG at least twice as large may be decoded at a fraction of its size."""
        height, width, side = picture.height, picture.width, (self.side, self.side)
        if self.resize == "crop":
            short = min(height, width)
            return self.cut(picture, ((height - short) // 2, (width - short) // 2, short, short), side, may_shrink)
        if self.resize == "squash":
            return self.cut(picture, (0, 0, height, width), side, may_shrink)
        return self._padded(picture, may_shrink)

    def cut(self, picture: Picture, box: Sequence[int], size: tuple[int, int], may_shrink: bool = False) -> Tensor:
        """Return a part of a picture (top, left, height, width), scaled to ``size``, as uint8 [C, H, W]."""
        times = min(box[2] // size[0], box[3] // size[1], 8) if may_shrink else 1
        part = picture.part(box, self.channels, self.background, 1 << max(times.bit_length() - 1, 0))
        return _scaled(part[None], size, self.interpolation)[0]

    def fit(self, images: Tensor) -> Tensor:
        """Bring square images uint8 [N, C, H, W] of any size, in grey or colour, to canvases."""
        if images.shape[1:] == (self.channels, self.side, self.side):
            return images
        return torch.cat([self._fit(part) for part in torch.split(images, 256)])

    def pixels(self, image: "Image | Path | str") -> Tensor:
        """Return uint8 [C, size, size] of a picture of any size; ``DataError`` if it is none."""
        if not isinstance(image, Path | str):
            return centred(self.on_canvas(Picture(image)), self.size)
        try:
            return centred(self.on_canvas(Picture.read(Path(image))), self.size)
        except DataError as error:
            raise DataError(f"{image}: {error}") from None

    def __call__(self, image: "Image | Path | str") -> Tensor:
        """Map a picture, or the path of one, to what the network sees: float32 [1, C, H, W]."""
        return self.normalise(self.pixels(image)[None])

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and words, as a checkpoint holds them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Preprocess":
        """Take back what :meth:`to_dict` returned; ``ValueError`` where it is something else, as strangers write it."""
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in plain.items()}
        if unknown := values.keys() - {field.name for field in fields(cls)}:
            raise ValueError(f"nothing is known of {min(map(str, unknown))!r:.80}")
        try:
            preprocess = TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if not len(preprocess.mean) == len(preprocess.std) == preprocess.channels or preprocess.side < preprocess.size:
            raise ValueError("mean and std take a number for each channel, and canvas is no smaller than size")
        return preprocess

    def _fit(self, images: Tensor) -> Tensor:
        if images.shape[1] != self.channels:
            images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else _greyed(images)
        return _scaled(images, (self.side, self.side), self.interpolation)

    def _padded(self, picture: Picture, may_shrink: bool) -> Tensor:
        """Scale the longer side to the canvas, and fill what the shorter one leaves."""
        longer = max(picture.height, picture.width)
        height, width = (max(round(length * self.side / longer), 1) for length in (picture.height, picture.width))
        scaled = self.cut(picture, (0, 0, picture.height, picture.width), (height, width), may_shrink)
        colour = torch.tensor(self.background, dtype=torch.uint8)[:, None, None]
        canvas = (colour if self.channels == 3 else _greyed(colour[None])[0]).repeat(1, self.side, self.side)
        top, left = (self.side - height) // 2, (self.side - width) // 2
        canvas[:, top : top + height, left : left + width] = scaled
        return canvas


def centred(images: Tensor, size: int) -> Tensor:
    """Return the middle ``size`` pixels a side of images [..., S, S]."""
    start = (images.shape[-1] - size) // 2
    return images[..., start : start + size, start : start + size]


def _of_each_channel(values: tuple[float, ...], images: Tensor) -> Tensor:
    """Return a value a channel as a tensor that goes with images [B, C, H, W], in their layout."""
    value = torch.tensor(values).view(1, -1, 1, 1).to(images.device, non_blocking=True)  # does not wait for the device
    if images.is_contiguous():
        return value
    # Of images in channels_last three numbers at a time would go with [C, 1, 1], which takes four times the seconds.
    return value.expand(1, *images.shape[1:]).contiguous(memory_format=torch.channels_last)


def _scaled(images: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """Scale uint8 [N, C, H, W] as Pillow's BILINEAR or BICUBIC does, to within 1 of 255."""
    if images.shape[2:] == size:
        return images
    images = images.contiguous(memory_format=torch.channels_last)  # as decoders give them; a part of them is neither
    return interpolate(images, size, mode=interpolation, antialias=True)


def _greyed(images: Tensor) -> Tensor:
    """Return the grey of colour images uint8 [N, 3, H, W], to Pillow's formula (ITU-R 601-2), to the bit."""
    red, green, blue = images.to(torch.int32).unbind(1)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).to(torch.uint8)[:, None]
