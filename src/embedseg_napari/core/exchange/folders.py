"""Exports that are a folder of files: written beside, and exchanged for an earlier export without touching the rest."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import replace, sync_folder
from embedseg_napari.core.files.documents import parse_json, read_text
from embedseg_napari.core.files.leftovers import sweep_now_and_then, temporary_name
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORD = ".embedseg-export.json"
"""Names the files of an export, each with its size and time, so that the next one knows which are its own."""


def write_folder(
    folder: Path, fill: Callable[[Path], object], names: str, say: Callable[[str], None], *, overwrite: bool
) -> None:
    """Write the files of an export into a folder; they appear there when all are written.

    In a folder that is there, files of the same names are replaced, and files of an earlier export that the new one has
    not are taken away if nobody changed them. All others stay.

    Parameters
    ----------
    folder : Path
        The folder.
    fill : callable
        Writes the files into an empty folder.
    names : str
        Pattern of the files' names: which of those that stay might be taken for a part of this export.
    say : callable
        Takes a sentence on these.
    overwrite : bool
        Whether files may be replaced.

    Raises
    ------
    DataError
        If it cannot be written, or is there and may not be replaced.
    """
    draft = folder.with_name(temporary_name())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_now_and_then(folder.parent)
        draft.mkdir()
        fill(draft)
        made = {file.name: _state(file) for file in draft.iterdir()}
        (draft / RECORD).write_text(json.dumps(made), encoding="utf-8")
        if overwrite and folder.exists():
            before = _recorded(folder)
            for name in (*made, RECORD):
                replace(draft / name, folder / name)
            for name, state in before.items():
                if name not in made and (folder / name).is_file() and _state(folder / name) == state:
                    (folder / name).unlink()
            others = sorted(
                file.name for file in folder.iterdir() if file.name not in made and re.fullmatch(names, file.name)
            )
            if others:
                say(
                    f"{folder}: {count(len(others), 'file')} that this export did not make (such as {others[0]}) may "
                    "be taken for a part of it; delete what is not needed, or export to a new folder."
                )
        else:
            draft.rename(folder)
        sync_folder(folder.parent)
    except DataError as error:
        # The draft is gone by the time that this is read.
        raise DataError(str(error).replace(str(draft), str(folder))) from error
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _state(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


def _recorded(folder: Path) -> dict[str, Any]:
    """The files of the export that is there; none where it left no record that can be read."""
    try:
        found = parse_json(read_text(folder / RECORD))
    except (OSError, ValueError):
        return {}
    # Only files of the folder itself can be its own.
    return {name: state for name, state in found.items() if name == name.replace("\\", "/").rpartition("/")[2]}
