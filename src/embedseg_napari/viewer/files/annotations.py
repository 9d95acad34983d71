"""Annotations of Fiji and QuPath as Labels layers, and Labels layers as files of these and other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import show_warning

from embedseg_napari.core.axes import guess_axes, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.export import export_labels, import_labels, is_outlined
from embedseg_napari.core.exchange.imagej import has_rois
from embedseg_napari.viewer.annotation_pixels import objects_alone
from embedseg_napari.viewer.files.live import full_array
from embedseg_napari.viewer.labelled_images import found_within
from embedseg_napari.viewer.layers import first_along, is_users, named_axes, one_each_axes, picture_of, pixel_size
from embedseg_napari.viewer.result_layers import spatial_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embedseg_napari.viewer.files.image_files import LayerData

KINDS = {
    ".zip": "imagej",
    ".geojson": "geojson",
    ".json": "coco",
    ".zarr": "ome-zarr",
    ".ply": "mesh",
    ".stl": "mesh",
}


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the reader of annotations, or None for anything else, such as a zip or a JSON of something else."""
    paths = [Path(one) for one in ([path] if isinstance(path, (str, Path)) else path)]
    return read_annotations if all(map(_is_annotation, paths)) else None


def _is_annotation(path: Path) -> bool:
    """Whether a file holds outlines, as far as its name and its beginning tell."""
    ending = path.suffix.lower()
    if ending == ".json":
        return is_outlined(path)
    return ending in (".roi", ".geojson") or has_rois(path)


def read_annotations(path: str | Sequence[str]) -> list[LayerData]:
    """Read annotations as labels on the image that is selected, else on the uppermost one.

    Raises
    ------
    DataError
        If no image is open, or the file cannot be read.
    """
    paths = [Path(one) for one in ([path] if isinstance(path, (str, Path)) else path)]
    image = _image()
    if image is None:
        raise DataError(f"{paths[0].name}: open the image that was annotated first; it says how large the labels are.")
    picture = picture_of(image)
    frame, axes = spatial_frame(image, picture.axes), result_axes(picture.axes)
    shape = [n for n, letter in zip(picture.array.shape, picture.axes, strict=True) if letter != "C"]
    found: list[LayerData] = []
    for one in paths:
        labels = import_labels(one, shape, axes, image=image.name, say=show_warning)
        if frame.axes != axes:
            # The place of a channel axis between others.
            labels = np.expand_dims(labels, frame.axes.index("C"))
        labels = labels.astype(np.int32) if labels.max() < 1 << 31 else labels.astype(np.uint32)
        found.append((labels, {"name": one.stem, **frame.options()}, "labels"))
    return found


def _image() -> Image | None:
    viewer = napari.current_viewer()
    if viewer is None:
        return None
    active = viewer.layers.selection.active
    # Seed maps and previews show a part of an image that objects were drawn on.
    images = [layer for layer in (active, *reversed(viewer.layers)) if isinstance(layer, Image) and is_users(layer)]
    return images[0] if images else None


def write_objects(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer for another program, on the image that it is a part of; the ending says which.

    Raises
    ------
    DataError
        If the file cannot be written, or the layer has no objects.
    """
    array = objects_alone(full_array(data), meta.get("metadata", {}))
    one_each = one_each_axes(meta.get("axis_labels"), Path(path).name)
    axes = one_each or named_axes(meta.get("axis_labels"), array.ndim) or guess_axes(array.shape, min(array.ndim, 3))
    spacing, unit = None, None
    if "scale" in meta:
        scale, units = (tuple(() if meta.get(key) is None else meta[key])[-len(axes) :] for key in ("scale", "units"))
        spacing, unit = pixel_size(scale, units, axes)
    if "C" in axes and array.shape[axes.index("C")] == 1:
        # Results for an image with channels between other axes keep a place for them.
        array, axes = first_along(array, axes.index("C")), result_axes(axes)
    viewer = napari.current_viewer()
    within = None if viewer is None else found_within(Layer.create(data, meta, "labels"), viewer.layers)
    # The dialog of napari asked before it came here.
    export_labels(
        array,
        path,
        KINDS[Path(path).suffix.lower()],
        axes,
        spacing=spacing,
        unit=unit,
        planes=bool(one_each),
        within=within,
        overwrite=True,
        say=show_warning,
    )
    return [str(path)]
