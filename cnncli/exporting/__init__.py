"""A network in a file for other programs, which is not left behind unless it does the same as the network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cnncli import files
from cnncli.checkpoint import Checkpoint
from cnncli.errors import CheckpointError, CnnError, ConfigError
from cnncli.exporting import onnx, safetensors, torch_export
from cnncli.exporting.deployed import Deployed, metadata_of
from cnncli.text import one_line

TOLERANCE = 1e-4  # of probabilities
BATCH_SIZE = 64
Run = Callable[[Tensor], Tensor]  # from pixels uint8 [N, C, S, S] to probabilities float32 [N, num_classes]
Follow = Callable[[Iterable[Tensor], int, str], Iterable[Tensor]]  # shows how many batches there were


def plainly(batches: Iterable[Tensor], num_batches: int, label: str) -> Iterable[Tensor]:
    """Show nothing."""
    return batches


@dataclass(frozen=True)
class Format:
    """A kind of file: how a network and what is to be known of it are written, and how it is run from there."""

    suffix: str
    encode: Callable[[Deployed, dict[str, str]], bytes]
    opened: Callable[[Path, Deployed], Run]


FORMATS = {
    "onnx": Format(".onnx", onnx.encode, lambda path, _: onnx.opened(path)),
    "torch-export": Format(".pt2", torch_export.encode, lambda path, _: torch_export.opened(path)),
    "safetensors": Format(".safetensors", safetensors.encode, safetensors.opened),
}


@dataclass(frozen=True)
class Agreement:
    """How far the probabilities of an export are from those of the network at most, and how many labels differ."""

    num_images: int
    largest_difference: float
    num_different_labels: int


def target_of(checkpoint: Path, name: str | None, output: Path | None) -> tuple[str, Path]:
    """Return the name of a format and the file to write, each of which the other may leave open.

    Raises ``ConfigError`` where both do, they contradict each other, or the file is no place to write to.
    """
    if output is None:
        if name is None:
            raise ConfigError(f"say what to write: --to {' | '.join(FORMATS)}, or -o with the name of a file")
        output = checkpoint.with_suffix(FORMATS[name].suffix)
    files.check_target(output, checkpoint)
    meant = {each.suffix: name for name, each in FORMATS.items()}.get(output.suffix.lower())
    if (chosen := name or meant) is None:
        suffixes = ", ".join(each.suffix for each in FORMATS.values())
        raise ConfigError(f"{output}: its name ends in none of {suffixes}; say what to write with --to")
    if meant not in (chosen, None):
        raise ConfigError(f"{output}: named as {meant}, but --to {chosen} was asked for; leave one of them out")
    return chosen, output


def export(checkpoint: Checkpoint, name: str, path: Path, images: Tensor, follow: Follow = plainly) -> Agreement:
    """Write a network in the format of that name, and compare both on pixels uint8 [N, C, S, S].

    Raises ``CheckpointError`` where the network cannot be written, or the file differs from it; it is not left behind.
    """
    deployed = Deployed(checkpoint)
    try:
        content = FORMATS[name].encode(deployed, metadata_of(checkpoint))
    except CnnError:
        raise
    except Exception as error:  # whatever exporters say of a network that is not like ours
        why = one_line(str(error))[:200]
        raise CheckpointError(f"{checkpoint.model} cannot be written as {name}: {why}") from error
    with files.whole(path) as file:
        file.write(content)
        file.flush()
        try:
            return compare(deployed, FORMATS[name].opened(Path(file.name), deployed), images, follow)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}; it was not kept") from None


@torch.inference_mode()
def compare(deployed: Deployed, exported: Run, images: Tensor, follow: Follow = plainly) -> Agreement:
    """Run a network and its export on pixels uint8 [N, C, S, S]: on the first by itself, and on all in batches.

    Raises ``CheckpointError`` where probabilities differ by more than ``TOLERANCE``.
    """
    batches = torch.split(images, BATCH_SIZE)
    pairs = [(deployed(batch), exported(batch)) for batch in follow(batches, len(batches), "comparison")]
    expected, found = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    alone = exported(images[:1])
    difference = torch.cat([found - expected, alone - expected[:1]]).abs().max().item()
    if not difference <= TOLERANCE:  # nor is NaN
        raise CheckpointError(
            f"an export that disagrees: its probabilities for {len(images):,} images are up to {difference:.2g} from"
            " those of the network"
        )
    return Agreement(len(images), difference, int((found.argmax(1) != expected.argmax(1)).sum()))
