"""The one way to write a file: under another name first, under its own only when it is complete and on the disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from embedseg_napari.core.errors import AlreadyExists, DataError, Stopped
from embedseg_napari.core.files.leftovers import sweep_now_and_then, temporary_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANNOT = {
    getattr(errno, name)
    for name in ("EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "EXDEV", "EMLINK")
    if hasattr(errno, name)
}
"""What file systems answer that do not know what was asked for: shares, sticks, folders of other machines."""
PATIENCE = 60.0
"""Seconds to wait for another program that changes files of the same folder; each takes a moment."""
LOOK = 0.5
"""Seconds between two looks whether to wait on, where others write for long."""


def locked_place(folder: Path) -> Path | None:
    """What keeps a folder from being made or written to, found out before the work; None where nothing does."""
    place = next(here for here in (folder.absolute(), *folder.absolute().parents) if here.exists())
    return None if place.is_dir() and os.access(place, os.W_OK) else place


def write_atomically(path: Path, write: Callable[[Path], object], *, overwrite: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, bring it to the disk, and give it its final name in one step.

    When this returns, the file outlasts a crash of the machine. Missing folders are made; where nothing comes of the
    file, they are taken away again. What killed processes left in the folder is swept up.

    Parameters
    ----------
    path : Path
        Target.
    write : callable
        Called with the temporary file, which has the ending of `path` and the rights that any new file has.
    overwrite : bool
        Whether an existing file may be replaced. If not, of several that write at the same time one gets the name.

    Raises
    ------
    AlreadyExists
        If there is such a file, and it may not be replaced.
    DataError
        If the folder cannot be written or the disk is full.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    temporary: Path | None = None
    try:
        if not overwrite:
            _refuse_existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_now_and_then(path.parent)
        temporary = path.with_name(temporary_name(path.suffix))
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        write(temporary)
        bring_to_disk(temporary)
        if overwrite:
            replace(temporary, path)
        else:
            _claim(temporary, path)
        for folder in (path.parent, *(made.parent for made in missing)):
            sync_folder(folder)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        if temporary is not None:
            # Where it cannot be taken away now, whoever writes there next does it.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if not os.path.lexists(path):
            for folder in missing:
                # Another run may have put something there meanwhile.
                with contextlib.suppress(OSError):
                    folder.rmdir()


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write a text, UTF-8; see :func:`write_atomically`."""
    write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"), overwrite=overwrite)


def replace(temporary: Path, path: Path) -> None:
    """Give a complete file or folder its final name; a file there is replaced in one step."""
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        # A share that renames nothing: the complete one goes away only when its copy is complete, too.
        if temporary.is_dir():
            shutil.copytree(temporary, path, dirs_exist_ok=True, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(temporary, path)
            bring_to_disk(path)


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder to the disk, where the system knows such a thing."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        # It may be written but not listed.
        return
    try:
        _sync(handle)
    finally:
        os.close(handle)


def version_of(path: Path) -> tuple[int, ...] | None:
    """What tells whether the file of a name is still the same one; None where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def alone(folder: Path, should_stop: Callable[[], bool] | None = None) -> Iterator[None]:
    """Keep other programs of this user and machine from changing files of a folder between a look and a write.

    Parameters
    ----------
    folder : Path
        Whose files are looked at and written.
    should_stop : callable, optional
        Where others may write for long: they are waited for until it returns True.

    Raises
    ------
    DataError
        If another program does not come to its end, where nobody can stop the waiting.
    Stopped
        If `should_stop` returned True while others wrote.
    """
    user = os.getuid() if hasattr(os, "getuid") else ""
    name = hashlib.blake2s(f"{user} {folder.resolve()}".encode(), digest_size=8).hexdigest()
    lock = FileLock(Path(tempfile.gettempdir()) / f"embedseg-{name}.lock")
    try:
        if should_stop is None:
            lock.acquire(timeout=PATIENCE)
        while should_stop is not None and not lock.is_locked:
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=LOOK)
            if not lock.is_locked and should_stop():
                raise Stopped(f"Stopped while another program wrote to {folder}.")
    except Timeout as error:
        raise DataError(f"{folder}: another program is changing something there; try again.") from error
    except (OSError, NotImplementedError):
        # A temporary folder that is full or locks nothing must not keep a model from being saved.
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise AlreadyExists(f"{path}: exists already; choose another name or allow overwriting.")


def _claim(temporary: Path, path: Path) -> None:
    """Give a file its final name, unless something has that name by now."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        _refuse_existing(path)
        raise
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        _claim_without_links(temporary, path)


def _claim_without_links(temporary: Path, path: Path) -> None:
    try:
        # An empty file holds the name for the moment that it takes.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        _refuse_existing(path)
        raise
    try:
        replace(temporary, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def bring_to_disk(path: Path) -> None:
    """Make a file outlast a crash of the machine."""
    # Windows wants a file that may be written.
    with path.open("r+b") as file:
        _sync(file.fileno())


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        # A full disk or a broken one says so here; what cannot be synced at all is as safe as it gets.
        if error.errno not in CANNOT:
            raise
