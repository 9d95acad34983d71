"""What a label image says of itself, as OME-Zarr 0.4 and 0.5 want it; checked by yaozarrs before it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import SPATIAL
from embedseg_napari.core.files.units import MICROMETRES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.files.lazy_image import LazyImage
    from embedseg_napari.core.stores.levels import Pyramid

UNITS = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "um": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
}
"""Units as OME-Zarr names them."""


def seen_from(folder: Path, place: Path) -> str | None:
    """The way to a place as it is noted in a folder; None where there is none: on Windows, to another drive."""
    try:
        return Path(os.path.relpath(place, folder)).as_posix()
    except ValueError:
        return None


def label_attributes(
    name: str, axes: str, pyramid: Pyramid, like: LazyImage, version: str, source: str | None
) -> dict[str, Any]:
    """Return the attributes of the group of a label image.

    Parameters
    ----------
    name : str
        Of the labels.
    axes : str
        One letter per axis.
    pyramid : Pyramid
        Its levels.
    like : LazyImage
        The image that the labels lie on.
    version : {"0.4", "0.5"}
        Of OME-Zarr.
    source : str, optional
        Where the group of the image lies, seen from that of the labels.
    """
    import yaozarrs

    space = [letter for letter in SPATIAL if letter in axes]
    steps = dict(zip(space, like.spacing or (1.0,) * len(space), strict=True)) | {"T": like.interval or 1.0}
    starts = dict(zip(space, like.origin or (0.0,) * len(space), strict=True))
    datasets = []
    for number, factors in enumerate(pyramid.factors):
        scale = [steps[letter] * factor for letter, factor in zip(axes, factors, strict=True)]
        moves: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if like.origin is not None:
            moves.append({"type": "translation", "translation": [starts.get(letter, 0.0) for letter in axes]})
        datasets.append({"path": str(number), "coordinateTransformations": moves})
    multiscale = {
        "name": name,
        "axes": [_axis(letter, like) for letter in axes],
        "datasets": datasets,
        "type": "nearest",
    }
    label = {"source": {"image": source}} if source is not None else {}
    if version == "0.4":
        attributes = {
            "multiscales": [multiscale | {"version": "0.4"}],
            "image-label": {"version": "0.4", **label},
        }
        yaozarrs.validate_ome_object(attributes, yaozarrs.v04.LabelImage)
        return attributes
    ome = {"version": "0.5", "multiscales": [multiscale], "image-label": label}
    yaozarrs.validate_ome_object(ome, yaozarrs.v05.LabelImage)
    return {"ome": ome}


def group_attributes(there: dict[str, Any], names: Sequence[str], version: str) -> dict[str, Any]:
    """Return the attributes of the group that lists the label images of an image; others that are there stay."""
    if version == "0.4":
        return there | {"labels": list(names)}
    ome = there.get("ome")
    return there | {"ome": (ome if isinstance(ome, dict) else {}) | {"version": "0.5", "labels": list(names)}}


def _axis(letter: str, like: LazyImage) -> dict[str, Any]:
    axis = {"name": letter.lower(), "type": "time" if letter == "T" else "space"}
    if letter == "T" and like.interval is not None:
        axis["unit"] = "second"
    elif letter in SPATIAL and like.unit in MICROMETRES:
        axis["unit"] = UNITS[str(like.unit)]
    return axis
