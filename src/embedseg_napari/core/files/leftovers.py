"""Names of files and folders that are not complete, and taking away what a killed process left under them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import time
from pathlib import Path
from uuid import uuid4

from embedseg_napari.core.files.processes import is_running, start_of

NAME = re.compile(r"\.tmp-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-(?P<start>[0-9a-f]{8})-[0-9a-f]{8}(\.\S*)?")
"""Computer, process, its start, and a number drawn by chance: nothing that a person would name a file."""
ABANDONED = 24 * 3600.0
"""Seconds after which nobody on another computer still writes a file."""
SLOW = 0.05
"""Seconds that looking through a folder takes which is large or far away: there it is done less often."""
SHARE = 0.01
"""Part of the time that looking may take there."""
_looked: dict[Path, tuple[float, float]] = {}
"""By folder: when it was looked through, and how many seconds that took."""


def temporary_name(suffix: str = "") -> str:
    """Return a name for something that is not complete; it says which process writes it."""
    pid = os.getpid()
    return f".tmp-{_short(platform.node())}-{pid}-{_short(start_of(pid))}-{uuid4().hex[:8]}{suffix[:20]}"


def run_beside(labels: Path) -> Path:
    """Return the folder that is there until labels, written block by block, are complete."""
    return labels.parent / f".{labels.name}.run"


def sweep(folder: Path) -> None:
    """Take away what processes left in a folder that were killed while they wrote; nothing else is ever touched."""
    for left in _matching(folder):
        if _is_abandoned(left):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                # Another process may have been quicker, or the share may not allow it: then it stays for the next one.
                with contextlib.suppress(OSError):
                    left.unlink()


def sweep_now_and_then(folder: Path) -> None:
    """Sweep a folder that is about to be written to, unless that was done so lately that it would cost time."""
    when, took = _looked.get(folder, (0.0, 0.0))
    began = time.monotonic()
    if took < SLOW or (began - when) * SHARE > took:
        sweep(folder)
        _looked[folder] = (time.monotonic(), time.monotonic() - began)


def is_leftover(path: Path) -> bool:
    """Whether this is the name of something that was never complete."""
    return NAME.fullmatch(path.name) is not None


def _matching(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if NAME.fullmatch(entry.name)]
    except OSError:
        # A folder that may be written but not listed.
        return []


def _is_abandoned(path: Path) -> bool:
    """Whether the process that wrote this is gone."""
    found = NAME.fullmatch(path.name)
    assert found is not None
    if found["host"] == _short(platform.node()):
        pid = int(found["pid"])
        return not is_running(pid) or _short(start_of(pid)) != found["start"]
    try:
        return time.time() - path.lstat().st_mtime > ABANDONED
    except OSError:
        return False


def _short(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()
