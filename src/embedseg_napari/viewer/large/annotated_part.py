"""A part of a large image as an image of its own, to be annotated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from embedseg_napari.core.axes import ordered, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.picture import PartOf, same_pixels
from embedseg_napari.viewer.camera import frames_drawn_on, in_view, looked_at
from embedseg_napari.viewer.labelled_images import OPEN_SHAPES, regions_on
from embedseg_napari.viewer.large.part import MOST
from embedseg_napari.viewer.large.source import is_better_in_blocks, source_of
from embedseg_napari.viewer.layers import PART_OF, array_of, cut_from, picture_of
from embedseg_napari.viewer.result_layers import layer_frame
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Image
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.viewer.worker import BackgroundRun

LEAST = 64
"""Pixels along Y and X that a part has, if the image has as many."""


def is_large(layer: Image) -> bool:
    """Whether a layer is annotated in parts: it is segmented in blocks as well."""
    try:
        return is_better_in_blocks(layer, picture_of(layer).axes)
    except DataError:
        # What is wrong with it is said where it is used.
        return False


@dataclass(frozen=True, slots=True)
class LargePart:
    """A part of a large image.

    Parameters
    ----------
    layer : Image
        The image.
    axes : str
        One letter per axis of its array.
    key : tuple of slice
        The part, along each of them.
    """

    layer: Image
    axes: str
    key: tuple[slice, ...]

    def read(self) -> Generator[None, None, NDArray[Any]]:
        """Its pixels, in a thread; of a movie without the axis of time."""
        yield None
        array = np.asarray(array_of(self.layer)[self.key])
        return array[(slice(None),) * self.axes.index("T") + (0,)] if "T" in self.axes else array

    @property
    def start(self) -> tuple[int, ...]:
        """Its first pixel, T(Z)YX."""
        at = dict(zip(self.axes, self.key, strict=True))
        return tuple(at[letter].start for letter in ordered(result_axes(self.axes)))

    @property
    def name(self) -> str:
        """What its layer is called: where it begins, so that several are told apart."""
        letters = ordered(result_axes(self.axes)).lower()
        return f"{self.layer.name} " + " ".join(f"{one}{at}" for one, at in zip(letters, self.start, strict=True))


def part_wanted(viewer: Viewer, layer: Image) -> LargePart:
    """The part of an image that is to be annotated: the shape that is selected, or else what is in view.

    No pixel is read. It is no larger than can be painted on without waiting: then it is the middle.

    Raises
    ------
    DataError
        If nothing of the image is there.
    """
    axes = picture_of(layer).axes
    letters = axes[:-1] if layer.rgb else axes
    sizes = dict(zip(axes, array_of(layer).shape, strict=True))
    low, high = (dict(zip(letters, ends, strict=True)) for ends in in_view(viewer, layer, letters))
    middle = dict(zip(letters, looked_at(viewer, layer), strict=True))
    drawn = viewer.layers.selection.active
    if isinstance(drawn, Shapes) and len(drawn.data):
        regions = regions_on(layer, drawn, axes)
        if regions:
            numbers = [number for number, kind in enumerate(drawn.shape_type) if kind not in OPEN_SHAPES]
            number = ([one for one in numbers if one in drawn.selected_data] or numbers)[-1]
            region = regions[numbers.index(number)]
            for letter, column in zip("YX", region.outline.T, strict=True):
                low[letter], high[letter] = int(np.floor(column.min())), int(np.ceil(column.max())) + 1
                middle[letter] = float(column.mean())
            # It may have been drawn on another frame than the one that is looked at.
            if frames := frames_drawn_on(viewer, drawn, number, layer, letters):
                low["T"], high["T"] = frames
    n_space = sum(letter in "ZYX" for letter in axes)
    most = dict(zip("ZYX"[-n_space:], MOST[n_space], strict=True))
    key = []
    for letter in axes:
        n = sizes[letter]
        if letter == "C":
            key.append(slice(0, n))
            continue
        first, last = max(0, low[letter]), min(n, high[letter])
        if last <= first:
            raise DataError(f"Nothing of {layer.name} is in view; go there, or draw a rectangle on it.")
        if letter in "YX" and last - first < LEAST:
            first = max(0, min(first - (LEAST - last + first) // 2, n - LEAST))
            last = min(n, first + LEAST)
        largest = most.get(letter, 1)
        if last - first > largest:
            first = int(np.clip(round(middle[letter]) - largest // 2, first, last - largest))
            last = first + largest
        key.append(slice(first, last))
    return LargePart(layer, axes, tuple(key))


def show_part(viewer: Viewer, part: LargePart, array: NDArray[Any]) -> Any:
    """Show a part as an image of its own, in its place, or find the one that was made before; the whole stays below."""
    layer = part.layer
    metadata = cut_from(layer, part.start, _store(part))
    for other in viewer.layers:
        known = other.metadata.get(PART_OF)
        if known is not None and _is_same(known, metadata[PART_OF]) and same_pixels(array_of(other), array):
            return other
    frame = layer_frame(layer, part.axes[:-1] if layer.rgb else part.axes).at(part.start).without("T")
    return viewer.add_image(
        array,
        name=part.name,
        rgb=bool(layer.rgb),
        **frame.options() | {"axis_labels": tuple(frame.axes.lower())},
        colormap=None if layer.rgb else layer.colormap,
        contrast_limits=None if layer.rgb else layer.contrast_limits,
        metadata=metadata,
    )


class PartReader:
    """Reads the part of a large image that is to be annotated, in a thread, and shows it as an image of its own.

    Parameters
    ----------
    viewer : Viewer
        Where.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._run: BackgroundRun | None = None

    def read(self, layer: Image, on_shown: Callable[[Image], None]) -> None:
        """Read what is wanted of a layer, unless another part is being read; `on_shown` takes the layer of the part.

        Raises
        ------
        DataError
            If nothing of the image is in view.
        """
        if self._run is not None:
            return
        part = part_wanted(self.viewer, layer)

        def take(array: NDArray[Any]) -> None:
            # What is clicked from now on is not passed over, though the thread ends a moment later.
            end()
            if layer in self.viewer.layers:
                on_shown(show_part(self.viewer, part, array))

        def end() -> None:
            if self._run is run:
                self._run = None

        run = self._run = run_in_background(lambda should_stop: part.read(), on_result=take, on_finished=end)

    def close_down(self) -> None:
        """Show nothing any longer."""
        if self._run is not None:
            self._run.detach()


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two marks are of one place: in the same layer, or in the same store."""
    of = [key for key in ("image", "store") if one.get(key) is not None and one.get(key) == other.get(key)]
    return bool(of) and one["start"] == other["start"]


def _store(part: LargePart) -> str | None:
    try:
        store = source_of(part.layer, part.axes).store
    except DataError:
        # Its axes lie otherwise than those of labels in a store.
        return None
    return None if store is None else str(store)


def origin_of(layer: Image | None) -> PartOf | None:
    """Where a layer was cut out of the image of a store; None for others."""
    mark = None if layer is None else layer.metadata.get(PART_OF)
    if not mark or mark["store"] is None:
        return None
    return PartOf(Path(mark["store"]), tuple(mark["start"]))


def mark_of(part: PartOf) -> dict[str, Any]:
    """What the metadata of a layer say of its origin, of a session's image that is opened again."""
    return {"store": str(part.store), "start": list(part.start)}


def place_of(part: PartOf, spacing: tuple[float, ...] | None, ndim: int) -> list[float]:
    """Where a part lies in the image that it was cut out of, (z, y, x) in units of the pixel size."""
    return [at * step for at, step in zip(part.start[-ndim:], spacing or (1.0,) * ndim, strict=True)]
