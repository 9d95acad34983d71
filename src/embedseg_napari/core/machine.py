"""What this machine has."""

from __future__ import annotations

import os
from pathlib import Path

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much memory a container, or a job of a cluster, may take."""


def memory_of_machine() -> int | None:
    """Bytes of memory of this machine, or what this process may take of it; None where the system does not say."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits()])
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        # Windows, and no library that knows.
        return None
    return int(psutil.virtual_memory().total)


def fits_machine(n_bytes: int) -> bool:
    """Whether so much can be in memory at once, as far as the system says."""
    total = memory_of_machine()
    return total is None or n_bytes <= total


def _limits() -> list[int]:
    found = []
    for place in map(Path, LIMITS):
        try:
            text = place.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) > 0:
            found.append(int(text))
    return found
