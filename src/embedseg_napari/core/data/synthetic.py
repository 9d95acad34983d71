"""Images of fluorescent nuclei that never were under a microscope, with their true labels.

They serve the demonstration, the tests and as sample data: crowded clumps of touching nuclei with irregular outlines,
chromatin texture, blur, out-of-focus haze, uneven illumination, shot and read noise, and debris that is no nucleus.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from embedseg_napari.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNIT = "micrometer"
PIXEL = 0.5
"""Micrometres across a pixel in Y and X where nothing else is asked for."""
Z_STEP = 1.5
"""Micrometres between planes."""
HARMONICS = 4
"""Waves that bend the outline of a nucleus away from an ellipsoid."""
TRIES_PER_NUCLEUS = 12
"""Failed attempts per nucleus after which the image counts as full."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A generated image and its truth."""

    image: NDArray[np.uint16]
    """Shape ((Z,) Y, X)."""
    labels: NDArray[np.int32]
    """Shape ((Z,) Y, X); 1..n without gaps, 0 background; every object is one connected piece."""
    spacing: tuple[float, ...]
    """Micrometres per axis (z, y, x)."""
    unit: str = UNIT


@dataclass(frozen=True, slots=True)
class Look:
    """How nuclei differ from each other, what the microscope makes of them, and where people draw their outlines."""

    contrast: float = 0.28
    """Spread of the brightness of nuclei (standard deviation of its logarithm)."""
    background: float = 0.22
    """Light between nuclei, as a part of that of a nucleus of average brightness."""
    depth_blur: float = 2.5
    """How many times as far light spreads along Z as across."""
    gain: float = 4.0
    """Counts per photon; the camera adds noise of 8 counts."""
    outline: float | None = None
    """Labels reach to where the blurred light of a nucleus falls to this part of its median; None: its true surface."""
    clump: float = 4.0
    """Mean number of nuclei that grow side by side, at least 1."""


def nuclei(
    shape: Sequence[int] = (256, 256),
    *,
    diameter: float = 20.0,
    coverage: float | None = None,
    spacing: Sequence[float] | None = None,
    photons: float = 60.0,
    debris: float = 0.15,
    look: Look | None = None,
    seed: int = 0,
) -> Sample:
    """Generate an image of nuclei in 2D or 3D.

    Parameters
    ----------
    shape : sequence of int
        (Y, X) or (Z, Y, X) in pixels.
    diameter : float
        Mean diameter of a nucleus, in pixels along X.
    coverage : float, optional
        Fraction of the image that nuclei aim to cover; 0.3 in 2D and 0.15 in 3D by default.
    spacing : sequence of float, optional
        Size of a pixel per axis (z, y, x) in micrometres; nuclei are round in physical space, so a coarse z step
        makes them flat in pixels. Default 0.5 in Y and X, 1.5 in Z.
    photons : float
        Mean number of photons a pixel of a nucleus of average brightness collects; fewer give a noisier image.
    debris : float
        Specks that are no nuclei, per nucleus.
    look : Look, optional
        Variety, optics and outlines.
    seed : int
        The same seed gives the same image.

    Returns
    -------
    Sample
        The image and its labels.

    Raises
    ------
    SettingsError
        If the shape has not two or three axes, or a number makes no sense.
    """
    shape = tuple(int(side) for side in shape)
    ndim = len(shape)
    spacing = (Z_STEP, PIXEL, PIXEL)[-ndim:] if spacing is None else tuple(float(step) for step in spacing)
    coverage = (0.3 if ndim == 2 else 0.15) if coverage is None else coverage
    _check(shape, spacing, diameter, coverage, photons, debris)
    look = Look() if look is None else look
    rng = np.random.default_rng(seed)
    # All lengths below are in pixels along X; `step` is the length of one index along each axis.
    step = np.array(spacing) / spacing[-1]
    labels, signal = _place(shape, step, diameter, coverage, look, rng)
    labels = _tidy(labels)
    psf = np.full(ndim, 0.05 * diameter)
    psf[:-2] *= look.depth_blur
    if look.outline is not None:
        labels = _as_seen(labels, ndimage.gaussian_filter(signal, psf / step), step, diameter, look.outline)
    signal *= _texture(shape, step, diameter, rng)
    _add_debris(signal, step, diameter, round(debris * labels.max()), rng)
    image = _photograph(signal, psf, step, diameter, photons, look, rng)
    return Sample(image, labels, spacing)


