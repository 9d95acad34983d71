"""One object from clicks and strokes: by a network's maps where these know it, by the image elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.annotation.clicked_shape import piece, shape_at
from embedseg_napari.core.annotation.states import BACKGROUND, is_object, object_ids
from embedseg_napari.core.data.medoid import middle_pixel
from embedseg_napari.core.data.statistics import object_sizes
from embedseg_napari.core.data.unknown import width_along
from embedseg_napari.core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.core.config import ObjectSizes
    from embedseg_napari.core.maps import EmbeddingMaps

REACH, LEAST_REACH = 1.5, 6
"""Extents of a usual object, and pixels at least, that are looked at each way from a click."""
SURE, KNOWN = 0.5, 0.3
"""Seediness of an object's seed from which on the maps are believed, whatever its size and if that is usual."""
SMALLEST, LARGEST = 0.25, 4.0
"""Sizes of a usual object between which one is usual."""
LEAST_MARGIN = 1e-6
"""Pixels; smaller margins are taken for this."""
MOST_SEEN = 50
"""Annotated objects whose mean extent is the usual one, the latest."""
TRIED, CLEARLY = 5, 0.15
"""Annotated objects, the latest, at which maps and image are compared, and IoU by which maps must be worse there."""

Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class ClickedObject:
    """What lies under a click."""

    pixels: Indices
    """Where the object is, one array of indices per axis (z, y, x)."""
    is_known: bool
    """Whether the maps know the object; it is guessed from the image if not."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of an image that is clicked on.

    Parameters
    ----------
    image : ndarray, shape (C, (Z,) Y, X)
        As stored.
    extent : sequence of float
        Pixels that a usual object extends along each axis (z, y, x).
    size : float, optional
        Pixels of a usual object; those of an ellipse, or ellipsoid, of that extent if left out.
    maps : EmbeddingMaps, optional
        Of the image or of a part of it, by any network.
    maps_start : tuple of int
        Pixel (z, y, x) of the image that is the first of the maps; of the whole image if left out.
    foreground_threshold : float
        Of the network's settings for prediction.
    """

    image: np.ndarray
    extent: Sequence[float]
    size: float | None = None
    maps: EmbeddingMaps | None = None
    maps_start: tuple[int, ...] | None = None
    foreground_threshold: float = 0.5

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image, without channels."""
        return self.image.shape[1:]

    @property
    def usual_size(self) -> float:
        """Pixels of a usual object."""
        return self.size or float(np.prod(self.extent)) * (np.pi / 4 if len(self.extent) == 2 else np.pi / 6)

    def box(self, pixels: Indices) -> Box:
        """The part of the image around pixels that their object may fill."""
        reach = [max(LEAST_REACH, int(np.ceil(REACH * extent))) for extent in self.extent]
        return tuple(
            slice(max(0, int(at.min()) - r), min(n, int(at.max()) + r + 1))
            for at, r, n in zip(pixels, reach, self.shape, strict=True)
        )

    def part(self, box: Box) -> NDArray[np.float32]:
        """The mean of the channels in a part of the image; values that are no numbers become usual ones."""
        part: NDArray[np.float32] = self.image[(slice(None), *box)].mean(0, dtype=np.float32)
        is_number = np.isfinite(part)
        if not is_number.all():
            part[~is_number] = np.median(part[is_number]) if is_number.any() else 0
        return part

    def is_usual(self, n_pixels: int) -> bool:
        """Whether an object may have that size."""
        return SMALLEST * self.usual_size <= n_pixels <= LARGEST * self.usual_size

    def is_served(self, pixel: tuple[int, ...]) -> bool:
        """Whether a pixel lies in the maps."""
        first = self.maps_start or (0,) * len(pixel)
        return self.maps is not None and all(
            low <= at < low + n for at, low, n in zip(pixel, first, self.maps.seed_map.shape, strict=True)
        )


def object_under(
    around: Surroundings,
    inside: Sequence[Indices],
    outside: Sequence[Indices] = (),
    annotated: np.ndarray | None = None,
) -> ClickedObject:
    """Find the object under a click, or under several clicks and strokes.

    In the maps it is what falls within the margins of one seed: of all seeds that the clicked pixel belongs to, the
    seediest. Where it is faint, the image decides (`shape_at`).

    Parameters
    ----------
    around : Surroundings
        The image, and what is known of it.
    inside : sequence of tuple of ndarray
        Pixels of each click or stroke that belong to the object, in the order they were drawn, at least one; what lies
        under the middle of each is joined.
    outside : sequence of tuple of ndarray
        Pixels of strokes that do not; the object is cut off from them.
    annotated : ndarray of int, shape ((Z,) Y, X), optional
        The annotation; its objects stay as they are.

    Raises
    ------
    AnnotationError
        If the first click is on an annotated object, or nothing is left of the object.
    """
    middles = [tuple(int(axis[len(axis) // 2]) for axis in stroke) for stroke in inside]
    if annotated is not None and is_object(annotated[middles[0]]):
        raise AnnotationError("An object is annotated there; click on another, or erase it first.")
    box = around.box(tuple(np.concatenate(axes) for axes in zip(*inside, strict=True)))
    is_free = np.ones([side.stop - side.start for side in box], bool)
    if annotated is not None:
        is_free &= ~is_object(annotated[box])
    wanted, unwanted = _drawn(inside, box) & is_free, _drawn(outside, box)
    found, is_known = wanted.copy(), []
    for middle in middles:
        part, mask = _by_maps(around, middle)
        is_known.append(mask is not None)
        if mask is None:
            mask = shape_at(around.part(part), _at(middle, part), around.extent, around.usual_size)
        found[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, box, strict=True))] |= mask
    found &= is_free
    if unwanted.any():
        found = _cut_off(around.part(box), found, wanted, unwanted)
    pieces, n = ndimage.label(found)
    is_kept = np.zeros(n + 1, bool)
    is_kept[pieces[wanted & found]] = True
    is_kept[0] = False
    found = ndimage.binary_fill_holes(is_kept[pieces]) & is_free & ~unwanted
    if not found.any():
        raise AnnotationError("Nothing is left of the object; click on it again, and cut beside that place.")
    pixels = tuple(axis + side.start for axis, side in zip(np.nonzero(found), box, strict=True))
    return ClickedObject(pixels, is_known[0])


def latest_objects(labels: np.ndarray, n: int = MOST_SEEN) -> list[Indices]:
    """Return the pixels of annotated objects ((Z,) Y, X): of the `n` with the highest numbers, ascending."""
    ids = object_ids(labels)[-n:]
    if not len(ids):
        return []
    flat = np.flatnonzero((labels >= ids[0]) & (labels != BACKGROUND))
    values = labels.ravel()[flat]
    flat = flat[np.argsort(values, kind="stable")]
    ends = np.cumsum([np.count_nonzero(values == number) for number in ids])[:-1]
    return [tuple(np.unravel_index(one, labels.shape)) for one in np.split(flat, ends)]


def sizes_of(objects: Sequence[Indices], spacing: Sequence[float] | None = None) -> ObjectSizes:
    """Measure annotated objects; what is painted on one plane of a volume is taken to be as thick as wide.

    Parameters
    ----------
    objects : sequence of tuple of ndarray
        Pixels (z, y, x) of each.
    spacing : sequence of float, optional
        Physical size of a voxel (z, y, x); cubes without it.
    """
    extents = np.array([[np.ptp(axis) + 1.0 for axis in pixels] for pixels in objects])
    sizes = np.array([len(pixels[0]) for pixels in objects], float)
    if len(objects) and extents.shape[1] == 3:
        is_one = extents == 1
        for axis in range(3):
            # Along y and x only where nothing else is flat: a line in a plane is thin.
            is_flat = is_one[:, axis] & ((axis == 0) | (is_one.sum(1) == 1))
            depth = np.maximum(1.0, width_along(extents[is_flat], axis, spacing))
            extents[is_flat, axis] = depth
            # A ball is two thirds of the cylinder around it.
            sizes[is_flat] *= np.maximum(1.0, depth * 2 / 3)
    return object_sizes(extents, sizes)


def maps_serve(around: Surroundings, objects: Sequence[Indices]) -> bool:
    """Whether maps find objects that are annotated about as well as the image by itself, or better.

    A network that was trained on other images may be sure of what is none of the objects here.

    Parameters
    ----------
    around : Surroundings
        With maps.
    objects : sequence of tuple of ndarray
        Pixels of annotated objects; the last ones are clicked on. True where none lies in the maps.
    """
    ious: list[tuple[float, float]] = []
    for pixels in reversed(objects):
        inner = middle_pixel(pixels)
        if not around.is_served(inner):
            continue
        part, by_maps = _by_maps(around, inner)
        box = around.box(tuple(np.array([i]) for i in inner))
        by_image = shape_at(around.part(box), _at(inner, box), around.extent, around.usual_size)
        ious.append((0.0 if by_maps is None else _iou(by_maps, pixels, part), _iou(by_image, pixels, box)))
        if len(ious) == TRIED:
            break
    return not ious or bool(np.subtract(*np.mean(ious, axis=0)) >= -CLEARLY)


def _iou(mask: NDArray[np.bool_], pixels: Indices, box: Box) -> float:
    n_shared = np.count_nonzero(mask & _drawn([pixels], box))
    return float(n_shared / (np.count_nonzero(mask) + len(pixels[0]) - n_shared))


def _by_maps(around: Surroundings, pixel: tuple[int, ...]) -> tuple[Box, NDArray[np.bool_] | None]:
    """The part of the image that is looked at, and the object there; None where the maps do not know it."""
    whole, maps = around.box(tuple(np.array([axis]) for axis in pixel)), around.maps
    if maps is None or not around.is_served(pixel):
        return whole, None
    ndim = len(pixel)
    first = around.maps_start or (0,) * ndim
    box = tuple(
        slice(max(side.start, low), min(side.stop, low + n))
        for side, low, n in zip(whole, first, maps.seed_map.shape, strict=True)
    )
    in_maps = tuple(slice(side.start - low, side.stop - low) for side, low in zip(box, first, strict=True))
    at, seed_map = _at(pixel, box), maps.seed_map[in_maps]
    points = maps.offsets[(slice(None), *in_maps)] + np.indices(seed_map.shape, np.float32)
    margins = np.maximum(maps.margins[(slice(None), *in_maps)], LEAST_MARGIN)

    def of(values: np.ndarray, where: tuple[int, ...]) -> np.ndarray:
        pixel: np.ndarray = np.moveaxis(values, 0, -1)[where]
        return pixel.reshape(-1, *[1] * ndim)

    reaches_click = (((points - of(points, at)) / margins) ** 2).sum(0) < 1
    if not reaches_click.any():
        return whole, None
    seed = tuple(int(i) for i in np.unravel_index(np.where(reaches_click, seed_map, -1).argmax(), seed_map.shape))
    seediness = float(seed_map[seed])
    # A person has said that there is an object, so less is enough for the rest of it.
    foreground = min(around.foreground_threshold, seediness / 2)
    inside = ((((points - of(points, seed)) / of(margins, seed)) ** 2).sum(0) < 1) & (seed_map > foreground)
    # The click may lie on the rim, or where the seed map is faint, apart from the object that it belongs to.
    mask = piece(inside, seed)
    if not mask[at]:
        _join(mask, at)
    is_known = seediness >= SURE or (seediness >= KNOWN and around.is_usual(int(mask.sum())))
    return (box, mask) if is_known else (whole, None)


def _join(mask: NDArray[np.bool_], at: tuple[int, ...]) -> None:
    """Add a pixel to a mask, and a path of neighbours along the axes to the nearest one of it."""
    places = np.argwhere(mask)
    nearest = places[((places - np.array(at)) ** 2).sum(1).argmin()]
    corner: list[int | slice] = list(at)
    for axis, end in enumerate(nearest):
        corner[axis] = slice(min(at[axis], end), max(at[axis], end) + 1)
        mask[tuple(corner)] = True
        corner[axis] = int(end)


def _at(pixel: tuple[int, ...], box: Box) -> tuple[int, ...]:
    return tuple(i - side.start for i, side in zip(pixel, box, strict=True))


def _drawn(strokes: Sequence[Indices], box: Box) -> NDArray[np.bool_]:
    """Where strokes lie in a part of the image."""
    mask = np.zeros([side.stop - side.start for side in box], bool)
    for stroke in strokes:
        at = [axis - side.start for axis, side in zip(stroke, box, strict=True)]
        is_in = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip(at, mask.shape, strict=True)])
        mask[tuple(axis[is_in] for axis in at)] = True
    return mask


def _cut_off(
    image: np.ndarray, found: NDArray[np.bool_], wanted: NDArray[np.bool_], unwanted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """What of an object lies on the wanted side of edges between wanted and unwanted pixels."""
    from skimage.segmentation import watershed

    edges = ndimage.gaussian_gradient_magnitude(image.astype(np.float32), 1)
    markers = np.where(unwanted, 2, wanted.astype(np.int32))
    kept: NDArray[np.bool_] = watershed(edges, markers, mask=found | unwanted) == 1
    return kept
