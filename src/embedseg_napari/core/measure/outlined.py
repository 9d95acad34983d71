"""What is measured object by object, because it needs the outline: the hull and the surface."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.measure.blocks import Blocks
    from embedseg_napari.core.measure.sums import Sums

FURTHER = ("solidity", "surface")
"""Names by which these columns are asked for."""


def outlined(
    blocks: Blocks,
    frame: int,
    sums: Sums,
    step: NDArray[np.float64],
    length: str,
    columns: Sequence[str],
    should_stop: Callable[[], bool],
) -> dict[str, NDArray[np.float64]]:
    """Measure the outlines of all objects.

    Parameters
    ----------
    blocks : Blocks
        How the labels are read.
    frame : int
        Which time point.
    sums : Sums
        Of its labels.
    step : ndarray, shape (ndim,)
        Size of a pixel.
    length : {"um", "px"}
        Its unit.
    columns : sequence of str
        Some of `FURTHER`.
    should_stop : callable
        Looked at after each object.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    DataError
        If an object is too large to be read whole.
    """
    ndim = len(blocks.shape)
    surface = {2: f"perimeter_{length}", 3: f"surface_{length}" + "2" * (length == "um")}[ndim]
    names = {"solidity": "solidity", "surface": surface}
    measures = {"solidity": _solidity, "surface": _surface}
    table = {names[column]: np.zeros(len(sums.ids)) for column in columns}
    for rows, around in blocks.objects(sums):
        labels = blocks.read(frame, around)
        corner = [side.start for side in around]
        for row in rows.tolist():
            if should_stop():
                raise Stopped("The measurement was stopped.")
            ends = zip(sums.lower[row] - corner, sums.upper[row] - corner, strict=True)
            mask = labels[tuple(slice(a, b) for a, b in ends)] == sums.ids[row]
            for column in columns:
                table[names[column]][row] = measures[column](mask, step)
    return table


def _solidity(mask: NDArray[np.bool_], step: NDArray[np.float64]) -> float:
    """Pixels of the object by those of its convex hull, which spacing does not change."""
    from skimage.morphology import convex_hull_image

    with warnings.catch_warnings():
        # What lies in one plane of a volume has no hull, which scikit-image warns of: it is its own.
        warnings.simplefilter("ignore", UserWarning)
        hull = convex_hull_image(mask).sum()
    return float(mask.sum() / hull) if hull else 1.0


def _surface(mask: NDArray[np.bool_], step: NDArray[np.float64]) -> float:
    """Perimeter, or area of the surface between its voxels and the others."""
    from skimage.measure import marching_cubes, mesh_surface_area, perimeter

    if mask.ndim == 2:
        return float(perimeter(mask) * step[-1]) if step[0] == step[1] else _outline(mask, step)
    vertices, faces, *_ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=tuple(step))
    return float(mesh_surface_area(vertices, faces))


def _outline(mask: NDArray[np.bool_], step: NDArray[np.float64]) -> float:
    """Length of the outline where pixels are no squares, for which scikit-image's estimate is made."""
    from skimage.measure import find_contours

    outlines = find_contours(np.pad(mask, 1).astype(float), 0.5)
    return float(sum(np.linalg.norm(np.diff(line, axis=0) * step, axis=1).sum() for line in outlines))
