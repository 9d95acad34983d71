"""A session folder that is open: its state, and the process that has it."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Self

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.folder_lock import acquire, release
from embedseg_napari.core.model.model_file import software_version
from embedseg_napari.core.session.files import remove_leftovers, write_durably
from embedseg_napari.core.session.state import SessionState, from_json, to_json

if TYPE_CHECKING:
    from embedseg_napari.core.files.folder_lock import Holder

STATE = "session.json"


class SessionFolder:
    """A folder with a `session.json`; made by `create` or `open`, and a context manager that closes itself."""

    def __init__(self, folder: Path, holder: Holder, state: SessionState) -> None:
        self._folder, self._state = folder, state
        self._lock = threading.RLock()
        self._is_open = True
        self._release = weakref.finalize(self, release, folder, holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @classmethod
    def create(cls, folder: str | Path) -> Self:
        """Start a session in a new or empty folder.

        Raises
        ------
        DataError
            If the folder holds something already, or cannot be written.
        """
        folder = Path(folder)
        if (folder / STATE).exists():
            raise DataError(f"{folder}: holds a session already; open it, or choose another folder.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: is not empty; choose a new folder for the session.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: cannot be made ({error.strerror or error}).") from error
        session = cls(folder, acquire(folder, "session"), SessionState(software_version=software_version()))
        session._write(session._state)
        return session

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a session where it was left, however it ended.

        Raises
        ------
        DataError
            If there is none, it is damaged or of an unknown version, or another process has it open.
        """
        folder = Path(folder)
        if not (folder / STATE).is_file():
            raise DataError(f"{folder}: holds no session; there is no {STATE} in it.")
        holder = acquire(folder, "session")
        try:
            remove_leftovers(folder)
            text = (folder / STATE).read_text(encoding="utf-8")
            return cls(folder, holder, from_json(folder / STATE, text))
        except (OSError, UnicodeDecodeError) as error:
            release(folder, holder)
            raise DataError(f"{folder / STATE}: cannot be read ({error}).") from error
        except DataError:
            release(folder, holder)
            raise

    @property
    def folder(self) -> Path:
        """The session folder."""
        return self._folder

    def close(self) -> None:
        """Let others open the session; may be called twice."""
        with self._lock:
            self._is_open = False
            # A finalizer runs once.
            self._release()

    def _check_open(self) -> None:
        if not self._is_open:
            raise DataError(f"{self._folder}: this session was closed; open it again.")

    def _update(self, **changes: object) -> None:
        """Change the state on the disk, then here."""
        self._write(self._state.model_copy(update={**changes, "software_version": software_version()}))

    def _write(self, state: SessionState) -> None:
        text = to_json(state)
        write_durably(self._folder / STATE, lambda target: target.write_text(text, encoding="utf-8"))
        self._state = state


def list_sessions(folder: str | Path) -> list[Path]:
    """Return the session folders inside a folder, the one saved last first; none if there is no such folder."""
    folder = Path(folder)
    found = [path.parent for path in folder.glob(f"*/{STATE}") if path.is_file()]
    return sorted(found, key=_last_saved, reverse=True)


def _last_saved(session: Path) -> float:
    # A folder's date is that of the last file moved into it.
    return max(path.stat().st_mtime for path in (session / STATE, *session.glob("annotations/*")))
