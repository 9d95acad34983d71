"""Labels that images in OME-Zarr hold themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.ngff import find_group
from embedseg_napari.core.files.zarr_image import has_labels, is_store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

LABELS = "labels"
"""Folder of an OME-Zarr image with its label images."""


class LabelName(str):
    """A name of labels that is no place, whatever the working directory holds."""

    __slots__ = ()


def own_labels(images: dict[str, Path], labels: str | Path | None, masked: Collection[str] = ()) -> dict[str, Path]:
    """Labels of images that are OME-Zarr, by the names of the images: their own, or those that are named.

    Parameters
    ----------
    images : dict of str to Path
        By name.
    labels : str or path, optional
        Name of the labels in each image, or where those of the only image are.
    masked : collection of str
        Images that need none, because they have a mask elsewhere.

    Raises
    ------
    DataError
        If an image lacks what is named.
    """
    if labels is None:
        return {name: path for name, path in images.items() if has_labels(path)}
    places = {} if Path(labels).is_absolute() else {name: _in_image(path, labels) for name, path in images.items()}
    found = {name: place for name, place in places.items() if place.is_dir()}
    if not found and not isinstance(labels, LabelName) and _is_place(labels):
        if len(images) != 1:
            raise DataError(
                f"{labels}: is one label image, but there are {len(images)} images; name labels that each has."
            )
        return dict.fromkeys(images, Path(labels))
    lonely = [path for name, path in images.items() if name not in found and name not in masked]
    if lonely:
        # A name was not looked for in other places.
        words = "" if isinstance(labels, LabelName) else ", and there is no such file or store either"
        raise DataError(f"{lonely[0]}: has no label image {str(labels)!r} in {LABELS}/{words}.")
    return found


def labels_of_others(labels: str | Path | None, images: Iterable[Path | None]) -> LabelName | None:
    """What names the labels of other images like those that labels were named of: a name, not a place.

    Parameters
    ----------
    labels : str or path, optional
        As :func:`own_labels` took it.
    images : iterable of Path
        Those that it took it for.
    """
    if labels is None or Path(labels).is_absolute():
        return None
    is_name = any(_in_image(path, labels).is_dir() for path in set(images) if path is not None)
    return LabelName(labels) if is_name or not _is_place(labels) else None


def _in_image(path: Path, labels: str | Path) -> Path:
    """Where an image has labels of a name; of a folder of images, the first."""
    group = find_group(path) if is_store(path) else None
    return (path if group is None else group.folder) / LABELS / labels


def _is_place(labels: str | Path) -> bool:
    """Whether it is where labels are; a folder of other things may be called as labels are."""
    return Path(labels).is_file() or is_store(Path(labels))
