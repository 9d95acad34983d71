"""A random sample of the objects of a label image, and of areas in which missed objects are counted."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from embedseg_napari.core.axes import parse_axes, spatial_axes
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.files.named_axes import described
from embedseg_napari.core.measure.blocks import as_array
from embedseg_napari.core.measure.measurements import measuring
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.settings import Count, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from embedseg_napari.core.measure.measurements import PartMeasured

N_OBJECTS, N_AREAS = 30, 30
"""Objects and areas that are drawn where nothing else is asked for: a minute or two for a person."""
MOST = 10_000
"""Objects, or areas, of a sample."""
IN_AN_AREA = 2
"""Found objects that an area holds in the mean: few enough to see at a glance whether one is missing."""
NARROWEST, WIDEST = 2.5, 12.0
"""Sides of an area by those of the median object: it fits in, and where objects are far apart it is still seen."""
Pixels = Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)]
"""One number per spatial axis (z, y, x)."""


class Place(Settings):
    """A box of pixels in one frame."""

    frame: Count
    """0 where there is no time."""
    lower: Pixels
    upper: Pixels
    """One past the last pixel."""

    @property
    def n_pixels(self) -> int:
        """Pixels in it."""
        return math.prod(high - low for low, high in zip(self.lower, self.upper, strict=True))

    def holds(self, point: tuple[float, ...]) -> bool:
        """Whether a point, (z, y, x) in pixels, lies in one of the pixels of the box."""
        return all(low <= round(at) < high for low, at, high in zip(self.lower, point, self.upper, strict=True))


class SampledObject(Place):
    """An object that was drawn, and the box around it."""

    label: Count


class Sample(Settings):
    """What is judged, in the order in which it was drawn: the first few of it are a random sample, too."""

    axes: Annotated[str, Field(pattern="^T?Z?YX$")]
    shape: Annotated[tuple[Count, ...], Field(min_length=2, max_length=4)]
    """Of the labels, in this order of axes."""
    n_found: Count
    """Objects of all frames."""
    digest: str
    """Of place and size of all objects, by which it is noticed that the labels have changed."""
    seed: Count
    objects: Annotated[tuple[SampledObject, ...], Field(max_length=MOST)]
    areas: Annotated[tuple[Place, ...], Field(max_length=MOST)]
    """They do not overlap."""


@dataclass(frozen=True, eq=False)
class Found:
    """All objects of a label image, from which samples are drawn."""

    axes: str
    """In the order T(Z)YX."""
    shape: tuple[int, ...]
    frame: NDArray[np.int64]
    label: NDArray[np.int64]
    lower: NDArray[np.int64]
    """(n, ndim), first pixel of the box around each object."""
    upper: NDArray[np.int64]
    digest: str

    def draw(self, n_objects: int = N_OBJECTS, n_areas: int = N_AREAS, seed: int | None = None) -> Sample:
        """Draw a sample; see :func:`draw_sample`."""
        if not (0 <= n_objects <= MOST and 0 <= n_areas <= MOST and n_objects + n_areas > 0):
            raise SettingsError(f"{n_objects} objects and {n_areas} areas: draw at least one, and at most {MOST}.")
        if seed is None:
            seed = int(np.random.SeedSequence().entropy) % 2**31  # type: ignore[arg-type]
        # Streams of their own: more objects do not mean other areas.
        of_objects, of_areas = (np.random.default_rng([seed, which]) for which in (0, 1))
        rows = of_objects.permutation(len(self.label))[:n_objects]
        objects = tuple(
            SampledObject(
                frame=int(self.frame[row]),
                lower=tuple(self.lower[row].tolist()),
                upper=tuple(self.upper[row].tolist()),
                label=int(self.label[row]),
            )
            for row in rows
        )
        edges = self._grid()
        n_frames = math.prod(self.shape[: -len(edges)])
        sides = (n_frames, *(len(edge) - 1 for edge in edges))
        areas = []
        for number in of_areas.permutation(math.prod(sides))[:n_areas].tolist():
            t, *at = (int(one) for one in np.unravel_index(number, sides))
            lower, upper = (tuple(int(edge[i + by]) for edge, i in zip(edges, at, strict=True)) for by in (0, 1))
            areas.append(Place(frame=t, lower=lower, upper=upper))
        return Sample(
            axes=self.axes, shape=self.shape, n_found=len(self.label), digest=self.digest, seed=seed,
            objects=objects, areas=tuple(areas),
        )  # fmt: skip

    def _grid(self) -> list[NDArray[np.int64]]:
        """Where areas begin and end along each spatial axis: the whole is cut into boxes of about one size."""
        ndim = len(spatial_axes(self.axes))
        space = np.array(self.shape[-ndim:])
        if len(self.label):
            side = np.median(self.upper - self.lower, axis=0)
            wanted = IN_AN_AREA * math.prod(self.shape) / len(self.label) / np.prod(side)
            side *= np.clip(wanted ** (1 / ndim), NARROWEST, WIDEST)
        else:
            side = space / 4
        counts = np.clip(np.round(space / side), 1, space).astype(int)
        return [np.linspace(0, size, n + 1).round().astype(np.int64) for size, n in zip(space, counts, strict=True)]


def finding(
    labels: Any, axes: str | None = None, should_stop: Callable[[], bool] = never
) -> Generator[PartMeasured, None, Found]:
    """List the objects of a label image, part by part; as in :func:`draw_sample`."""
    labels, axes, *_ = described(labels, axes)
    array = as_array(labels)
    own = parse_axes(axes or "TZYX"[-len(array.shape) :])
    table = yield from measuring(array, axes=own, should_stop=should_stop)
    letters = [letter for letter in "TZYX" if letter in own]
    space = spatial_axes(own).lower()
    n = len(table["label"])
    frame = np.asarray(table.get("frame", np.zeros(n)), np.int64)
    lower, upper = (
        np.stack(
            [np.asarray(table[f"bbox_{which}_{letter}_px"], np.int64) for letter in sorted(space, key="zyx".find)], 1
        )
        for which in ("min", "max")
    )
    label, sizes = np.asarray(table["label"], np.int64), np.asarray(table["num_pixels"], np.int64)
    centroids = [np.asarray(table[f"centroid_{letter}_px"], np.float64).round(3) for letter in space]
    digest = hashlib.sha256()
    for column in (frame, label, sizes, lower, upper, *centroids):
        digest.update(np.ascontiguousarray(column).tobytes())
    shape = tuple(int(array.shape[own.index(letter)]) for letter in letters)
    return Found("".join(letters), shape, frame, label, lower, upper, digest.hexdigest()[:32])


def draw_sample(
    labels: Any, axes: str | None = None, *, n_objects: int = N_OBJECTS, n_areas: int = N_AREAS, seed: int | None = None
) -> Sample:
    """Draw objects and areas of a label image at random, for a person to judge how good the labels are.

    Objects are drawn from all frames, without replacement. For areas the image is cut into boxes of one size, which
    hold two objects in the mean; some of the boxes are drawn, wherever there are objects or not.

    Parameters
    ----------
    labels : array of int, shape (T)(Z)YX
        Label image of any program, 0 is background; Zarr and Dask arrays are read part by part.
    axes : str, optional
        Its axes, such as ``"TYX"``; without them three axes are ``"ZYX"`` and four ``"TZYX"``, unless an
        array of xarray names its own. An object of a movie is drawn in a single frame.
    n_objects, n_areas : int
        How many are drawn; all where there are not more.
    seed : int, optional
        The same labels and seed give the same sample, and more of it begins with it; without it each draw is another.
        Labels that were corrected after a sample was judged need another seed: what it showed has been put right.

    Returns
    -------
    Sample
        `objects` (frame, label, box) and `areas` (frame, box), in the order in which they are judged.

    Raises
    ------
    DataError
        If the labels are none, or the axes do not fit them.
    SettingsError
        If nothing is to be drawn, or too much.
    """
    return drain(finding(labels, axes)).draw(n_objects, n_areas, seed)
