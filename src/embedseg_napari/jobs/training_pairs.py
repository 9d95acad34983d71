"""Training images: from arrays that were taken from layers of the viewer, or from a data-set folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.on_disk import FromDisk

logger = logging.getLogger(__name__)

FRAMES, VOLUME = "frames (time)", "slices (depth)"
"""How the third axis of a stack may be read."""


@dataclass(frozen=True)
class ArrayPair:
    """Arrays of an image layer and its labels layer, taken from the viewer but not yet looked at."""

    name: str
    image: Any
    """Array-like, perhaps lazy, axes as in `axes`."""
    labels: Any
    """Array-like, axes (T)(D)(Z)YX, D being planes of one object each, if there are any."""
    axes: str
    """Axes of the image, such as ``"YX"``, ``"ZYX"``, ``"TYX"`` (frames are images of their own), ``"YXC"``."""
    spacing: tuple[float, ...] | None
    """Physical pixel size of the spatial axes (z, y, x)."""
    unit: str | None
    regions: tuple[Region, ...] = ()
    """Parts to train on; none means everything."""
    channel: OneChannel | None = None
    """The only channel to train on, counted from 0, or the mean of all; None takes all."""
    start: tuple[int, int] = (0, 0)
    """Where the arrays begin in those of the layers' image, (y, x)."""

    def corners(self) -> dict[str, tuple[int, int]]:
        """Where the images of :meth:`examples` begin in the layers' image, (y, x), by their names; reads nothing."""
        times = [f" {t}" for t in range(self.image.shape[self.axes.index("T")])] if "T" in self.axes else [""]
        shape = (self.labels.shape[-2], self.labels.shape[-1])
        boxes = [region.box(shape) for region in self.regions]
        parts = (
            [("", (0, 0))]
            if not boxes
            else [
                (self._part_name(number), (box[0].start, box[1].start))
                for number, box in enumerate(boxes, 1)
                if box is not None
            ]
        )
        top, left = self.start
        return {f"{self.name}{time}{part}": (top + y, left + x) for time in times for part, (y, x) in parts}

    def _part_name(self, number: int) -> str:
        """What follows the image's name in that of a region."""
        return "" if len(self.regions) == 1 else f", region {number}"

    def examples(self) -> list[Example]:
        """Read the arrays; reads lazy layers, so it belongs into a worker thread.

        Raises
        ------
        DataError
            If image and labels do not fit together.
        """
        from embedseg_napari.core.data.pairs import from_arrays

        # A copy of the labels: painting goes on while training reads them.
        image, labels = np.asarray(self.image), np.array(self.labels)
        if labels.dtype != bool and not np.issubdtype(labels.dtype, np.integer):
            labels = labels.astype(np.int32)
        pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []
        names = []
        if "T" in self.axes:
            time = self.axes.index("T")
            n_frames = image.shape[time]
            if len(labels) != n_frames:
                raise DataError(f"{self.name}: the image has {n_frames} frames, the labels have {len(labels)}.")
            cells = [(np.take(image, t, time), labels[t], f"{self.name} {t}") for t in range(n_frames)]
            # Frames nobody has labelled yet would teach that nothing is there.
            cells = [cell for cell in cells if cell[1].any()] or cells[:1]
        else:
            cells = [(image, labels, self.name)]
        axes = self.axes.replace("T", "")
        for one_image, one_labels, name in cells:
            if not self.regions:
                pairs.append((one_image, one_labels, None))
                names.append(name)
            for number, region in enumerate(self.regions, 1):
                part = region.cut(one_image, axes, one_labels)
                if part is not None:
                    pairs.append(part)
                    names.append(name + self._part_name(number))
        if not pairs:
            raise DataError(f"{self.name}: no region lies on the image; draw one over the labelled objects.")
        examples = from_arrays(pairs, axes=axes, spacing=self.spacing, channel=self.channel, names=names)
        return [replace(example, unit=self.unit, source=self.name) for example in examples]


def pair_axes(axes: str) -> str:
    """The axes of an image in the order of a pair: TC(Z)YX; channels that come last, as colours do, stay there.

    By that they are told from other channels, and it is looked whether they show colours.
    """
    return f"{ordered(axes.replace('C', ''))}C" if axes.endswith("C") else ordered(axes)


