"""Device, precision, layout, threads."""

import pytest
import torch

from cnncli.errors import MachineError, OutOfMemoryError
from cnncli.runtime import Runtime, choose_runtime

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@no_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_an_absent_device_is_an_error_never_a_silent_cpu(device: str) -> None:
    with pytest.raises(MachineError, match=f"no {device} here") as error:
        choose_runtime(device)
    assert error.value.exit_code == 5


def test_auto_takes_the_first_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_runtime().device.type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_runtime().device.type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_runtime().device.type == "cuda"
    assert choose_runtime().memory_format == "contiguous"
    assert choose_runtime(precision="bf16").memory_format == "channels_last"
    with pytest.raises(MachineError, match="there are 1 GPUs"):
        choose_runtime("cuda:1")


def test_threads_are_taken_as_asked() -> None:
    assert choose_runtime("cpu", threads=1).threads == torch.get_num_threads() == 1
    assert choose_runtime("cpu").memory_format == "channels_last"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_a_lack_of_memory_names_the_batch_size(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="--batch-size 64") as raised, choose_runtime("cpu").memory_guard(128):
        raise error
    assert raised.value.exit_code == 7


def test_other_errors_pass_the_guard() -> None:
    with pytest.raises(RuntimeError, match="sizes"), choose_runtime("cpu").memory_guard(1):
        raise RuntimeError("sizes of tensors must match")


def test_autocast_computes_in_the_runs_precision() -> None:
    weight = torch.ones(2, 2)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        runtime = Runtime(torch.device("cpu"), precision, "contiguous", 1)  # type: ignore[arg-type]
        with runtime.autocast():
            assert (weight @ weight).dtype == dtype


def test_random_state_is_taken_back() -> None:
    runtime = choose_runtime("cpu")
    state = runtime.random_state()
    first = torch.rand(3)
    runtime.set_random_state(state)
    assert torch.equal(torch.rand(3), first)
