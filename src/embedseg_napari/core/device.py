"""Where to compute, and in which number formats."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.wording import count

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
    """Whether a device works through a queue, so that asking for a number waits until the queue has run empty."""
    return device.type != "cpu"


def send(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on a device; to an NVIDIA GPU it travels while the host goes on."""
    if values.device.type == "cpu" and device.type == "cuda":
        # Only memory that is pinned can be read without the host.
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


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
