"""Training images that stay on the disk: what a crop shows is read when it is cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch

from embedseg_napari.core.data.normalization import Prepared
from embedseg_napari.core.data.resizing import resized_part, scaled_shape
from embedseg_napari.core.data.spoiled_pixels import mend
from embedseg_napari.core.data.stored import ResizedLabels, StoredPixels
from embedseg_napari.core.data.survey import blocks
from embedseg_napari.core.data.unknown import all_open, object_extents, set_middle
from embedseg_napari.core.files.region import Part
from embedseg_napari.core.large.whole_image import measure_whole
from embedseg_napari.core.training.crops.sources import Source, SourcePart, thinning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import NormalizationConfig, TrainingConfig
    from embedseg_napari.core.data.normalization import Scaling
    from embedseg_napari.core.data.objects import MeasuredObjects
    from embedseg_napari.core.data.stored import StoredExample
    from embedseg_napari.core.data.survey import Labels
    from embedseg_napari.core.data.unknown import OpenIds

    Wanted = Callable[[Part, np.ndarray, NDArray[np.bool_] | None], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class NormalizedPixels:
    """An image on the disk, brought to one scale of intensities by the brightness of the whole.

    Parameters
    ----------
    pixels : StoredPixels
        The image.
    scaling : Scaling
        From its brightness.
    low, high : float
        Percentiles between which it has its range.
    """

    pixels: StoredPixels
    scaling: Scaling
    low: float
    high: float

    def read(self, part: Part) -> NDArray[np.float32]:
        """Normalised values of a part, shape (C, (Z,) Y, X)."""
        # What is far from all around it is only known by the whole image; numbers that are none are filled in.
        return Prepared(mend(self.pixels.read(part), self.low, self.high, numbers_only=True), self.scaling).values()


_measured: WeakKeyDictionary[StoredPixels, tuple[NormalizationConfig, Scaling, str]] = WeakKeyDictionary()


def normalized(pixels: StoredPixels, config: NormalizationConfig) -> tuple[NormalizedPixels, str]:
    """The image as the network sees it, and from what its brightness was measured; measured once."""
    known = _measured.get(pixels)
    if known is None or known[0] != config:
        whole, words = measure_whole(pixels.read, pixels.shape[1:], config)
        known = (config, whole.scaling, words)
        _measured[pixels] = known
    return NormalizedPixels(pixels, known[1], config.low, config.high), known[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSource(Source):
    """One that is on the disk."""

    pixels: NormalizedPixels
    labels: Labels
    device: torch.device
    planes: bool

    def part(self, part: Part) -> SourcePart:
        """What crops within a part are cut from."""
        old = self.pixels.pixels.shape[1:]
        image = self.pixels.read(part) if old == self.shape else resized_part(self.pixels.read, old, self.shape, part)
        known, unknown = self.labels.read(part)
        ids, numbers = np.unique(known, return_inverse=True)
        numbers = numbers.reshape(known.shape)
        if ids[0] == 0:
            ids = ids[1:]
        else:
            numbers += 1
        if self.planes:
            numbers = np.stack([numbers == number for number in range(1, max(len(ids), 1) + 1)])
        ignore = None
        if self.has_unknown:
            ignore = torch.from_numpy(np.zeros(known.shape, bool) if unknown is None else unknown).to(self.device)
        return SourcePart(
            torch.from_numpy(np.ascontiguousarray(image)).to(self.device),
            torch.from_numpy(numbers.astype(np.int32)).to(self.device),
            ignore,
            ids.astype(np.int64),
        )


def open_source(
    example: StoredExample,
    crop_size: tuple[int, ...],
    config: TrainingConfig,
    device: torch.device,
    *,
    planes: bool,
    scale: float = 1.0,
) -> StoredSource:
    """Make a source of an image on the disk; parameters as those of `core.training.crops.sources.load_source`.

    Raises
    ------
    DataError
        If the image or its labels cannot be read.
    """
    pixels, _ = normalized(example.image, config.normalization)
    own = example.image.shape[1:]
    shape = own if scale == 1 else scaled_shape(own, scale)
    labels: Labels = example.instances if shape == own else ResizedLabels(example.instances, shape)
    survey = example.surveyed(config.center, shape)
    table, cut_off = survey.table, survey.open_objects(scale)
    objects = _with_middle_planes(table, labels, cut_off)
    places = background = np.zeros(0, np.int64)
    if example.has_unknown:
        places = _spread(labels, _known)
    if example.has_unknown or len(table.ids) == 0:
        background = _spread(labels, _far_from(objects.centers, crop_size))
    return StoredSource(
        name=example.name,
        shape=shape,
        has_unknown=example.has_unknown,
        objects=objects,
        extents=object_extents(table, cut_off, example.spacing, shape),
        spacing=example.spacing,
        background=background,
        places=places,
        n_changed=len(table.ids),
        pixels=pixels,
        labels=labels,
        device=device,
        planes=planes,
    )


def _with_middle_planes(table: MeasuredObjects, labels: Labels, open_along: OpenIds) -> MeasuredObjects:
    """As `core.data.unknown.with_middle_planes`, object by object from the disk."""
    centers = table.centers.copy()
    for row in np.flatnonzero(np.isin(table.ids, all_open(open_along))):
        known, _ = labels.read(Part(tuple(table.lower[row].tolist()), tuple(table.upper[row].tolist())))
        label = table.ids[row]
        set_middle(centers[row], known == label, table.lower[row], [label in ids for ids in open_along])
    return replace(table, centers=centers)


def _known(part: Part, known: np.ndarray, unknown: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Pixels of known class."""
    return np.ones(known.shape, bool) if unknown is None else ~unknown