def _check(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    diameter: float,
    coverage: float,
    photons: float,
    debris: float,
) -> None:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise SettingsError(f"Shape {shape}: a sample image needs two or three axes of at least one pixel.")
    if len(spacing) != len(shape) or min(spacing) <= 0:
        raise SettingsError(f"Spacing {spacing}: one positive number is needed for each of the {len(shape)} axes.")
    if diameter < 4:
        raise SettingsError(f"Diameter {diameter}: nuclei need at least 4 pixels.")
    if not 0 <= coverage <= 0.7:
        raise SettingsError(f"Coverage {coverage}: choose a fraction from 0 to 0.7.")
    if photons <= 0 or debris < 0:
        raise SettingsError("The number of photons must be positive, and debris not negative.")


@dataclass(frozen=True, slots=True)
class _Nucleus:
    """An ellipsoid with a bent outline; `level` is below 1 inside it."""

    center: NDArray[np.float64]
    radius: float
    """Largest distance of the outline from the centre."""
    to_sphere: NDArray[np.float64]
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    heights: NDArray[np.float64]
    brightness: float

    @classmethod
    def draw(cls, center: NDArray[np.float64], diameter: float, look: Look, rng: np.random.Generator) -> _Nucleus:
        ndim = len(center)
        size = 0.5 * diameter * float(np.clip(rng.normal(1.0, 0.14), 0.7, 1.4))
        radii = size * np.exp(rng.normal(0.0, 0.16, ndim))
        turn, _ = np.linalg.qr(rng.normal(size=(ndim, ndim)))
        return cls(
            center=center,
            radius=float(radii.max()) * 1.25,
            to_sphere=(turn / radii).T,
            waves=rng.normal(0.0, 2.0, (HARMONICS, ndim)),
            phases=rng.uniform(0.0, 2 * np.pi, HARMONICS),
            heights=rng.normal(0.0, 0.06, HARMONICS),
            brightness=float(np.exp(look.contrast * np.clip(rng.normal(), -3.3, 2.8))),
        )

    def level(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Level of points of shape (..., ndim)."""
        on_sphere = (points - self.center) @ self.to_sphere.T
        distance = np.linalg.norm(on_sphere, axis=-1)
        direction = on_sphere / np.maximum(distance, 1e-9)[..., None]
        bend = 1.0 + np.cos(direction @ self.waves.T + self.phases) @ self.heights
        level: NDArray[np.float64] = distance / np.clip(bend, 0.75, 1.25)
        return level

    def reach(self, direction: NDArray[np.float64]) -> float:
        """Distance from the centre to the ellipsoid's surface in a direction of length 1."""
        return float(1.0 / np.linalg.norm(self.to_sphere @ direction))


def _place(
    shape: tuple[int, ...],
    step: NDArray[np.float64],
    diameter: float,
    coverage: float,
    look: Look,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Let clumps grow until the image is covered; labels and the summed light of all nuclei."""
    labels = np.zeros(shape, np.int32)
    nearest = np.full(shape, np.inf)
    light = np.zeros(shape, np.float32)
    extent = np.array(shape) * step
    sizes = [0]
    clump: list[_Nucleus] = []
    covered, failed = 0, 0
    while covered < coverage * labels.size and failed < TRIES_PER_NUCLEUS * (len(sizes) + 10):
        if not clump or rng.random() < 1.0 / look.clump:
            clump = []
            nucleus = _Nucleus.draw(rng.uniform(0, 1, len(shape)) * extent, diameter, look, rng)
        else:
            nucleus = _beside(clump[rng.integers(len(clump))], diameter, look, rng)
        box = _box(nucleus.center, nucleus.radius, step, shape)
        if box is None:
            failed += 1
            continue
        level = nucleus.level(_points(box, step))
        inside = level < 1
        wins = inside & (level < nearest[box])
        before = labels[box]
        lost = np.bincount(before[wins], minlength=len(sizes))
        robbed = any(lost[other] > 0.2 * sizes[other] for other in np.flatnonzero(lost) if other > 0)
        if wins.sum() < max(8, 0.7 * inside.sum()) or robbed:
            failed += 1
            continue
        before[wins] = len(sizes)
        nearest[box][wins] = level[wins]
        # A round body is thickest, and in a projection brightest, in its middle; where two overlap their light adds up.
        light[box] += nucleus.brightness * np.where(inside, 0.6 + 0.4 * np.sqrt(np.maximum(1 - level**2, 0)), 0)
        sizes.append(int(inside.sum()))
        covered += int(wins.sum() - lost[1:].sum())
        clump.append(nucleus)
    return labels, light


def _beside(neighbour: _Nucleus, diameter: float, look: Look, rng: np.random.Generator) -> _Nucleus:
    direction = rng.normal(size=len(neighbour.center))
    direction /= np.linalg.norm(direction)
    nucleus = _Nucleus.draw(neighbour.center, diameter, look, rng)
    distance = (neighbour.reach(direction) + nucleus.reach(direction)) * rng.uniform(0.82, 1.0)
    return replace(nucleus, center=neighbour.center + distance * direction)


def _box(
    center: NDArray[np.float64], radius: float, step: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[slice, ...] | None:
    """Indices around a ball, cut at the image's edges; None if nothing is left."""
    low = np.maximum(np.floor((center - radius) / step).astype(int), 0)
    high = np.minimum(np.ceil((center + radius) / step).astype(int) + 1, shape)
    if (low >= high).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _points(box: tuple[slice, ...], step: NDArray[np.float64]) -> NDArray[np.float64]:
    axes = [np.arange(part.start, part.stop) * length for part, length in zip(box, step, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _tidy(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keep the largest piece of each object, drop slivers at the image's edge, number without gaps."""
    out = np.zeros_like(labels)
    count = 0
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        pieces, _ = ndimage.label(labels[box] == value)
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() < 8:
            continue
        count += 1
        out[box][pieces == 1 + sizes.argmax()] = count
    return out


def _as_seen(
    labels: NDArray[np.int32],
    blurred: NDArray[np.float32],
    step: NDArray[np.float64],
    diameter: float,
    outline: float,
) -> NDArray[np.int32]:
    """Let labels grow to where the blurred light of their nucleus has fallen to a part of its median."""
    n = int(labels.max())
    if n == 0:
        return labels
    distance, index = ndimage.distance_transform_edt(labels == 0, sampling=step, return_indices=True)
    nearest = labels[tuple(index)]
    median = np.array([np.inf, *ndimage.median(blurred, labels, np.arange(1, n + 1))])
    grown = (labels > 0) | ((distance < 0.4 * diameter) & (blurred > outline * median[nearest]))
    return _tidy(np.where(grown, nearest, 0).astype(np.int32))


def _smooth_noise(shape: tuple[int, ...], sigma: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian random field of mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap", truncate=3)
    field -= field.mean()
    out: NDArray[np.float32] = field / max(float(field.std()), 1e-12)
    return out


def _texture(
    shape: tuple[int, ...], step: NDArray[np.float64], diameter: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Chromatin: coarse domains, with fine grain on them."""
    coarse = _smooth_noise(shape, 0.12 * diameter / step, rng)
    fine = _smooth_noise(shape, 0.04 * diameter / step, rng)
    return np.exp(0.22 * coarse + 0.15 * fine)


def _add_debris(
    light: NDArray[np.float32], step: NDArray[np.float64], diameter: float, n: int, rng: np.random.Generator
) -> None:
    for _ in range(n):
        center = rng.uniform(0, 1, light.ndim) * light.shape * step
        radius = diameter * rng.uniform(0.05, 0.13)
        box = _box(center, 2 * radius, step, light.shape)
        if box is not None:
            distance = np.linalg.norm(_points(box, step) - center, axis=-1)
            light[box] += (rng.uniform(0.4, 2.0) * np.exp(-0.5 * (distance / radius) ** 2)).astype(np.float32)


def _photograph(
    light: NDArray[np.float32],
    psf: NDArray[np.float64],
    step: NDArray[np.float64],
    diameter: float,
    photons: float,
    look: Look,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """What a camera makes of the light: blur, haze, illumination, background, noise."""
    sharp = ndimage.gaussian_filter(light, psf / step)
    haze = ndimage.gaussian_filter(light, 0.6 * diameter / step, truncate=2.5)
    position = [np.linspace(-1, 1, side, dtype=np.float32) for side in light.shape[-2:]]
    y, x = np.meshgrid(*position, indexing="ij", sparse=True)
    bright_y, bright_x = rng.uniform(-0.7, 0.7, 2)
    illumination = np.exp(-0.35 * ((y - bright_y) ** 2 + (x - bright_x) ** 2))
    tilt_y, tilt_x = rng.uniform(-0.5, 0.5, 2)
    background = look.background * (1 + tilt_y * y + tilt_x * x)
    expected = photons * illumination * (sharp + 0.2 * haze + background)
    camera = look.gain * rng.poisson(expected) + rng.normal(100.0, 8.0, light.shape)
    counts: NDArray[np.uint16] = np.clip(np.round(camera), 0, 65535).astype(np.uint16)
    return counts
