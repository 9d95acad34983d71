"""One process at a time: a file that names the one that has a folder open."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

from pydantic import Field, TypeAdapter

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.documents import parse_json, read_text
from embedseg_napari.core.files.leftovers import sweep, temporary_name
from embedseg_napari.core.files.processes import is_running, start_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "lock"
ATTEMPTS = 10
"""Times to try again when others come and go meanwhile."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, on a computer, that has a folder open."""

    pid: Annotated[int, Field(gt=0, lt=2**31)]
    host: str
    started: str
    """When the process started, in the system's own words: numbers of dead processes are given to new ones."""
    token: str
    """Tells the times apart that one process opened folders."""

    @classmethod
    def this_process(cls) -> Holder:
        """The process that runs this."""
        return cls(os.getpid(), platform.node(), start_of(os.getpid()), uuid4().hex)

    @property
    def is_gone(self) -> bool:
        """Whether it surely does not run any more, or has given the lock back."""
        if self.token in _given_back:
            return True
        if self.host != platform.node():
            return False
        return not is_running(self.pid) or start_of(self.pid) != self.started


READER = TypeAdapter(Holder)
_given_back: set[str] = set()
"""Tokens of this process that hold nothing any more; the file stays where its disk was away just then."""


def acquire(folder: Path, what: str) -> Holder:
    """Take the lock of a folder; that of a process that was killed is taken over.

    Parameters
    ----------
    folder : Path
        An existing folder.
    what : str
        What it holds, as a sentence names it: "session", "training".

    Raises
    ------
    DataError
        If another has the folder open, or it cannot be written.
    """
    path, mine = folder / NAME, Holder.this_process()
    try:
        for _ in range(ATTEMPTS):
            if _place(path, mine):
                sweep(folder)
                return mine
            found = _read(path)
            if found is not None and not found.is_gone:
                raise DataError(_occupied(folder, found, what))
            _discard(path, found)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    raise DataError(f"{folder}: another program is opening this {what} right now; try again.")


def occupied(folder: Path, what: str) -> str:
    """Which process, that may still run, has the folder open, and what to do; empty if none has."""
    found = _read(folder / NAME)
    return "" if found is None or found.is_gone else _occupied(folder, found, what)


def release(folder: Path, holder: Holder) -> None:
    """Give the lock back, if it is still this process's."""
    path = folder / NAME
    # A forked child leaves with its parent's objects, but not with its lock.
    if holder.pid != os.getpid():
        return
    _given_back.add(holder.token)
    if _read(path) == holder:
        path.unlink(missing_ok=True)


@contextmanager
def holding(folder: Path | None, what: str) -> Iterator[None]:
    """Hold the lock of a folder; one that is missing is made, and taken away again if nothing came into it.

    Without a folder nothing happens.

    Raises
    ------
    DataError
        As `acquire`.
    """
    if folder is None:
        yield
        return
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be created ({error.strerror or error}).") from error
    holder = acquire(folder, what)
    try:
        yield
    finally:
        # A folder that is gone, with the stick it was on, must not take the work along; a lock that stays is seen to be
        # old.
        with contextlib.suppress(OSError):
            release(folder, holder)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()


def _place(path: Path, mine: Holder) -> bool:
    """Make the file, complete with its text, unless there is one."""
    draft = path.with_name(temporary_name())
    text = json.dumps(asdict(mine))
    draft.write_text(text, encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links: there the text comes a moment after the file.
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _discard(path: Path, stale: Holder | None) -> None:
    """Take a stale lock away, unless another process was quicker and the file is its lock by now."""
    aside = path.with_name(temporary_name())
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    except OSError:
        # A file system that renames nothing.
        if _read(path) == stale:
            path.unlink(missing_ok=True)
        return
    if _read(aside) == stale:
        aside.unlink()
    else:
        aside.rename(path)


def _read(path: Path) -> Holder | None:
    """Whose lock it is; None if there is none or it is unreadable."""
    try:
        return READER.validate_python(parse_json(read_text(path)))
    except (OSError, ValueError):
        return None


def _occupied(folder: Path, found: Holder, what: str) -> str:
    if found.pid == os.getpid() and found.host == platform.node():
        return f"{folder}: this {what} is already open in this program; close it there first."
    if found.host == platform.node():
        return f"{folder}: this {what} is open in another program (process {found.pid}); close it there first."
    return (
        f"{folder}: this {what} is open on the computer {found.host}; close it there first, or, if it is no longer "
        f"running, delete the file {folder / NAME}."
    )
