"""The panel for the whole loop: paint a few objects in one or several images, train, look, paint more meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from superqt.utils import qdebounced

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.events import LabelsUpdated
from embedseg_napari.jobs.label_round import LabelTraining, RoundRequest
from embedseg_napari.jobs.training_recipe import of_round
from embedseg_napari.viewer.files.stores import StoreDrop
from embedseg_napari.viewer.label.annotate_box import AnnotationBox
from embedseg_napari.viewer.label.autosave import Autosave, retained
from embedseg_napari.viewer.label.drafts_box import DraftsBox
from embedseg_napari.viewer.label.drawing.click_box import ClickBox
from embedseg_napari.viewer.label.drawing.click_maps import ClickMaps
from embedseg_napari.viewer.label.handed_on import hand_on, take_up, write_all
from embedseg_napari.viewer.label.live_preview import LivePreview
from embedseg_napari.viewer.label.model_search import ModelSearch
from embedseg_napari.viewer.label.navigator import SessionNavigator
from embedseg_napari.viewer.label.next_image import KEY, NextImage
from embedseg_napari.viewer.label.review_box import ReviewBox
from embedseg_napari.viewer.label.session_box import SessionBox
from embedseg_napari.viewer.label.single_channel import single_channel
from embedseg_napari.viewer.label.start_model import LATEST, known_extent, misfit, same_model, suggested_start
from embedseg_napari.viewer.label.store_box import StoreBox
from embedseg_napari.viewer.large.annotated_part import PartReader
from embedseg_napari.viewer.layers import ANNOTATION
from embedseg_napari.viewer.train.panel import TrainingPanel
from embedseg_napari.viewer.train.progress import ProgressBox
from embedseg_napari.viewer.widgets.page import page_of
from embedseg_napari.viewer.widgets.scroll import FittingScroll
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.events import PreviewReady
    from embedseg_napari.jobs.recipe import Recipe
    from embedseg_napari.jobs.saved_training import SavedTraining
    from embedseg_napari.viewer.stage import Scene
    from embedseg_napari.viewer.widgets.layer_box import LayerBox

PRESET = "few"
"""Rounds are short, and so are their epochs: new strokes join at the next one."""
FOLLOW_MILLISECONDS = 700
"""How often training and preview take up what was painted, and where the viewer looks."""


class LabelWidget(TrainingPanel):
    """Label and train.

    Parameters
    ----------
    napari_viewer : napari viewer
        Whose images are annotated.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.job: LabelTraining | None = None
        self.unsure: Path | None = None
        """A model that does not know the objects that are to be labelled."""
        self.trained_in: object = None
        """The session of the last round, as long as that is told of."""
        self.annotation = AnnotationBox(napari_viewer)
        layers = self.annotation.layers
        self.autosave = Autosave(self.annotation.layers)
        self.navigator = SessionNavigator(napari_viewer, self.annotation, self.autosave)
        self.annotation.elsewhere, self.annotation.axes_like = self.navigator.elsewhere, self.navigator.axes_like
        self.annotation.layers.usual_extent = lambda: known_extent(self.settings.start_from())
        self.navigator.sight.show = self.show_scene
        self.sessions = SessionBox(self.autosave, self.annotation)
        self.settings.begin_with(PRESET, "label")
        self.settings.fits = lambda path: not misfit(path, layers)
        for row in (self.settings.preset, self.settings.fold):
            self.settings.layout().setRowVisible(row, False)
        self.preview = LivePreview(layers)
        self.view, self.keep = self.preview.view, self.preview.keep
        self.review = ReviewBox(self.annotation.layers, self.view)
        model = (self._fitting_start, self.settings.device.currentText)
        self.clicks, self.drafts = ClickBox(layers, ClickMaps(layers, self.view, *model)), DraftsBox(layers, *model)
        self.drafts.found.connect(self.review.begin)
        self.annotation.is_reviewing = lambda: self.review.has_drafts
        self.next_image = NextImage()
        self.search = ModelSearch(
            self.settings, self.review, self.next_image, self.navigator, self._start_problem, self._do
        )
        self.store = StoreBox(self.annotation.layers)
        self.parts = PartReader(napari_viewer)
        self.progress = ProgressBox(self.preview)
        self.stop.setToolTip("End this round now and keep the model so far.")
        page, self.boxes = page_of(
            Annotate=(self.annotation, self.clicks, self.sessions),
            Review=(self.review, self.drafts, self.next_image, self.store),
            Train=(self.settings, self.output, self.recipe),
            Progress=(self.progress,),
        )
        scroll = FittingScroll(page)
        self.set_up(scroll, self.train, self.stop)
        # The page scrolls; how long a round still takes, and where its model leads, stay in sight.
        for place, part in enumerate((self.progress.bar, self.progress.segment), 1):
            self.layout().insertWidget(place, part)
        self.progress.bar.hide()
        StoreDrop(self, napari_viewer)
        self.follow = QTimer(self, interval=FOLLOW_MILLISECONDS)
        self.follow.timeout.connect(self.look)
        # After all that the same click or key does to the layers.
        self.follow_selection = qdebounced(self.navigator.follow_selection, timeout=0, parent=self)

        self.annotation.layers.leaving.connect(self._hand_over)
        self.annotation.annotate_wanted.connect(self._annotate)
        self.annotation.joining.answered.connect(self._annotate_in)
        self.annotation.image_changed.connect(self._on_image)
        self.annotation.image.native.activated.connect(lambda _: self.navigator.sight.look())
        # The review, too: Ctrl+Z makes drafts again of what was accepted.
        for done in (self.update_buttons, self.review.refresh, self.store.refresh):
            self.annotation.changed.connect(done)
        self.settings.changed.connect(self.update_buttons)
        self.sessions.resume_wanted.connect(self._resume)
        self.sessions.round_wanted.connect(lambda number: self._do_anew(lambda: self.navigator.restore(number)))
        self.sessions.undo_wanted.connect(lambda: self._do_anew(self.navigator.undo_restore))
        self.sessions.start_wanted.connect(self.search.go_back_to)
        self.sessions.image_wanted.connect(lambda name: self._do(lambda: self.navigator.go_to(name)))
        self.sessions.new_wanted.connect(lambda: self._do_anew(self.navigator.begin_new))
        self.progress.continue_wanted.connect(self.start)
        self.autosave.round_ended.connect(self._go_on_from_round)
        self.review.found.connect(lambda: scroll.bring_in(self.review))
        self.review.strokes.begun.connect(lambda: scroll.bring_in(self.review.strokes))
        self.review.found.connect(self.annotation.count)
        napari_viewer.layers.selection.events.active.connect(self.follow_selection)
        if self._do(lambda: take_up(self.autosave)) and self.autosave.session is not None:
            self.output.suggest(self.autosave.session.folder.name)
        self._on_image()

    # Image and session

    def take_over(self, layer: Image | None, channel: Channel = "all", unsure: Path | None = None) -> None:
        """Choose an image whose objects are to be labelled, or one channel of it; a model may be unsure of them."""
        self.unsure = unsure
        if layer is not None:
            self.annotation.image.choose(single_channel(self.viewer, layer, channel))
        if unsure is not None and same_model(self.settings.start_from(), unsure, self.autosave.session):
            self._suggest_start()

    @property
    def is_joined(self) -> bool:
        """Whether a round goes on in the session that is open."""
        return self.job is not None and self.job.request.session is self.autosave.session

    def _on_image(self) -> None:
        self.review.clear()
        self.sessions.find()
        layers = self.annotation.layers
        if layers.image is not None:
            if self.autosave.session is None:
                self.output.suggest(layers.image.name)
            self.settings.list_models()
            if self.settings.is_start_open or self._start_problem():
                self._suggest_start()
        self.navigator.arrive()
        self._bind_key()
        if self.job is not None:
            self.preview.follow(is_trained=self.is_joined and not self.autosave.is_other_kind())
        self.update_buttons()

    def _suggest_start(self) -> None:
        self.settings.choose_start(*suggested_start(self.annotation.layers, self.unsure, self.autosave.session))

    def _do(self, action: Callable[[], Path | None]) -> bool:
        """Show something of a session; a model that comes with it is the one to start from. False if it failed."""
        self.annotation.layers.settling.emit()
        is_done, session = False, self.autosave.session
        try:
            if (model := action()) is not None:
                self.settings.choose_start(model)
            is_done = True
        except EmbedSegError as error:
            report_error(error)
        if session is not None and session.is_begun and session is not self.autosave.session:
            self.next_image.forget()
        self._bind_key()
        self.sessions.find()
        self.annotation.count()
        return is_done

    def _annotate(self) -> None:
        """Begin to annotate the chosen image; where it may not belong to the session that is open, ask."""
        layer = self.annotation.image.layer()
        if layer is not None and self.annotation.is_large:
            self._take_part(layer)
            return
        if not self._do(self.navigator.take_time_point):
            return
        doubt = self.navigator.doubt_about_session()
        if doubt:
            self.annotation.joining.ask(doubt, can_join=not self.autosave.is_other_kind())
            self.annotation.count()
        else:
            self._do(self.navigator.annotate)

    def _take_part(self, layer: Image) -> None:
        """Copy a part of a large image, and begin to annotate that."""

        def annotate(image: Image) -> None:
            self.annotation.image.choose(image)
            self._annotate()

        try:
            self.parts.read(layer, annotate)
        except DataError as error:
            report_error(error)

    def _annotate_in(self, is_new: bool) -> None:
        """Begin to annotate the chosen image in a new session, or in the one that is open."""
        if not is_new or self._do(self.navigator.close):
            self._do(self.navigator.annotate)

    def _resume(self, folder: Path) -> None:
        if self._do(lambda: self.navigator.resume(folder)):
            self.next_image.forget()
            self.output.suggest(folder.name)

    def _do_anew(self, action: Callable[[], Path | None]) -> None:
        if self._do(action):
            # What was found was found by another model, or elsewhere.
            self.review.clear()

    def _bind_key(self) -> None:
        if self.annotation.layers.labels is not None:
            self.annotation.layers.labels.bind_key(KEY, self.next_image.on_key, overwrite=True)

    # Training

    def problem(self) -> str:
        """Why training cannot begin; empty if it can."""
        return self.annotation.problem() or self._start_problem() or self.output.problem()

    def _start_problem(self) -> str:
        return misfit(self.settings.start_from(), self.annotation.layers)

    def _fitting_start(self) -> Path | None:
        return None if self._start_problem() else self.settings.start_from()

    def update_buttons(self) -> None:
        """Enable what can be used now."""
        is_active = self.is_training
        if not is_active and self.trained_in not in (None, self.autosave.session):
            # What is said, and its button, would be taken for the model and the image of this session.
            self.trained_in = None
            self.forget_outcome("No round since the session was changed.")
        for widget in (self.settings, self.output):
            widget.setEnabled(not is_active)
        self.show_reason(
            "" if is_active else self.problem(),
            "Train on everything painted in this session; you can keep painting meanwhile.",
        )
        self.next_image.button.setEnabled(self.annotation.layers.image is not None)
        self.sessions.set_training(is_active)
        self.sessions.refresh()

    def start(self) -> None:
        """Begin a round."""
        self.annotation.layers.settling.emit()
        self.annotation.count()
        if self.problem() or self.is_training or not write_all(self.autosave, with_front=False):
            return
        try:
            request = self._request()
        except EmbedSegError as error:
            report_error(error)
            return
        self.trained_on, self.trained_in = self.annotation.layers.image, request.session
        self.preview.begin(request.config.center)
        self.job = LabelTraining(request, preview=self.view.example)
        self.progress.begin(request.output.stem)
        self.progress.bar.show()
        self.run(self.job.run, at_end=retained(request.session))
        self.follow.start()

    def _request(self) -> RoundRequest:
        start = self.settings.start_from()
        return RoundRequest(
            config=self.settings.config(),
            front=self.autosave.annotated(),
            pictures=dict(self.autosave.pictures),
            start_from=None if start is None else str(start),
            device=self.settings.device.currentText(),
            output=self.output.path(),
            session=self.autosave.current_session(),
        )

    def make_recipe(self) -> Recipe:
        """What trains a round as the panel is set to do, without a viewer; what is painted is saved for it.

        Raises
        ------
        DataError
            If there is nothing to train on.
        """
        self.annotation.layers.settling.emit()
        if problem := self.problem():
            raise DataError(problem)
        if not write_all(self.autosave):
            raise DataError("The session could not be saved, so nothing can be trained on it.")
        return of_round(self._request())

    def look(self) -> None:
        """Hand what was painted since to the training, and follow the eye."""
        self.view.update_part()
        if not self.annotation.problem():
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the annotation in front to the training, if it is of the training's session."""
        image = self.autosave.annotated() if self.is_joined else None
        if self.job is not None and image is not None:
            self.job.offer(image)

    def take_event(self, event: Any) -> None:
        """Show what a training says."""
        if isinstance(event, LabelsUpdated):
            self.progress.show_joined(event)
        else:
            super().take_event(event)

    def show_preview(self, event: PreviewReady) -> None:
        """Show what the current network makes of the part in view, under the annotation."""
        self.preview.show_preview(event)

    def scene(self) -> Scene | None:
        """What is annotated."""
        return self.navigator.sight.scene(self.is_own)

    def take_front(self, is_front: bool) -> None:
        """Go on painting here."""
        super().take_front(is_front)
        labels = self.annotation.layers.labels
        if is_front and labels is not None and labels in self.viewer.layers:
            self.viewer.layers.selection.active = labels

    def learns_from(self, layer: Layer) -> bool:
        """Whether a layer is annotated, or something is in it, or it shows drafts or what was clicked on."""
        shown = (self.annotation.layers.image, self.review.shown_drafts, self.clicks.shown)
        return ANNOTATION in layer.metadata or layer in shown

    def take_result(self, result: SavedTraining) -> None:
        """Show what a training left behind; the next round goes on from there."""
        super().take_result(result)
        if result.path is not None and self.is_joined:
            self.settings.choose_start(result.path, LATEST)

    def _go_on_from_round(self) -> None:
        """Start from the model of a round that was begun before the panel was closed."""
        if self.job is None and (session := self.autosave.session) is not None:
            self._do(session.latest_model)

    def take_end(self) -> None:
        """Get ready for the next round."""
        self.follow.stop()
        self.preview.gradually.finish()
        self.job = None
        self.output.suggest(self.output.name.text(), anew=True)
        self.update_buttons()
        model, layers = None if self.saved is None else self.saved.path, self.annotation.layers
        if model is None or layers.labels is None or misfit(model, layers):
            self.preview.gradually.end()
        elif not self.review.has_drafts:
            # What the review finds takes the place of the preview.
            self.search.review_with(model)

    def layer_boxes(self) -> tuple[LayerBox, ...]:
        """Boxes in which a layer is chosen."""
        return (self.annotation.image, self.drafts.source)

    def release(self) -> None:
        """Save, and follow viewer and layers no longer; a round that goes on is written into the session at its end."""
        self.viewer.layers.selection.events.active.disconnect(self.follow_selection)
        self.review.clear()
        self.clicks.maps.stop()
        self.drafts.close_down()
        self.preview.gradually.cancel()
        self.view.close_down()
        self.next_image.close_down()
        self.store.close_down()
        self.parts.close_down()
        self.annotation.layers.leaving.disconnect(self._hand_over)
        hand_on(self.autosave, is_viewer_open=self.is_taken_out)
        self.autosave.disconnect_layers()
        self.annotation.disconnect_viewer()
        super().release()
