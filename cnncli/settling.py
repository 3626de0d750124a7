"""What a config leaves open, settled: by the data, by the network, by the machine."""

from typing import Any

import torch

from cnncli.config.schema import Config, option_fields
from cnncli.config.validation import validate_options
from cnncli.errors import ConfigError
from cnncli.finetuning import parameter_groups
from cnncli.pipeline import cache
from cnncli.pipeline.augment import Augment
from cnncli.pipeline.preprocess import Preprocess
from cnncli.pipeline.transforms import Transforms
from cnncli.registry import MODELS
from cnncli.runtime import Runtime, cores_a_rank
from cnncli.splits import Splits
from cnncli.training.freezing import freeze


def settle(config: Config, splits: Splits, runtime: Runtime, learned: Preprocess | None = None) -> Preprocess:
    """Write into ``config`` what it leaves open, and return how pictures become what the network sees; reads no image.

    Weights that the network begins with have ``learned`` from images that were prepared in some way: so are these, but
    for what the config says. Raises ``ConfigError`` where model and data contradict each other.
    """
    learned = learned or _published_preprocess(config)
    if learned is not None:
        _settle_as_learned(config, splits, learned)
    _settle_data(config, splits)
    _settle_model(config, splits)
    preprocess = _preprocess(config)
    _settle_reading(config, splits, preprocess, runtime)
    return preprocess


def _settle_as_learned(config: Config, splits: Splits, learned: Preprocess) -> None:
    """Prepare images as those that weights have learned from, but for what the config says and the size of arrays."""
    data, own_channels = config.data, splits.source.channels
    if not (data.size or splits.source.image_size or "image_size" in config.model.model_fields_set):
        data.size, data.canvas = learned.size, data.canvas or learned.side
    if data.channels is None and {own_channels or 3, learned.channels} <= {1, 3}:
        data.channels = learned.channels
    if (data.channels or own_channels) == learned.channels:
        data.mean, data.std = data.mean or list(learned.mean), data.std or list(learned.std)
    data.interpolation = data.interpolation or learned.interpolation
    for key in ("resize", "background"):
        if key not in data.model_fields_set:
            setattr(data, key, learned.to_dict()[key])


def _published_preprocess(config: Config) -> Preprocess | None:
    """Settle which published weights the network begins with, if any; return how their images were, if it is known."""
    model = config.model
    if model.weights is None:
        return None
    if (published := getattr(MODELS.get(model.name), "published", None)) is None:
        problem = f"{model.name} has no published weights, as torchvision/… have; model.init_from takes a checkpoint"
        raise config.error(("model", "weights"), problem)
    try:
        model.weights = published.settled(model.weights)
    except ValueError as error:
        raise config.error(("model", "weights"), str(error)) from None
    if (preset := published.preset(model.weights)) is None:
        return None
    size, canvas, mean, std = preset.size, preset.canvas, preset.mean, preset.std
    return Preprocess(size, preset.channels, mean, std, canvas, "crop", interpolation=preset.interpolation)


def _settle_data(config: Config, splits: Splits) -> None:
    """Settle size, colour and normalisation by the data, or where they leave it open, by the network."""
    data, augment, source = config.data, config.augment, splits.source
    usual = option_fields(MODELS.get(config.model.name)).get("image_size", (None, None))[1]
    asked = config.model.options.get("image_size") if "image_size" in config.model.model_fields_set else None
    data.size = data.size or source.image_size or asked or usual
    if data.size is None:
        raise config.error(("data", "size"), "is needed: the pixels a side that the network sees")
    data.canvas = data.canvas or data.size
    if data.canvas < data.size:
        raise config.error(("data", "canvas"), f"is {data.canvas}, less than the {data.size} of data.size")
    own_channels = source.channels or 3
    channels = data.channels = data.channels or own_channels
    if source.channels is None and channels not in (1, 3):
        raise config.error(("data", "channels"), f"must be 1 (grey) or 3 (colour) for pictures, got {channels}")
    if channels != own_channels and (own_channels not in (1, 3) or channels not in (1, 3)):
        raise config.error(("data", "channels"), f"images of {own_channels} channels cannot be made grey or colour")
    for key, own in (("mean", source.mean), ("std", source.std)):
        given = getattr(data, key)
        if given is None:
            setattr(data, key, list(own) if len(own) == channels else [sum(own) / len(own)] * channels)
        elif len(given) != channels:
            problem = f"{len(given)} values, but images of {data.name} have {channels} channels"
            raise config.error(("data", key), problem)
    if augment.shift >= data.size:
        raise config.error(("augment", "shift"), f"must be below the {data.size} pixels of a side")
    if augment.crop and data.canvas == data.size:
        raise config.error(("augment", "crop"), "needs a data.canvas larger than data.size to take crops from")
    for key in ("saturation", "hue", "pca"):
        if getattr(augment, key) and data.channels != 3:
            raise config.error(("augment", key), f"changes colours, but images of {data.name} have none here")
    if "val" not in splits.names:
        _refuse_to_judge(config)


