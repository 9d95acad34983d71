"""Random changes of training crops: geometry as one affine map per crop, intensities on whole batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from embedseg_napari.core.device import send

if TYPE_CHECKING:
    from torch import Tensor

    from embedseg_napari.core.config import AugmentationConfig


def random_matrix(config: AugmentationConfig, ndim: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the linear map from a crop's axes to its source's, both in pixels.

    Quarter turns stay in the YX plane, as voxels are rarely cubes; a flip of z is drawn by itself.

    Returns
    -------
    ndarray, shape (ndim, ndim)
        Axes (z, y, x).
    """
    plane = np.eye(2)
    if config.flips:
        plane = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), int(rng.integers(4)))
        if rng.random() < 0.5:
            plane = plane @ np.diag([1.0, -1.0])
    if config.rotation:
        angle = rng.uniform(-math.pi, math.pi)
        plane = plane @ np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.eye(ndim)
    matrix[-2:, -2:] = plane
    if ndim == 3 and config.flips and rng.random() < 0.5:
        matrix[0, 0] = -1.0
    if config.scale > 0:
        matrix *= _around_one(config.scale, rng)
    return matrix


def _around_one(spread: float, rng: np.random.Generator) -> float:
    """A factor between 1 / (1 + spread) and 1 + spread, as likely below one as above."""
    return float(math.exp(rng.uniform(-1.0, 1.0) * math.log1p(spread)))


class Changes(NamedTuple):
    """Random changes of the intensities of some crops: one number for each crop; empty where nothing changes."""

    blur: list[float]
    """Standard deviations in pixels."""
    gamma: list[float]
    gain: list[float]
    offset: list[float]
    noise: list[float]
    seed: int
    """Of the noise."""
    mine: range | None = None
    """Which crops these are of a larger batch, for all of which noise is drawn; None if of none."""
    n: int = 0
    """Crops of that batch."""

    def of(self, mine: range) -> Changes:
        """The changes of some of the crops, by their numbers; a range without steps."""
        numbers = [self.blur, self.gamma, self.gain, self.offset, self.noise]
        n = max(map(len, numbers))
        if n in (0, len(mine)):
            return self
        blur, gamma, gain, offset, noise = ([one[i] for i in mine] if one else [] for one in numbers)
        return Changes(blur, gamma, gain, offset, noise, self.seed, mine, n)

    @classmethod
    def draw(cls, n: int, config: AugmentationConfig, rng: np.random.Generator) -> Changes:
        """Draw the changes of `n` crops."""
        blur, gamma, gain, offset, noise, seed = [], [], [], [], [], 0
        if config.blur > 0:
            blur = [float(rng.uniform(0.0, config.blur)) if rng.random() < 0.5 else 0.0 for _ in range(n)]
        if config.gamma > 0:
            gamma = [_around_one(config.gamma, rng) for _ in range(n)]
        if config.gain > 0 or config.offset > 0:
            gain = [float(rng.uniform(1 - config.gain, 1 + config.gain)) for _ in range(n)]
            offset = [float(rng.uniform(-config.offset, config.offset)) for _ in range(n)]
        if config.noise > 0:
            noise = [float(rng.uniform(0.0, config.noise)) for _ in range(n)]
            seed = int(rng.integers(2**62))
        return cls(blur, gamma, gain, offset, noise, seed)

    def apply(self, images: Tensor) -> Tensor:
        """Blur, then change gamma, gain and offset, then add noise, on the device of the images.

        Parameters
        ----------
        images : Tensor, shape (B, C, (Z,) Y, X)
            Normalised crops.
        """

        def per_crop(values: list[float]) -> Tensor:
            return send(torch.tensor(values, dtype=images.dtype), images.device).reshape(-1, *[1] * (images.ndim - 1))

        if self.blur:
            images = gaussian_blur(images, self.blur)
        if self.gamma:
            # Powers act on the part between background and bright; what lies outside keeps its place.
            inside = images.clamp(1e-3, 1.0)
            images = images + (inside ** per_crop(self.gamma) - inside)
        if self.gain:
            images = images * per_crop(self.gain) + per_crop(self.offset)
        if self.noise:
            generator = torch.Generator(device=images.device).manual_seed(self.seed)
            shape = images.shape if self.mine is None else (self.n, *images.shape[1:])
            noise = torch.randn(shape, generator=generator, device=images.device)
            if self.mine is not None:
                noise = noise[self.mine.start : self.mine.stop]
            images = images + per_crop(self.noise) * noise
        return images


def change_intensities(images: Tensor, config: AugmentationConfig, rng: np.random.Generator) -> Tensor:
    """Change the intensities of crops (B, C, (Z,) Y, X) at random; each crop draws its own strengths."""
    return Changes.draw(len(images), config, rng).apply(images)


def gaussian_blur(images: Tensor, sigmas: list[float]) -> Tensor:
    """Blur each crop of a batch along Y and X with its own standard deviation in pixels; 0 leaves it alone.

    Z is left out: optical sections are already blurred most along it.
    """
    radius = math.ceil(3 * max(sigmas, default=0.0))
    if radius == 0:
        return images
    at = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    width = send(torch.tensor(sigmas, dtype=images.dtype), images.device).clamp(min=1e-3)
    kernels = torch.exp(-0.5 * (at[None] / width[:, None]) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    n, rest = len(images), images.shape[1:-2]
    per_crop = math.prod(rest)
    # Every plane of every crop is a channel of its own with its crop's kernel.
    flat = images.reshape(1, n * per_crop, *images.shape[-2:])
    kernels = kernels.repeat_interleave(per_crop, 0)[:, None]
    for kernel in (kernels[..., :, None], kernels[..., None, :]):
        pad = (0, 0, radius, radius) if kernel.shape[-1] == 1 else (radius, radius, 0, 0)
        flat = F.conv2d(F.pad(flat, pad, mode="replicate"), kernel, groups=n * per_crop)
    return flat.reshape(images.shape)
