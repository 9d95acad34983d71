"""Layers to files that keep axes and pixel size."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import KNOWN, guess_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.metadata import normalize_unit
from embedseg_napari.core.files.tiff import write_atomically, write_image, write_labels
from embedseg_napari.viewer.tiff_metadata import CHANNEL_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a TIFF: 16-bit, or 32-bit where ids need it, with axes, pixel size and unit.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    array = _array(data)
    axes, spacing, unit = _geometry(array, meta)
    # The dialog of napari asked before it came here.
    write_labels(path, array, axes, spacing, unit, overwrite=True)
    return [str(path)]


def write_layers(path: str, layers: Sequence[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write layers into a folder, each as a file of its name: images and labels as TIFF, points as CSV.

    Raises
    ------
    DataError
        If the folder or a file exists already or cannot be written; nothing is overwritten.
    """
    folder = Path(path)
    names = file_names([str(meta.get("name", kind)) for _, meta, kind in layers])
    endings = [".csv" if kind == "points" else ".tif" for *_, kind in layers]
    targets = [folder / (name + ending) for name, ending in zip(names, endings, strict=True)]
    existing = next((target for target in targets if target.exists()), None)
    if existing is not None or folder.is_file():
        raise DataError(f"{existing or folder}: exists already; choose another folder.")
    for target, (data, meta, kind) in zip(targets, layers, strict=True):
        if kind == "labels":
            array = _array(data)
            write_labels(target, array, *_geometry(array, meta))
        elif kind == "image":
            _write_image_layer(target, data, meta)
        else:
            _write_points(target, np.asarray(data), meta)
    return [str(target) for target in targets]


def file_names(names: Sequence[str]) -> list[str]:
    """Names that files can have on every system, no two alike."""
    found: list[str] = []
    for name in names:
        stem = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", name).strip(" .") or "layer"
        candidate, number = stem, 1
        while candidate.lower() in (other.lower() for other in found):
            number += 1
            candidate = f"{stem}-{number}"
        found.append(candidate)
    return found


def _write_image_layer(target: Path, data: Any, meta: dict[str, Any]) -> None:
    array = _array(data)
    array = _storable(array)
    axes, spacing, unit = _geometry(array, meta)
    names = meta.get("metadata", {}).get(CHANNEL_NAMES, ())
    write_image(target, array, axes, spacing, unit, channel_names=names)


def _storable(array: np.ndarray) -> np.ndarray:
    """Give types that have no place in a TIFF the nearest one that holds their values."""
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.name not in ("int64", "uint64"):
        return array
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in (np.dtype("int32"), np.dtype("uint32")):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype(np.float64)


def _write_points(target: Path, points: np.ndarray, meta: dict[str, Any]) -> None:
    """Points as napari's own CSV (index, axis-0, ...) with the layer's features behind, so that napari opens them."""
    features = meta.get("features")
    columns = {} if features is None else {name: list(features[name]) for name in features if name != "index"}
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["index", *(f"axis-{axis}" for axis in range(points.shape[1])), *columns])
    for row, point in enumerate(points):
        table.writerow([row, *(float(value) for value in point), *(values[row] for values in columns.values())])
    write_atomically(target, lambda file: file.write_text(text.getvalue(), encoding="utf-8"))


def _array(data: Any) -> np.ndarray:
    """Full resolution of a pyramid; lazy arrays are computed."""
    return np.asarray(data[0] if isinstance(data, (list, tuple)) or type(data).__name__ == "MultiScaleData" else data)


def _geometry(array: np.ndarray, meta: dict[str, Any]) -> tuple[str, tuple[float, ...] | None, str | None]:
    """Axes, pixel size (z, y, x) and unit of a layer's array."""
    is_rgb = bool(meta.get("rgb", False))
    named = "".join(str(label) for label in meta.get("axis_labels") or ()).upper() + ("C" if is_rgb else "")
    is_named = (
        len(named) == array.ndim
        and set(named) <= set(KNOWN)
        and len(set(named)) == len(named)
        and {"Y", "X"} <= set(named)
    )
    axes = named if is_named else guess_axes(array.shape)
    sizes = [float(value) for value in meta.get("scale", ())]
    units = [normalize_unit(str(unit)) for unit in meta.get("units") or ()]
    letters = axes[:-1] if is_rgb else axes
    if len(sizes) != len(letters):
        return axes, None, None
    where = {letter: index for index, letter in enumerate(letters)}
    space = [where[letter] for letter in "ZYX" if letter in where]
    spacing = tuple(abs(sizes[index]) for index in space)
    unit = units[space[-1]] if len(units) == len(letters) else None
    if unit is None and set(spacing) == {1.0}:
        return axes, None, None
    return axes, spacing, unit