def _far_from(centers: NDArray[np.float64], crop_size: tuple[int, ...]) -> Wanted:
    """Known background that crops around objects do not show, in a part."""
    half = np.array(crop_size) / 2
    low = np.maximum((centers - half).astype(np.int64), 0)
    high = np.maximum((centers + half).astype(np.int64) + 1, 0)

    def far(part: Part, known: np.ndarray, unknown: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        wanted: NDArray[np.bool_] = known == 0
        if unknown is not None:
            wanted &= ~unknown
        start, stop = np.array(part.start), np.array(part.stop)
        for row in np.flatnonzero(((low < stop) & (high > start)).all(1)):
            near = zip((low[row] - start).clip(0).tolist(), (high[row] - start).tolist(), strict=True)
            wanted[tuple(slice(a, b) for a, b in near)] = False
        return wanted

    return far


def _spread(labels: Labels, wanted: Wanted) -> NDArray[np.int64]:
    """Flat indices of wanted pixels, thinned out as those of an image in memory are; in two passes."""
    shape = labels.shape
    parts = list(blocks(shape, labels.piece))
    columns = sorted({part.start[-1] for part in parts})
    counts = np.zeros((int(np.prod(shape[:-1])), len(columns)), np.int64)
    for part in parts:
        found = wanted(part, *labels.read(part))
        counts[_rows(part, shape), columns.index(part.start[-1])] = found.sum(-1).ravel()
    total = int(counts.sum())
    if total == 0:
        return np.zeros(0, np.int64)
    # Every so many-th in the order of the whole image.
    before = (np.cumsum(counts.ravel()) - counts.ravel()).reshape(counts.shape)
    step, chosen = thinning(total), []
    for part in parts:
        found = wanted(part, *labels.read(part)).reshape(-1, part.stop[-1] - part.start[-1])
        rows = _rows(part, shape)
        rank = before[rows, columns.index(part.start[-1])][:, None] + np.cumsum(found, 1) - 1
        row, column = np.nonzero(found & (rank % step == 0))
        chosen.append(rows[row] * shape[-1] + part.start[-1] + column)
    return np.sort(np.concatenate(chosen))


def _rows(part: Part, shape: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of the image's lines along X that a part holds a piece of."""
    lines = np.arange(int(np.prod(shape[:-1]))).reshape(shape[:-1])
    inside: NDArray[np.int64] = lines[tuple(slice(a, b) for a, b in zip(part.start[:-1], part.stop[:-1], strict=True))]
    return inside.ravel()
