"""Training crops, cut and changed on the fly from images held in memory; nothing is written to disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from embedseg_napari.core.data.augmentation import change_intensities, random_matrix
from embedseg_napari.core.data.centers import object_table
from embedseg_napari.core.data.normalization import normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.centers import ObjectTable
    from embedseg_napari.core.data.pairs import Example


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


@dataclass(frozen=True, slots=True)
class _Source:
    image: Tensor
    instances: Tensor
    ignore: Tensor | None
    objects: ObjectTable
    spacing: tuple[float, ...] | None


class CropSampler:
    """Draws random crops around objects.

    Parameters
    ----------
    examples : sequence of Example
        Training images; normalised once and kept on the device.
    crop_size : tuple of int
        Pixels per axis (z, y, x), multiples of 8.
    config : TrainingConfig
        Normalisation, augmentation, kind of centre and sampling.
    device : torch.device
        Where images live and crops are cut.
    """

    def __init__(
        self, examples: Sequence[Example], crop_size: tuple[int, ...], config: TrainingConfig, device: torch.device
    ) -> None:
        self.crop_size = crop_size
        self.config = config
        self.device = device
        self.is_planes = any(example.is_planes for example in examples)
        self._sources = [self._load(example) for example in examples]
        counts = np.array([len(source.objects.ids) for source in self._sources], float)
        self.n_objects = int(counts.sum())
        # Images count alike in the score, objects alike in the paper; the power lies between the two.
        shares = np.where(counts > 0, counts ** (1.0 - config.image_balance), 0.0)
        self._image_shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(counts), 1 / len(counts))

    def _load(self, example: Example) -> _Source:
        table = object_table(example.instances, self.config.center, example.spacing, planes=example.is_planes)
        instances = example.instances
        if self.is_planes and not example.is_planes:
            instances = np.stack([instances == i for i in table.ids]) if len(table.ids) else instances[None] > 0
        image = torch.from_numpy(normalize(example.image, self.config.normalization)).to(self.device)
        ids = torch.from_numpy(np.ascontiguousarray(instances, dtype=np.int32)).to(self.device)
        ignore = (
            None if example.ignore is None else torch.from_numpy(np.ascontiguousarray(example.ignore)).to(self.device)
        )
        return _Source(image, ids, ignore, table, example.spacing)

    def draw(self, n: int, rng: np.random.Generator) -> Batch:
        """Cut `n` crops; all randomness comes from `rng`."""
        images, instances, ignores, centers = [], [], [], []
        for _ in range(n):
            source = self._sources[int(rng.choice(len(self._sources), p=self._image_shares))]
            matrix = random_matrix(self.config.augmentation, len(self.crop_size), rng)
            origin = self._place(source, matrix, rng)
            image, ids, ignore, center = self._cut(source, matrix, origin)
            images.append(image)
            instances.append(ids)
            ignores.append(ignore)
            centers.append(center)
        batch = change_intensities(torch.stack(images), self.config.augmentation, rng)
        if self.is_planes:
            most = max(len(planes) for planes in instances)
            instances = [F.pad(p, [0, 0] * (p.ndim - 1) + [0, most - len(p)]) for p in instances]
        ignore = torch.stack(ignores)
        return Batch(batch, torch.stack(instances), centers, ignore if bool(ignore.any()) else None)

    def _place(self, source: _Source, matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Source position (z, y, x) of the crop's centre: near a random object, inside the image if it fits."""
        shape = np.array(source.image.shape[1:], float)
        size = np.array(self.crop_size, float)
        half = np.abs(matrix) @ (size / 2)
        table = source.objects
        if len(table.ids):
            row = int(rng.integers(len(table.ids)))
            at = table.centers[row] if self.config.center_of == "object" else self._middle(table, row)
        else:
            at = rng.uniform(0, shape)
        at = at + rng.uniform(-1, 1, len(size)) * self.config.augmentation.shift * size
        fits = 2 * half <= shape
        # Pixel i covers i - 0.5 to i + 0.5, so the image reaches from -0.5 to n - 0.5.
        at = np.where(fits, np.clip(at, half - 0.5, np.maximum(shape - half - 0.5, half - 0.5)), (shape - 1) / 2)
        # Even sides: the centre falls between pixels, and unscaled crops then hit pixels exactly.
        return np.floor(at) + 0.5

    @staticmethod
    def _middle(table: ObjectTable, row: int) -> np.ndarray:
        middle: np.ndarray = (table.lower[row] + table.upper[row] - 1) / 2.0
        return middle

    def _cut(
        self, source: _Source, matrix: np.ndarray, origin: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
        shape = source.image.shape[1:]
        middle = (np.array(self.crop_size) - 1) / 2.0
        grid, outside = _sampling_grid(matrix, origin, self.crop_size, shape, self.device)
        image = F.grid_sample(source.image[None], grid, mode="bilinear", padding_mode="reflection", align_corners=True)[
            0
        ]
        ignore = outside
        layers = source.instances[None] if not self.is_planes else source.instances
        if source.ignore is not None:
            layers = torch.cat([layers, source.ignore[None].to(layers.dtype)])
        # Nearest values of integers below 2**24 are exact in float32.
        cut = F.grid_sample(layers[None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=True)[0]
        cut = cut.to(torch.int32)
        if source.ignore is not None:
            ignore = ignore | (cut[-1] > 0)
            cut = cut[:-1]
        if self.is_planes:
            kept = torch.nonzero(cut.flatten(1).any(1)).reshape(-1)
            ids, labels = kept.cpu().numpy() + 1, cut[kept]
        else:
            labels = cut[0]
            ids = np.flatnonzero(np.bincount(labels.cpu().numpy().ravel()))
            ids = ids[ids > 0]
        if self.config.center_of == "fragment":
            cropped = labels.cpu().numpy()
            table = object_table(cropped, self.config.center, source.spacing, planes=self.is_planes)
            return image, labels, ignore, table.centers
        rows = np.searchsorted(source.objects.ids, ids)
        centers = (source.objects.centers[rows] - origin) @ np.linalg.inv(matrix).T + middle
        return image, labels, ignore, centers


def _sampling_grid(
    matrix: np.ndarray, origin: np.ndarray, crop_size: tuple[int, ...], shape: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Normalised sampling positions (1, *crop, ndim; order x, y, z) and which of them lie outside the image."""
    ndim = len(crop_size)
    lines = [torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2 for n in crop_size]
    at = [torch.full(crop_size, float(origin[axis]), device=device) for axis in range(ndim)]
    outside = torch.zeros(crop_size, dtype=torch.bool, device=device)
    for axis in range(ndim):
        for other in range(ndim):
            if matrix[axis, other] != 0:
                view = [1] * ndim
                view[other] = crop_size[other]
                at[axis] = at[axis] + float(matrix[axis, other]) * lines[other].reshape(view)
        outside |= (at[axis] < -0.5) | (at[axis] > shape[axis] - 0.5)
    scaled = [2.0 * at[axis] / max(shape[axis] - 1, 1) - 1.0 for axis in reversed(range(ndim))]
    return torch.stack(scaled, -1)[None], outside
