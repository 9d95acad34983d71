"""A small picture of an image, and the outlines of its objects as another one that lies on it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, reorder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from PIL.Image import Image

EDGE, LEAST_EDGE = 256, 48
"""Pixels of the longer edge: where there is room, and at least."""
FINER = 2
"""How many pixels of the outlines' picture lie along one of the image's; as far as the image has as many."""
SAMPLES = 4
"""Pixels of a large image that are averaged to one of the picture, along each axis."""
DARKEST, BRIGHTEST = 0.5, 99.8
"""Percentiles of the values that are shown black and white."""
QUALITIES = (80, 60)
"""Of JPEG; the second one is tried before a picture is made smaller."""
BYTES_PER_PIXEL = 0.07
"""What few pictures take less of, outlines and all."""
ON_DARK, ON_BRIGHT = (255, 214, 0), (0, 122, 40)
"""Colours of outlines."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Two pictures of one shape."""

    jpeg: bytes
    outlines: bytes
    """PNG, transparent beside the outlines."""
    width: int
    height: int

    @property
    def n_bytes(self) -> int:
        """Bytes of both."""
        return len(self.jpeg) + len(self.outlines)


def plane_of(array: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """The plane of an image that is shown: of a movie its middle frame, of a volume the largest value along z.

    Parameters
    ----------
    array : ndarray
        An image or its labels.
    axes : str
        One letter per axis.

    Returns
    -------
    plane : ndarray, shape ((C,) Y, X)
        In this order whatever that of the axes.
    shown : str
        What it is of the image; empty where it is all of it.
    """
    shown = []
    own = ordered(axes)
    view = reorder(array, axes, own)
    if "T" in own:
        n, own = view.shape[0], own.replace("T", "")
        view = view[n // 2]
        shown.append(f"frame {n // 2 + 1} of {n}")
    if "Z" in own:
        at = own.index("Z")
        shown.append(f"maximum projection of {view.shape[at]} planes")
        view = view.max(axis=at)
    return view, ", ".join(shown)


def thumbnail(plane: NDArray[Any], objects: Iterable[NDArray[Any]], most_bytes: int) -> Thumbnail:
    """Draw an image and the outlines of its objects, smaller the fewer bytes there are.

    Parameters
    ----------
    plane : ndarray, shape ((C,) Y, X)
        The image; three channels are red, green and blue, two green and magenta, the mean is shown of more.
    objects : iterable of ndarray of int, shape (Y, X)
        Its labels, or planes of one object each, 0 background; of one shape.
    most_bytes : int
        That both pictures may take; the smallest ones may take more.
    """
    # Where there are few bytes, no time goes into pictures that take more.
    edge = min(EDGE, max(plane.shape[-2:]), max(LEAST_EDGE, int((most_bytes / BYTES_PER_PIXEL) ** 0.5)))
    colours = _as_colours(plane, edge)
    lines = _lines(objects, FINER * edge)
    colour = ON_BRIGHT if np.asarray(colours.convert("L")).mean() > 127 else ON_DARK
    while True:
        png = _png(lines, colour)
        for quality in QUALITIES:
            drawn = Thumbnail(_jpeg(colours, quality), png, colours.width, colours.height)
            if drawn.n_bytes <= most_bytes:
                return drawn
        if edge <= LEAST_EDGE:
            return drawn
        edge = max(LEAST_EDGE, edge * 3 // 4)
        colours = colours.resize(_fitted((colours.height, colours.width), edge))
        lines = _smaller(lines, edge)


def _fitted(shape: tuple[int, ...], edge: int) -> tuple[int, int]:
    """Width and height of a picture of that longer edge, never larger than the shape (y, x)."""
    factor = min(1.0, edge / max(shape))
    return max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))


def _as_colours(plane: NDArray[Any], edge: int) -> Image:
    """A picture of grey or of colours from 0 to 255."""
    from PIL import Image

    channels = [_shrunk(one, edge) for one in (plane[None] if plane.ndim == 2 else plane)]
    # Red, green and blue keep their balance.
    channels = list(_stretched(np.stack(channels))) if len(channels) == 3 else [_stretched(one) for one in channels]
    if len(channels) == 2:
        channels = [channels[1], channels[0], channels[1]]
    if len(channels) != 3:
        return Image.fromarray(np.mean(channels, axis=0).astype(np.uint8))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def _shrunk(channel: NDArray[Any], edge: int) -> NDArray[np.float32]:
    from PIL import Image

    # Of a large image a few pixels for each of the picture are enough, and fit into memory.
    step = max(1, max(channel.shape) // (SAMPLES * edge))
    values = np.ascontiguousarray(channel[::step, ::step], np.float32)
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
    size = _fitted(values.shape, edge)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX))


def _stretched(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """From 0 to 255; grey where all are equal."""
    low, high = np.percentile(values, (DARKEST, BRIGHTEST))
    if not high > low:
        low, high = values.min(), values.max()
    if not high > low:
        return np.full_like(values, 128)
    scaled: NDArray[np.float32] = np.clip((values - low) * (255 / (high - low)), 0, 255)
    return scaled


def _lines(objects: Iterable[NDArray[Any]], edge: int) -> NDArray[np.bool_]:
    """Pixels of objects beside something else."""
    lines: NDArray[np.bool_] = np.zeros((1, 1), bool)
    for labels in objects:
        width, height = _fitted(labels.shape, edge)
        rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
        columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
        small = labels[np.ix_(rows, columns)]
        around = np.pad(small, 1, mode="edge")
        own = np.zeros(small.shape, bool)
        for there in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
            own |= small != there
        lines = lines | (own & (small != 0))
    return lines


def _smaller(lines: NDArray[np.bool_], edge: int) -> NDArray[np.bool_]:
    from PIL import Image

    picture = Image.fromarray(lines.astype(np.uint8) * 255)
    size = _fitted(lines.shape, FINER * edge)
    return np.asarray(picture.resize(size, Image.Resampling.BOX)) > 127 // FINER


def _jpeg(picture: Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def _png(lines: NDArray[np.bool_], colour: tuple[int, int, int]) -> bytes:
    from PIL import Image

    picture = Image.fromarray(lines.astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, *colour])
    file = io.BytesIO()
    picture.save(file, "PNG", bits=1, transparency=0, optimize=True)
    return file.getvalue()
