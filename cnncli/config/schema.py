"""What may stand in a config file: ten sections, every field typed, bounded and described.

A section that names a registered thing (a model, a data set …) also takes that thing's own options, which are the
keywords of its signature.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, create_model

from cnncli.config.loading import Document, KeyPath, dotted
from cnncli.errors import ConfigError
from cnncli.paths import FilePath
from cnncli.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, Registry

REGISTRIES: dict[str, Registry[Any]] = {
    "data": DATASETS,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
}

Side = Annotated[int, Field(ge=1, le=4096)]
Share2 = Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)]
Pattern = Annotated[str, Field(min_length=1, max_length=1000)]
PerChannel = Annotated[list[float], Field(min_length=1, max_length=64)]


class Section(BaseModel):
    """A group of fields; unknown keys, NaN and text in place of numbers are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class NamedSection(Section):
    """A section that names a registered thing; the thing's options are fields of the subclass made for it."""

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """What belongs to the named thing alone: the arguments to build it with."""
        return {key: value for key, value in self if key in self._own}

    _own: ClassVar[frozenset[str]] = frozenset()  # the names of those options


class Data(NamedSection):
    """Where images come from, and how they are split, scaled and read.

    Where a network begins with weights, what is null here is as these have learned.
    """

    limit: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """images of each class and split that are read, for trying things out; null for all"""
    classes: Annotated[list[str], Field(min_length=1, max_length=100_000)] | None = None
    """the classes, in the order of their labels; others are left out; null for all, in the data set's order"""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """share of the training images held out, where the data set has no validation split of its own; 0 for none"""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """share of the training images held out to test on, where the data set has no test split of its own"""
    size: Side | None = None
    """pixels a side that the network sees; null for the images' own, or the network's usual size for pictures"""
    canvas: Side | None = None
    """pixels a side that pictures are brought to, the middle of which is seen; null for as many as size"""
    resize: Literal["squash", "crop", "pad"] = "squash"
    """how pictures become square: their sides are scaled apart, the middle is kept, or the background is added"""
    interpolation: Literal["bilinear", "bicubic"] | None = None
    """how pictures are scaled; null for bilinear, or for what the model's published weights were trained with"""
    channels: Annotated[int, Field(ge=1, le=64)] | None = None
    """1 for grey, 3 for colour; null for the images' own, or 3 for pictures"""
    background: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)] = [
        255,
        255,
        255,
    ]
    """red, green and blue that show where a picture is transparent or padded"""
    mean: PerChannel | None = None
    """per channel, of pixels scaled to [0, 1], subtracted from each; null for the data set's own; 0 to scale only"""
    std: Annotated[list[Annotated[float, Field(ge=1e-6)]], Field(min_length=1, max_length=64)] | None = None
    """per channel, of pixels scaled to [0, 1], by which each is divided; null for the data set's own"""
    cache: Literal["auto", "memory", "disk", "off"] = "auto"
    """where decoded pictures are kept: auto takes disk where all fit in a quarter of the memory, else off"""
    workers: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = "auto"
    """processes that read pictures; auto for one a core, 0 for none"""
    on_error: Literal["fail", "skip"] = "fail"
    """what a picture that cannot be read does: ends the run, with all of them listed, or is left out and counted"""
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    """balanced: an epoch shows as many images of each class, those of small ones several times"""


class Model(NamedSection):
    """The network. Its sizes are those of the data; they need not be stated."""

    weights: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """first weights of a torchvision/… model: DEFAULT, another of its published names, or a file .pth; null to draw"""
    init_from: FilePath | None = None
    """a checkpoint of the same model to begin with: what fits of its weights is taken; null to begin anew"""
    freeze: Pattern | Annotated[list[Pattern], Field(min_length=1)] | None = None
    """parameters that stay as they are, by their names or those of what holds them, as features or layer[12].*"""

    @property
    def frozen(self) -> list[str]:
        """The patterns that ``freeze`` gives."""
        return [self.freeze] if isinstance(self.freeze, str) else self.freeze or []


class Transform(BaseModel):
    """A transform of torchvision.transforms.v2; its other keys are the keywords of that class."""

    model_config = ConfigDict(extra="allow", strict=True, use_attribute_docstrings=True)
    name: str
    """a class of torchvision.transforms.v2"""


