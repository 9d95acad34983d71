"""Which files belong together: by their names, whatever the ending, the case or the way accents are encoded."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path, PurePath


def image_name(path: PurePath) -> str:
    """Return the name of an image without its ending, to which ``.ome`` belongs; accents are composed (NFC).

    macOS hands out decomposed names (NFD) for the same letters.
    """
    stem = path.stem
    return unicodedata.normalize("NFC", stem[:-4] if stem.lower().endswith(".ome") else stem)


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Index files by their names without ending, in the order given.

    Raises
    ------
    DataError
        If two have one name: which one is meant could only be guessed.
    """
    found: dict[str, Path] = {}
    for path in paths:
        name = image_name(path)
        if name in found:
            raise DataError(f"{path}: has the same name as {found[name].name}; keep one of them.")
        found[name] = path
    return found


def partners(names: Collection[str], others: Mapping[str, Path]) -> dict[str, Path]:
    """Find the file of each name: that of the same name, else the only one that differs by capital letters alone.

    Parameters
    ----------
    names : collection of str
        From :func:`by_name`.
    others : mapping of str to Path
        Files to choose from, from :func:`by_name`.

    Returns
    -------
    dict of str to Path
        By name, in the order of `names`; a name without a partner is missing.
    """
    # What has a partner of exactly its name is nobody else's: `A.tif` and `a.tif` may be two images.
    left = [name for name in names if name not in others]
    free = {_folded(name): path for name, path in others.items() if name not in names}
    n_left = Counter(map(_folded, left))
    n_free = Counter(_folded(name) for name in others if name not in names)
    found: dict[str, Path] = {}
    for name in names:
        folded = _folded(name)
        if name in others:
            found[name] = others[name]
        elif n_left[folded] == n_free[folded] == 1:
            found[name] = free[folded]
    return found


def without_partner(paired: Mapping[str, Path], others: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files among `others` that are nobody's partner in `paired`."""
    taken = set(paired.values())
    return {name: path for name, path in others.items() if path not in taken}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
