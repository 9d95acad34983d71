"""Where to compute, and in which number formats."""

from __future__ import annotations

import math
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

CPU_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""Instruction sets that multiply bfloat16 numbers (Intel and AMD; Intel matrix unit; Arm)."""


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a GPU if there is one.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"cpu"``, ``"mps"``, ``"cuda"``, or one GPU of several, such as ``"cuda:1"``.

    Raises
    ------
    ComputeError
        If the name is unknown or the device is not there.
    """
    if not isinstance(name, str):
        raise ComputeError(f"There is no device {name!r}; use auto, cpu, cuda or mps.")
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    kind, _, index = str(name).partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise ComputeError(f"There is no device {name!r}; use auto, cpu, cuda or mps.")
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise ComputeError(f"No {kind} device was found on this machine; use device cpu or auto.")
    if index and int(index) >= torch.cuda.device_count():
        raise ComputeError(
            f"There is no {name}: this machine has {count(torch.cuda.device_count(), 'CUDA device')}, from cuda:0."
        )
    return torch.device(name)


def name_of(device: torch.device) -> str:
    """Return the name by which :func:`choose_device` finds a device: of several GPUs, the current one is any."""
    is_certain = device.type == "cuda" and device.index not in (None, torch.cuda.current_device())
    return str(device) if is_certain else device.type


def supports_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the hardware, not emulated (which would be slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(CPU_BFLOAT16 & processor_flags())


def supports_precision(device: torch.device, precision: str) -> bool:
    """Whether networks run well in ``"float32"``, ``"bfloat16"`` or ``"float16"`` on a device."""
    if precision == "bfloat16":
        return supports_bfloat16(device)
    # Half precision on a CPU is emulated; on Apple's GPU it brings no speed worth the rounding.
    return precision == "float32" or device.type == "cuda"


def queues_work(device: torch.device) -> bool:
    """Whether a device works through a queue, so that asking for a number waits until the queue has run empty.

    Apple's GPUs do, too, and are left out: they lack some of the operations that it takes never to ask.
    """
    return device.type not in ("cpu", "mps")


def send(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on a device; to an NVIDIA GPU it travels while the host goes on."""
    if values.device.type == "cpu" and device.type == "cuda":
        # Only memory that is pinned can be read without the host.
        return (values if values.is_pinned() else values.pin_memory()).to(device, non_blocking=True)
    return values.to(device)


def free_memory(device: torch.device) -> float:
    """Bytes that an NVIDIA GPU has to spare; infinite where nobody can say."""
    return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else math.inf


class Arrival:
    """What tells whether work is done, for devices whose copies are complete when the call returns."""

    def record(self) -> None:
        """Mark the work that was begun so far."""

    def query(self) -> bool:
        """Whether that is done."""
        return True

    def synchronize(self) -> None:
        """Wait until it is."""


class CudaArrival(Arrival):
    """The same on an NVIDIA GPU, which need not be the current one."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def record(self) -> None:
        """Mark the work in the device's queue."""
        self.event.record(torch.cuda.current_stream(self.device))

    def query(self) -> bool:
        """Whether that is done."""
        return bool(self.event.query())

    def synchronize(self) -> None:
        """Wait until it is."""
        self.event.synchronize()


def make_event(device: torch.device) -> Arrival:
    """Return what tells whether work for a device, such as a copy to the host, is done."""
    return CudaArrival(device) if device.type == "cuda" else Arrival()


def host_memory(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return empty memory of the host that a device can write to while the host goes on."""
    return torch.empty(tuple(shape), dtype=dtype, pin_memory=device.type == "cuda")


@cache
def processor_flags() -> frozenset[str]:
    """Names of the processor's instruction sets; empty where they are unknown, for then float32 is the safe choice."""
    # Recent PyTorch tells on every system; before that only Linux does.
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return frozenset(name for name, value in capabilities().items() if value is True)
    path = Path("/proc/cpuinfo")
    if platform.system() == "Linux" and path.exists():
        for line in path.read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch or NumPy means that memory ran out."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and any(sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory"))
    )
