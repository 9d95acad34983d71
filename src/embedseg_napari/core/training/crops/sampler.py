"""Training crops, cut and changed on the fly from images held in memory; nothing is written to disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.data.statistics import object_sizes
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.device import send
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.region import Part
from embedseg_napari.core.training.crops.augmentation import Changes, random_matrix
from embedseg_napari.core.training.crops.pasting import Crop, paste_objects, present_ids
from embedseg_napari.core.training.crops.sources import MemorySource, load_source
from embedseg_napari.core.training.crops.stored_source import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from embedseg_napari.core.config import AugmentationConfig, ObjectSizes, TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.training.crops.sources import Source

BACKGROUND_SHARE = 0.1
"""Part of the crops that show background far from any object, where such is known."""
PASTED_CROPS = 0.5
"""Part of the crops with pasted objects where the setting is left empty and masks are planes."""
TRIES = 20
"""Crops without a known pixel after which one is taken at a known pixel as it is."""


NOTHING = Crop(torch.zeros(0), torch.zeros(0), torch.zeros(0), np.zeros(0))
"""In the place of a crop that another process has."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops as the loss wants them."""

    images: Tensor
    """(B, C, (Z,) Y, X) float32, normalised and changed."""
    instances: Tensor
    """(B, (Z,) Y, X) ids or (B, K, (Z,) Y, X) planes, int32."""
    centers: list[np.ndarray]
    """Per crop (n, ndim) in pixels from the crop's first pixel, rows in ascending id or plane."""
    ignore: Tensor | None
    """(B, (Z,) Y, X) bool: pixels outside the image or of unknown class; None where there are none."""
    changes: Changes | None = None
    """Of the intensities, where they are still to be made."""

    def pinned(self) -> Batch:
        """The same in memory that a GPU reads without the host."""
        ignore = None if self.ignore is None else self.ignore.pin_memory()
        return replace(self, images=self.images.pin_memory(), instances=self.instances.pin_memory(), ignore=ignore)

    def sent(self, device: torch.device) -> Batch:
        """The same on a device, with the changes made there; the centres stay on the host."""
        images = send(self.images, device)
        if self.changes is not None:
            images = self.changes.apply(images)
        ignore = None if self.ignore is None else send(self.ignore, device)
        return Batch(images, send(self.instances, device), self.centers, ignore)


