"""The machine: device, precision, layout, threads, ranks. The one file that knows what they are."""

import atexit
import gc
import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from cnncli import malloc, ranks
from cnncli.errors import ConfigError, MachineError, OutOfMemoryError
from cnncli.signals import die_with_parent

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

Precision = Literal["fp32", "bf16", "fp16"]
MemoryFormat = Literal["contiguous", "channels_last"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
NO_MEMORY = "out of memory|allocate memory|not enough memory|ALLOC_FAILED"  # CUDA, MPS; CPU; on Windows; cuBLAS
NO_PEER = "gloo|NCCL"  # words of the errors of those who carry messages between ranks
PATIENCE = timedelta(hours=2)  # of ranks that wait for one that decodes a cache or downloads
T = TypeVar("T")
FORMATS: dict[MemoryFormat, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


@dataclass(frozen=True)
class Runtime:
    """Where and in what numbers a run computes; nothing in it is left to be chosen."""

    device: torch.device
    precision: Precision
    memory_format: MemoryFormat
    threads: int
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @property
    def prepares(self) -> bool:
        """Whether this process is the one of its machine that downloads and fills caches."""
        return ranks.local_rank() == 0

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the rank of each machine that prepares go first: the others find what it downloaded or decoded."""
        if not self.prepares:
            self._wait_for_all()
        yield
        if self.prepares:
            self._wait_for_all()

    def _wait_for_all(self) -> None:
        if self.world_size > 1:
            with _among_ranks():
                distributed.barrier()

    def sum_of(self, values: Tensor) -> Tensor:
        """Return the sum of ``values`` over all ranks, on each of them."""
        if self.world_size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def from_main(self, make: Callable[[], T]) -> T:
        """Return what ``make`` gives on rank 0, on all ranks; it is not called on the others."""
        if self.world_size == 1:
            return make()
        box: list[Any] = [make() if self.is_main else None]
        with _among_ranks():
            distributed.broadcast_object_list(box)
        made: T = box[0]
        return made

    def of_all(self, mine: T) -> list[T]:
        """Return what each rank gives, in the order of the ranks."""
        if self.world_size == 1:
            return [mine]
        box: list[Any] = [None] * self.world_size
        with _among_ranks():
            distributed.all_gather_object(box, mine)
        return box

    def highest(self, *numbers: int) -> list[int]:
        """Return the highest of each of some numbers over all ranks; waits for the ranks, not for their devices."""
        if self.world_size == 1:
            return list(numbers)
        highest = torch.tensor(numbers)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        return highest.tolist()

    def later(self, values: Tensor) -> Callable[[], Tensor]:
        """Return a function that waits for values of the device; what was queued meanwhile goes on."""
        if self.device.type != "cuda":
            return values.cpu
        copy = torch.empty_like(values, device="cpu", pin_memory=True).copy_(values, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(self.device))

        def wait() -> Tensor:
            copied.synchronize()
            return copy

        return wait

    def agree(self, module: nn.Module) -> None:
        """Give a module's buffers, such as the means of batch normalisation, their values on rank 0 on all ranks."""
        if self.world_size > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return a model whose gradients are the means over all ranks; the model itself if there is one rank."""
        if self.world_size == 1:
            return model
        if not self.is_main:
            torch.manual_seed(torch.initial_seed() + self.rank)  # each rank drops out other values
        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    @property
    def waits_for_nothing(self) -> bool:
        """Whether numbers are known as soon as they are asked for, since the device is the host."""
        return self.device.type == "cpu"

    def has_room_for(self, images: Tensor) -> bool:
        """Whether images may stay on the device: on a GPU they take a quarter of its memory at most."""
        if self.device.type != "cuda":
            return True
        return images.nbytes <= torch.cuda.get_device_properties(self.device).total_memory // 4

    def peak_memory(self) -> int | None:
        """Return the most bytes that this process has held, of a GPU's memory or else of the machine's, where known."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if resource is None:
            return None
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return held if sys.platform == "darwin" else held * 1024

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, in the layout that its images have."""
        return module.to(self.device).to(memory_format=FORMATS[self.memory_format])

    def arrange(self, images: Tensor) -> Tensor:
        """Return images [B, C, H, W] in the layout that the model has."""
        return images.contiguous(memory_format=FORMATS[self.memory_format])

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in the run's precision inside the context."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision])

    def random_state(self) -> dict[str, Tensor]:
        """Return the state of the generators that layers such as dropout draw from."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            states["mps"] = torch.mps.get_rng_state()
        return states

    def set_random_state(self, states: dict[str, Tensor]) -> None:
        """Take back what :meth:`random_state` returned; of another kind of device, what applies here."""
        torch.set_rng_state(states["cpu"])
        if self.device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)
        elif self.device.type == "mps" and "mps" in states:
            torch.mps.set_rng_state(states["mps"])

    @contextmanager
    def guard(self, batch_size: int) -> Iterator[None]:
        """Compute inside the context: a lack of memory becomes an ``OutOfMemoryError`` that says what to try.

        The loss of another rank becomes a ``MachineError``.
        """
        if self.device.type == "cpu":
            malloc.keep_freed_memory()
        try:
            with _among_ranks():
                yield
        except ValueError as error:
            if "Expected more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                "batch normalisation has nothing to go by where a batch is one image and its map one pixel: set another"
                " train.batch_size, which does not leave one image for the last batch, or a larger data.size"
            ) from None
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if "does not have a deterministic implementation" in str(error):
                raise ConfigError(
                    f"runtime.deterministic: true rules out what this run needs: {error!s:.120}"
                ) from None
            if isinstance(error, RuntimeError) and not re.search(NO_MEMORY, str(error)):
                raise
            gc.collect()
            raise OutOfMemoryError(
                f"{self.device} has no memory left for a batch of {batch_size:,} images ({error!s:.120});"
                f" try --batch-size {max(batch_size // 2, 1)}"
            ) from error


