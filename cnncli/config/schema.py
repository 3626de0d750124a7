"""What may stand in a config file: nine sections, every field typed, bounded and described.

A section that names a registered thing (a model, a data set …) also takes that thing's own options, which are the
keywords of its signature.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, create_model

from cnncli.config.loading import Document, KeyPath, dotted
from cnncli.errors import ConfigError
from cnncli.registry import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, Registry

REGISTRIES: dict[str, Registry[Any]] = {
    "data": DATASETS,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
}

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
        common = type(self).__mro__[1].model_fields  # type: ignore[attr-defined]  # of the class that was extended
        return {key: value for key, value in self if key not in common}


class Data(NamedSection):
    """Where images come from, and how they are split and scaled."""

    limit: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """images of each class and split that are read, for trying things out; null for all"""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """share of the training images held out, where the data set has no validation split of its own; 0 for none"""
    mean: PerChannel | None = None
    """per channel, of pixels scaled to [0, 1], subtracted from each; null for the data set's own"""
    std: Annotated[list[Annotated[float, Field(ge=1e-4)]], Field(min_length=1, max_length=64)] | None = None
    """per channel, of pixels scaled to [0, 1], by which each is divided; null for the data set's own"""


class Model(NamedSection):
    """The network. Its sizes are those of the data; they need not be stated."""


class Augment(Section):
    """What happens to training images, to each with its own draw."""

    shift: Annotated[int, Field(ge=0, le=512)] = 0
    """pixels by which an image is moved at most, either way (the same as padding it by as many and cropping)"""
    padding: Literal["zeros", "edge", "reflect"] = "zeros"
    """what fills the room that a shifted image leaves: black, its outermost pixels, its mirror image"""
    flip: bool = False
    """mirror every second image, left to right"""


class Train(Section):
    """The run: how long, in what steps, and how it is judged."""

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """passes over the training images"""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    """images a step"""
    eval_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """images at a time in evaluation, where nothing is kept for a backward pass"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """decides the first weights, the held-out images, the order, and every draw"""
    validate_on: Literal["val", "test"] = "val"
    """the split scored after each epoch; test, as tutorials have it, must be asked for"""
    report: Literal["best", "last"] = "best"
    """the checkpoint whose test accuracy is the result: best on the validation split, or last"""
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


class CheckpointSection(Section):
    """What is kept of a run."""

    every_epochs: Annotated[int, Field(ge=1)] = 1
    """epochs between two saves of last.pt; the last epoch and a new best are always saved"""


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
    fields["name"] = (Literal[name], Field(default, description=about))
    return create_model(f"{base.__name__}_{name}", __base__=base, **fields)


def section_class(section: str) -> Any:
    """Return the class of a section as it is whatever its ``name``."""
    return Config.model_fields[section].annotation


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file, for editors, with every registered thing and its options."""
    from typing import Union

    sections: dict[str, Any] = {}
    for section, registry in REGISTRIES.items():
        variants = tuple(section_for(section, name) for name in registry.names())
        field = Config.model_fields[section]
        default = ... if field.is_required() else field.default
        about = Field(discriminator="name", description=section_class(section).__doc__)
        sections[section] = (Annotated[Union[variants], about], default)  # noqa: UP007
    schema = create_model("Config", __base__=Config, **sections).model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "cnncli run"
    return schema
