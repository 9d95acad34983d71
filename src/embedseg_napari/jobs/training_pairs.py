"""Training images from the viewer: layers become arrays here, and nothing beyond this file sees a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.layers import Image, Labels, Shapes

    from embedseg_napari.core.data.pairs import Example

FRAMES, VOLUME = "images of their own", "one volume"
"""How the third axis of a stack may be read."""


@dataclass(frozen=True)
class ArrayPair:
    """Arrays of an image layer and its labels layer, taken from the viewer but not yet looked at."""

    name: str
    image: Any
    """Array-like, perhaps lazy, axes as in `axes`."""
    labels: Any
    """Array-like, axes (T)(Z)YX."""
    axes: str
    """Axes of the image, such as ``"YX"``, ``"ZYX"``, ``"TYX"`` (frames are images of their own), ``"YXC"``."""
    spacing: tuple[float, ...] | None
    """Physical pixel size of the spatial axes (z, y, x)."""
    unit: str | None
    regions: tuple[Region, ...] = ()
    """Parts to train on; none means everything."""
    channel: int | None = None
    """The only channel to train on, counted from 0; None takes all."""

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
                    names.append(name if len(self.regions) == 1 else f"{name}, region {number}")
        if not pairs:
            raise DataError(f"{self.name}: no region lies on the image; draw one over the labelled objects.")
        examples = from_arrays(pairs, axes=axes, spacing=self.spacing, channel=self.channel, names=names)
        return [replace(example, unit=self.unit) for example in examples]


@dataclass(frozen=True)
class Region:
    """A shape drawn on an image, in the image's pixels; in 3D it reaches through all slices."""

    outline: np.ndarray
    """(n, 2) corners, y and x."""
    is_box: bool

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

        What a freely drawn outline leaves out of its box is ignored in training.
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
            ignore = np.ascontiguousarray(np.broadcast_to(plane, inside.shape))
        return image[tuple(index)], inside, ignore


def pair_from_layers(
    image: Image,
    labels: Labels,
    shapes: Shapes | None = None,
    *,
    stack: str | None = None,
    channel: int | None = None,
) -> ArrayPair:
    """Take an image and its labels from the viewer. Reads no pixels, so it may run on the viewer's thread.

    Parameters
    ----------
    image : napari Image layer
        Image; of a multiscale layer the full resolution.
    labels : napari Labels layer
        Its objects.
    shapes : napari Shapes layer, optional
        Train only inside its shapes.
    stack : str, optional
        `VOLUME` or `FRAMES`: how the third axis is read; default by the layer's axis labels, else as a volume.
    channel : int, optional
        The only channel to train on, counted from 0; default all.

    Raises
    ------
    DataError
        If the two do not fit together.
    """
    array = image.data[0] if image.multiscale else image.data
    truth = labels.data[0] if labels.multiscale else labels.data
    axes = layer_axes(image, len(truth.shape), stack)
    space = tuple(size for size, letter in zip(array.shape, axes, strict=True) if letter != "C")
    if space != tuple(truth.shape):
        raise DataError(
            f"{image.name} has the shape {_words(space)}, but {labels.name} has {_words(truth.shape)}; "
            "choose the labels that were drawn on this image."
        )
    if "T" in axes and axes.index("T") != 0:
        raise DataError(f"{image.name}: the time axis must come first; transpose the layer.")
    spacing, unit = layer_spacing(image, axes)
    regions = regions_on(image, shapes) if shapes is not None else ()
    if shapes is not None and not regions:
        raise DataError(f"{shapes.name}: holds no shape yet; draw a rectangle around the objects you labelled.")
    return ArrayPair(image.name, array, truth, axes, spacing, unit, regions, channel)


def layer_axes(image: Image, n_space: int | None = None, stack: str | None = None) -> str:
    """Axes of an image layer, from its axis labels where they say something, else from its shape.

    Parameters
    ----------
    image : napari Image layer
        Layer.
    n_space : int, optional
        Axes of its labels: what the image has beyond them is a channel axis.
    stack : str, optional
        `VOLUME` or `FRAMES`, as in :func:`pair_from_layers`.
    """
    shape = image.data[0].shape if image.multiscale else image.data.shape
    n = len(shape) - (1 if image.rgb else 0)
    named = [str(label).strip().upper()[:1] for label in getattr(image, "axis_labels", ())]
    words = [str(label).strip().lower() for label in getattr(image, "axis_labels", ())]
    known = len(named) == n and set(named) <= set("TCZYX") and len(set(named)) == n and {"Y", "X"} <= set(named)
    if known and not any(word.startswith(("axis", "dim")) for word in words):
        axes = "".join(named)
    else:
        axes = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(n, "TCZYX"[-n:])
        if n_space is not None and n == n_space + 1:
            axes = "C" + {2: "YX", 3: "ZYX"}.get(n_space, "ZYX"[-n_space:])
    if stack == FRAMES and "T" not in axes and "Z" in axes:
        axes = axes.replace("Z", "T")
    elif stack == VOLUME and "Z" not in axes and "T" in axes:
        axes = axes.replace("T", "Z")
    return axes + ("C" if image.rgb else "")


def layer_spacing(image: Image, axes: str) -> tuple[tuple[float, ...] | None, str | None]:
    """Physical pixel size (z, y, x) and unit of a layer; None where the layer does not say."""
    letters = axes[:-1] if image.rgb else axes
    places = [letters.index(letter) for letter in "ZYX" if letter in letters]
    scale = tuple(float(abs(image.scale[place])) for place in places)
    unit = str(image.units[places[-1]]) if getattr(image, "units", None) else "pixel"
    unit_name = None if unit in ("pixel", "dimensionless", "") else unit
    if unit_name is None and all(step == 1 for step in scale):
        return None, None
    return scale, unit_name


def regions_on(image: Image, shapes: Shapes) -> tuple[Region, ...]:
    """Shapes of a layer in the pixels of an image layer."""
    regions = []
    places = [-2, -1]
    for outline, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        corners = []
        for corner in outline:
            world = np.asarray(shapes.data_to_world(corner), float)
            n = image.ndim
            world = np.concatenate([np.zeros(max(n - len(world), 0)), world])[-n:]
            corners.append(np.asarray(image.world_to_data(world))[places])
        regions.append(Region(np.asarray(corners), kind in ("rectangle", "ellipse")))
    return tuple(regions)


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


def read_dataset(folder: str | Path, ignore_label: int | None = None) -> tuple[list[Example], list[Example] | None]:
    """Training and, where the folder has them, validation images of a data-set folder; see `find_dataset`."""
    from embedseg_napari.core.data.pairs import find_dataset, load_folder

    training, validation = find_dataset(folder)
    held_out = None if validation is None else load_folder(validation, ignore_label=ignore_label)
    return load_folder(training, ignore_label=ignore_label), held_out


def _words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
