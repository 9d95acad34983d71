"""Where to compute, and in which number formats."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from embedseg_napari.core.errors import ComputeError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a GPU if there is one.

    Raises
    ------
    ComputeError
        If the name is unknown or the device is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda", "mps"):
        raise ComputeError(f"There is no device {name!r}; use auto, cpu, cuda or mps.")
    if (name.startswith("cuda") and not cuda) or (name == "mps" and not mps):
        raise ComputeError(f"No {name} device was found on this machine; use --device cpu or auto.")
    return torch.device(name)


def supports_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the hardware, not emulated (which would be slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    flags = _processor_flags()
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & flags)


def _processor_flags() -> set[str]:
    """Instruction-set names as Linux gives them; empty elsewhere, where float32 is the safe choice."""
    path = Path("/proc/cpuinfo")
    if platform.system() != "Linux" or not path.exists():
        return set()
    for line in path.read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.split(":", 1)[1].split())
    return set()