def choose_runtime(
    device: str = "auto",
    precision: Precision = "fp32",
    memory_format: MemoryFormat | Literal["auto"] = "auto",
    threads: int | Literal["auto"] = "auto",
    deterministic: bool = False,
) -> Runtime:
    """Settle what is ``auto`` by fixed rules of the machine, take that many threads, and be ``deterministic`` or not.

    Raises ``MachineError`` if the device is absent.
    """
    rank, world_size = ranks.rank(), ranks.world_size()
    _allow_only_deterministic_algorithms(deterministic)
    chosen = _required(_first_device() if device == "auto" else device)
    if world_size > 1:
        chosen = _join(chosen)
        if threads == "auto":  # torchrun allows each rank one, whatever the machine has
            threads = cores_a_rank()
    if threads != "auto":
        torch.set_num_threads(threads)
    malloc.give_back_large_blocks()
    if memory_format == "auto":
        # On the CPU channels_last gave lenet5 1.2, basic_cnn 1.4 and tinyvgg 2.4 times the images a second, and
        # cost alexnet nothing; on CUDA it is the layout of the tensor cores, which fp32 does not use.
        halved = chosen.type == "cuda" and precision != "fp32"
        memory_format = "channels_last" if chosen.type == "cpu" or halved else "contiguous"
    return Runtime(chosen, precision, memory_format, torch.get_num_threads(), rank, world_size)


def _allow_only_deterministic_algorithms(wanted: bool) -> None:
    """Set what PyTorch's notes on reproducibility name, before the first use of CUDA."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if wanted != torch.are_deterministic_algorithms_enabled():  # asking for it imports PyTorch's compiler: a second
        torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.deterministic = wanted
    torch.backends.cudnn.benchmark = False


def _join(device: torch.device) -> torch.device:
    """Meet the other ranks that torchrun started, by NCCL on GPUs and gloo on CPUs; return this rank's device."""
    if device.type == "mps":
        raise MachineError("several processes cannot share mps; use --device cpu, or one process")
    if device.type == "cuda":
        device = _required(f"cuda:{ranks.local_rank()}")
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        try:
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            distributed.init_process_group(backend, timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:  # the latter where the environment says too little
            raise MachineError(
                f"cannot meet the other processes that WORLD_SIZE speaks of ({error!s:.120});"
                " start them by torchrun, or unset WORLD_SIZE for one process"
            ) from None
        atexit.register(distributed.destroy_process_group)
        _fork_no_more()
        if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun starts ranks in sessions that a kill of its own misses
            die_with_parent(os.getppid())
    return device


def _fork_no_more() -> None:
    """Have this process start others from a fork server, where it would fork them.

    The threads of gloo enter Python when a message has come. Up to Python 3.11 a child that is forked at that moment
    hangs for ever (https://github.com/python/cpython/issues/112275).
    """
    if multiprocessing.get_start_method() == "fork":
        multiprocessing.set_start_method("forkserver", force=True)


def cores_a_rank() -> int:
    """Return the processors that this process may use, its share of them where torchrun started several."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores // ranks.local_world_size(), 1)


@contextmanager
def _among_ranks() -> Iterator[None]:
    """Turn the loss of another rank into a ``MachineError``."""
    try:
        yield
    except RuntimeError as error:
        if not re.search(NO_PEER, str(error)):
            raise
        raise MachineError("another process of this run ended; what it printed says why") from error


def _first_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _required(name: str) -> torch.device:
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,2})?", name):
        raise ConfigError(f"unknown device {name}: there are cpu, mps, cuda and cuda:N; auto takes the first there is")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if count == 0:
            raise MachineError(f"no {device} here: PyTorch {torch.__version__} sees no GPU; use --device cpu or auto")
        if device.index is not None and device.index >= count:
            raise MachineError(f"no {device} here: there are {count} GPUs, cuda:0 to cuda:{count - 1}")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise MachineError("no mps here: it needs an Apple GPU; use --device cpu or auto")
    return device
