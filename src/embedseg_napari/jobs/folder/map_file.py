"""The maps of an image as a file of their own: seed map, offsets and margins are the channels of one TIFF."""

from __future__ import annotations

import math
import shutil
import tempfile
from typing import TYPE_CHECKING, Self

import numpy as np
from rich.filesize import decimal

from embedseg_napari.core.axes import reorder
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.tiff import write_image

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.files.picture import Picture
    from embedseg_napari.core.maps import EmbeddingMaps

FOLDER = "maps"
"""In the folder of the labels: label images stay among themselves there."""


def channel_names(ndim: int) -> tuple[str, ...]:
    """What the channels of the file hold: seediness from 0 to 1, then pixels per axis (z, y, x)."""
    space = "zyx"[-ndim:]
    return ("seed map", *(f"offset {letter}" for letter in space), *(f"margin {letter}" for letter in space))


class MapFile:
    """Takes the maps of an image frame by frame, so that those of a long time-lapse never stand in memory together.

    Until they are written under their name they lie in a file without one, which is gone when the program is.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    axes : str
        Its axes.
    ndim : int
        Number of spatial axes.
    results : Path
        Folder they are written to; it need not exist.

    Raises
    ------
    DataError
        If the disk has no room for them.
    """

    def __init__(self, shape: tuple[int, ...], axes: str, ndim: int, results: Path) -> None:
        self.names = channel_names(ndim)
        sizes = {letter: n for letter, n in zip(axes, shape, strict=True) if letter != "C"}
        self.n_bytes = math.prod(sizes.values()) * len(self.names) * np.dtype(np.float32).itemsize
        # As they are collected: a TIFF has its channels before Y and X.
        self.axes = "".join(letter for letter in "TZCYX" if letter in sizes or letter == "C")
        self.shape = tuple(sizes.get(letter, len(self.names)) for letter in self.axes)
        there = next(place for place in (results.absolute(), *results.absolute().parents) if place.is_dir())
        self.free = shutil.disk_usage(there).free
        # Twice while the file is written.
        if 2 * self.n_bytes > self.free:
            raise DataError(
                f"Writing the maps of this image takes up to {decimal(2 * self.n_bytes)}, but {there} has "
                f"{decimal(self.free)} free; choose another folder, or do not save maps."
            )
        self.file = tempfile.TemporaryFile(dir=there)  # noqa: SIM115 (__exit__ closes it)

    def room(self, n_images: int) -> Message:
        """Say how much of the disk these maps take, and those of so many images like this one."""
        text = f"Maps take up to {decimal(self.n_bytes)} on the disk"
        if n_images > 1:
            text += f", those of {n_images} images like this one {decimal(n_images * self.n_bytes)}"
        is_tight = n_images * self.n_bytes > self.free
        return Message(f"{text}; {decimal(self.free)} are free.", "warning" if is_tight else "info")

    def take(self, maps: EmbeddingMaps) -> None:
        """Add the maps of the next frame."""
        channels = np.stack([maps.seed_map, *maps.offsets, *maps.margins], axis=-3)
        self.file.write(np.ascontiguousarray(channels, dtype=np.float32).data)

    def write(
        self,
        path: Path,
        axes: str,
        spacing: tuple[float, ...] | None,
        picture: Picture,
        *,
        software: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write all frames so that they lie on the file of labels.

        Parameters
        ----------
        path : Path
            Target.
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
        self.file.flush()
        array = np.memmap(self.file, np.float32, "r", shape=self.shape)
        turned = f"{axes[:-2]}C{axes[-2:]}"
        write_image(
            path,
            reorder(array, self.axes, turned),
            turned,
            spacing,
            picture.unit,
            channel_names=self.names,
            interval=picture.interval,
            keep_order=True,
            software=software,
            overwrite=overwrite,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