@dataclass(frozen=True)
class Region:
    """A shape drawn on an image, in the image's pixels; in 3D it reaches through all slices."""

    outline: np.ndarray
    """(n, 2) corners, y and x."""
    is_box: bool
    """Whether it is the whole of the rows and columns that it covers."""

    def box(self, shape: tuple[int, int]) -> tuple[slice, slice] | None:
        """Rows and columns it covers in an image of that shape; None if it lies outside."""
        low = np.maximum(np.floor(self.outline.min(0) + 0.5), 0).astype(int)
        high = np.minimum(np.ceil(self.outline.max(0) + 0.5), shape).astype(int)
        if (high - low < 1).any():
            return None
        return slice(low[0], high[0]), slice(low[1], high[1])

    def cut(
        self, image: np.ndarray, axes: str, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
        """Image, labels and ignore mask inside the region; None if it lies outside the image.

        What an outline leaves out of its rows and columns is ignored in training.
        """
        box = self.box((labels.shape[-2], labels.shape[-1]))
        if box is None:
            return None
        index: list[slice] = [slice(None)] * image.ndim
        index[axes.index("Y")], index[axes.index("X")] = box
        inside = labels[(..., *box)]
        ignore = None
        if not self.is_box:
            from skimage.draw import polygon2mask

            corner = (box[0].start, box[1].start)
            plane = ~polygon2mask(inside.shape[-2:], self.outline - corner)
            space = [side for side, letter in zip(image[tuple(index)].shape, axes, strict=True) if letter != "C"]
            ignore = np.ascontiguousarray(np.broadcast_to(plane, space))
        return image[tuple(index)], inside, ignore


def read_pairs(pairs: Sequence[ArrayPair], ignore_label: int | None = None) -> list[Example]:
    """Examples of several pairs; `ignore_label` is the value of pixels whose class is unknown.

    Raises
    ------
    DataError
        If there are none, or one does not fit.
    """
    if not pairs:
        raise DataError("Choose an image layer and its labels layer first.")
    from embedseg_napari.core.data.sparse import with_ignore_label

    return [with_ignore_label(example, ignore_label) for pair in pairs for example in pair.examples()]


def read_dataset(
    folder: Path,
    ignore_label: int | None = None,
    *,
    validation: Path | None = None,
    is_split_anew: bool = False,
    axes: str | None = None,
    channel: OneChannel | None = None,
    spacing: tuple[float, ...] | None = None,
    labels: str | Path | None = None,
    disk: FromDisk | None = None,
    tell: Callable[[str, str], None] | None = None,
) -> tuple[list[Example], list[Example] | None]:
    """Training images, and validation images where they are given.

    Parameters
    ----------
    folder : path
        As :func:`find_dataset` takes it; or a session, whose annotated images are learned from as in a round.
    ignore_label, axes, channel, spacing, labels, tell
        As :func:`load_folder` takes them.
    validation : path, optional
        Where the validation images are; by default in the `val/` of the data set.
    is_split_anew : bool
        Whether validation images shall be chosen among those for training, `val/` or not.
    disk : FromDisk, optional
        Images that do not fit into memory stay on the disk.
    """
    from embedseg_napari.core.data.pairs import find_dataset, load_folder
    from embedseg_napari.core.session.folder import STATE
    from embedseg_napari.core.stores.own_labels import labels_of_others

    def read(place: Path, disk: FromDisk | None, named: str | Path | None = None) -> list[Example]:
        listener = {} if tell is None else {"tell": tell}
        return load_folder(
            place,
            axes=axes,
            channel=channel,
            spacing=spacing,
            ignore_label=ignore_label,
            labels=named,
            from_disk=disk,
            **listener,
        )

    if (folder / STATE).is_file():
        if (axes, channel, spacing, labels) != (None,) * 4:
            raise DataError(
                f"{folder}: a session says itself what its images are; leave out axes, channel, spacing and labels."
            )
        annotated = _read_session(folder, tell)
        if validation is not None:
            return annotated, read(find_dataset(validation)[0], disk)
        # As in a round, whose training holds out nothing by itself.
        return annotated, None if is_split_anew else []
    training, beside = find_dataset(folder)
    held_out = find_dataset(validation)[0] if validation is not None else None if is_split_anew else beside
    examples = read(training, disk, labels)
    if held_out is None:
        return examples, None
    rest = None if disk is None else disk.beside(examples)
    return examples, read(held_out, rest, labels_of_others(labels, [one.path for one in examples]))


def knows_its_split(folder: Path) -> bool:
    """Whether no validation images are chosen: from a session none are held out, and a data set may have its `val/`."""
    from embedseg_napari.core.data.pairs import find_dataset
    from embedseg_napari.core.session.folder import STATE

    return (folder / STATE).is_file() or find_dataset(folder)[1] is not None


def _read_session(folder: Path, tell: Callable[[str, str], None] | None) -> list[Example]:
    """What is annotated in a session, as far as it can be read."""
    from embedseg_napari.core.session.session import AnnotationSession

    images, faults = AnnotationSession.look_into(folder).annotated_images({})
    if not images:
        raise DataError(faults[0] if faults else f"{folder}: nothing is annotated in this session yet.")
    for fault in faults:
        words = f"{fault} Training learns nothing from it."
        if tell is None:
            logger.warning("%s", words)
        else:
            tell(str(folder), words)
    return [image.example() for image in images]
