"""Which processes run: to tell what one that was killed left from what another one still uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def start_of(pid: int) -> str:
    """When a process started, in the system's own words; empty where it does not say so in a file."""
    found = _stat(pid)
    # The start is the 20th field behind the name.
    return found[19] if found else ""


def is_running(pid: int) -> bool:
    """Whether a process of this number runs on this computer."""
    if sys.platform == "win32":
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # One that was killed keeps its number until its parent asks for it, which in a container may be never.
    return _stat(pid)[:1] != ["Z"]


def _stat(pid: int) -> list[str]:
    """What the system says about a process, from its state on; nothing where there is no such file."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return []
    # The name in parentheses before it may hold anything.
    return text.rpartition(")")[2].split()


def _is_running_on_windows(pid: int) -> bool:
    # os.kill would end the process there.
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    query, still_active = 0x1000, 259
    handle = kernel.OpenProcess(query, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active
