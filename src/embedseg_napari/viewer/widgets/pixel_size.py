"""Pixel sizes that are typed: how they are read, and the field that asks for that of a volume."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit

from embedseg_napari.core.axes import check_spacing
from embedseg_napari.core.errors import DataError
from embedseg_napari.viewer.file_metadata import PIXEL, TYPED, has_plain_scale, set_pixel_size
from embedseg_napari.viewer.layers import (
    ANNOTATION,
    PART_OF,
    SEGMENTED,
    array_of,
    line_of,
    name_axes,
    named_axes,
)
from embedseg_napari.viewer.stage import meet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer

NUMBERS = {"YX": "one number, or two (y, x)", "ZYX": "three numbers (z, y, x)"}


def typed_spacing(text: str, space: str) -> tuple[float, ...] | None:
    """The pixel size that was typed, one value per axis of `space`; None where nothing was.

    Raises
    ------
    DataError
        If it is none.
    """
    words = re.split(r"[\s,;x]+", text.strip())
    if words == [""]:
        return None
    given = words * 2 if len(words) == 1 and len(space) == 2 else words
    try:
        return check_spacing([float(word) for word in given], space)
    except (ValueError, DataError) as error:
        raise DataError(
            f"{text.strip()} is no pixel size; give {NUMBERS[space]} above 0 in micrometres, with a decimal point."
        ) from error


class VoxelBox(QLineEdit):
    """Asks how large the voxels of a volume are where its layer does not say; the layer remembers it.

    Parameters
    ----------
    viewer : napari viewer
        That holds the layer.
    """

    given = Signal()
    """The layer says it now, or what was typed is none: see `fault`."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self._fault = ""
        self._layer: Image | None = None
        self._axes = ""
        self.setPlaceholderText("z, y, x, if known")
        self.setToolTip(
            "How large a voxel is in micrometres, z, y, x: slices are often further apart than pixels are wide. The "
            "file does not say it; left empty, voxels are taken to be cubes."
        )
        self.editingFinished.connect(self._take)

    def ask_about(self, layer: Image | None, axes: str) -> bool:
        """Ask about a layer with these axes; False where there is nothing to ask."""
        asks = layer is not None and lacks_size(layer, axes)
        if layer is not self._layer or not asks:
            self.clear()
            self._fault = ""
        self._layer, self._axes = layer, axes
        return asks

    @property
    def fault(self) -> str:
        """What is wrong with what was typed; empty once the layer says its size, as told in another panel."""
        return self._fault if self._layer is not None and lacks_size(self._layer, self._axes) else ""

    def _take(self) -> None:
        layer, axes = self._layer, self._axes
        if layer is None or layer not in self.viewer.layers or len(axes) != layer.ndim:
            return
        try:
            spacing, self._fault = typed_spacing(self.text(), "ZYX"), ""
        except DataError as error:
            spacing, self._fault = None, str(error)
        if spacing is not None:
            # Whoever gives the distance of its planes says that they are depth.
            name_axes(layer, axes)
            resize(self.viewer, layer, axes, spacing)
            self.viewer.reset_view()
        self.given.emit()


def resize(viewer: Viewer, layer: Image, axes: str, spacing: tuple[float, ...]) -> None:
    """Say how large the voxels of an image are in micrometres (z, y, x) that a person has told.

    What was found or painted there stays there; what comes later is placed by the mark.
    """
    step = viewer.dims.current_step
    layer.metadata = {**layer.metadata, TYPED: True}
    for other in _of_one_size(tuple(viewer.layers), layer, axes):
        _resize(other, _letters(other, layer, axes), spacing)
    viewer.dims.set_current_step(range(len(step)), step)


def lacks_size(layer: Image, axes: str) -> bool:
    """Whether a layer with these axes is a volume, and does not say how large its voxels are."""
    return not layer.rgb and {"Z", "Y", "X"} <= set(axes) and has_plain_scale(layer)


def _of_one_size(layers: Sequence[Layer], image: Layer, axes: str) -> list[Layer]:
    """An image and the layers that share the size of its voxels.

    Another image or labels in its place do where they have as many voxels. What was taken from an image or found in it
    goes with that image, wherever it lies.
    """
    lines = {one: line_of(one, layers) for one in layers}
    ids = {str(one.unique_id) for one in layers}

    def goes_alone(one: Layer) -> bool:
        return ids.isdisjoint(lines[one][1:])

    def fits(one: Layer) -> bool:
        letters = _letters(one, image, axes)
        if not goes_alone(one) or not _is_sizeless(one, letters) or not meet(one, image):
            return False
        # Of a part that a session opened again nobody knows whose it is.
        is_part = any(PART_OF in each.metadata and goes_alone(each) for each in (one, image))
        return is_part or not isinstance(one, (Image, Labels)) or _space(one, letters) == _space(image, axes)

    sized = {*lines[image], *(str(one.unique_id) for one in layers if fits(one))}
    return [one for one in layers if not sized.isdisjoint(lines[one])]


def _letters(layer: Layer, image: Layer, axes: str) -> str:
    """Axes of a layer: those it names, else those of an image on which it lies; napari aligns the two at the last.

    What was found in the image itself may name them as they were taken for before the image was told to be a volume.
    """
    is_its = str(image.unique_id) in (layer.metadata.get(SEGMENTED), layer.metadata.get(ANNOTATION))
    own = "" if is_its else named_axes(layer.axis_labels, layer.ndim)
    return own or axes[-layer.ndim :].rjust(layer.ndim)


def _space(layer: Layer, letters: str) -> dict[str, int]:
    """Pixels of an Image or Labels layer along its spatial axes."""
    sizes = zip(letters, array_of(layer).shape, strict=False)
    return {letter: int(n) for letter, n in sizes if letter in "ZYX"}


def _is_sizeless(layer: Layer, letters: str) -> bool:
    """Whether a layer is a volume, and nothing says how large its voxels are."""
    places = [letters.find(letter) for letter in "ZYX"]
    return min(places) >= 0 and all(layer.scale[place] == 1 and str(layer.units[place]) == PIXEL for place in places)


def _resize(layer: Layer, letters: str, spacing: tuple[float, ...]) -> None:
    """Give a layer the size of its voxels where it has none yet; what lies on them stays on them.

    What was found in an image may lie on a lower resolution of it, and has one pixel that is as thick as all channels.
    """
    places = [letters.find(letter) for letter in "ZYX"]
    if min(places) < 0 or any(str(layer.units[place]) != PIXEL for place in places):
        return
    if SEGMENTED not in layer.metadata and any(layer.scale[place] != 1 for place in places):
        return
    steps = np.ones(layer.ndim)
    steps[places] = spacing
    translate, units = layer.translate * steps, [str(unit) for unit in layer.units]
    for place in places:
        units[place] = "um"
    set_pixel_size(layer, layer.scale * steps, units)
    layer.translate = translate
