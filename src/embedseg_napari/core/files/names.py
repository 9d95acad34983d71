"""Names that files can have on every system, so that what is written here can be opened there."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORBIDDEN = set('<>:"/\\|?*')
"""Characters that Windows or another system gives a meaning."""
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Kinds of characters nobody sees: controls, marks that turn the direction of text, halves of characters, breaks."""
RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{kind}{number}" for kind in ("COM", "LPT") for number in "123456789¹²³"
}
"""Names that Windows takes for a device, whatever ending follows."""

PARTS = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|dev|images?|masks?|labels?|data(set)?)([ _-]?(set|data|images|split))?",
    re.IGNORECASE,
)
"""Names of folders that say which part of a data set they hold, not of which."""


def from_home(path: str | Path) -> Path:
    """Return a path whose `~` is replaced; one of a person that this computer does not know stays as it is.

    Raises
    ------
    DataError
        If it is no path.
    """
    if not isinstance(path, str | Path) or "\0" in str(path):
        raise DataError(f"{path!r} is no path of a file or folder.")
    return Path(os.path.expanduser(path))


def identity(path: Path) -> tuple[int, int] | None:
    """Return what a file or folder is under all its names, however spelled or linked; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_device(name: str) -> bool:
    """Whether Windows takes a name for that of a device: nothing can be saved under it there."""
    return name.split(".")[0].rstrip(" ").upper() in RESERVED


def unusable(name: str) -> str:
    """Return the first character of a name that files cannot have everywhere, or that nobody sees; empty if none."""
    return next((one for one in name if one in FORBIDDEN or unicodedata.category(one) in INVISIBLE), "")


def portable_name(name: str, otherwise: str, longest: int = 100) -> str:
    """Return a name like the one given, without ending, that a file can have on every system.

    Parameters
    ----------
    name : str
        As a person wrote it.
    otherwise : str
        Taken where nothing is left.
    longest : int
        Bytes at most.
    """
    text = re.sub("\0+", "_", "".join("\0" if unusable(one) else one for one in name))
    text = text.encode()[:longest].decode(errors="ignore").strip(" .") or otherwise
    return f"{text.split('.')[0].rstrip(' ')}_{text.partition('.')[2]}".rstrip(" .") if is_device(text) else text


def with_ending(path: Path, endings: Sequence[str], others: Iterable[str]) -> Path:
    """Return a name with an ending of its format; where it has none, the first takes the place of one of another.

    Parameters
    ----------
    path : Path
        As a person wrote it.
    endings : sequence of str
        Of the format, in small letters; none for a folder.
    others : iterable of str
        Of all formats that could have been chosen.
    """
    name = path.name.lower()
    if name.endswith(tuple(endings)):
        return path
    old = next((one for one in sorted(others, key=len, reverse=True) if name.endswith(one)), "")
    return path.with_name(path.name[: len(name) - len(old)] + next(iter(endings), ""))


def dataset_name(folder: str | Path) -> str:
    """Return what a data set is called: the name of its folder, or of the folder around one that is only a part.

    Parameters
    ----------
    folder : path
        Such as ``dsb2018/train``, which is a part of ``dsb2018``.
    """
    path = Path(os.path.abspath(from_home(folder)))
    names = [part.name for part in (path, *path.parents) if part.name]
    return next((name for name in names if not PARTS.fullmatch(name)), names[0] if names else "data set")
