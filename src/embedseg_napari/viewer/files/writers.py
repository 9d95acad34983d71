"""Layers to files that keep axes and pixel size."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning
from napari_builtins.io import napari_write_shapes

from embedseg_napari.core.axes import guess_axes
from embedseg_napari.core.errors import AlreadyExists, DataError, EmbedSegError
from embedseg_napari.core.files.atomic import write_text
from embedseg_napari.core.files.names import portable_name
from embedseg_napari.core.files.plane_stack import marked
from embedseg_napari.core.files.tiff import MADE_BY, write_image, write_labels
from embedseg_napari.core.files.tiff_flavours import storable
from embedseg_napari.viewer.annotation_pixels import objects_alone
from embedseg_napari.viewer.files.live import full_array
from embedseg_napari.viewer.layers import CHANNEL_NAMES, frame_interval, named_axes, object_axis, pixel_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a TIFF: 16-bit, or 32-bit where ids need it, with axes, pixel size and unit.

    The file holds the array in the layer's own order, so that it lies on the image that it was made for. Planes of one
    object each are its channels, and it says so.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    # The dialog of napari asked before it came here.
    _write_labels_array(Path(path), full_array(data), meta, overwrite=True)
    return [str(path)]


def save_labels(layer: Labels, path: Path) -> Path:
    """Write a Labels layer where the user wants it; the file, with its ending.

    Parameters
    ----------
    layer : Labels
        What is written.
    path : Path
        As a dialog returned it: it has asked whether the file of this very name may be replaced, and of no other.

    Raises
    ------
    AlreadyExists
        If there is a file whose name has the ending that was left out.
    DataError
        If the file cannot be written.
    """
    target = path if path.suffix.lower() in (".tif", ".tiff") else path.with_name(f"{path.name}.tif")
    data, meta, _ = layer.as_layer_data_tuple()
    try:
        _write_labels_array(target, full_array(data), meta, overwrite=target == path)
    except AlreadyExists as error:
        raise AlreadyExists(f"{target}: exists already; give its whole name to replace it, or another one.") from error
    return target


def write_layers(path: str, layers: Sequence[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write layers into a folder, each as a file of its name: images and labels as TIFF, points, shapes, tracks as CSV.

    A layer that cannot be written is named in a notification; the others are written.

    Raises
    ------
    DataError
        If the folder or a file exists already, or no layer can be written; nothing is overwritten.
    """
    folder = Path(path)
    names = file_names([str(meta.get("name", kind)) for _, meta, kind in layers])
    endings = [".tif" if kind in ("image", "labels") else ".csv" for *_, kind in layers]
    targets = [folder / (name + ending) for name, ending in zip(names, endings, strict=True)]
    existing = next((target for target in targets if target.exists()), None)
    if existing is not None or folder.is_file():
        raise DataError(f"{existing or folder}: exists already; choose another folder.")
    written, faults = [], []
    for target, (data, meta, kind) in zip(targets, layers, strict=True):
        try:
            _write_layer(target, data, meta, kind)
            written.append(str(target))
        except (EmbedSegError, OSError, MemoryError, ValueError, TypeError, RuntimeError) as error:
            # Lazy arrays read their files only here, with errors of any library.
            faults.append(f"{meta.get('name', kind)} ({error})")
    if faults and not written:
        raise DataError(f"{folder}: nothing was written: {'; '.join(faults)}")
    if faults:
        show_warning(f"{len(written)} of {len(layers)} layers were written to {folder}, not: {'; '.join(faults)}")
    return written


def _write_layer(target: Path, data: Any, meta: dict[str, Any], kind: str) -> None:
    if kind == "labels":
        _write_labels_array(target, full_array(data), meta)
    elif kind == "image":
        _write_image_layer(target, data, meta)
    elif kind == "shapes":
        # As napari opens them.
        write_text(target, "")
        napari_write_shapes(str(target), data, meta)
    elif kind == "tracks":
        # Napari has no file of tracks: as points, each with the number of its track.
        rows = np.asarray(data)
        _write_points(target, rows[:, 1:], {"features": {"track": rows[:, 0].astype(int)}})
    else:
        _write_points(target, np.asarray(data), meta)


def _write_labels_array(target: Path, array: np.ndarray, meta: dict[str, Any], *, overwrite: bool = False) -> None:
    array = objects_alone(array, meta.get("metadata", {}))
    names = list(meta.get("axis_labels") or ())
    planes = object_axis(names)
    if planes is not None:
        # Of the axes of a TIFF, that of channels alone is neither time nor depth.
        names[planes] = "c"
    axes, spacing, unit = _geometry(array, {**meta, "axis_labels": names})
    interval = frame_interval(meta.get("scale", ()), meta.get("units"), axes, meta.get("metadata", {}))
    software = marked(MADE_BY) if planes == 0 and axes.startswith("C") else None
    write_labels(
        target, array, axes, spacing, unit, interval=interval, keep_order=True, software=software, overwrite=overwrite
    )


def file_names(names: Sequence[str]) -> list[str]:
    """Names that files can have on every system, no two alike."""
    found: list[str] = []
    for name in names:
        stem = portable_name(name, "layer")
        candidate, number = stem, 1
        while candidate.lower() in (other.lower() for other in found):
            number += 1
            candidate = f"{stem}-{number}"
        found.append(candidate)
    return found


def _write_image_layer(target: Path, data: Any, meta: dict[str, Any]) -> None:
    array = full_array(data)
    array = storable(array)
    axes, spacing, unit = _geometry(array, meta)
    names = meta.get("metadata", {}).get(CHANNEL_NAMES, ())
    interval = frame_interval(meta.get("scale", ()), meta.get("units"), axes, meta.get("metadata", {}))
    is_colour = bool(meta.get("rgb", False))
    write_image(
        target,
        array,
        axes,
        spacing,
        unit,
        channel_names=names,
        interval=interval,
        keep_order=True,
        is_colour=is_colour,
    )


def _write_points(target: Path, points: np.ndarray, meta: dict[str, Any]) -> None:
    """Points as napari's own CSV (index, axis-0, ...) with the layer's features behind, so that napari opens them."""
    features = meta.get("features")
    columns = {} if features is None else {name: list(features[name]) for name in features if name != "index"}
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["index", *(f"axis-{axis}" for axis in range(points.shape[1])), *columns])
    for row, point in enumerate(points):
        table.writerow([row, *(float(value) for value in point), *(values[row] for values in columns.values())])
    write_text(target, text.getvalue())


def _geometry(array: np.ndarray, meta: dict[str, Any]) -> tuple[str, tuple[float, ...] | None, str | None]:
    """Axes, pixel size (z, y, x) and unit of a layer's array."""
    is_rgb = bool(meta.get("rgb", False))
    named = named_axes(meta.get("axis_labels"), array.ndim - is_rgb)
    axes = (named or guess_axes(array.shape[: array.ndim - is_rgb])) + "C" * is_rgb
    letters, scale, units = axes[: len(axes) - is_rgb], meta.get("scale", ()), meta.get("units")
    if len(scale) != len(letters):
        return axes, None, None
    return axes, *pixel_size(scale, units, letters)