def _refuse_to_judge(config: Config) -> None:
    """Raise ``ConfigError`` where epochs are to be told apart that nothing is validated after."""
    if config.train.report == "best":
        raise config.error(("train", "report"), "best needs a validation split: set data.validation, or report: last")
    if config.train.patience is not None:
        raise config.error(("train", "patience"), "needs a validation split to judge by: set data.validation")
    if config.checkpoint.keep_best > 1:
        raise config.error(("checkpoint", "keep_best"), "needs a validation split to judge by: set data.validation")


def _settle_reading(config: Config, splits: Splits, preprocess: Preprocess, runtime: Runtime) -> None:
    """Settle how pictures are read and kept, and try the transforms."""
    data = config.data
    if data.workers == "auto":
        data.workers = cores_a_rank()
    if data.cache == "auto":
        data.cache = "off"
        crops_pictures = config.augment.resized_crop and preprocess.side == preprocess.size
        if splits.source.image_size is None and not crops_pictures:
            num_pictures = sum(len(images) for name in splits.names if (images := splits.load(name)))
            data.cache = runtime.from_main(lambda: cache.choose(num_pictures, preprocess))  # all the same
    try:
        if (transforms := transforms_of(config)) is not None:
            transforms(torch.zeros(preprocess.channels, preprocess.side, preprocess.side, dtype=torch.uint8), 0)
    except Exception as error:  # of torchvision, on a picture that is not of its kind
        raise config.error(("augment", "transforms"), str(error)) from None


def _settle_model(config: Config, splits: Splits) -> None:
    """Take the network's sizes from the data set; ``ConfigError`` on a conflict or where they don't fit."""
    section = config.model
    data = config.data
    sizes = {"num_classes": len(splits.classes), "in_channels": data.channels, "image_size": data.size}
    for key, size in sizes.items():
        if key in section.model_fields_set and getattr(section, key) != size:
            raise config.error(("model", key), f"is {getattr(section, key)}, but {config.data.name} has {size}")
        setattr(section, key, size)
    network = MODELS.get(section.name)
    try:
        validate_options("model", section.name, section.options)
        with torch.device("meta"):
            built = network(**section.options)
    except (ValueError, ConfigError) as error:
        hint = "; data.channels: 3 makes grey colour" if data.channels == 1 and "in_channels" in str(error) else ""
        raise config.error(("model",), f"{section.name} does not fit {config.data.name}: {error}{hint}") from None
    losses: tuple[str, ...] = getattr(network, "losses", ("cross_entropy",))
    if config.loss.name not in losses:
        raise config.error(
            ("loss", "name"), f"{section.name} trains with {' or '.join(losses)}, not {config.loss.name}"
        )
    try:
        freeze(built, section.frozen)
    except ValueError as error:
        raise config.error(("model", "freeze"), str(error)) from None
    parameter_groups(built, config)


def augment_of(config: Config) -> Augment:
    """Return what happens to whole batches of training images."""
    fields = config.augment.model_dump(exclude={"transforms"})
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return Augment(**values)


def transforms_of(config: Config) -> Transforms | None:
    """Return the transforms of single training images, ``None`` without any."""
    specs = [spec.model_dump() for spec in config.augment.transforms]
    return Transforms(specs) if specs else None


def _preprocess(config: Config) -> Preprocess:
    data = config.data
    assert data.size is not None
    assert data.channels is not None
    assert data.mean is not None
    assert data.std is not None
    red, green, blue = data.background
    mean, std = tuple(data.mean), tuple(data.std)
    canvas, interpolation = data.canvas or data.size, data.interpolation or "bilinear"
    background = (red, green, blue)
    return Preprocess(data.size, data.channels, mean, std, canvas, data.resize, background, interpolation)