class Augment(Section):
    """What happens to training images, to each with its own draw; from top to bottom."""

    transforms: list[Transform] = []
    """transforms of torchvision.transforms.v2, by name, each image on its own in a worker process"""
    crop: bool = False
    """take data.size pixels from a random place of data.canvas, not its middle"""
    resized_crop: Share2 | None = None
    """smallest and largest share of the area that a random crop takes before it is scaled, such as [0.08, 1.0]"""
    aspect: Annotated[list[Annotated[float, Field(gt=0, le=100)]], Field(min_length=2, max_length=2)] = [0.75, 4 / 3]
    """narrowest and widest aspect, width over height, of resized_crop"""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """degrees by which an image is turned at most, either way"""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """share by which an image is made larger or smaller at most"""
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0
    """degrees by which an image is slanted at most, either way"""
    shift: Annotated[int, Field(ge=0, le=512)] = 0
    """pixels by which an image is moved at most, either way (the same as padding it by as many and cropping)"""
    padding: Literal["zeros", "edge", "reflect"] = "zeros"
    """what fills the room that a moved image leaves: black, its outermost pixels, its mirror image"""
    flip: bool = False
    """mirror every second image, left to right"""
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """share by which an image is made lighter or darker at most"""
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.0
    """share by which contrast grows or shrinks at most"""
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """share by which colours become stronger or weaker at most"""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """part of the circle of hues by which colours are turned at most, either way"""
    pca: Annotated[float, Field(ge=0, le=10)] = 0.0
    """deviation of a colour added along ImageNet's principal components; AlexNet has 0.1"""
    erase: Annotated[float, Field(ge=0, le=1)] = 0.0
    """share of the images of which a rectangle is erased"""
    mixup: Annotated[float, Field(ge=0, le=100)] = 0.0
    """alpha of Beta(alpha, alpha), from which the share of another image that is blended in is drawn; 0 for none"""
    cutmix: Annotated[float, Field(ge=0, le=100)] = 0.0
    """alpha of Beta(alpha, alpha), from which the share that is pasted from another image is drawn; 0 for none"""


class Train(Section):
    """The run: how long, in what steps, and how it is judged."""

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """passes over the training images"""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    """images a step, of all processes together"""
    eval_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """images at a time in evaluation, where nothing is kept for a backward pass"""
    accumulate: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """parts that a batch is computed in, one after the other, to need less memory; the update is the same"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """decides the first weights, the held-out images, the order, and every draw"""
    validate_on: Literal["val", "test"] = "val"
    """the split scored after each epoch; test, as tutorials have it, must be asked for"""
    report: Literal["best", "last"] = "best"
    """the checkpoint whose test accuracy is the result: best on the validation split, or last"""
    patience: Annotated[int, Field(ge=1)] | None = None
    """epochs without a better one (of higher accuracy, or as high at less loss) that end training; null for never"""
    log_every: Annotated[int, Field(ge=1)] = 50
    """steps between two rows of steps.jsonl"""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """gradients whose norm exceeds this are scaled down to it; null for no limit"""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """decay per step of an average of the weights, which is then what is evaluated; null for none"""
    output: Annotated[str, Field(min_length=1)] = "runs"
    """folder for run directories"""
    name: Annotated[str, Field(pattern=r"^[\w][\w.+-]*$", max_length=100)] | None = None
    """name of the run directory; null for the config file's name"""


class Optimizer(NamedSection):
    """How gradients change the weights."""

    name: str = "sgd"
    backbone_lr: Annotated[float, Field(gt=0, le=1000)] | None = None
    """learning rate of all but the head, the layer with a row for each class; null for lr, which is what is logged"""


class Schedule(NamedSection):
    """How the learning rate changes over the run."""

    name: str = "constant"
    warmup_epochs: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """epochs over which the learning rate rises linearly from zero, whatever the schedule"""


class Loss(NamedSection):
    """What is minimised."""

    name: str = "cross_entropy"


