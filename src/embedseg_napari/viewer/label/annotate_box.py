"""Choosing an image and annotating it: buttons, and a line that counts what is done and says what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from embedseg_napari.core.annotation.edits import fill_between_planes
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
from embedseg_napari.viewer.label.session_question import SessionQuestion
from embedseg_napari.viewer.label.time_points import time_axis
from embedseg_napari.viewer.large.annotated_part import is_large
from embedseg_napari.viewer.layers import name_axes, unknown_axis
from embedseg_napari.viewer.widgets.axis_question import AxisQuestion
from embedseg_napari.viewer.widgets.boxes import Sentence, button
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

    from embedseg_napari.core.annotation.states import AnnotationCounts

PLANES = {"Z": "depth", "T": "time", "C": "channels"}
LEAST_OBJECTS = 3
"""Fewer teach a network nothing that holds for others."""
ENOUGH_REGIONS = 3
"""Areas in an image until other advice is given."""
WHOLE, PARTS = "Whole image", "Not all of it"
COUNT_MILLISECONDS = 200
"""After the last stroke, so that counting does not disturb painting."""


class AnnotationBox(QWidget):
    """The first part of the panel.

    Parameters
    ----------
    viewer : napari viewer
        Whose images can be annotated.
    """

    image_changed = Signal()
    annotate_wanted = Signal()
    changed = Signal()
    """The annotation is other than before, or was counted anew."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.layers = AnnotationLayers(viewer)
        self.counts: AnnotationCounts | None = None
        self.fault = ""
        self.is_movie = False
        self.is_large = False
        """Whether the image is annotated in parts."""
        self.elsewhere: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0)
        """Annotated images of the session that are not in front, their objects and background pixels."""
        self.axes_like: Callable[[Image], str] = lambda layer: ""
        """Axes that a layer without names has like the session's images; empty where they do not say."""
        self.is_reviewing: Callable[[], bool] = lambda: False
        """Whether drafts are left to look at, about which there is nothing to be painted yet."""
        self.image = LayerBox(viewer, Image, "The image to annotate.")
        self.question, self.joining = AxisQuestion(), SessionQuestion()
        self.annotate = self._button(
            "Annotate",
            "Add a layer to paint on, aligned with the image. Images of the same kind (dimensions and channels) "
            "share a session, and training learns from all of them; a few objects in each of several images teach "
            "more than many in one.",
            self.annotate_wanted.emit,
        )
        self.new = self._button(
            "New object (N)", "Paint another object, with the next free label.", self.layers.new_object
        )
        self.background = self._button(
            "Background (B)",
            "Paint pixels that certainly belong to no object; objects are not painted over. Include places far from "
            "objects: a thin rim around them does not show what the rest looks like. Not needed inside a Fully "
            "annotated area.",
            self.layers.background,
        )
        self.erase = self._button("Erase", "Make pixels unlabelled again.", self.layers.erase)
        self.region = self._button(
            "Fully annotated",
            "Draw a rectangle (or a polygon) around about five objects and paint every object inside it; the rest "
            "of the area counts as background. A rectangle around an empty area says that nothing is there. In a "
            "volume it applies only to the plane it is drawn on, so draw one on each of several planes.",
            self.layers.draw_region,
        )
        self.whole = self._button(
            WHOLE,
            "Say that every object in the whole image is annotated, as after going through drafts; the rest counts "
            "as background. Press again to go back to the areas that were drawn before.",
            self._mark_whole,
        )
        self.fill = self._button(
            "Fill between planes",
            "Paint an object on a few planes; the planes in between are filled in by interpolation.",
            self._fill_between,
        )
        self.line, self.note, self.advice = Sentence(), Sentence(), Sentence()
        row = QHBoxLayout()
        row.addWidget(self.image.native, 1)
        row.addWidget(self.annotate)
        grid = QGridLayout()
        for place, one in enumerate((self.region, self.whole, self.new, self.background, self.erase, self.fill)):
            grid.addWidget(one, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.question)
        layout.addWidget(self.joining)
        layout.addLayout(grid)
        for label in (self.line, self.note, self.advice):
            layout.addWidget(label)
        self.count_soon = qdebounced(self.count, timeout=COUNT_MILLISECONDS, parent=self)
        self.image.changed.connect(self._watch)
        self.layers.changed.connect(self.count_soon)
        self._watch()

    def _button(self, text: str, tip: str, action: Callable[[], None]) -> QPushButton:
        return button(text, tip, lambda: self._do(action))

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except EmbedSegError as error:
            report_error(error)
        self.count()

    def _fill_between(self) -> None:
        """Fill the selected object between the planes it is painted on; undo takes it back."""
        layers = self.layers
        if layers.labels is not None:
            layers.apply(fill_between_planes(layers.array(), int(layers.labels.selected_label)))

    def _mark_whole(self) -> None:
        is_forgotten = self.layers.is_whole and self.layers.regions.earlier is None
        self.layers.annotate_whole()
        if is_forgotten:
            show_info(f"What was fully annotated before is not known; draw it anew, or press {WHOLE} again.")

    def _watch(self) -> None:
        self.fault = ""
        self.joining.hide()
        layer = self.image.layer()
        self.is_movie = self.is_large = False
        if isinstance(layer, Image):
            self.name_like_session(layer)
            self.is_large = is_large(layer)
        try:
            self.is_movie = isinstance(layer, Image) and time_axis(layer) is not None
            self.layers.watch(layer if isinstance(layer, Image) else None)
        except EmbedSegError as error:
            self.fault = str(error)
        if self.is_movie and layer is not None:
            self.fault = (
                f"{layer.name} has time points: Annotate copies the frame that the slider shows into an image of its "
                "own (if they are slices, name the axis Z)."
            )
        if self.is_large and layer is not None:
            self.fault = (
                f"{layer.name} is large: Annotate copies what is in view, or the selected rectangle, into an image of "
                "its own."
            )
        self.question.ask_about(layer if isinstance(layer, Image) else None)
        if self.question.problem():
            self.is_movie = self.is_large = False
            self.fault = self.question.problem()
        self.image_changed.emit()
        self.count()

    def name_like_session(self, layer: Image) -> None:
        """Take the planes of a stack for what those of the session's images are, if nothing else says what they are."""
        axes = self.axes_like(layer) if unknown_axis(layer) is not None else ""
        if axes:
            name_axes(layer, axes)
            show_info(f"Planes are {PLANES[axes[0]]}, as in this session.")

    def count(self) -> None:
        """Count now what is annotated."""
        self.count_soon.cancel()
        is_begun = self.layers.labels is not None
        annotation = self.layers.annotation()
        self.counts = None if annotation is None else annotation.counts()
        can_begin = not self.fault or self.is_movie or self.is_large
        self.annotate.setEnabled(can_begin and self.layers.image is not None and not is_begun)
        for one in (self.new, self.background, self.erase, self.region, self.whole, self.fill):
            one.setEnabled(is_begun)
        self.whole.setText(PARTS if self.layers.is_whole else WHOLE)
        self.fill.setVisible(self.layers.ndim == 3)
        sentences = (self.line, self._sentence()), (self.note, self._note()), (self.advice, self._advice())
        for label, text in sentences:
            label.setText(text)
            label.setVisible(bool(text))
        self.changed.emit()

    def _sentence(self) -> str:
        n_images, n_objects, _ = self.elsewhere()
        others = f"{count(n_objects, 'object')} in {count(n_images, 'other image')}" if n_images else ""
        if self.counts is None:
            return others
        counts, accepted = self.counts, len(self.layers.accepted)
        parts = [
            count(counts.n_objects, "object") + (f", {accepted:,} of them accepted" if accepted else ""),
            f"{counts.background_pixels:,} background pixels",
            "the whole image" if self.layers.is_whole else count(self.layers.regions.count(), "region"),
        ]
        return " · ".join([*parts, others] if others else parts)

    def _note(self) -> str:
        """What the last stroke has done that may not be meant."""
        cut = 0 if self.layers.brush is None else self.layers.brush.cut
        if not cut:
            return ""
        return (
            f"Object {cut} is in pieces now, for this stroke goes across it; it counts as one object. Masks with a "
            "plane for each object keep crossing ones whole: EmbedSeg: Train learns from them."
        )

    def _advice(self) -> str:
        """What to do next; what is painted this way teaches most."""
        if self.layers.image is None or self.fault or not self.joining.isHidden():
            return ""
        if self.counts is None:
            return "Press Annotate, then find a place with about five objects."
        n_regions, n_objects = self.layers.regions.count(), self.counts.n_objects
        if self.layers.regions.is_drawing:
            return "Now drag a rectangle on the image, around about five objects; then the brush comes back."
        if self.is_reviewing():
            then = "then train" if self.layers.is_whole else "press Whole image, or draw an area"
            return f"Go through the drafts below. When every object is annotated, {then}."
        if self.layers.is_whole:
            return "Is every object in the image painted? Then train, and keep painting where the prediction is wrong."
        is_volume = self.layers.ndim == 3
        planes = " Paint each on a few planes, then press Fill between planes." if is_volume else ""
        if not n_regions and not n_objects:
            return (
                "Press Fully annotated and draw a rectangle around about five objects. Then paint each of them with "
                f"the brush; press N for the next one.{planes}"
            )
        if not n_regions:
            return "Press Fully annotated, draw a rectangle around these objects, and paint any others inside it."
        if n_objects < LEAST_OBJECTS:
            return (
                "Paint every object in the rectangle, including those that its edge cuts; press N for the next "
                f"one.{planes}"
            )
        if n_regions < ENOUGH_REGIONS:
            is_shown = self.layers.regions.is_one_empty(self.layers.array())
            return (
                "Is every object in the rectangle painted? Then "
                + ("" if is_shown else "draw another around an empty area, and ")
                + f"repeat this {'on other planes' if is_volume else 'elsewhere'} or in another image. Train whenever "
                "you like."
            )
        return "Is every object in the rectangles painted? Then train, and keep painting where the prediction is wrong."

    def problem(self) -> str:
        """What is missing before a network can learn from the annotation; empty if nothing is."""
        n_images, n_objects, n_background = self.elsewhere()
        if self.counts is not None:
            n_objects, n_background = n_objects + self.counts.n_objects, n_background + self.counts.background_pixels
        missing = max(LEAST_OBJECTS - n_objects, 0)
        if not missing and n_background:
            return ""
        if self.fault:
            return self.fault
        if self.layers.image is None:
            return "Open an image first: drop a TIFF onto the viewer."
        wanted = f"at least {count(missing, 'more object')}" if missing else ""
        if wanted and self.is_reviewing():
            return f"Accept or paint {wanted}."
        if self.counts is None and n_images:
            return f"Press Annotate, then paint {wanted or 'some background'}."
        if self.counts is None:
            return "To train, at least 3 painted objects and some background are needed."
        if missing:
            return f"Paint {wanted}." if n_background else f"Paint {wanted}, in a Fully annotated area."
        return "Draw a Fully annotated rectangle around them, press Whole image, or paint some background."

    def disconnect_viewer(self) -> None:
        """Follow the viewer no longer."""
        self.count_soon.cancel()
        self.layers.changed.disconnect(self.count_soon)
        self.layers.disconnect_viewer()
