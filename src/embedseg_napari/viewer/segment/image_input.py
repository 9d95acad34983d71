"""What to segment: an image layer, the meaning of its axes, its channel, and the whole of it or a part."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QWidget
from superqt.utils import signals_blocked

from embedseg_napari.core.axes import ordered, parse_axes, reorder, result_axes, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.units import MICROMETRE, in_micrometres
from embedseg_napari.core.wording import alpha_words, count
from embedseg_napari.viewer.layers import array_of, lazily, name_axes, picture_of, pixel_size
from embedseg_napari.viewer.result_layers import followed_frame
from embedseg_napari.viewer.segment.regions import RECTANGLE, VIEW, WHOLE, Selection, rectangle_bounds, view_bounds
from embedseg_napari.viewer.widgets.axis_question import AxisQuestion
from embedseg_napari.viewer.widgets.boxes import ChoiceBox
from embedseg_napari.viewer.widgets.image_channel import ImageChannelBox
from embedseg_napari.viewer.widgets.labels_hint import LabelsHint
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.widgets.pixel_size import VoxelBox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari.layers
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.viewer.result_layers import Frame

LEAST_SIDE = 8
"""Pixels; smaller parts hold no object."""


class ImageInput(QWidget):
    """Rows for layer, axes, channel and region.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are listed.
    fitting : callable, optional
        As for `AxisQuestion`.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, fitting: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self.viewer = viewer
        self.model: ModelConfig | None = None
        self.is_model_chosen = False
        self.refusal = ""
        """Why the layer is no image that can be used."""
        self.layer_box = LayerBox(viewer, Image, "The image to segment.")
        self.question = AxisQuestion(fitting)
        self.hint = LabelsHint(viewer)
        self.axes = QLineEdit()
        self.axes.setMaxLength(5)
        self.axes.setToolTip(
            "One letter per axis of the layer: T time, C channel, Z Y X space. Correct it where the guess is wrong."
        )
        self.voxel = VoxelBox(viewer)
        self.channel = ImageChannelBox("The channel that shows what the model was trained on.")
        self.region = ChoiceBox(
            (WHOLE, VIEW, RECTANGLE),
            "Segment the whole image, the part in view, or the rectangle drawn last. Of a movie, the part in view is "
            "of the current frame only, and a rectangle of the frame that it was drawn on.",
        )
        self.shapes_box = LayerBox(
            viewer, Shapes, "The selected shape of this layer is used, or else the one drawn last."
        )
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        for text, widget in (
            ("&Image", self.layer_box.native),
            ("&Axes", self.axes),
            ("&Voxel (µm)", self.voxel),
            ("Cha&nnel", self.channel),
            ("Re&gion", self.region),
            ("&Rectangle", self.shapes_box.native),
        ):
            self.form.addRow(text, widget)
            self.form.labelForField(widget).setToolTip(widget.toolTip())
            if widget is self.layer_box.native:
                self.form.addRow(self.hint)
                self.form.addRow(self.question)
        self._is_own_guess = True
        self.layer_box.changed.connect(self._take_layer)
        self.axes.textEdited.connect(self._edit_axes)
        self.axes.textChanged.connect(self._list_channels)
        self.voxel.given.connect(self._ask_voxel)
        self.voxel.given.connect(self.changed)
        self.channel.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.region.currentIndexChanged.connect(self._show_region)
        self.shapes_box.changed.connect(lambda _: self.changed.emit())
        self._followed: Any = None
        self._take_layer()
        self._show_region()

    @property
    def layer(self) -> napari.layers.Image | None:
        """The chosen layer."""
        return self.layer_box.layer()

    def choose(self, layer: napari.layers.Layer | None, channel: Channel = "all") -> None:
        """Choose a layer that is listed, and a channel of it or their mean; by default those that the model takes.

        Without a layer it is a channel of the one that is chosen.
        """
        if layer is not None:
            self.layer_box.choose(layer)
        index = self.channel.findData(channel)
        if layer in (None, self.layer) and channel != "all" and index >= 0:
            self.channel.setCurrentIndex(index)

    def set_model(self, config: ModelConfig | None, *, is_chosen: bool = False) -> None:
        """Guess the axes for a model, unless the user wrote them.

        Parameters
        ----------
        config : ModelConfig, optional
            The model; None where nothing is known of it.
        is_chosen : bool
            Whether the user chose it, so that it tells what the image is.
        """
        self.model, self.is_model_chosen = config, is_chosen
        if self._is_own_guess:
            self.guess()
        # A depth of one plane has a size for models of volumes only.
        self._ask_voxel()
        self._list_channels()

    def close_down(self) -> None:
        """Follow the viewer no longer."""
        self._follow(None)
        self.hint.close_down()

    def guess(self, *_: object) -> None:
        """Write what the layer says of its axes, or else a guess."""
        self._is_own_guess = True
        self._ask()
        if self.layer is None:
            self.axes.clear()
            self._ask_voxel()
            self.changed.emit()
            return
        model, self.refusal = self.model, ""
        try:
            picture = picture_of(self.layer, model.ndim if model else None, model.n_channels if model else 1)
            text, is_named = picture.axes, not picture.axes_guessed
        except DataError as error:
            text, is_named, self.refusal = "", False, str(error)
        if self.axes.text() != text:
            self.axes.setText(text)
        self.axes.setPlaceholderText(f"{array_of(self.layer).ndim} letters")
        self.form.labelForField(self.axes).setText("&Axes" if is_named else "&Axes\n(guessed)")
        self._ask_voxel()
        # Another layer, or other data, may have others under the same axes.
        self._list_channels()

    def _ask(self) -> None:
        """Ask what the planes of a stack are, unless the user chose a model that takes them for depth."""
        is_known = self.is_model_chosen and self.model is not None and self.model.ndim == 3
        # What looks like labels is no image, and is turned into labels first.
        self.question.ask_about(None if is_known or self.hint.layer is not None else self.layer)

    def _ask_voxel(self) -> None:
        """Ask how large the voxels of a volume are, where it does not say and is known to be one."""
        axes = "" if self.question.problem() or self._is_flat() else self.axes.text()
        self.form.setRowVisible(self.voxel, self.voxel.ask_about(self.layer, axes))

    def problem(self) -> tuple[QWidget, str] | None:
        """The field that is wrong, and why; None if the input can be used."""
        layer = self.layer
        if layer is None:
            return self.layer_box.native, "Open an image first: drop a TIFF onto the viewer."
        if self.refusal and not self.axes.text():
            return self.layer_box.native, self.refusal
        if self.question.problem():
            return self.question, self.question.problem()
        try:
            # No letters can be written for a layer of too many axes.
            picture_of(layer)
        except DataError as error:
            return self.layer_box.native, str(error)
        try:
            axes = parse_axes(self.axes.text())
        except DataError as error:
            return self.axes, str(error)
        shape = array_of(layer).shape
        if len(axes) != len(shape):
            return self.axes, f"The layer has {len(shape)} axes (shape {tuple(shape)}); write one letter for each."
        if layer.rgb and axes[-1] != "C":
            return self.axes, "The colours of this layer are its last axis; write C for it."
        if self.model is not None:
            n_space, ndim = len(spatial_axes(axes)) - self._is_flat(), self.model.ndim
            if n_space > ndim:
                remedy = "write T for Z to segment each plane"
                if "T" in axes:
                    # A second T cannot be written.
                    remedy = "split this stack along time or depth (right-click the layer, Split Stack)"
                return self.axes, f"The model works in 2D; {remedy}, or choose a 3D model."
            if n_space < ndim:
                return self.axes, "The model works in 3D; one axis must be Z, or choose a 2D model."
            wanted, n = self.model.n_channels, self._length("C")
            if wanted != self._n_channels():
                if wanted == n:
                    return self.channel, f"The model works on all {n} channels of the image; choose all here."
                remedy = "choose one here, or their mean" if wanted == 1 else "choose another image or model"
                fault = f"The model works on {count(wanted, 'channel')}, the image has {n}; {remedy}."
                return self.channel, fault + alpha_words(n, wanted)
        if self.voxel.fault:
            return self.voxel, self.voxel.fault
        if self.region.currentText() == RECTANGLE and self.shapes_box.layer() is None:
            return self.shapes_box.native, "Add a Shapes layer and draw a rectangle."
        return None

    def selection(self) -> Selection:
        """What is to be segmented now.

        Raises
        ------
        DataError
            If there is nothing in the region.
        """
        layer, axes, bounds = self.bounds()
        array, frame, is_flat = lazily(array_of(layer)), followed_frame(layer, axes), self._is_flat()
        region = self.region.currentText()
        if region != WHOLE:
            array = array[tuple(slice(*bounds[letter]) for letter in axes)]
        size, unit = in_micrometres(*pixel_size(layer.scale, layer.units, axes[:-1] if layer.rgb else axes))
        if is_flat:
            array = array[tuple(0 if letter == "Z" else slice(None) for letter in axes)]
            axes = axes.replace("Z", "")
        start = tuple(bounds[letter][0] for letter in ordered(result_axes(axes)))
        array, axes = reorder(array, axes, ordered(axes)), ordered(axes)
        spacing = size[-len(spatial_axes(axes)) :] if size is not None and unit == MICROMETRE else None

        def place() -> Frame:
            whole = frame().named()
            return (whole.flat() if is_flat else whole).at(start)

        return Selection(layer, array, axes, self.wanted_channel(), place, start, spacing, region, layer.name)

    def wanted_channel(self) -> Channel:
        """The channel that the network sees, or all."""
        return self.channel.channel() if self._has_channels() else "all"

    @contextmanager
    def looking_at_the_view(self) -> Iterator[None]:
        """Take the current view for the region, for a moment; nobody is told."""
        before = self.region.currentText()
        with signals_blocked(self.region):
            self.region.setCurrentText(VIEW)
            try:
                yield
            finally:
                self.region.setCurrentText(before)

    def bounds(self) -> tuple[napari.layers.Image, str, dict[str, tuple[int, int]]]:
        """The layer, the axes of its array, and along each of them the first pixel and one past the last of the region.

        Raises
        ------
        DataError
            If there is nothing in the region.
        """
        found = self.problem()
        if found is not None:
            raise DataError(found[1])
        layer, axes = self.layer, parse_axes(self.axes.text())
        assert layer is not None
        shape = array_of(layer).shape
        bounds = {letter: (0, n) for letter, n in zip(axes, shape, strict=True)}
        region = self.region.currentText()
        if region == VIEW:
            bounds |= view_bounds(self.viewer, layer, axes)
        elif region == RECTANGLE:
            shapes = self.shapes_box.layer()
            assert shapes is not None
            bounds |= rectangle_bounds(self.viewer, shapes, layer, axes)
        for letter in "YX":
            low, high = bounds[letter]
            low, high = max(0, low), min(shape[axes.index(letter)], high)
            if high - low < LEAST_SIDE:
                least = f"{LEAST_SIDE} x {LEAST_SIDE} pixels"
                if region == WHOLE:
                    raise DataError(f"Layer {layer.name!r} is too small: objects need at least {least}.")
                where = "in view" if region == VIEW else "in the rectangle"
                raise DataError(f"Too little of the image is {where}: at least {least} are needed.")
            bounds[letter] = (low, high)
        return layer, axes, bounds

    def _take_layer(self) -> None:
        self._follow(self.layer)
        self.hint.look_at(self.layer)
        self.guess()

    def _follow(self, layer: Any) -> None:
        """Guess anew when the layer gets other data."""
        if self._followed is not None:
            self._followed.events.data.disconnect(self._on_data)
        self._followed = layer
        if layer is not None:
            layer.events.data.connect(self._on_data)

    def _on_data(self, event: object = None) -> None:
        self.hint.look_at(self.layer)
        if self._is_own_guess:
            self.guess()

    def _edit_axes(self, text: str) -> None:
        self._is_own_guess = False
        self.form.labelForField(self.axes).setText("&Axes")
        self._ask_voxel()
        if text != text.upper():
            self.axes.setText(text.upper())
        self._remember()

    def _remember(self) -> None:
        """Let the layer keep axes that the user wrote, for all panels and results."""
        if self.layer is None or len(self.axes.text()) != len(array_of(self.layer).shape):
            return
        try:
            axes = parse_axes(self.axes.text())
        except DataError:
            # It is not finished, or said to be wrong.
            return
        if not self.layer.rgb or axes[-1] == "C":
            name_axes(self.layer, axes)

    def _has_channels(self) -> bool:
        """Whether there is a channel to choose, also while all inputs are disabled by a run."""
        return self.channel.isEnabledTo(self)

    def _n_channels(self) -> int:
        choice = self.channel.currentData() if self._has_channels() else None
        return self._length("C") if choice == "all" else 1

    def _length(self, letter: str) -> int:
        axes = self.axes.text().upper()
        shape = array_of(self.layer).shape if self.layer is not None else ()
        return int(shape[axes.index(letter)]) if letter in axes and len(axes) == len(shape) else 1

    def _is_flat(self) -> bool:
        """Whether the depth of the image is a single plane, which the model takes for a flat image."""
        is_plane = "Z" in self.axes.text() and self._length("Z") == 1
        return is_plane and self.model is not None and self.model.ndim == 2

    def _list_channels(self, *_: object) -> None:
        n = self._length("C")
        self.channel.list_of(self.layer, n, self.model.n_channels if self.model is not None else 1)
        self.channel.setEnabled(n > 1)
        self.form.setRowVisible(self.channel, n > 1)
        self.changed.emit()

    def _show_region(self, *_: object) -> None:
        self.form.setRowVisible(self.shapes_box.native, self.region.currentText() == RECTANGLE)
        self.changed.emit()
