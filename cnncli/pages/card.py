"""A model card: what a checkpoint says of itself, in Markdown, with the front matter that Hugging Face reads."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import yaml

from cnncli import __version__
from cnncli.history import row_of_weights
from cnncli.registry import MODELS
from cnncli.text import one_line

if TYPE_CHECKING:
    from torch import nn

    from cnncli.checkpoint import Checkpoint
    from cnncli.training.meters import Metrics

MOST_LISTED = 200  # of the classes
MARKUP = re.compile(r"[\\`*_\[\]<>|~&$@#!:]|(?<=www)\.", re.IGNORECASE)  # what Markdown makes something of in a line
SOURCE = re.compile(r"Source: (.*?[0-9]{4}.*?\.)(?=\s|$)", re.DOTALL)  # to the end of the sentence with the year
RESIZES = {
    "squash": "both sides are scaled to {side} pixels",
    "crop": "its middle square is scaled to {side}×{side} pixels",
    "pad": "its longer side is scaled to {side} pixels, and the rest is filled with {background}",
}
SIZES = {"num_classes", "in_channels", "image_size"}  # options that other rows speak of
Rows = Iterable[tuple[str, object]]


def model_card(checkpoint: "Checkpoint", file_name: str, test: "Metrics | None" = None) -> str:
    """Return the card of a checkpoint, with its scores on the test images where they are known.

    All words of a checkpoint are escaped: it may be a stranger's.
    """
    network, data = checkpoint.build(), checkpoint.config.get("data", {}).get("name")
    versions = f"cnncli {__version__} with PyTorch {version('torch')}"
    front = {
        "library_name": "cnncli",
        "pipeline_tag": "image-classification",
        "tags": ["cnncli", "image-classification", checkpoint.model],
        "metrics": ["accuracy"],
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {_plain(checkpoint.model)}{_plain(f' on {data}') if data else ''}",
        _architecture(checkpoint.model),
        "## Network",
        _table(_network(checkpoint, network)),
        f"Classes, in the order of the outputs: {_classes(checkpoint.classes)}.",
        "## Results",
        _results(checkpoint, test),
        "## Training",
        _table(_training(checkpoint)) if checkpoint.config else "The checkpoint says nothing of how it was trained.",
        "## Use",
        _use(file_name),
        "## Limits",
        _limits(len(checkpoint.classes)),
        f"This card was written by {versions} from what the checkpoint holds.",
    ]
    return "\n\n".join(parts) + "\n"


def _architecture(model: str) -> str:
    """Return what a model's docstring says of it, without the sizes of its defaults, and the paper."""
    text = (MODELS.get(model).__doc__ or "").strip()
    about, source = text.partition("\n")[0].partition(";")[0].rstrip("."), SOURCE.search(text)
    return f"{about}." + (f"\nSource: {' '.join(source[1].split())}" if source else "")


def _network(checkpoint: "Checkpoint", network: "nn.Module") -> Rows:
    from cnncli.pipeline.preprocess import Preprocess

    preprocess, options = Preprocess.from_dict(checkpoint.preprocess), checkpoint.options
    counts = {True: 0, False: 0}
    for parameter in network.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    colours = {1: "grey", 3: "red, green and blue"}.get(preprocess.channels, f"{preprocess.channels} channels")
    resize = RESIZES[preprocess.resize].format(side=preprocess.side, background=list(preprocess.background))
    if preprocess.side > preprocess.size:
        resize += f", of which the middle {preprocess.size}×{preprocess.size} are seen"
    yield "model", _named({"name": checkpoint.model} | {key: options[key] for key in options if key not in SIZES})
    yield "parameters", f"{counts[True]:,}" + (f", and {counts[False]:,} that are fixed" if counts[False] else "")
    yield "input", f"{preprocess.size}×{preprocess.size} pixels, {colours}"
    yield "a picture", f"{resize}; {preprocess.interpolation}"
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (preprocess.mean, preprocess.std))
    yield "each channel", f"(pixel / 255 − mean) / std, where mean is {mean} and std {std}"
    yield "output", f"logits of {len(checkpoint.classes):,} classes, whose softmax are probabilities"


