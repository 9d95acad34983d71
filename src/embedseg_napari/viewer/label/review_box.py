"""Going through predicted objects by doubt: next, accept, delete, repaint, by buttons and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.annotation.edits import Edit
from embedseg_napari.core.annotation.states import next_free_label
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.review.queue import ReviewQueue, find_doubts
from embedseg_napari.core.session.images import to_frame
from embedseg_napari.viewer.annotation_pixels import PENDING, PendingCopy
from embedseg_napari.viewer.camera import KeptView, go_to, screen_pixels
from embedseg_napari.viewer.label.drawing.stroke_box import StrokeBox
from embedseg_napari.viewer.label.slices_box import SlicesBox
from embedseg_napari.viewer.layers import PREVIEW, RESULT
from embedseg_napari.viewer.result_layers import THROUGH, is_shown, show_labels, show_shapes
from embedseg_napari.viewer.widgets.boxes import Sentence, button
from embedseg_napari.viewer.worker import BackgroundRun, report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Labels

    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.core.review.doubt import Doubt
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.preview.preview import TrainingView

HERE, DRAFTS = "review: here", "review: drafts"
OUTLINE = 2
"""Width in pixels of the outlines of drafts."""
MARGIN = 2
"""Pixels between an object and the frame around it."""
LINE = 2
"""Width of that frame on the screen."""


class ReviewBox(QWidget):
    """A line about the current object, and buttons for what to do with it.

    Parameters
    ----------
    layers : AnnotationLayers
        What is edited.
    view : TrainingView
        Shows the prediction.
    """

    search_wanted = Signal()
    found = Signal()
    """There are places to look at."""

    def __init__(self, layers: AnnotationLayers, view: TrainingView) -> None:
        super().__init__()
        self.layers, self.view = layers, view
        self.queue: ReviewQueue | None = None
        self.search: BackgroundRun | None = None
        self.line = Sentence()
        self.find = button(
            "Find doubtful objects",
            "Segment the whole image with the chosen model and rank the objects by how doubtful they are.",
            self.search_wanted.emit,
        )
        self.actions: dict[str, Callable[[object], None]] = {}
        self.next = self._button("Next (J)", "j", "Go to the next object and leave this one as it is.", self.go_on)
        self.back = self._button("Back (K)", "k", "Go back to the previous object.", self.go_back)
        self.accept = self._button(
            "Accept (A)",
            "a",
            "The object is right: copy it into the annotation, where training learns from it and the brush does not "
            "paint over it.",
            self._accept,
        )
        self.delete = self._button("Delete (D)", "d", "There is no object here: mark it as background.", self._delete)
        self.repaint_button = self._button(
            "Repaint (R)",
            "r",
            "Copy it into the annotation and correct it with the brush, or paint one where none was found; an accepted "
            "object can be edited again. A copy that you do not change is taken back when you go on.",
            self._repaint,
        )
        self.accept_all = button(
            "Accept all drafts",
            "Copy all drafts that are left into the annotation, where training learns from them. One Ctrl+Z on the "
            "annotation layer takes them back.",
            lambda: self._do(self._accept_all),
        )
        self.shown_drafts: Labels | None = None
        """Layer that shows them."""
        self._place = KeptView(layers.viewer)
        self._back: Edit | None = None
        """What takes back the object that was copied last to be corrected."""
        self._judged: tuple[Path, int, int] | None = None
        """The model that was judged last, and how many of how many annotated objects it finds."""
        self.strokes = StrokeBox(layers, self.predicted)
        self.strokes.edited.connect(self.refresh)
        self.slices = SlicesBox(layers, self._pixels)
        layers.changed.connect(self._offer)
        layers.settling.connect(self._take_back_copy)
        grid = QGridLayout()
        for place, one in enumerate((self.accept, self.delete, self.repaint_button, self.next, self.back)):
            grid.addWidget(one, place // 3, place % 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.find)
        layout.addWidget(self.line)
        layout.addLayout(grid)
        layout.addWidget(self.accept_all)
        layout.addWidget(self.strokes)
        layout.addWidget(self.slices)
        self.refresh()

    def _button(self, text: str, key: str, tip: str, action: Callable[[], None]) -> QPushButton:
        def on_key(layer: object) -> None:
            self._do(action)

        self.actions[key] = on_key
        return button(text, f"{tip} Ctrl+Z on the annotation layer undoes edits.", lambda: self._do(action))

    def _do(self, action: Callable[[], None]) -> None:
        if self.queue is None or self.layers.labels is None:
            return
        try:
            action()
        except EmbedSegError as error:
            report_error(error)
        self.refresh()

    @property
    def is_searching(self) -> bool:
        """Whether doubtful objects are being looked for."""
        return self.search is not None and self.search.is_active

    def start(self, model: Path, device: str) -> None:
        """Look for doubtful objects in the whole image, in a thread."""
        if self.layers.labels is None or self.is_searching:
            return
        image, labels = to_frame(self.layers.picture), self.layers.array().copy()
        of = self.layers.image
        self.search = run_in_background(
            lambda should_stop: find_doubts(model, image, labels, device, should_stop),
            on_result=lambda queue: self._take(queue, model, of),
            on_finished=self.refresh,
        )
        self.refresh()

    def begin(self, queue: ReviewQueue, model: Path | None = None) -> None:
        """Look at doubtful objects of the image in front that a model found before, or at drafts."""
        self._take(queue, model, self.layers.image)

    @property
    def has_drafts(self) -> bool:
        """Whether drafts are left to look at."""
        return self._n_drafts() > 0 and self.queue is not None and self.queue.position < len(self.queue.doubts)

    def _n_drafts(self) -> int:
        """Drafts that are not annotated."""
        if self.queue is None or not self.queue.are_drafts or self.layers.labels is None:
            return 0
        return self.queue.n_left(self.layers.array())[1]

    def _take(self, queue: ReviewQueue, model: Path | None, of: Any) -> None:
        if self.layers.image != of or self.layers.labels is None or self.layers.frame is None:
            return
        if queue.n_annotated and model is not None:
            self._judged = model, queue.n_found, queue.n_annotated
        elif self._judged is not None and self._judged[0] == model:
            # A model that is weak on the image before is not good on this one.
            _, queue.n_found, queue.n_annotated = self._judged
        self.queue = queue
        self._place.forget()
        self.view.previews.hide(HERE)
        self._show_drafts()
        if not queue.are_drafts:
            self.view.show_objects(queue.segmentation, self.layers.frame, self.layers.image)
        self.layers.raise_to_top()
        if queue.are_drafts:
            # The keys are those of this layer; the one that the drafts came from may be chosen.
            self.layers.viewer.layers.selection.active = self.layers.labels
        for key, action in self.actions.items():
            self.layers.add_key(key, action)
        self.refresh()
        self.found.emit()

    def _show_drafts(self) -> None:
        """Show the drafts, or no longer: in a layer of their own, for previews of a training come and go."""
        layer, self.shown_drafts, queue, frame = self.shown_drafts, None, self.queue, self.layers.frame
        shown = layer if is_shown(self.layers.viewer, layer) else None
        if queue is not None and queue.are_drafts and frame is not None:
            self.shown_drafts = show_labels(
                self.layers.viewer, DRAFTS, queue.segmentation.labels, frame=frame, into=shown,
                metadata={RESULT: PREVIEW}, blending=THROUGH,
            )  # fmt: skip
            self.shown_drafts.contour = OUTLINE
        elif shown is not None:
            self.layers.viewer.layers.remove(shown)

    def clear(self) -> None:
        """Forget the objects and hide them, for instance where another image is chosen."""
        if self.search is not None:
            self.search.detach()
            # It may take a while to stop; the next one does not wait for it.
            self.search = None
        self._take_back_copy()
        self.queue = None
        self._show_drafts()
        self._place.give_back()
        self.view.forget_objects()
        self.slices.follow_review()
        self.refresh()

    def _offer(self) -> None:
        """Offer the search where there is an annotation."""
        self.find.setEnabled(not self.is_searching and self.layers.labels is not None)

    def refresh(self) -> None:
        """Say where the review stands."""
        has_queue, is_here = self.queue is not None, self.queue is not None and self.queue.current is not None
        self._offer()
        if self.is_searching:
            self.line.setText("Segmenting the image and looking for doubtful objects…")
        elif self.queue is not None and self.layers.labels is not None:
            self.line.setText(self.queue.sentence(self.layers.array(), self.layers.is_whole))
        else:
            self.line.setText(
                "After a round of training, predicted objects can be reviewed here, the most doubtful first."
            )
        has_object = self.queue is not None and self._is_object(self.queue)
        for one, can_be_done in (
            (self.next, has_queue),
            (self.back, has_queue),
            (self.accept, has_object),
            (self.delete, is_here),
            (self.repaint_button, is_here),
        ):
            one.setEnabled(can_be_done)
            one.setVisible(has_queue)
        self.accept_all.setVisible(self.queue is not None and self.queue.are_drafts)
        self.accept_all.setEnabled(self._n_drafts() > 0)
        self.slices.is_reviewing = has_queue
        self.slices.refresh()
        self.repaint_button.setText("Repaint (R)" if has_object or not is_here else "Paint (R)")

    def go_on(self) -> None:
        """Show the next place that is not annotated yet."""
        self._go(1)

    def go_back(self) -> None:
        """Show the place before."""
        self._go(-1)

    def _go(self, by: int) -> None:
        assert self.queue is not None
        self._take_back_copy()
        doubt = self.queue.step(self.layers.array(), by)
        if doubt is None:
            self.view.previews.hide(HERE)
            self._place.give_back()
        else:
            self._place.keep()
            self._show(doubt)
        self.slices.follow_review()

    def _show(self, doubt: Doubt) -> None:
        layers, frame = self.layers, self.layers.frame
        assert frame is not None
        lower = np.array([side.start for side in doubt.box], float)
        upper = np.array([side.stop for side in doubt.box], float)
        middle = np.asarray(doubt.center, float)
        center, low, high = (frame.coordinates(point[None])[0] for point in (middle, lower, upper))
        go_to(layers.viewer, layers.labels, center, low, high)
        (top, left), (bottom, right) = lower[-2:] - MARGIN - 0.5, upper[-2:] + MARGIN - 0.5
        corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
        if layers.ndim == 3:
            corners = np.insert(corners, 0, round(middle[0]), axis=1)
        width = screen_pixels(layers.viewer, frame, LINE)
        self.view.previews.put(
            show_shapes, HERE, [corners], frame=frame, face_color="transparent", edge_color="yellow",
            look={"edge_width": width},
        )  # fmt: skip
        layers.raise_to_top()
        layers.viewer.layers.selection.active = layers.labels

    def predicted(self) -> np.ndarray | None:
        """The predicted objects ((Z,) Y, X) that are seen in the viewer, if they are of this image."""
        frame = self.layers.frame
        if self.queue is not None and self.shown_drafts is not None and self.shown_drafts.visible:
            return self.queue.segmentation.labels
        return None if frame is None else self.view.seen_objects(frame, self.layers.shape)

    def _pixels(self) -> Indices | None:
        """Those of the current place (z, y, x) as it is now; None if there is none."""
        return None if self.queue is None or self.queue.current is None else self.queue.pixels(self.layers.array())

    def _is_object(self, queue: ReviewQueue) -> bool:
        """Whether the current place has an object, found or painted."""
        if queue.current is None or self.layers.labels is None:
            return False
        return queue.has_object or queue.annotated_as(self.layers.array()) is not None

    def _take_back_copy(self) -> None:
        """Nothing stays that was only copied."""
        labels, back, self._back = self.layers.labels, self._back, None
        if labels is None or back is None:
            return
        copy = labels.metadata.pop(PENDING, None)
        if copy is not None and copy.is_pending(np.asarray(labels.data), labels.metadata):
            self.layers.take_back(back)

    def _accept(self) -> None:
        labels = self.layers.array()
        if self.queue is not None and self._is_object(self.queue):
            there = self.queue.annotated_as(labels)
            if there is None:
                new_id = next_free_label(labels)
                self.layers.apply(self.queue.accept(labels, new_id), [new_id])
            else:
                self.layers.accept([there])
            self.go_on()

    def _accept_all(self) -> None:
        if self.queue is not None and self.queue.are_drafts:
            self._take_back_copy()
            self.layers.apply(*self.queue.accept_all(self.layers.array()))
            # Undo makes them drafts again, and places without a draft are still to be looked at.
            self.queue.position = -1
            self.view.previews.hide(HERE)
            self._place.give_back()

    def _delete(self) -> None:
        if self.queue is not None and self.queue.current is not None:
            self._take_back_copy()
            self.layers.apply(self.queue.delete(self.layers.array()))
            self.go_on()

    def _repaint(self) -> None:
        labels = self.layers.array()
        if self.queue is not None and self.queue.current is not None:
            object_id = self.queue.annotated_as(labels)
            if object_id is None:
                object_id = next_free_label(labels)
                if self.queue.has_object:
                    self._copy_object(self.queue.repaint(labels, object_id), object_id)
            self.layers.open_for_painting(object_id)

    def _copy_object(self, edit: Edit, object_id: int) -> None:
        """Copy a predicted object into the annotation, until it is changed or left."""
        labels, frame = self.layers.labels, self.layers.frame
        assert labels is not None
        assert frame is not None
        before = self.layers.array()[edit.indices].copy()
        self.layers.apply(edit)
        self._back = Edit(edit.indices, before)
        at = tuple(frame.coordinates(np.stack(edit.indices, axis=1)).T)
        pixels = np.nonzero(np.asarray(labels.data) == object_id)
        labels.metadata[PENDING] = PendingCopy(object_id, pixels, at, before)