class Runtime(Section):
    """The machine: nothing here changes what is computed, save for rounding."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:(0|[1-9][0-9]?))?)$")] = "auto"
    """auto (CUDA, then MPS, then CPU), cpu, mps, cuda or cuda:N"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """numbers inside the network; weights stay fp32, and fp16 scales its losses"""
    threads: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """threads on the CPU; auto for as many as PyTorch takes"""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """layout of images in memory; auto takes channels_last where it is the faster one"""
    deterministic: bool = False
    """allow no algorithm whose results vary from run to run, which on GPUs costs speed; the CPU has none by default"""


class CheckpointSection(Section):
    """What is kept of a run."""

    every_epochs: Annotated[int, Field(ge=1)] = 1
    """epochs between two saves of last.pt; the last epoch and a new best are always saved"""
    every_steps: Annotated[int, Field(ge=1)] | None = None
    """steps between two saves of last.pt, also in the middle of an epoch; null for none"""
    every_minutes: Annotated[float, Field(gt=0)] | None = None
    """minutes after which the next step saves last.pt; null for never"""
    keep_best: Annotated[int, Field(ge=1, le=1000)] = 1
    """how many of the best epochs are kept: with more than one, also as epoch-N.pt; best.pt is the first of them"""


class Logging(Section):
    """What is noted beside a run's own files."""

    tensorboard: bool = False
    """event files in the run directory, for tensorboard --logdir runs; needs the extra tensorboard"""


class Config(Section):
    """One run, all of it."""

    data: Data
    model: Model
    augment: Augment = Augment()
    train: Train = Train()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    runtime: Runtime = Runtime()
    checkpoint: CheckpointSection = CheckpointSection()
    logging: Logging = Logging()

    _document: Document | None = PrivateAttr(default=None)  # what it was read from

    def error(self, path: KeyPath, message: str) -> ConfigError:
        """Return the error that says where the value at ``path`` was given, and what is wrong with it."""
        place = f"{self._document.place(path)}: " if self._document else ""
        return ConfigError(f"{place}{dotted(path)}: {message}")


def option_fields(thing: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a registered thing as pydantic fields: those parameters that are ``Annotated``."""
    function = thing.__init__ if inspect.isclass(thing) else thing
    if function is object.__init__:
        return {}
    hints = get_type_hints(function, include_extras=True)
    options = [p for p in inspect.signature(function).parameters.values() if get_origin(hints.get(p.name)) is Annotated]
    return {p.name: (hints[p.name], ... if p.default is p.empty else p.default) for p in options}


def section_for(section: str, name: str) -> type[NamedSection]:
    """Return the section's class with the options of the thing called ``name`` added; ``ConfigError`` if unknown."""
    base: type[NamedSection] = section_class(section)
    thing = REGISTRIES[section].get(name)
    fields = option_fields(thing)
    default = name if base.model_fields["name"].default == name else ...
    about = (inspect.getdoc(thing) or "").partition("\n")[0]
    own = frozenset(fields)
    fields["name"] = (Literal[name], Field(default, description=about))
    extended: type[NamedSection] = create_model(f"{base.__name__}_{name}", __base__=base, **fields)
    extended._own = own
    return extended


def _section_for_family(section: str, family: str) -> type[NamedSection]:
    """Return the section's class for whatever is in a family: the options of its first, without its defaults."""
    base = section_class(section)
    options = option_fields(REGISTRIES[section].get(REGISTRIES[section].members(family)[0]))
    fields: dict[str, Any] = {key: (hint, Field(default_factory=lambda: None)) for key, (hint, _) in options.items()}
    about = f"one of a family; the command 'cnn {section}s' lists them"
    fields["name"] = (Annotated[str, Field(pattern=f"^{family}/.")], Field(description=about))
    extended: type[NamedSection] = create_model(f"{base.__name__}_{family}", __base__=base, **fields)
    return extended


def section_class(section: str) -> Any:
    """Return the class of a section as it is whatever its ``name``."""
    return Config.model_fields[section].annotation


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file, for editors, with every registered thing and its options."""
    from typing import Union

    sections: dict[str, Any] = {}
    for section, registry in REGISTRIES.items():
        variants = tuple(section_for(section, name) for name in registry.names())
        families = tuple(_section_for_family(section, family) for family in registry.families())
        field = Config.model_fields[section]
        default = ... if field.is_required() else field.default
        one_of = Field(discriminator="name")
        about = Field(description=section_class(section).__doc__)
        sections[section] = (
            Annotated[Union[(Annotated[Union[variants], one_of], *families)], about],  # noqa: UP007
            default,
        )
    schema = create_model("Config", __base__=Config, **sections).model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "cnncli run"
    return schema
