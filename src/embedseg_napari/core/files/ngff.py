"""What an OME-Zarr image (NGFF 0.1 to 0.5) says of its axes, the size of its pixels and its channels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedseg_napari.core.axes import KNOWN
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.documents import Unreadable, parse_json, read_text
from embedseg_napari.core.files.metadata import Metadata, in_one_unit
from embedseg_napari.core.files.units import normalize_unit, seconds, size

FIRST_AXES = "TCZYX"
"""Axes of every image before version 0.3."""

Numbers = Annotated[tuple[float, ...], Field(max_length=len(KNOWN))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Axis(_Part):
    name: str
    unit: str | None = None


class _Transformation(_Part):
    scale: Numbers | None = None


class _Level(_Part):
    path: str
    coordinateTransformations: tuple[_Transformation, ...] | None = None


class _Image(_Part):
    axes: tuple[_Axis | str, ...] = tuple(FIRST_AXES.lower())
    datasets: Annotated[tuple[_Level, ...], Field(min_length=1)]
    coordinateTransformations: tuple[_Transformation, ...] | None = None


class _Channel(_Part):
    label: str | int | float | None = None


class _Rendering(_Part):
    channels: tuple[_Channel, ...] | None = None


class _Attributes(_Part):
    multiscales: tuple[_Image, ...] = ()
    omero: _Rendering | None = None


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
    path = Path(path)
    for folder, level in ((path, None), (path.parent, path.name)):
        found = _attributes(folder)
        if found.multiscales:
            return _described(found, level)
    # The folder of an array may hold a million pieces.
    if not path.is_dir() or (path / ".zarray").is_file():
        return None
    groups = sorted(child for child in path.iterdir() if child.is_dir() and _documents(child))
    found = _attributes(groups[0]) if groups else _Attributes()
    return _described(found, None) if found.multiscales else None


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


def _described(found: _Attributes, level: str | None) -> tuple[str, Metadata] | None:
    image = found.multiscales[0]
    at = next((one for one in image.datasets if level is None or one.path == level), None)
    if at is None:
        return None
    axes = [_Axis(name=axis) if isinstance(axis, str) else axis for axis in image.axes]
    letters = "".join(axis.name.upper() for axis in axes)
    transformations = (*(at.coordinateTransformations or ()), *(image.coordinateTransformations or ()))
    scales = [one.scale for one in transformations if one.scale]
    is_known = len(set(letters)) == len(letters) == len(axes) and {"Y", "X"} <= set(letters) <= set(KNOWN)
    if not is_known or any(len(scale) != len(axes) for scale in scales):
        return "", Metadata()
    steps, units = dict.fromkeys(KNOWN, 1.0), {axis.name.upper(): axis.unit for axis in axes}
    for scale in scales:
        steps |= {letter: steps[letter] * factor for letter, factor in zip(letters, scale, strict=True)}
    sizes = [size(steps[letter]) if letter in letters else None for letter in "ZYX"]
    says_nothing = not scales or (not any(units.get(letter) for letter in "ZYX") and sizes[1:] == [1, 1])
    channels = (found.omero.channels if found.omero is not None and "C" in letters else None) or ()
    names = tuple("" if channel.label is None else str(channel.label) for channel in channels)
    return letters, Metadata(
        *((None, None) if says_nothing else in_one_unit(sizes, [normalize_unit(units.get(one)) for one in "ZYX"])),
        names if any(names) else (),
        seconds(steps["T"], units["T"]) if units.get("T") else None,
    )