class CropSampler:
    """Draws random crops around objects, and some of background that is known far from any object.

    Parameters
    ----------
    examples : sequence of Example
        Training images; normalised once and kept on the device. Their arrays must not be written to afterwards.
    crop_size : tuple of int
        Pixels per axis (z, y, x), multiples of 8.
    config : TrainingConfig
        Normalisation, augmentation, kind of centre and sampling.
    device : torch.device
        Where images live and crops are cut.
    scale : float
        Factor by which images are resized before crops are cut.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        crop_size: tuple[int, ...],
        config: TrainingConfig,
        device: torch.device,
        scale: float = 1.0,
    ) -> None:
        self.crop_size = crop_size
        self.scale = scale
        self.config = config
        self.device = device
        self.is_planes = any(example.is_planes for example in examples)
        self._sources = [self._load(example, None) for example in examples]
        self._weigh()

    def _load(self, example: Example, old: Source | None) -> Source:
        if isinstance(example, StoredExample):
            return open_source(
                example, self.crop_size, self.config, self.device, planes=self.is_planes, scale=self.scale
            )
        known = old if isinstance(old, MemorySource) else None
        return load_source(
            example, self.crop_size, self.config, self.device, planes=self.is_planes, old=known, scale=self.scale
        )

    def _weigh(self) -> None:
        counts = np.array([len(source.objects.ids) for source in self._sources], float)
        self.n_objects = int(counts.sum())
        # Images count alike in the score, objects alike in the paper; the power lies between the two.
        shares = np.where(counts > 0, counts ** (1.0 - self.config.image_balance), 0.0)
        self._image_shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(counts), 1 / len(counts))
        empty = np.array([len(source.background) > 0 for source in self._sources], float)
        self._empty_shares = empty / max(empty.sum(), 1.0)
        self._empty_share = 0.0 if not empty.any() else BACKGROUND_SHARE if self.n_objects else 1.0

    def update(self, examples: Sequence[Example]) -> int:
        """Add images that are new and replace those of known names, whose labels have changed.

        Only what changed is measured again; the image itself is normalised again only if it is another array.

        Returns
        -------
        int
            Objects that are new, gone or have other pixels.

        Raises
        ------
        DataError
            If objects overlap now and did not before.
        """
        for example in examples:
            if example.is_planes and not self.is_planes:
                raise DataError(
                    f"{example.name}: its objects are planes that may overlap, but training began with label images; "
                    "start a new training."
                )
        n_changed = 0
        for example in examples:
            names = [source.name for source in self._sources]
            index = names.index(example.name) if example.name in names else len(names)
            old = self._sources[index : index + 1]
            source = self._load(example, old[0] if old else None)
            self._sources[index : index + 1] = [source]
            n_changed += source.n_changed
        self._weigh()
        return n_changed

    def object_sizes(self) -> ObjectSizes:
        """Sizes of the objects that crops are drawn from now, in pixels of the images as they were given."""
        extents = np.concatenate([source.extents for source in self._sources]) / self.scale
        sizes = np.concatenate([source.objects.sizes for source in self._sources]) / self.scale ** len(self.crop_size)
        return object_sizes(extents, sizes)

    def draw(self, n: int, rng: np.random.Generator) -> Batch:
        """Cut `n` crops, each with at least one pixel of known class; all randomness comes from `rng`."""
        return self.cut(n, rng).sent(self.device)

    def cut(self, n: int, rng: np.random.Generator, mine: range | None = None) -> Batch:
        """The same, with the changes of intensities drawn and not yet made.

        Parameters
        ----------
        n : int
            Crops that are drawn.
        rng : Generator
            All randomness.
        mine : range, optional
            Those that are wanted, by their numbers; the others are cut only where random numbers depend on it.
        """
        mine = range(n) if mine is None else mine
        drawn = [self._draw_one(rng, index in mine) for index in range(n)]
        crops = [drawn[index] for index in mine]
        changes = Changes.draw(n, self.config.augmentation, rng).of(mine)
        instances = [crop.instances for crop in crops]
        if self.is_planes:
            most = max(len(planes) for planes in instances)
            instances = [F.pad(p, [0, 0] * (p.ndim - 1) + [0, most - len(p)]) for p in instances]
        ignore = torch.stack([crop.ignore for crop in crops])
        centers = [crop.centers for crop in crops]
        images = torch.stack([crop.image for crop in crops])
        return Batch(images, torch.stack(instances), centers, ignore if bool(ignore.any()) else None, changes)

    def _draw_one(self, rng: np.random.Generator, wanted: bool) -> Crop:
        augmentation = self.config.augmentation
        share = augmentation.paste
        if share is None:
            share = PASTED_CROPS if self.is_planes else 0.0
        # Without pasting no number is drawn for it: results of older seeds stay as they are.
        if share == 0 or rng.random() >= share:
            return self._draw_plain(augmentation, rng, wanted)
        turned = augmentation.model_copy(update={"rotation": True})
        return paste_objects(self._draw_plain(turned, rng), self._draw_plain(turned, rng), rng)

    def _draw_plain(self, augmentation: AugmentationConfig, rng: np.random.Generator, wanted: bool = True) -> Crop:
        ndim = len(self.crop_size)
        for _ in range(TRIES):
            is_empty = self._empty_share > 0 and rng.random() < self._empty_share
            shares = self._empty_shares if is_empty else self._image_shares
            source = self._sources[int(rng.choice(len(self._sources), p=shares))]
            matrix = random_matrix(augmentation, ndim, rng)
            at = source.background_at(rng) if is_empty else self._near_object(source, rng)
            if not wanted and not source.has_unknown:
                return NOTHING
            crop = self._cut(source, matrix, self._inside(source, matrix, at))
            if not source.has_unknown or len(source.places) == 0 or not bool(crop.ignore.all()):
                return crop
        # Unturned and unscaled, the pixels of a crop are those of the image: the known one cannot be missed.
        matrix = np.eye(ndim)
        return self._cut(source, matrix, self._inside(source, matrix, source.known_at(rng)))

    def _near_object(self, source: Source, rng: np.random.Generator) -> np.ndarray:
        """Source position (z, y, x) near a random object."""
        table = source.objects
        if len(table.ids):
            row = int(rng.integers(len(table.ids)))
            is_center = self.config.center_of == "object"
            at = table.centers[row] if is_center else (table.lower[row] + table.upper[row] - 1) / 2.0
        else:
            at = rng.uniform(0, np.array(source.shape, float))
        size = np.array(self.crop_size, float)
        return np.asarray(at + rng.uniform(-1, 1, len(size)) * self.config.augmentation.shift * size)

    def _inside(self, source: Source, matrix: np.ndarray, at: np.ndarray) -> np.ndarray:
        """The crop's centre moved so that the crop lies inside the image if it fits."""
        shape = np.array(source.shape, float)
        half = np.abs(matrix) @ (np.array(self.crop_size, float) / 2)
        fits = 2 * half <= shape
        # Pixel i covers i - 0.5 to i + 0.5, so the image reaches from -0.5 to n - 0.5.
        at = np.where(fits, np.clip(at, half - 0.5, np.maximum(shape - half - 0.5, half - 0.5)), (shape - 1) / 2)
        # Even sides: the centre falls between pixels, and unscaled crops then hit pixels exactly.
        return np.asarray(np.floor(at) + 0.5)

    def _cut(self, source: Source, matrix: np.ndarray, origin: np.ndarray) -> Crop:
        middle = (np.array(self.crop_size) - 1) / 2.0
        # Only what is around the crop: an image may be large, or on the disk.
        box = _around(matrix, origin, self.crop_size, source.shape)
        part = source.part(box)
        grid, outside = _sampling_grid(matrix, origin, self.crop_size, source.shape, box, self.device)
        sampled = F.grid_sample(part.image[None], grid, mode="bilinear", padding_mode="reflection", align_corners=True)
        image, ignore = sampled[0], outside
        layers = part.instances if self.is_planes else part.instances[None]
        if part.ignore is not None:
            layers = torch.cat([layers, part.ignore[None].to(layers.dtype)])
        # Nearest values of integers below 2**24 are exact in float32.
        cut = F.grid_sample(layers[None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=True)[0]
        cut = cut.to(torch.int32)
        if part.ignore is not None:
            ignore = ignore | (cut[-1] > 0)
            cut = cut[:-1]
        if self.is_planes:
            kept = torch.nonzero(cut.flatten(1).any(1)).reshape(-1)
            ids, labels = kept.cpu().numpy() + 1, cut[kept]
        else:
            labels = cut[0]
            ids = present_ids(labels)
        if self.config.center_of == "fragment":
            cropped = labels.cpu().numpy()
            table = measure_objects(cropped, self.config.center, source.spacing, planes=self.is_planes)
            return Crop(image, labels, ignore, table.centers)
        rows = np.searchsorted(source.objects.ids, ids if part.ids is None else part.ids[ids - 1])
        centers = (source.objects.centers[rows] - origin) @ np.linalg.inv(matrix).T + middle
        return Crop(image, labels, ignore, centers)


def _around(matrix: np.ndarray, origin: np.ndarray, crop_size: tuple[int, ...], shape: Sequence[int]) -> Part:
    """The part of an image that a crop shows; all along an axis that it does not fit into, where it is mirrored."""
    half = np.abs(matrix) @ ((np.array(crop_size, float) - 1) / 2)
    low, high = np.floor(origin - half).astype(int) - 1, np.ceil(origin + half).astype(int) + 2
    ends = [
        (0, n) if a < -2 or b > n + 2 else (max(a, 0), min(b, n))
        for a, b, n in zip(low.tolist(), high.tolist(), shape, strict=True)
    ]
    return Part(tuple(a for a, _ in ends), tuple(b for _, b in ends))


def _sampling_grid(
    matrix: np.ndarray,
    origin: np.ndarray,
    crop_size: tuple[int, ...],
    shape: Sequence[int],
    box: Part,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Normalised sampling positions (1, *crop, ndim; order x, y, z) in a part, and which lie outside the image."""
    ndim = len(crop_size)
    lines = [torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2 for n in crop_size]
    at = [torch.full(crop_size, float(origin[axis] - box.start[axis]), device=device) for axis in range(ndim)]
    outside = torch.zeros(crop_size, dtype=torch.bool, device=device)
    for axis in range(ndim):
        for other in range(ndim):
            if matrix[axis, other] != 0:
                view = [1] * ndim
                view[other] = crop_size[other]
                at[axis] = at[axis] + float(matrix[axis, other]) * lines[other].reshape(view)
        first = box.start[axis]
        outside |= (at[axis] < -0.5 - first) | (at[axis] > shape[axis] - 0.5 - first)
    sides = [max(b - a - 1, 1) for a, b in zip(box.start, box.stop, strict=True)]
    scaled = [2.0 * at[axis] / sides[axis] - 1.0 for axis in reversed(range(ndim))]
    return torch.stack(scaled, -1)[None], outside
