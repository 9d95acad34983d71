"""Labels to files of other programs, and back."""

from __future__ import annotations

import math
import operator
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import check_spacing, guess_axes, ordered, parse_axes, reorder, spatial_axes
from embedseg_napari.core.clustering.crossing import in_groups, on_planes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.evaluation.planes import require_planes
from embedseg_napari.core.exchange.coco import is_coco, read_coco, write_coco
from embedseg_napari.core.exchange.ctc import write_ctc
from embedseg_napari.core.exchange.drawn import paint
from embedseg_napari.core.exchange.folders import write_folder
from embedseg_napari.core.exchange.geojson import is_geojson, read_geojson, write_geojson
from embedseg_napari.core.exchange.imagej import read_rois, write_rois
from embedseg_napari.core.exchange.meshes import meshes, write_ply, write_stl
from embedseg_napari.core.exchange.ome_zarr import write_ome_zarr
from embedseg_napari.core.exchange.planes import Overlaid
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.named_axes import described
from embedseg_napari.core.files.picture import require_file
from embedseg_napari.core.files.tiff import write_labels
from embedseg_napari.core.files.units import micrometres, normalize_unit
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.machine import fits_machine
from embedseg_napari.core.measure.blocks import Blocks, as_array, is_lazy
from embedseg_napari.core.scripts import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.clustering.whole_objects import WholeObject
    from embedseg_napari.core.exchange.planes import Within

FORMATS: dict[str, tuple[str, ...]] = {
    "imagej": (".zip",),
    "geojson": (".geojson", ".json"),
    "mesh": (".ply", ".stl", ""),
    "coco": (".json",),
    "ctc": ("",),
    "ome-zarr": (".zarr",),
    "ome-tiff": (".ome.tif", ".ome.tiff"),
}
"""Formats, and the endings that their files have; an empty one is a folder."""
PART_BY_PART = {"imagej": "YX", "geojson": "YX", "coco": "YX", "ctc": "ZYX", "ome-zarr": ""}
"""Formats for which labels that are not in memory are read in parts, and the axes of a part; the others need all."""
OUTLINED = ("imagej", "geojson", "coco")
"""Formats in which objects may share pixels; the others have one number for each pixel."""
NAMES = {"ctc": r"(mask\d+\.tif|man_track\.txt)", "mesh": r"\d+\.ply"}
"""Names of the files in a folder."""
ANNOTATIONS = (".zip", ".roi", ".geojson", ".json")
"""Endings of files that become labels."""
LARGEST_JSON = 1 << 31
BYTES_PER_PIXEL = 8
"""Of labels while they are drawn."""


