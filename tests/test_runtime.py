"""Device, precision, layout, threads."""

import os

import pytest
import torch

from cnncli.errors import ConfigError, MachineError, OutOfMemoryError
from cnncli.runtime import Runtime, choose_runtime

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@no_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_an_absent_device_is_an_error_never_a_silent_cpu(device: str) -> None:
    with pytest.raises(MachineError, match=f"no {device} here") as error:
        choose_runtime(device)
    assert error.value.exit_code == 5


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "meta", "cuda:x", "cuda:", "tpu", ""])
def test_what_is_no_device_is_an_error_too(device: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown device {device}: there are cpu, mps, cuda and cuda:N"):
        choose_runtime(device)


def test_mps_needs_an_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(MachineError, match="no mps here"):
        choose_runtime("mps")


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
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),  # on Windows
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_lack_of_memory_names_the_batch_size(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="--batch-size 64") as raised, choose_runtime("cpu").guard(128):
        raise error
    assert raised.value.exit_code == 7


def test_a_real_lack_of_memory_is_recognised() -> None:
    """An exabyte, which no machine has: the message is that of the PyTorch in use."""
    with pytest.raises(OutOfMemoryError, match=r"--batch-size 1$"), choose_runtime("cpu").guard(1):
        torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize(
    "message",
    [
        "sizes of tensors must match",
        "CUDA error: an illegal memory access was encountered",
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location",
    ],
)
def test_other_errors_pass_the_guard(message: str) -> None:
    with pytest.raises(RuntimeError, match=message), choose_runtime("cpu").guard(1):
        raise RuntimeError(message)


def test_batch_normalisation_of_one_value_is_said_in_words() -> None:
    """The message is that of the PyTorch in use."""
    with pytest.raises(ConfigError, match=r"another train\.batch_size"), choose_runtime("cpu").guard(1):
        torch.nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1))
    with pytest.raises(ValueError, match="another"), choose_runtime("cpu").guard(1):
        raise ValueError("another")


def test_autocast_computes_in_the_runs_precision() -> None:
    weight = torch.ones(2, 2)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        runtime = Runtime(torch.device("cpu"), precision, "contiguous", 1)  # type: ignore[arg-type]
        with runtime.autocast():
            assert (weight @ weight).dtype == dtype


def test_random_state_is_taken_back() -> None:
    runtime, dropout = choose_runtime("cpu"), torch.nn.Dropout(0.5)
    state = runtime.random_state()
    first, zeros = torch.rand(3), dropout(torch.ones(100))
    runtime.set_random_state({**state, "cuda": torch.zeros(16, dtype=torch.uint8)})  # of a run that began on a GPU
    assert torch.equal(torch.rand(3), first)
    assert torch.equal(dropout(torch.ones(100)), zeros)


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_model_and_images_have_the_runtimes_layout(memory_format: str) -> None:
    runtime = choose_runtime("cpu", memory_format=memory_format)  # type: ignore[arg-type]
    is_last = memory_format == "channels_last"
    images, weight = runtime.arrange(torch.rand(2, 3, 4, 4)), runtime.place(torch.nn.Conv2d(3, 4, 3)).weight
    for tensor in (images, weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last) is is_last
        assert tensor.is_contiguous() is not is_last


def test_deterministic_sets_what_pytorch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """See docs.pytorch.org/docs/stable/notes/randomness.html; put_ is one that it lists as not deterministic."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    runtime = choose_runtime("cpu", deterministic=True)
    try:
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        with pytest.raises(ConfigError, match=r"runtime\.deterministic: true rules out .*put_"), runtime.guard(1):
            torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
    finally:
        choose_runtime("cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


def test_a_number_of_the_device_can_be_waited_for_later() -> None:
    number = torch.tensor(3.0)
    waiting = choose_runtime("cpu").later(number + 1)
    assert waiting() == 4.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_number_of_a_gpu_is_the_one_it_was() -> None:
    number = torch.tensor(3.0, device="cuda")
    waiting = choose_runtime("cuda").later(number)
    number += 1
    assert waiting() == 3.0
