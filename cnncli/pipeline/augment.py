"""What happens to training images: on the whole batch, on the device, each image with its own draws."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from cnncli.pipeline.preprocess import centred

Padding = Literal["zeros", "edge", "reflect"]
Range = tuple[float, float]

PADDING = {"edge": "replicate", "reflect": "reflect"}  # in torch's words, of pad
GRID_PADDING = {"zeros": "zeros", "edge": "border", "reflect": "reflection"}  # and of grid_sample
DRAWS = {  # how many numbers each kind of change takes of an image's row, whether it is asked for or not
    "shift": 2,
    "flip": 1,
    "crop": 2,
    "resized_crop": 4,
    "affine": 3,
    "jitter": 4,
    "pca": 3,
    "erase": 5,
    "mix": 4,
}
COLUMNS = {
    name: slice(sum(list(DRAWS.values())[:i]), sum(list(DRAWS.values())[: i + 1])) for i, name in enumerate(DRAWS)
}
GREY = (0.299, 0.587, 0.114)  # ITU-R 601-2
TO_YIQ = (GREY, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))  # NTSC's colours
FROM_YIQ = torch.linalg.inv(torch.tensor(TO_YIQ, dtype=torch.float64)).tolist()
# Principal components of the RGB values of ImageNet's pixels, and their variances, as fb.resnet.torch states them
# (Krizhevsky et al. 2012, section 4.1, describe the method); for pixels scaled to [0, 1].
PCA_VALUES = (0.2175, 0.0188, 0.0045)
PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)  # Zhong et al. 2020


@dataclass(frozen=True)
class Augment:
    """Changes of training images, by the names and in the units of the config section; nothing by default."""

    shift: int = 0
    padding: Padding = "zeros"
    flip: bool = False
    crop: bool = False
    resized_crop: Range | None = None
    aspect: Range = (3 / 4, 4 / 3)
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    pca: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def num_draws(self) -> int:
        """Numbers that an image's row holds; 0 where nothing is asked for."""
        return sum(DRAWS.values()) if self != Augment() else 0

    @property
    def warps(self) -> bool:
        """Whether images are turned, scaled or sheared."""
        return bool(self.rotate or self.scale or self.shear)

    def __call__(self, images: Tensor, draws: Tensor, size: int) -> Tensor:
        """Change images uint8 [B, C, S, S] as their rows of ``draws`` say, into [B, C, size, size], 0 to 255.

        Numbers stay uint8 unless they are interpolated or recoloured.
        """
        if not self.num_draws:
            return centred(images, size)
        warp = self._warp(draws) if self.warps else None
        if self.resized_crop:
            whole = torch.ones_like(draws[:, 0])
            crop = _matrix_of(self.boxes(draws, whole, whole) * 2)
            warp = crop if warp is None else crop @ warp
        elif self.crop:
            images = _cropped(images, draws[:, COLUMNS["crop"]], size)
        else:
            images = centred(images, size)
        if warp is not None:
            images = self._resampled(images, warp, size)
        if self.shift:
            images = self._shifted(images, draws[:, COLUMNS["shift"]])
        if self.flip:
            images = _mirrored(images, self.mirrors(draws))
        if self.brightness or self.contrast or self.saturation or self.hue:
            images = self._jittered(images.float(), draws[:, COLUMNS["jitter"]])
        if self.pca:
            images = self._recoloured_by_pca(images.float(), draws[:, COLUMNS["pca"]])
        return images

    def erased(self, images: Tensor, draws: Tensor) -> Tensor:
        """Set a rectangle to 0, which is the mean, in a share ``erase`` of normalised images [B, C, H, W]."""
        height, width = images.shape[2:]
        u = draws[:, COLUMNS["erase"]]
        area = _between(u[:, 1], ERASED_AREA) * height * width
        aspect = _between(u[:, 2], (math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1]))).exp()
        tall, wide = (area * aspect).sqrt().round().clamp(max=height), (area / aspect).sqrt().round().clamp(max=width)
        inside = _inside(
            (u[:, 3] * (height - tall + 1)).floor(), (u[:, 4] * (width - wide + 1)).floor(), tall, wide, images
        )
        return images.masked_fill(inside & (u[:, :1, None, None] < self.erase), 0.0)

    def mixed(self, images: Tensor, labels: Tensor, draws: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Mix each of a batch with the one before it: mixup (Zhang et al. 2018) or cutmix (Yun et al. 2019).

        Returns images and targets [B, num_classes], shares of the two classes. Where both are asked for, each image
        gets one of them, by its own draw.
        """
        u = draws[:, COLUMNS["mix"]]
        others, share = images.roll(1, 0), images.new_ones(len(images))
        cuts = u[:, 0] < (0.5 if self.mixup else 1.0) if self.cutmix else torch.zeros_like(u[:, 0], dtype=torch.bool)
        if self.mixup:
            weight = beta_quantile(u[:, 1], self.mixup)
            share = torch.where(cuts, share, weight)
            blended = torch.lerp(others, images, weight[:, None, None, None])
        else:
            blended = images
        if self.cutmix:
            height, width = images.shape[2:]
            side = (1 - beta_quantile(u[:, 1], self.cutmix)).sqrt()
            top, tall = _part(u[:, 2], side, height)
            left, wide = _part(u[:, 3], side, width)
            pasted = torch.where(_inside(top, left, tall, wide, images), others, images)
            blended = torch.where(cuts[:, None, None, None], pasted, blended)
            share = torch.where(cuts, 1 - tall * wide / (height * width), share)
        classes = F.one_hot(labels, num_classes).float()
        return blended, torch.lerp(classes.roll(1, 0), classes, share[:, None])

    def mirrors(self, draws: Tensor) -> Tensor:
        """Return which images are mirrored: bool [B]."""
        return (draws[:, COLUMNS["flip"]].squeeze(1) < 0.5) & self.flip

    def boxes(self, draws: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """Return random resized crops of pictures of ``height`` and ``width`` [B] as top, left, height, width [B, 4].

        Their area is a share of the picture's drawn from ``resized_crop``, their aspect (width over height, as a
        logarithm) from ``aspect``; what reaches beyond the picture is cut to it.
        """
        assert self.resized_crop is not None
        u = draws[:, COLUMNS["resized_crop"]]
        area = _between(u[:, 0], self.resized_crop) * height * width
        aspect = _between(u[:, 1], (math.log(self.aspect[0]), math.log(self.aspect[1]))).exp()
        tall, wide = (area / aspect).sqrt().minimum(height), (area * aspect).sqrt().minimum(width)
        return torch.stack([u[:, 2] * (height - tall), u[:, 3] * (width - wide), tall, wide], dim=1)

    def _warp(self, draws: Tensor) -> Tensor:
        """Return where each image's pixels come from, as matrices [B, 3, 3] over coordinates from −1 to 1."""
        angle, zoom, slant = (2 * draws[:, COLUMNS["affine"]] - 1).unbind(1)
        angle, slant, zoom = (
            (angle * self.rotate).deg2rad(),
            (slant * self.shear).deg2rad(),
            1 / (1 + zoom * self.scale),
        )
        sin, cos, tan, zero = angle.sin(), angle.cos(), slant.tan(), torch.zeros_like(angle)
        rows = [cos - sin * tan, sin + cos * tan, zero, -sin, cos, zero, zero, zero, 1 / zoom]
        return zoom[:, None, None] * torch.stack(rows, dim=1).view(-1, 3, 3)

    def _resampled(self, images: Tensor, warp: Tensor, size: int) -> Tensor:
        grid = F.affine_grid(warp[:, :2], [len(images), images.shape[1], size, size], align_corners=False)
        return F.grid_sample(images.float(), grid, "bilinear", GRID_PADDING[self.padding], align_corners=False)

    def _shifted(self, images: Tensor, draws: Tensor) -> Tensor:
        """Pad by ``shift`` and cut each image out again where its draws say."""
        return _cropped(self._padded(images), draws, images.shape[2])

    def _padded(self, images: Tensor) -> Tensor:
        around = (self.shift,) * 4
        if self.padding == "zeros":
            return F.pad(images, around)
        return F.pad(images.float(), around, mode=PADDING[self.padding]).to(images.dtype)  # no kernel for uint8

    def _jittered(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change brightness, contrast, saturation by factors, and turn the hue: each linear in the colours."""
        light, contrast, colour, turn = (2 * draws - 1).unbind(1)
        if images.shape[1] == 3:
            grey = images.new_tensor(GREY).expand(3, 3)  # each row: what grey a colour has
            saturation = (1 + colour * self.saturation)[:, None, None]
            matrix = saturation * torch.eye(3, device=images.device) + (1 - saturation) * grey
            matrix = _hue_rotation(turn * self.hue) @ matrix * (1 + light * self.brightness)[:, None, None]
            images = torch.einsum("bij,bjhw->bihw", matrix, images)
            mean = (images * images.new_tensor(GREY)[:, None, None]).sum(1).mean((1, 2))
        else:
            images = images * (1 + light * self.brightness)[:, None, None, None]
            mean = images.mean((1, 2, 3))
        return torch.lerp(mean[:, None, None, None], images, (1 + contrast * self.contrast)[:, None, None, None]).clamp(
            0, 255
        )

    def _recoloured_by_pca(self, images: Tensor, draws: Tensor) -> Tensor:
        """Add to each image a colour along ImageNet's principal components."""
        normal = torch.special.ndtri(draws.clamp(2**-24, 1 - 2**-24)) * self.pca
        shares = normal * images.new_tensor(PCA_VALUES)
        # Not as a matrix product, which rounds as the number of images has it.
        colour = (shares[:, None] * images.new_tensor(PCA_VECTORS)).sum(2)
        changed: Tensor = images + 255 * colour[:, :, None, None]
        return changed.clamp(0, 255)


def beta_quantile(shares: Tensor, alpha: float) -> Tensor:
    """Return the quantiles of Beta(alpha, alpha) at ``shares``, to about 1e-3.

    The density x^(alpha − 1) (1 − x)^(alpha − 1) grows without bound at 0 for alpha below 1. Over y = x^alpha it is
    smooth, and is summed by the trapezoidal rule up to x = 1/2; above, it is the mirror image.
    """
    power = min(alpha, 1.0)
    y = torch.linspace(0, 0.5**power, 1025, dtype=torch.float64)
    x = y ** (1 / power)
    reached = torch.cat([y.new_zeros(1), torch.cumulative_trapezoid(x ** (alpha - power) * (1 - x) ** (alpha - 1))])
    reached = (reached / reached[-1] / 2).to(shares.device, torch.float32, non_blocking=True)
    x = x.to(shares.device, torch.float32, non_blocking=True)
    lower = torch.minimum(shares, 1 - shares)
    right = torch.searchsorted(reached, lower.contiguous(), right=True).clamp(max=1024)
    left = right - 1
    way = (lower - reached[left]) / (reached[right] - reached[left])
    quantile = torch.lerp(x[left], x[right], way)
    return torch.where(shares < 0.5, quantile, 1 - quantile)


def _cropped(images: Tensor, draws: Tensor, size: int) -> Tensor:
    """Cut ``size`` pixels a side out of each image where its draws [B, 2] say, in the layout that they have.

    What is copied are whole rows of pixels, of one colour or of all of them, which is the quickest.
    """
    number, channels, height, width = images.shape
    of_a_pixel = 1 if images.is_contiguous() else channels  # numbers side by side
    planes = channels // of_a_pixel
    flat = (images if of_a_pixel == 1 else images.permute(0, 2, 3, 1)).reshape(-1)
    down, right = (draws * (height - size + 1)).long().unbind(1)
    rows = torch.arange(number * planes, device=images.device).view(number, planes, 1) * height
    rows = rows + down[:, None, None] + torch.arange(size, device=images.device)
    starts = (rows * width + right[:, None, None]) * of_a_pixel
    cut = flat.unfold(0, size * of_a_pixel, 1).index_select(0, starts.flatten())
    if of_a_pixel == 1:
        return cut.view(number, channels, size, size)
    return cut.view(number, size, size, channels).permute(0, 3, 1, 2)


def _mirrored(images: Tensor, which: Tensor) -> Tensor:
    """Mirror those of images [B, C, H, W] that ``which`` [B] says: whole images are copied, which is the quickest."""
    numbers = torch.arange(len(images), device=images.device) + len(images) * which
    return torch.cat([images, images.flip(3)]).index_select(0, numbers)


def _between(shares: Tensor, ends: Range) -> Tensor:
    return ends[0] + shares * (ends[1] - ends[0])


def _part(centre: Tensor, share: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return start and length, in pixels, of a part around a centre drawn evenly, cut to the image."""
    middle, half = centre * length, share * length / 2
    start, stop = (middle - half).round().clamp(0, length), (middle + half).round().clamp(0, length)
    return start, stop - start


def _inside(top: Tensor, left: Tensor, tall: Tensor, wide: Tensor, images: Tensor) -> Tensor:
    """Return a mask [B, 1, H, W] of each image's rectangle."""
    rows = torch.arange(images.shape[2], device=images.device)[None, :, None]
    columns = torch.arange(images.shape[3], device=images.device)[None, None, :]
    top, left, tall, wide = (value[:, None, None] for value in (top, left, tall, wide))
    return ((rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide))[:, None]


def _matrix_of(boxes: Tensor) -> Tensor:
    """Return the matrices [B, 3, 3] that bring the square from −1 to 1 to boxes in a picture from 0 to 2."""
    top, left, tall, wide = boxes.unbind(1)
    zero = torch.zeros_like(top)
    rows = [wide / 2, zero, left + wide / 2 - 1, zero, tall / 2, top + tall / 2 - 1, zero, zero, zero + 1]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _hue_rotation(turns: Tensor) -> Tensor:
    """Return matrices [B, 3, 3] that turn colours around the axis of greys, keeping their luma (in YIQ)."""
    angle = turns * 2 * math.pi
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [zero + 1, zero, zero, zero, cos, -sin, zero, sin, cos]
    turned: Tensor = turns.new_tensor(FROM_YIQ) @ torch.stack(rows, dim=1).view(-1, 3, 3) @ turns.new_tensor(TO_YIQ)
    return turned