def _classes(names: list[str]) -> str:
    more = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
    return ", ".join(_plain(name) or "(no name)" for name in names[:MOST_LISTED]) + more


def _results(checkpoint: "Checkpoint", test: "Metrics | None") -> str:
    """Return a table of what is known of just these weights; the training split's own scores say little of them."""
    row = row_of_weights(checkpoint.history, checkpoint.state) or {}
    scores: dict[str, Mapping[str, Any]] = {split: row[split] for split in ("val", "test") if row.get(split)}
    counts = _counts(checkpoint)
    if test is not None:
        scores["test"], counts["test"] = {"accuracy": test.accuracy, "loss": test.loss}, test.num_images
    if not scores:
        return "The checkpoint says nothing of how well it does."
    lines = ["| split | images | accuracy | loss |", "| --- | ---: | ---: | ---: |"]
    for split, score in scores.items():
        images = f"{counts[split]:,}" if split in counts else ""
        lines.append(f"| {split} | {images} | {score['accuracy']:.2%} | {score['loss']:.4f} |")
    return "\n".join(lines)


def _training(checkpoint: "Checkpoint") -> Rows:
    from cnncli.config.schema import Augment

    config = checkpoint.config
    data, train, runtime = (config.get(name, {}) for name in ("data", "train", "runtime"))
    model = config.get("model", {})
    if begun := next((model[key] for key in ("init_from", "weights") if model.get(key)), None):
        yield "begun with", PurePath(str(begun)).name
    if model.get("freeze"):
        yield "frozen", str(model["freeze"])
    yield "data set", _named({key: data.get(key) for key in ("name", "dataset", "limit") if data.get(key)})
    yield "images", ", ".join(f"{split} {count:,}" for split, count in _counts(checkpoint).items()) or "unknown"
    if row := row_of_weights(checkpoint.history, checkpoint.state):
        yield "epochs", f"{row['epoch']} of {train.get('epochs')}"
    yield "batch size", train.get("batch_size")
    for name in ("optimizer", "schedule", "loss"):
        yield name, _named(config.get(name, {}))
    usual = Augment().model_dump()
    changes = {key: value for key, value in config.get("augment", {}).items() if value != usual.get(key)}
    yield "augmentation", _settings(changes) or "none"
    yield "average of weights", train.get("ema") or "none"
    yield "seed", train.get("seed")
    yield "computed", f"{runtime.get('precision')} on {runtime.get('device')}"


def _counts(checkpoint: "Checkpoint") -> dict[str, int]:
    """Return how many images there were of each split, as far as the checkpoint says."""
    counts = {split: seen.get("num_images") for split, seen in checkpoint.data.items() if isinstance(seen, dict)}
    return {split: count for split, count in counts.items() if isinstance(count, int)}


def _use(file_name: str) -> str:
    name = one_line(file_name)
    return f"""```python
import cnncli

network = cnncli.load({json.dumps(name, ensure_ascii=False)})
logits = network.model(network.preprocess("picture.jpg"))
print(network.classes[logits.argmax()])
```

    cnn predict {shlex.quote(name)} picture.jpg
    cnn export {shlex.quote(name)} -o network.onnx  # for use without cnncli"""


def _limits(num_classes: int) -> str:
    return f"""- Each picture gets one of the {num_classes:,} classes, also one that shows none of them.
- Probabilities were not calibrated after training.
- Nothing was measured on pictures unlike those of its data set.
- Where the pictures come from, their licence and that of the weights, and what the network is meant for is not in the
  checkpoint: whoever publishes it has to add that."""


def _table(rows: Rows) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {_plain(str(value))} |" for name, value in rows)])


def _named(section: Mapping[str, Any]) -> str:
    """Return a section of a config: the name of the thing, and its options."""
    options = {key: value for key, value in section.items() if key != "name"}
    return f"{section.get('name')} ({_settings(options)})" if options else str(section.get("name"))


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items())


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line, in a table as well."""
    return MARKUP.sub(r"\\\g<0>", one_line(text))
