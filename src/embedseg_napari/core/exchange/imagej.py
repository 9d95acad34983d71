"""ROIs of ImageJ and Fiji: a zip with a file for each object and plane."""

from __future__ import annotations

import re
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.drawn import Drawing, Drawn
from embedseg_napari.core.exchange.outlines import outlines
from embedseg_napari.core.exchange.planes import planes_of, whole_plane
from embedseg_napari.core.files.archives import UNREADABLE, open_archive, read_member

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from roifile import ImagejRoi

    from embedseg_napari.core.exchange.outlines import Piece
    from embedseg_napari.core.exchange.planes import Plane, Within

LARGEST = 32_767
"""Pixels along an axis: ImageJ's coordinates have 16 bits."""
LARGEST_ROI = 1 << 28
MOST_BYTES = 1 << 31
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""What follows in the path of a composite ROI."""
LABEL = re.compile(r"^label:\s*(\d{1,19})\s*$", re.MULTILINE)
"""Property of a ROI that says which object it is."""


def write_rois(target: Path, labels: Any, axes: str, within: Within | None = None) -> None:
    """Write the outlines of all objects as a zip of ROIs.

    An object in one piece without holes is a traced outline, as the wand of ImageJ makes it; any other is a composite.
    A ROI lies on its slice and frame, and is named by its object, which its properties name too.

    Parameters
    ----------
    target : Path
        File to fill.
    labels : array of int, shape ((T,) (Z,) Y, X)
        Ids, 0 is background; it is read plane by plane.
    axes : str
        Their axes.
    within : Within, optional
        The image that they are a part of, on which ROIs lie.

    Raises
    ------
    DataError
        If the planes are larger than ImageJ's coordinates reach.
    """
    height, width = whole_plane(labels, axes, within)
    if max(height, width) > LARGEST:
        raise DataError(
            f"Planes of {height} x {width} pixels are too large for ImageJ's ROIs, whose coordinates end at "
            f"{LARGEST:,}; choose the format geojson, or export parts."
        )
    n_slices = labels.shape[axes.index("Z")] if "Z" in axes else 1
    if within is not None:
        n_slices = within.shape.get("Z", n_slices)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for plane in planes_of(labels, axes, within):
            for number, pieces in outlines(plane.labels, plane.corner):
                roi = _roi(number, pieces, plane, n_slices)
                archive.writestr(f"{roi.name}.roi", roi.tobytes())


def _roi(number: int, pieces: list[Piece], plane: Plane, n_slices: int) -> ImagejRoi:
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    rings = [ring for piece in pieces for ring in piece.rings]
    everything = rings[0] if len(rings) == 1 else np.concatenate(rings)
    (left, top), (right, bottom) = everything.min(0).tolist(), everything.max(0).tolist()
    roi = ImagejRoi(
        name=f"{number}{plane.suffix}",
        props=f"label: {number}\n",
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        options=ROI_OPTIONS.OVERLAY_BACKGROUNDS | ROI_OPTIONS.OVERLAY_LABELS,
    )
    if plane.t is not None or plane.z is not None:
        # From 1, and 0 where there is no such axis; `position` is for stacks that are no hyperstacks.
        roi.z_position = 0 if plane.z is None else plane.z + 1
        roi.t_position = 0 if plane.t is None else plane.t + 1
        roi.position = (plane.t or 0) * n_slices + (plane.z or 0) + 1
    if len(rings) == 1:
        roi.roitype = ROI_TYPE.TRACED
        roi.integer_coordinates = (everything - (left, top)).astype(np.int32)
        roi.n_coordinates = len(everything)
    else:
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = _path(rings)
        roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _path(rings: list[Any]) -> NDArray[np.float32]:
    parts: list[NDArray[np.float32]] = []
    for ring in rings:
        steps = np.full((len(ring), 3), LINE, np.float32)
        steps[0, 0] = MOVE
        steps[:, 1:] = ring
        parts += [steps.ravel(), np.array([CLOSE], np.float32)]
    return np.concatenate(parts)


def read_rois(path: Path) -> Drawing:
    """Read the outlines of a ``.roi`` or of a zip of them, one by one.

    Raises
    ------
    DataError
        While it is read: if it is no such file.
    """
    what = "ROIs that have no area (points, lines, text) are left out."
    return Drawing(_objects(path), what, "holds no ROI that has an area.")


def _objects(path: Path) -> Iterator[Drawn | None]:
    for name, content in _members(path):
        try:
            yield _drawn(content)
        except (ValueError, struct.error, IndexError, TypeError, RuntimeError, OverflowError) as error:
            what = "is" if path.suffix.lower() == ".roi" else f"{name} in it is"
            raise DataError(f"{what} no ROI that can be read ({error}).") from error


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents, one at a time in memory."""
    try:
        if path.suffix.lower() == ".roi":
            if path.stat().st_size > LARGEST_ROI:
                raise ValueError("it is larger than a ROI can be")
            yield path.name, path.read_bytes()
            return
        with open_archive(path) as archive:
            members = [one for one in archive.infolist() if one.filename.lower().endswith(".roi")]
            if sum(member.file_size for member in members) > MOST_BYTES:
                raise ValueError("it claims more than ROIs can have")
            for member in members:
                yield member.filename, read_member(archive, member.filename, LARGEST_ROI)
    except UNREADABLE as error:
        kind = "a ROI" if path.suffix.lower() == ".roi" else "a zip of ROIs"
        raise DataError(f"cannot be read as {kind} ({error}).") from error


def _drawn(content: bytes) -> Drawn | None:
    from roifile import ROI_TYPE, ImagejRoi

    roi = ImagejRoi.frombytes(content)
    is_area = roi.roitype in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL)
    if not is_area or roi.subtype.name in ("TEXT", "ARROW", "IMAGE"):
        return None
    rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
    if not any(len(ring) > 2 for ring in rings):
        return None
    label = LABEL.search(roi.props)
    z, t = roi.z_position - 1, roi.t_position - 1
    # As in ImageJ, what lies inside an even number of outlines of a composite is a hole.
    return Drawn(
        [rings],
        int(label[1]) if label else None,
        roi.name,
        t if t >= 0 else None,
        z if z >= 0 else None,
        roi.position - 1 if roi.position > 0 else None,
    )


def has_rois(path: Path) -> bool:
    """Whether a file is a zip with ROIs."""
    try:
        with open_archive(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except UNREADABLE:
        return False
