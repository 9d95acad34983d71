"""Training images as crops are cut from them: normalised, on the device, with their objects measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.objects import measure_objects, update_objects
from embedseg_napari.core.data.resizing import resize_image, scaled_shape, with_labels_resized
from embedseg_napari.core.data.sparse import known_background, known_instances
from embedseg_napari.core.data.unknown import object_extents, open_objects, with_middle_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.objects import MeasuredObjects
    from embedseg_napari.core.files.region import Part

EXACT = 1 << 24
"""Whole numbers below it are exact in float32, in which labels are sampled."""
MAX_PLACES = 1 << 16
"""Known pixels kept as centres of crops; of more, every second, third ... is taken."""


class SourcePart(NamedTuple):
    """What crops of a part of an image are cut from."""

    image: Tensor
    """C(Z)YX float32, normalised."""
    instances: Tensor
    """(Z)YX numbers or (K, (Z)YX) planes, int32, 0 where unknown."""
    ignore: Tensor | None
    ids: NDArray[np.int64] | None = None
    """Ids of the objects by their numbers from 1; None where numbers are ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One training image."""

    name: str
    shape: tuple[int, ...]
    """Pixels per axis (z, y, x), as the network sees it."""
    has_unknown: bool
    """Whether there may be pixels whose class is unknown."""
    objects: MeasuredObjects
    """Those of the known pixels, with the centres that pixels are to point to."""
    extents: NDArray[np.float64]
    """(n, ndim) pixels; of objects that unknown voxels cut off as long as they are taken to be."""
    spacing: tuple[float, ...] | None
    background: NDArray[np.int64]
    """Flat indices of background that crops around objects do not show."""
    places: NDArray[np.int64]
    """Flat indices of known pixels; empty where all are known."""
    n_changed: int
    """Objects that were measured to make this."""

    def background_at(self, rng: np.random.Generator) -> np.ndarray:
        """A random position (z, y, x) on far background."""
        return self._at(self.background, rng)

    def known_at(self, rng: np.random.Generator) -> np.ndarray:
        """A random position (z, y, x) where the class is known."""
        return self._at(self.places, rng)

    def _at(self, flat: NDArray[np.int64], rng: np.random.Generator) -> np.ndarray:
        return np.array(np.unravel_index(flat[int(rng.integers(len(flat)))], self.shape), float)

    def part(self, part: Part) -> SourcePart:
        """What crops within a part are cut from."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySource(Source):
    """One that is in memory."""

    original: np.ndarray
    """The image as given; the same array means the same image."""
    known: np.ndarray
    """Labels or planes as given, 0 where unknown."""
    image: Tensor
    """C(Z)YX float32, normalised."""
    instances: Tensor
    """(Z)YX ids or (K, (Z)YX) planes, int32, 0 where unknown."""
    ignore: Tensor | None
    table: MeasuredObjects
    """Objects of the known pixels with the ids that they have; those of `objects` may be numbered from 1."""

    def part(self, part: Part) -> SourcePart:
        """What crops within a part are cut from."""
        inside: Any = (..., *(slice(a, b) for a, b in zip(part.start, part.stop, strict=True)))
        ignore = None if self.ignore is None else self.ignore[inside]
        return SourcePart(self.image[inside], self.instances[inside], ignore)


def load_source(
    example: Example,
    crop_size: tuple[int, ...],
    config: TrainingConfig,
    device: torch.device,
    *,
    planes: bool,
    old: MemorySource | None = None,
    scale: float = 1.0,
) -> MemorySource:
    """Make a source, from an earlier state of the same image if there is one.

    Parameters
    ----------
    example : Example
        The image and its labels.
    crop_size : tuple of int
        Pixels per axis (z, y, x).
    config : TrainingConfig
        Normalisation and kind of centre.
    device : torch.device
        Where its tensors live.
    planes : bool
        Whether objects are handed on as planes, also those of a label image.
    old : Source, optional
        Earlier state; what did not change is taken from it.
    scale : float
        Factor by which images are resized for the network.
    """
    original = example.image
    if old is not None and original is old.original:
        image = old.image
    else:
        is_ready = example.is_normalized
        normalized = original.astype(np.float32) if is_ready else normalize(original, config.normalization)
        if scale != 1:
            normalized = resize_image(normalized, scaled_shape(normalized.shape[1:], scale))
        image = torch.from_numpy(normalized).to(device)
    if scale != 1:
        example = with_labels_resized(example, image.cpu().numpy())
    known = known_instances(example)
    is_planes = example.is_planes
    same_kind = (
        old is not None
        and old.known.shape[is_planes:] == known.shape[is_planes:]
        and old.known.ndim == known.ndim
        and old.spacing == example.spacing
    )
    if old is not None and same_kind:
        table, changed = update_objects(old.table, old.known, known, config.center, example.spacing, planes=is_planes)
        n_changed = len(changed)
    else:
        table = measure_objects(known, config.center, example.spacing, planes=is_planes)
        n_changed = len(table.ids)
    cut_off = open_objects(known, example.ignore, planes=is_planes, scale=scale)
    objects = with_middle_planes(table, known, cut_off)
    layers = known
    if planes and not is_planes:
        layers = np.stack([known == i for i in table.ids]) if len(table.ids) else known[None] > 0
        objects = replace(objects, ids=np.arange(1, len(table.ids) + 1))
    elif not planes and len(table.ids) and table.ids[-1] >= EXACT:
        layers = np.searchsorted(table.ids, known) + 1
        layers[known == 0] = 0
        objects = replace(objects, ids=np.arange(1, len(table.ids) + 1))
    ignore = example.ignore
    places = np.zeros(0, np.int64) if ignore is None else _thinned(np.flatnonzero(~ignore))
    return MemorySource(
        name=example.name,
        shape=tuple(image.shape[1:]),
        has_unknown=ignore is not None,
        original=original,
        known=known,
        image=image,
        instances=torch.from_numpy(np.ascontiguousarray(layers, dtype=np.int32)).to(device),
        ignore=None if ignore is None else torch.from_numpy(np.ascontiguousarray(ignore)).to(device),
        table=table,
        objects=objects,
        extents=object_extents(table, cut_off, example.spacing, example.image.shape[1:]),
        spacing=example.spacing,
        background=_far_background(example, known, objects, crop_size),
        places=places,
        n_changed=n_changed,
    )


def _far_background(
    example: Example, known: np.ndarray, objects: MeasuredObjects, crop_size: tuple[int, ...]
) -> NDArray[np.int64]:
    """Flat indices of known background out of reach of crops around objects.

    Where all pixels are known and there are objects, their surroundings teach background enough, as in the papers.
    """
    if example.ignore is None and len(objects.ids):
        return np.zeros(0, np.int64)
    far = known_background(example, known)
    half = np.array(crop_size) / 2
    for center in objects.centers:
        far[tuple(slice(max(int(c - h), 0), max(int(c + h) + 1, 0)) for c, h in zip(center, half, strict=True))] = False
    return _thinned(np.flatnonzero(far))


def _thinned(flat: NDArray[np.intp]) -> NDArray[np.int64]:
    # A copy: the slice alone would keep all of them in memory.
    return flat[:: thinning(len(flat))].astype(np.int64, copy=True)


def thinning(n: int) -> int:
    """Of so many places every which one is kept."""
    return max(1, -(-n // MAX_PLACES))
