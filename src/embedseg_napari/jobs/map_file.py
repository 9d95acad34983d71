"""The maps of an image as a file of their own: seed map, offsets and margins are the channels of one TIFF."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

import numpy as np
from rich.filesize import decimal

from embedseg_napari.core.axes import ordered, reorder
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.tiff import write_image
from embedseg_napari.jobs.segment import MOST_MAP_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.files.picture import Picture
    from embedseg_napari.core.inference.segmentation import Segmentation

FOLDER = "maps"
"""In the folder of the labels: label images stay among themselves there."""


def channel_names(ndim: int) -> tuple[str, ...]:
    """What the channels of the file hold: seediness from 0 to 1, then pixels per axis (z, y, x)."""
    space = "zyx"[-ndim:]
    return ("seed map", *(f"offset {letter}" for letter in space), *(f"margin {letter}" for letter in space))


def check_room(shape: tuple[int, ...], axes: str, ndim: int, folder: Path, n_images: int) -> Message:
    """Say how much disk the maps of an image need, and of as many images like it.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    axes : str
        Its axes.
    ndim : int
        Number of spatial axes.
    folder : Path
        Where they are written; it need not exist.
    n_images : int
        Images to come, this one included.

    Raises
    ------
    DataError
        If the disk has no room for them, or they are more than memory should hold.
    """
    n_pixels = math.prod(n for n, letter in zip(shape, axes, strict=True) if letter != "C")
    n_bytes = n_pixels * np.dtype(np.float32).itemsize * len(channel_names(ndim))
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if "T" in axes and n_bytes > MOST_MAP_BYTES:
        raise DataError(
            f"The maps of this time-lapse would take {decimal(n_bytes)}, more than the {decimal(MOST_MAP_BYTES)} "
            "that are kept in memory; segment parts of it, or do not save maps."
        )
    if n_bytes > free:
        raise DataError(
            f"The maps of this image take up to {decimal(n_bytes)}, but {there} has {decimal(free)} free; "
            "choose another folder, or do not save maps."
        )
    text = f"Maps take up to {decimal(n_bytes)} on the disk"
    if n_images > 1:
        text += f", those of {n_images} images like this one {decimal(n_images * n_bytes)}"
    is_tight = n_images * n_bytes > free
    return Message(f"{text}; {decimal(free)} are free.", "warning" if is_tight else "info")


def write_maps(
    path: Path,
    segmentation: Segmentation,
    axes: str,
    spacing: tuple[float, ...] | None,
    picture: Picture,
    *,
    software: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write seed map, offsets and margins so that they lie on the file of labels, channels before Y and X.

    Parameters
    ----------
    path : Path
        Target.
    segmentation : Segmentation
        With its maps.
    axes : str
        Axes of the labels, in their order.
    spacing : tuple of float, optional
        Pixel size (z, y, x).
    picture : Picture
        The image, of which unit and interval are taken.
    software : str, optional
        What made them.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the file exists, or cannot be written.
    """
    frames = [part.maps for part in segmentation.frames or (segmentation,)]
    stacked = np.stack([np.concatenate([maps.seed_map[None], maps.offsets, maps.margins]) for maps in frames])
    array = stacked if segmentation.frames else stacked[0]
    turned = f"{axes[:-2]}C{axes[-2:]}"
    write_image(
        path,
        reorder(array.astype(np.float32, copy=False), ordered(turned), turned),
        turned,
        spacing,
        picture.unit,
        channel_names=channel_names(frames[0].ndim),
        interval=picture.interval,
        keep_order=True,
        software=software,
        overwrite=overwrite,
    )
