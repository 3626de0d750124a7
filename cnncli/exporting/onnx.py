"""ONNX: a graph that other programs run, in one file with its weights."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnncli.errors import CheckpointError, ConfigError
from cnncli.exporting.deployed import Deployed
from cnncli.extras import needed
from cnncli.text import listed

OPSET = 18  # of December 2022, which onnxruntime reads since 1.14
MAX_BYTES = 2**31 - 2**24  # of weights: protobuf has no larger files, and the graph needs some room


def encode(deployed: Deployed, metadata: dict[str, str]) -> bytes:
    """Return the content of a file; ``ConfigError`` where the weights are larger than such a file can be."""
    for library in ("onnx", "onnxscript", "onnxruntime"):  # before the seconds that this takes
        needed(library, "export")
    if (size := sum(weight.nbytes for weight in deployed.state_dict().values())) > MAX_BYTES:
        raise ConfigError(f"an ONNX file holds 2 GB, and the weights take {size / 1e9:,.1f}; use --to torch-export")
    program = torch.onnx.export(
        deployed,
        deployed.example(),
        input_names=["image"],
        output_names=["probabilities"],
        opset_version=OPSET,
        dynamo=True,
        dynamic_shapes={"image": {0: torch.export.Dim("N", min=1)}},
        verbose=False,  # or it prints its progress on stdout
    )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the lines of Python that it comes from, with their paths on this machine
    program.model.metadata_props.update(metadata)
    content: bytes = program.model_proto.SerializeToString()
    return content


def opened(path: Path) -> Callable[[Tensor], Tensor]:
    """Return what maps pixels to probabilities by a file; ``CheckpointError`` if it is none, or lacks its data."""
    runtime = needed("onnxruntime", "export")
    _check_data(path)
    try:
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # of many kinds, which have no base of their own
        raise CheckpointError(f"onnxruntime cannot read it: {error}") from None

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["probabilities"], {"image": image.numpy()})[0])

    return run


def _check_data(path: Path) -> None:
    """Raise ``CheckpointError`` where an ONNX file keeps weights in other files, which are not beside it."""
    onnx = needed("onnx", "export")
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError:
        raise
    except Exception as error:
        raise CheckpointError(f"not an ONNX file: {error}") from None
    missing = {name for name in _data_files(model) if not (path.parent / name).is_file()}
    if missing:
        raise CheckpointError(
            f"an ONNX file without its data: its weights are in {listed(sorted(missing))}; not found beside it"
        )


def _data_files(model: Any) -> Iterator[str]:
    """Yield the names of the files in which a model's weights are."""
    for tensor in model.graph.initializer:
        yield from (entry.value for entry in tensor.external_data if entry.key == "location")
