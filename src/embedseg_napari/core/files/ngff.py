"""What an OME-Zarr image (NGFF 0.1 to 0.5) says of its axes, pixels and channels, and what this program notes in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedseg_napari.core.axes import KNOWN
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_text
from embedseg_napari.core.files.documents import Unreadable, parse_json, read_text
from embedseg_napari.core.files.metadata import Metadata, in_one_unit
from embedseg_napari.core.files.units import normalize_unit, seconds, size

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_AXES = "TCZYX"
"""Axes of every image before version 0.3."""
MARK = "embedseg"
"""Attribute of the group of a label image that holds this program's notes."""

Numbers = Annotated[tuple[float, ...], Field(max_length=len(KNOWN))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Axis(_Part):
    name: str
    unit: str | None = None


class _Transformation(_Part):
    scale: Numbers | None = None
    translation: Numbers | None = None


class _Level(_Part):
    path: str
    coordinateTransformations: tuple[_Transformation, ...] | None = None


class _Image(_Part):
    version: str | None = None
    axes: tuple[_Axis | str, ...] = tuple(FIRST_AXES.lower())
    datasets: Annotated[tuple[_Level, ...], Field(min_length=1)]
    coordinateTransformations: tuple[_Transformation, ...] | None = None


class _Channel(_Part):
    label: str | int | float | None = None


class _Rendering(_Part):
    channels: tuple[_Channel, ...] | None = None


class _Attributes(_Part):
    version: str | None = None
    multiscales: tuple[_Image, ...] = ()
    omero: _Rendering | None = None
    labels: Any = None
    plate: Any = None
    image_label: Any = Field(default=None, alias="image-label")


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """What the group of an image says of it, without its pixels."""

    folder: Path
    axes: str
    """Letters of its axes; empty if they are not such as images have here."""
    levels: tuple[str, ...]
    """Folders of its resolutions inside the group, the full one first."""
    metadata: tuple[Metadata, ...]
    """Of each level."""
    origins: tuple[tuple[float, ...] | None, ...]
    """Of each level: where its first pixel lies, per spatial axis (z, y, x), in the unit of its pixel size; None where
    the group does not say."""
    scales: tuple[tuple[float, ...], ...]
    """Of each level: size of a pixel along every axis, as written; 1 where nothing is."""
    named: int | None
    """The level that was named instead of the group."""
    version: str
    """Of the format, such as ``"0.4"``."""
    is_labels: bool
    images: tuple[str, ...] = ()
    """Of a folder of images: their names, of which this is the first."""


def read_ngff(path: str | Path) -> tuple[str, Metadata] | None:
    """Read what an OME-Zarr says of an image, without its pixels.

    Parameters
    ----------
    path : str or Path
        An image, one of its resolutions, or a folder of images, of which napari opens the first.

    Returns
    -------
    axes : str
        Letters of its axes; empty if they are not such as images have here.
    metadata : Metadata
        Of the full resolution, or of the one that was named.

    None stands for a folder that holds no such metadata.

    Raises
    ------
    DataError
        If there is metadata that cannot be read.
    """
    group = find_group(path)
    return None if group is None else (group.axes, group.metadata[group.named or 0])


def find_group(path: str | Path) -> ImageGroup | None:
    """Find the group of an image, or of one of its resolutions, or the first one of a folder of images.

    Raises
    ------
    DataError
        If there is metadata that cannot be read.
    """
    path = Path(path)
    for folder, level in ((path, None), (path.parent, path.name)):
        found = _attributes(folder)
        if found.multiscales:
            return _described(folder, found, level)
    # The folder of an array may hold a million pieces.
    if not path.is_dir() or (path / ".zarray").is_file():
        return None
    images = sorted(child for child in path.iterdir() if child.is_dir() and _may_be_image(child))
    return _described(images[0], _attributes(images[0]), None, images) if images else None


def _may_be_image(folder: Path) -> bool:
    """Whether a group is that of an image; one that cannot be read may be, which is an error only where it is meant."""
    try:
        return bool(_attributes(folder).multiscales)
    except DataError:
        return True


def names_of_labels(folder: Path) -> tuple[str, ...]:
    """Return the names of the label images that an image has, as its group of labels lists them.

    What lies outside of that group is none.
    """
    names = _attributes(folder / "labels").labels
    return tuple(name for name in names if _is_inside(name)) if isinstance(names, list) else ()


def _is_inside(name: Any) -> bool:
    """Whether a name leads to something in the folder that it is used in, and nowhere else."""
    if not isinstance(name, str):
        return False
    place = PurePosixPath(name)
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts and "\\" not in name


def is_plate(folder: Path) -> bool:
    """Whether a group is that of a plate, whose images lie in its wells."""
    return _attributes(folder).plate is not None


def _documents(folder: Path) -> list[Path]:
    """The files of a folder that may hold its attributes: version 3 of Zarr, and version 2."""
    return [file for name in ("zarr.json", ".zattrs") if (file := folder / name).is_file()]


def _attributes(folder: Path) -> _Attributes:
    for file in _documents(folder):
        try:
            values: Any = parse_json(read_text(file))
            if file.name == "zarr.json":
                attributes = values.get("attributes")
                values = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
            return _Attributes.model_validate(values)
        except (Unreadable, OSError, ValidationError) as error:
            reason = str(error)
            if isinstance(error, ValidationError):
                # The last of its parts may be a name of this program.
                where = ".".join(str(part) for part in error.errors()[0]["loc"][:3]) or "attributes"
                reason = f"its {where} cannot be understood"
            raise DataError(f"{file}: {reason}; axes and pixel size are left open.") from error
    return _Attributes()


def _described(folder: Path, found: _Attributes, level: str | None, images: Sequence[Path] = ()) -> ImageGroup | None:
    image = found.multiscales[0]
    levels = tuple(one.path for one in image.datasets)
    if level is not None and level not in levels:
        return None
    axes = [_Axis(name=axis) if isinstance(axis, str) else axis for axis in image.axes]
    letters = "".join(axis.name.upper() for axis in axes)
    if not (len(set(letters)) == len(letters) == len(axes) and {"Y", "X"} <= set(letters) <= set(KNOWN)):
        letters = ""
    units = {axis.name.upper(): axis.unit for axis in axes}
    channels = (found.omero.channels if found.omero is not None and "C" in letters else None) or ()
    names = tuple("" if channel.label is None else str(channel.label) for channel in channels)
    places = [_place(image, one, letters, units, names if any(names) else ()) for one in image.datasets]
    if not letters or any(place is None for place in places):
        letters, places = "", [(Metadata(), None, ())] * len(levels)
    known = [place for place in places if place is not None]
    return ImageGroup(
        folder,
        letters,
        levels,
        tuple(metadata for metadata, _, _ in known),
        tuple(origin for _, origin, _ in known),
        tuple(scale for _, _, scale in known),
        None if level is None else levels.index(level),
        str(found.version or image.version or "0.4"),
        found.image_label is not None,
        tuple(one.name for one in images),
    )


def _place(
    image: _Image, level: _Level, letters: str, units: dict[str, str | None], names: tuple[str, ...]
) -> tuple[Metadata, tuple[float, ...] | None, tuple[float, ...]] | None:
    """What is said of a level: its pixel size and where it begins; None where that does not fit its axes."""
    steps, starts = dict.fromkeys(KNOWN, 1.0), dict.fromkeys(KNOWN, 0.0)
    transformations = (*(level.coordinateTransformations or ()), *(image.coordinateTransformations or ()))
    is_scaled = is_moved = False
    for one in transformations:
        if any(numbers is not None and len(numbers) != len(letters) for numbers in (one.scale, one.translation)):
            return None
        for letter, factor in zip(letters, one.scale or (), strict=False):
            steps[letter] *= factor
            starts[letter] *= factor
            is_scaled = True
        for letter, shift in zip(letters, one.translation or (), strict=False):
            starts[letter] += shift
            is_moved = True
    sizes = [size(steps[letter]) if letter in letters else None for letter in "ZYX"]
    says_nothing = not is_scaled or (not any(units.get(letter) for letter in "ZYX") and sizes[1:] == [1, 1])
    metadata = Metadata(
        *((None, None) if says_nothing else in_one_unit(sizes, [normalize_unit(units.get(one)) for one in "ZYX"])),
        names,
        seconds(steps["T"], units["T"]) if units.get("T") else None,
    )
    origin = tuple(starts[letter] for letter in "ZYX" if letter in letters) if is_moved else None
    return metadata, origin, tuple(steps[letter] for letter in letters)


# What this program notes in labels of a store: which run made them, how it ended, and that they were changed since


def read_notes(labels: Path) -> dict[str, Any]:
    """What is noted in the group of a label image; nothing where that cannot be read."""
    name, values = _own_words(labels)
    attributes = values.get("attributes") if name == "zarr.json" else values
    found = attributes.get(MARK) if isinstance(attributes, dict) else None
    return found if isinstance(found, dict) else {}


def is_prediction(labels: Path) -> bool:
    """Whether a label image is noted to be what a model found, and nothing of it was changed since."""
    notes = read_notes(labels)
    return bool(notes.get("recipe")) and not notes.get("changed")


def add_notes(labels: Path, **notes: Any) -> None:
    """Note something in the group of a label image, beside what is there.

    Parameters
    ----------
    labels : Path
        The group.
    **notes
        As JSON has them.

    Raises
    ------
    DataError
        If that cannot be written.
    """
    name, values = _own_words(labels)
    attributes = values.setdefault("attributes", {}) if name == "zarr.json" else values
    attributes[MARK] = read_notes(labels) | notes
    write_text(labels / name, json.dumps(values, indent=2))


def _own_words(labels: Path) -> tuple[str, dict[str, Any]]:
    """File and content of what the labels say of themselves; nothing where that cannot be read."""
    for file in _documents(labels):
        try:
            return file.name, parse_json(read_text(file))
        except (OSError, ValueError):
            return file.name, {}
    return "", {}
