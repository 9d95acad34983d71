"""The folder of a session: its state, and the one process that has it open."""

from __future__ import annotations

import os
import re
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.folder_lock import NAME as LOCK
from embedseg_napari.core.files.folder_lock import acquire, release
from embedseg_napari.core.files.leftovers import is_leftover
from embedseg_napari.core.model.model_file import software_version
from embedseg_napari.core.session.files import remove_leftovers
from embedseg_napari.core.session.state import SessionState, from_json, to_json

if TYPE_CHECKING:
    from embedseg_napari.core.files.folder_lock import Holder

STATE = "session.json"
OLD_LEFTOVER = re.compile(r"\.tmp-[0-9a-f]{8}-session\.json")
"""Name under which earlier versions began to write it."""


class SessionFolder:
    """A folder with a `session.json`, and a context manager that closes itself.

    Parameters
    ----------
    folder : path
        A new or empty folder; it is made, and locked against other processes, when something is first written into it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._state = SessionState()
        self._lock = threading.RLock()
        self._users = 0
        self._is_closing = self._is_closed = False
        self._unlock: weakref.finalize[[Path, Holder], SessionFolder] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a session where it was left, however it ended.

        Raises
        ------
        DataError
            If there is none, it is damaged or of an unknown version, or another process has it open.
        """
        session = cls(folder)
        path = session.folder / STATE
        if not path.is_file():
            raise DataError(f"{folder}: holds no session; there is no {STATE} in it.")
        session._unlock = session._acquire()
        try:
            remove_leftovers(session.folder)
            session._read_state()
        except OSError as error:
            session.close()
            raise DataError(f"{path}: cannot be read ({error}).") from error
        except DataError:
            session.close()
            raise
        return session

    @classmethod
    def look_into(cls, folder: str | Path) -> Self:
        """Read a session as it was saved last, also while another process has it open; nothing can be written into it.

        Raises
        ------
        DataError
            If there is none, or it is damaged or of an unknown version.
        """
        session = cls(folder)
        session._read_state()
        return session

    def _read_state(self) -> None:
        path = self.folder / STATE
        try:
            self._state = from_json(path, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error}).") from error

    def begin(self) -> None:
        """Make the folder and lock it, unless that was done.

        Raises
        ------
        DataError
            If the session was closed, its folder is gone or holds something already, or it cannot be written.
        """
        with self._lock:
            if self._is_closed:
                raise DataError(f"{self.folder}: this session was closed; open it again.")
            if self.is_begun:
                self._require_there()
                return
            try:
                self._require_unused()
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{self.folder}: cannot be created ({error.strerror or error}).") from error
            unlock = self._acquire()
            try:
                # Another process may have been there between the look and the lock.
                self._require_unused()
                self._update()
            except (DataError, OSError):
                unlock()
                raise
            self._unlock = unlock

    @property
    def is_begun(self) -> bool:
        """Whether it is on the disk."""
        return self._unlock is not None

    @property
    def is_lost(self) -> bool:
        """Whether it was on the disk, and is not where it was any more."""
        return self.is_begun and not os.path.isfile(self.folder / STATE)

    @property
    def is_taken(self) -> bool:
        """Whether it cannot begin, because something else came into its folder."""
        if self.is_begun:
            # Whoever asks does not wait for a thread that writes.
            return False
        # Where it is just about to begin, what is there is its own.
        with self._lock, suppress(OSError):
            if not self.is_begun:
                try:
                    self._require_unused()
                except DataError:
                    return True
        return False

    @property
    def is_unused(self) -> bool:
        """Whether nothing was written, and no training is about to."""
        return not self.is_begun and not self._users

    def retain(self) -> None:
        """Keep the session open until :meth:`release`, for a training that writes a round at its end."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Let a session close that was retained."""
        with self._lock:
            self._users -= 1
            if self._is_closing:
                self.close()

    def close(self) -> None:
        """Let others open the session, as soon as nobody retains it; may be called twice."""
        with self._lock:
            self._is_closing = True
            if not self._users:
                self._is_closed = True
                if self._unlock is not None:
                    # A finalizer runs once.
                    self._unlock()

    @property
    def is_waiting(self) -> bool:
        """Whether it was closed, but stays open until it is released."""
        return self._is_closing and not self._is_closed

    def reopen(self) -> bool:
        """Take :meth:`close` back where it waits for a release; False where there is nothing to take back."""
        with self._lock:
            is_waiting = self.is_waiting
            if is_waiting:
                self._is_closing = False
            return is_waiting

    def _require_there(self) -> None:
        """Refuse to go on where its folder is gone: what is not found there would be taken for never written."""
        if self.is_lost:
            raise DataError(
                f"{self.folder}: this session was moved or deleted while it was open; put it back, or begin a new "
                "session."
            )

    def _require_unused(self) -> None:
        """Refuse a folder that holds something else than what a beginning left that was killed."""
        if os.path.exists(self.folder / STATE):
            raise DataError(f"{self.folder}: already holds a session; open it, or choose another folder.")
        if os.path.exists(self.folder) and not (
            self.folder.is_dir()
            and all(
                path.name == LOCK or is_leftover(path) or OLD_LEFTOVER.fullmatch(path.name)
                for path in self.folder.iterdir()
            )
        ):
            raise DataError(f"{self.folder}: is not empty; choose a new folder for the session.")

    def _acquire(self) -> weakref.finalize[[Path, Holder], SessionFolder]:
        """Lock the folder; what is returned unlocks it."""
        return weakref.finalize(self, release, self.folder, acquire(self.folder, "session"))

    def _update(self, **changes: object) -> None:
        """Change the state on the disk, then here."""
        state = self._state.model_copy(update={**changes, "software_version": software_version()})
        text = to_json(state)
        # What cannot be read must never carry its final name.
        from_json(self.folder / STATE, text)
        write_atomically(self.folder / STATE, lambda path: path.write_text(text, encoding="utf-8"))
        self._state = state


def read_state(folder: Path) -> SessionState | None:
    """Return what a session folder says about itself, without opening it; None where it cannot be read."""
    try:
        return from_json(folder / STATE, (folder / STATE).read_text(encoding="utf-8"))
    except (DataError, OSError, UnicodeDecodeError):
        return None


def list_sessions(folder: str | Path) -> list[Path]:
    """Return the session folders inside a folder, the one saved last first; none if there is no such folder."""
    found = [path.parent for path in Path(folder).glob(f"*/{STATE}") if path.is_file()]
    return sorted(found, key=last_saved, reverse=True)


def last_saved(session: Path) -> float:
    """Return when a session was saved last, in seconds since 1970."""
    # A folder's date is that of the last file moved into it.
    return max(path.stat().st_mtime for path in (session / STATE, *session.glob("annotations/*")))