def export_labels(
    labels: Any,
    path: str | Path,
    format: str,
    axes: str | None = None,
    *,
    spacing: Sequence[float] | None = None,
    unit: str | None = "um",
    table: Mapping[str, Any] | None = None,
    planes: bool = False,
    within: Within | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> None:
    """Write objects in a format of another program.

    Outlines in ROIs and GeoJSON give the label image back pixel for pixel: a pixel belongs to an object where its
    centre (x + 0.5, y + 0.5) lies inside.

    Parameters
    ----------
    labels : Segmentation or array of int, shape ((T,) (Z,) Y, X)
        Objects, 0 is background. What is not in memory, such as an array of Zarr or Dask, is read plane by plane for
        ROIs, GeoJSON and COCO, frame by frame for ``"ctc"``, block by block for ``"ome-zarr"``; the others need all.
    path : path
        Target: a file, or for ``"ctc"``, and for ``"mesh"`` without an ending, a folder.
    format : {"imagej", "geojson", "mesh", "coco", "ctc", "ome-zarr", "ome-tiff"}
        Zip of ROIs for ImageJ and Fiji; GeoJSON for QuPath; surfaces as PLY or STL; COCO JSON; the layout of the cell
        tracking challenge; OME-Zarr 0.5 with its levels; OME-TIFF.
    axes : str, optional
        Axes of `labels`; without them three axes are ``"ZYX"`` and four ``"TZYX"``; arrays of xarray name
        their own, and their coordinates are the pixel size.
    spacing : sequence of float, optional
        Size of a pixel (z, y, x); meshes, CTC and OME-TIFF keep it.
    unit : str, optional
        Its unit; meshes are in micrometres where it is known.
    table : dict, optional
        From :func:`measure`: GeoJSON has a measurement for each of its columns.
    planes : bool
        Whether objects keep the pixels that they share: `labels` are then planes of one object each (K, (Z,) Y, X),
        numbered from 1, with `axes` for those behind the first, or a `Segmentation` of one image, whose maps were kept.
        For ROIs, GeoJSON and COCO.
    within : Within, optional
        Where the labels lie in the image that they are a part of (``core.exchange.planes.Within``): ROIs, GeoJSON and
        COCO lie on that image, ``"ctc"`` counts its frames. The others hold the part alone, which is said.
    overwrite : bool
        Whether what is there may be replaced. In a folder these are files of the same names, and those of an earlier
        export that the new one has not; all others stay.
    say : callable, optional
        Takes sentences on files that stay and look like a part of the export, and on where a part begins; by default
        each is a warning.

    Raises
    ------
    DataError
        If the format does not fit the objects or the path, there are no objects, or the file exists.
    """
    if table is not None and "label" not in table:
        raise DataError("The table does not say which object each row is of (column label); take one of es.measure.")
    labels, axes, spacing, unit = described(labels, axes, spacing, unit, mask=planes)
    if planes:
        labels, axes = _whole(labels, axes)
    path, array, own = _checked(labels, path, format, axes)
    scale = None if spacing is None else check_spacing(spacing, spatial_axes(own))
    if not overwrite and os.path.lexists(path):
        raise AlreadyExists(f"{path}: exists already; choose another name or allow overwriting.")
    say = warn if say is None else say
    first_frame = 0 if within is None else within.start.get("T", 0)
    writers: dict[str, Callable[[Path], object]] = {
        "imagej": lambda target: write_rois(target, array, own, within),
        "geojson": lambda target: write_geojson(target, array, own, table, within),
        "coco": lambda target: write_coco(target, array, own, f"{path.stem}.tif", within),
        "ctc": lambda target: write_ctc(target, array, own, scale, unit, first_frame=first_frame),
        "mesh": lambda target: _write_meshes(target, path.suffix.lower(), reorder(array, own, "ZYX"), scale, unit),
    }
    if format == "ome-tiff":
        write_labels(path, array, own, scale, unit, overwrite=overwrite)
    elif format == "ome-zarr":
        write_ome_zarr(path, array, own, scale, unit, overwrite=overwrite)
    elif format == "ctc" or (format == "mesh" and not path.suffix):
        write_folder(path, writers[format], NAMES[format], say, overwrite=overwrite)
    else:
        write_atomically(path, writers[format], overwrite=overwrite)
    if within is not None and within.words and format not in OUTLINED:
        say(f"This format holds the labels alone; they begin at {within.words} of their image.")


def _whole(labels: Any, axes: str | None) -> tuple[Overlaid, str | None]:
    """Planes, or the objects of a segmentation before a later one was written over them, and their axes."""
    if isinstance(labels, Segmentation):
        letters = ordered(labels.label_axes)
        return overlaid(list(labels.objects()), labels.maps.seed_map.shape), letters
    array = as_array(labels)
    if len(array.shape) not in (3, 4):
        raise DataError(f"Planes of one object each have the axes (K, Y, X) or (K, Z, Y, X), not {array.shape}.")
    require_planes(array, "The stack")
    return overlaid(on_planes(array), array.shape[1:]), axes


def overlaid(objects: Sequence[WholeObject], shape: Sequence[int]) -> Overlaid:
    """Objects as label images that lie over each other, as few as cut none.

    Raises
    ------
    DataError
        If there are none.
    """
    if not objects:
        raise DataError("There are no objects to export.")
    return Overlaid(tuple(in_groups(objects, shape)))


def _checked(labels: Any, path: str | Path, format: str, axes: str | None) -> tuple[Path, Any, str]:
    path = Path(path)
    require_format(path, format)
    if isinstance(labels, Overlaid):
        if format not in OUTLINED:
            raise DataError(
                f"Objects that share pixels can be exported as {', '.join(OUTLINED)}; {format} has one number for each "
                "pixel, so export labels."
            )
        return path, labels, parse_axes(axes or guess_axes(labels.shape, len(labels.shape)))
    found = labels if isinstance(labels, Segmentation) else None
    array = as_array(labels.labels if found is not None else labels)
    if is_lazy(array) and format not in PART_BY_PART:
        array = np.asarray(array)
    require_kept_ids(np.zeros(0, array.dtype) if is_lazy(array) else array, "The label image")
    array = array.view(np.uint8) if array.dtype == bool and not is_lazy(array) else array
    own = parse_axes(
        axes or ("" if found is None else found.label_axes) or guess_axes(array.shape, min(len(array.shape), 3))
    )
    if "C" in own or len(own) != len(array.shape):
        raise DataError(f"Axes {own!r} do not fit labels of shape {array.shape}; give one letter for each axis.")
    if not _has_objects(array, own):
        raise DataError("The label image holds no objects; all its pixels are 0.")
    if format == "mesh" and ordered(own) != "ZYX":
        raise DataError(f"Surfaces are made of volumes (ZYX), and these labels have the axes {own}.")
    return path, array, own


def _has_objects(array: Any, axes: str) -> bool:
    """Whether a pixel is not 0; what is lazy is read up to the first block with one."""
    blocks = Blocks(array, axes)
    return any(blocks.read(t, box).any() for t in range(blocks.n_frames) for box in blocks.boxes())


def require_format(path: Path, format: str) -> None:
    """Refuse a format that is unknown, or a name that does not fit it.

    Raises
    ------
    DataError
        Naming what can be chosen.
    """
    if format not in FORMATS:
        raise DataError(f"There is no format {format!r}; choose {', '.join(FORMATS)}.")
    endings = FORMATS[format]
    if "" in endings and not path.suffix:
        return
    if not path.name.lower().endswith(tuple(ending for ending in endings if ending)):
        named = [ending or "a folder" for ending in endings]
        raise DataError(f"{path}: is no name for the format {format}; choose {' or '.join(named)}.")


def _write_meshes(
    target: Path, ending: str, labels: NDArray[Any], spacing: Sequence[float] | None, unit: str | None
) -> None:
    factor = None if spacing is None else micrometres(normalize_unit(unit))
    step = np.ones(3) if spacing is None else np.asarray(spacing) * (factor or 1.0)
    word = "um" if factor is not None else "pixel"
    parts = meshes(labels, step.tolist())
    if not ending:
        for part in parts:
            write_ply(target / f"{part.label}.ply", [part], word)
    elif ending == ".ply":
        write_ply(target, list(parts), word)
    else:
        write_stl(target, list(parts), word)


def is_outlined(path: Path) -> bool:
    """Whether a JSON is one of annotations: COCO or GeoJSON."""
    try:
        return is_coco(path, LARGEST_JSON) or is_geojson(path, LARGEST_JSON)
    except (DataError, OSError):
        return False


def import_labels(
    path: str | Path,
    shape: Sequence[int],
    axes: str | None = None,
    *,
    image: str = "",
    say: Callable[[str], None] | None = None,
) -> NDArray[np.int64]:
    """Read annotations as labels: ROIs of ImageJ, GeoJSON of QuPath, COCO.

    Parameters
    ----------
    path : path
        ``.zip`` or ``.roi``, ``.geojson``, or ``.json`` of either kind.
    shape : sequence of int
        Of the image without its channels.
    axes : str, optional
        Its axes, such as ``"ZYX"``; without them three axes are ``"ZYX"`` and four ``"TZYX"``.
    image : str
        Name of the image without ending, for COCO files of several.
    say : callable, optional
        Takes what was left out or painted over, in sentences; by default each is a warning.

    Returns
    -------
    ndarray of int64
        In the order of `axes`; objects keep the numbers that the file gives them.

    Raises
    ------
    DataError
        If the file cannot be read, or covers no pixel of such an image.
    """
    path = Path(path)
    try:
        shape = tuple(operator.index(size) for size in shape)
    except TypeError as error:
        raise DataError(f"{shape!r} is no shape of an image; give whole numbers, such as image.shape.") from error
    if min(shape, default=0) < 1:
        raise DataError(f"An image of shape {shape} has no pixels.")
    if not fits_machine(BYTES_PER_PIXEL * math.prod(shape)):
        raise DataError(f"Labels of shape {shape} are larger than the memory of this machine; import a part of them.")
    own = parse_axes(axes or guess_axes(shape, min(len(shape), 3)))
    if "C" in own or len(own) != len(shape):
        raise DataError(f"Axes {own!r} do not fit the shape {shape}; give one letter for each axis, without channels.")
    require_file(path)
    ending = path.suffix.lower()
    if ending not in ANNOTATIONS:
        raise DataError(f"{path}: annotations are read from {', '.join(ANNOTATIONS)}; choose one of these.")
    if ending in (".zip", ".roi"):
        drawing = read_rois(path)
    elif is_coco(path, LARGEST_JSON):
        plane = tuple(shape[own.index(letter)] for letter in "YX")
        drawing = read_coco(path, LARGEST_JSON, image, (plane[0], plane[1]))
    else:
        drawing = read_geojson(path, LARGEST_JSON)
    try:
        labels, words = paint(drawing, shape, own)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    for text in words:
        (warn if say is None else say)(f"{path}: {text}")
    return labels
