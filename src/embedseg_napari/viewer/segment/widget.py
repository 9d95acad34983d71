"""The panel *EmbedSeg: Segment*: an image layer in, its objects out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from embedseg_napari.core.errors import ModelError
from embedseg_napari.viewer.files.stores import StoreDrop
from embedseg_napari.viewer.large.correct_box import CorrectBox
from embedseg_napari.viewer.layers import is_users
from embedseg_napari.viewer.segment.advice_box import AdviceBox
from embedseg_napari.viewer.segment.crossing_box import CrossingBox
from embedseg_napari.viewer.segment.drop_queue import DropQueue
from embedseg_napari.viewer.segment.embedding_view import EmbeddingView
from embedseg_napari.viewer.segment.folder_panel import BatchPanel
from embedseg_napari.viewer.segment.image_input import ImageInput
from embedseg_napari.viewer.segment.large_images import LargeImages
from embedseg_napari.viewer.segment.next_steps import NextSteps
from embedseg_napari.viewer.segment.result_recipe import ResultRecipe
from embedseg_napari.viewer.segment.result_words import result_words
from embedseg_napari.viewer.segment.results import ResultLayers
from embedseg_napari.viewer.segment.run_settings import RunSettings
from embedseg_napari.viewer.segment.runs import SegmentRuns
from embedseg_napari.viewer.segment.threshold_box import ThresholdBox
from embedseg_napari.viewer.unopened import unopened
from embedseg_napari.viewer.widgets.boxes import frame_wrong
from embedseg_napari.viewer.widgets.collapsible import Folded
from embedseg_napari.viewer.widgets.dock_panel import DockPanel, say_hidden
from embedseg_napari.viewer.widgets.run_controls import RunControls
from embedseg_napari.viewer.widgets.scroll import FittingScroll

if TYPE_CHECKING:
    import napari

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.events import Advice
    from embedseg_napari.viewer.segment.results import Result
    from embedseg_napari.viewer.stage import Scene
    from embedseg_napari.viewer.widgets.layer_box import LayerBox
    from embedseg_napari.viewer.worker import BackgroundRun

PATIENCE = 0.7
"""Seconds that Cancel waits for the thread; then the panel is given back, whatever the thread is busy with."""
CHECKING = " Checking…"
"""Follows the number of objects while something better is looked for."""


class SegmentWidget(DockPanel):
    """Choose an image and a model, run, move the thresholds, look at what the network saw.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are segmented.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.results = ResultLayers(viewer)
        self.threshold_box = ThresholdBox(self.results)
        self.thresholds, self.reclustering = self.threshold_box.sliders, self.threshold_box.reclustering
        self.settings = RunSettings(self.threshold_box, self)
        self.model, self.device = self.settings.model, self.settings.device
        self.tta, self.scale = self.settings.tta, self.settings.scale
        self.image = ImageInput(viewer, self.settings.fitting)
        self.on_drop = QCheckBox("Segment on drop")
        self.on_drop.setToolTip("Segment every image as soon as it is opened, with these settings.")
        self.controls = RunControls("Segment", "Stop; nothing in the viewer changes.", PATIENCE, self)
        self.run_button, self.cancel_button = self.controls.run_button, self.controls.cancel_button
        self.progress, self.status = self.controls.progress, self.controls.status
        self.embedding = EmbeddingView(viewer, self.results)
        self.advice = AdviceBox()
        self.large = LargeImages(viewer, self.image, self.controls, self.advice.take)
        self.correct = CorrectBox(viewer)
        self.recipe = ResultRecipe(viewer, self.results, self.image, self.device)
        self.next = NextSteps(self.results, self.open_beside)
        self.runs = SegmentRuns(viewer, self.image, self.settings, self.large, self.results, self.advice, self.controls)
        self.crossing = CrossingBox(viewer, self.results, self.runs.doubts)
        self.batch = BatchPanel(self.settings.for_others)
        self.drops = DropQueue(viewer, self)
        StoreDrop(self, viewer)
        self._lay_out()
        self._connect()
        self._take_model()
        self.settings.take_up()

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        # All of it, the tabs of other panels, too, has room on a screen of 768 rows.
        layout.setContentsMargins(4, 3, 4, 3)
        layout.setSpacing(3)
        self.image.form.setVerticalSpacing(4)
        self.settings.add_to(self.image.form)
        self.image.form.addRow(self.on_drop)
        layout.addWidget(self.image)
        layout.addWidget(self.large)
        layout.addWidget(self.correct)
        layout.addWidget(self.threshold_box)
        layout.addWidget(Folded("What the network sees", self.embedding, "Offsets, margins and votes as layers."))
        layout.addWidget(Folded("A whole folder", self.batch, "Segment all images of a folder."))
        layout.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(2, 4, 2, 4)
        # Every row that stays in sight takes one from the page above.
        outer.setSpacing(3)
        outer.addWidget(FittingScroll(content), 1)
        outer.addWidget(self.threshold_box.ways_back)
        outer.addLayout(self.controls.buttons())
        outer.addWidget(self.progress)
        outer.addWidget(self.status)
        # What comes next stays in sight: something better first.
        outer.addWidget(self.advice)
        outer.addWidget(self.crossing)
        outer.addWidget(self.next)
        outer.addWidget(self.recipe)

    def _connect(self) -> None:
        self.run_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        # Also where the layer learns its axes later, from its file.
        self.image.changed.connect(lambda: self.settings.suggest_model(self.image.layer))
        # The button has named the model.
        self.image.question.answered.connect(lambda letter: self.model.take_fitting(3 if letter == "Z" else 2))
        self.image.changed.connect(self._show_state)
        self.large.place.changed.connect(self._show_state)
        self.large.place.answered.connect(self.start)
        self.large.view_wanted.connect(self._try_view)
        self.runs.shown.connect(self._take_shown)
        self.runs.scene_changed.connect(self.show_scene)
        self.model.model_changed.connect(self._take_model)
        self.image.layer_box.changed.connect(self.settings.follow_image)
        self.image.layer_box.changed.connect(self._choose_result)
        self.image.layer_box.native.activated.connect(lambda _: self._show_chosen())
        self.image.layer_box.changed.connect(lambda layer: self.advice.look_at(layer == self.runs.advised))
        self.advice.accepted.connect(self._follow_advice)
        self.advice.changed.connect(self.crossing.show_state)
        self.advice.settled.connect(lambda: self.status.setText(self.status.text().removesuffix(CHECKING)))
        self.threshold_box.collected.connect(self._take_objects)
        self.threshold_box.collected.connect(self.crossing.follow_slider)
        self.threshold_box.settled.connect(self.embedding.refresh)
        self.threshold_box.settled.connect(self.crossing.look)
        self.threshold_box.settled.connect(self.settings.keep)
        self.controls.changed.connect(lambda: self._show_state(keep_status=True))
        self.controls.finished.connect(self._start_waiting)
        self.on_drop.toggled.connect(self.drops.open)
        self.drops.next_wanted.connect(self._start_waiting)
        unopened.explained.connect(self._take_unopened)
        self.viewer.layers.events.removed.connect(self._take_removed)
        self.viewer.layers.selection.events.active.connect(self._follow_selection)

    def take_over(self, model: Path, layer: napari.layers.Layer | None, channel: Channel = "all") -> None:
        """Choose a model that was trained just now, and the image layer and channel that it learned from, if there."""
        self.model.choose(model)
        self.image.choose(layer, channel)
        if layer is not None:
            # The model knows the objects of that image as large as they are.
            self.settings.scale_for(layer, self.settings.scale.value())

    # A run

    @property
    def current(self) -> BackgroundRun | None:
        """The run that goes on."""
        return self.controls.current

    def start(self) -> None:
        """Segment what is chosen."""
        if self.current is not None or self._problem() is not None:
            self._show_state()
            return
        self.runs.start()

    def _try_view(self) -> None:
        if self.current is None and self._problem() is None:
            self.runs.start_view()

    def cancel(self) -> None:
        """Stop the run; nothing in the viewer changes, and blocks that are done stay."""
        self.drops.clear()
        self.controls.cancel()

    def _take_shown(self, result: Result, seconds: float) -> None:
        for layer in (result.labels, *([] if result.centers is None else [result.centers])):
            # Other panels, too, may have something to hide it for.
            self.stage.set_visible(layer, True)
        hidden = self.show_scene()
        say_hidden("for now", (one for one in hidden if is_users(one) and not isinstance(one, Image)))
        self.threshold_box.follow(result)
        self.embedding.refresh()
        self.crossing.look()
        self._say_count(f" in {seconds:.1f} s")
        if self.runs.job is not None and not self.drops.is_waiting:
            self.advice.look(self.runs.job, result.segmentation)
            self.controls.say(self.status.text() + CHECKING)

    def _follow_advice(self, advice: Advice) -> None:
        """Take the other model, scale or thresholds and segment again, or open the panel where objects are labelled."""
        if self.current is not None:
            return
        if advice.labels:
            panel: Any = self.open_beside("EmbedSeg: Label & Train")
            job = self.runs.job
            panel.take_over(self.runs.advised, *(() if job is None else (job.channel, Path(job.model))))
            return
        self.image.layer_box.choose(self.runs.advised)
        if advice.model:
            try:
                self.model.choose_named(advice.model)
            except ModelError as error:
                self.controls.fail(error)
                return
        self.image.choose(None, advice.channel or "all")
        if set(advice.changes) <= set(self.thresholds.values()) and advice.changes:
            self.advice.clear()
            self.threshold_box.go_back()
            return
        if "scale" in advice.changes and self.runs.advised is not None:
            self.settings.scale_for(self.runs.advised, advice.changes["scale"])
        self.start()

    def _show_ways_on(self) -> None:
        self.next.refresh()
        self.recipe.refresh()

    # Thresholds

    @property
    def is_settled(self) -> bool:
        """Whether tables and arrows have followed the sliders."""
        return self.threshold_box.is_settled

    def _take_objects(self, result: Result) -> None:
        if result is self.results.chosen:
            told = self.advice.advice
            if (
                told is not None
                and set(told.changes) & set(self.thresholds.values())
                and len(result.shown.segmentation.scores)
            ):
                # It said what would help where nothing was found.
                self.advice.clear()
            self._say_count("")

    def _choose_result(self, *_: object) -> None:
        """Let sliders and arrows follow the result that is selected, or else that of the image."""
        if self.current is not None:
            return
        selected, result = self.results.of(self.viewer.layers.selection.active), self.results.of_image(self.image.layer)
        if selected is not None and selected.selection.layer == self.image.layer:
            # An earlier one, for instance, that was edited.
            result = selected
        if result is not None and result is not selected and result.model_path != self.model.path:
            # The sliders are those of the model that was chosen since.
            result = None
        self.threshold_box.follow(result)
        if result is not self.results.chosen:
            self.results.chosen = result
            self.embedding.refresh()
            self.crossing.look()
            # What was said is of the other.
            self._show_state()
            if result is not None and not result.has_edits():
                self._say_count("")

    # The viewer

    def _show_chosen(self) -> None:
        """Show the image that the user has chosen in the box, with what was found in it, and take that in hand."""
        scene, active = self.scene(), self.viewer.layers.selection.active
        if self.image.layer is None or self.current is not None or scene is None:
            return
        self.show_scene()
        result = self.results.of(active)
        before = active if result is None else result.selection.layer
        if before != scene.image and (result is not None or isinstance(active, Image)):
            # Now it is below the image. The sliders may be those of a model that was chosen since.
            self.viewer.layers.selection.active = self.results.labels or scene.image

    def _start_waiting(self) -> None:
        layer = self.drops.take() if self.current is None else None
        if layer is None:
            return
        self.image.layer_box.choose(layer)
        found = self._problem()
        if found is None and self.large.in_blocks:
            # Nothing is written to the disk unasked.
            self.controls.say(f"{layer.name} is large: say where its labels go, and press Segment.")
        elif found is None:
            self.start()
        else:
            self.controls.say(f"{layer.name} was not segmented. {found[1]}", is_wrong=True)
        if self.current is None:
            self.drops.ask()

    def _follow_selection(self, event: object = None) -> None:
        """Choose the image that was opened or selected just now, itself or one of its results; a run keeps its own."""
        # What the scene of another panel selects is not the user's choice.
        if self.current is None and not (self._was_front is False and self.stage.is_changing):
            active = self.viewer.layers.selection.active
            result = self.results.of(active)
            self.image.layer_box.choose(active if result is None else result.selection.layer)
            self._choose_result()
        self._show_ways_on()

    def _take_unopened(self, sentence: str) -> None:
        if self.current is None:
            self.controls.say(sentence, is_wrong=True)

    def _take_removed(self, event: Any) -> None:
        if self.runs.layer is not None and event.value == self.runs.layer:
            # Others that were dropped are still wanted.
            self.controls.cancel()
        if event.value == self.runs.advised:
            self.advice.clear()
        gone = self.results.forget(event.value)
        if gone:
            self.reclustering.cancel(gone)
            self._choose_result()
            self.embedding.refresh()
            self.crossing.look()
        self._show_state(keep_status=True)

    # State

    def _take_model(self) -> None:
        # It was about another one.
        self.advice.clear()
        self.settings.take_model()
        self.image.set_model(self.model.config, is_chosen=self.model.is_asked_for)
        self._show_state()
        result = self.results.of_image(self.image.layer)
        if result is not None and result.model_path == self.model.path:
            # Back from another model; the result that is selected was the chosen one all the while.
            self._choose_result()
            is_ready = self.current is None and self._problem() is None
            if is_ready and self.results.chosen is result and not result.has_edits():
                self._say_count("")

    def _problem(self) -> tuple[QWidget, str] | None:
        found = self.image.problem() or self.large.problem()
        if found is not None:
            return found
        if self.model.path is None:
            return self.model.box, "Choose a model, or train one in EmbedSeg: Train."
        if self.model.fault:
            return self.model.box, self.model.fault
        return None

    def _show_state(self, *_: object, keep_status: bool = False) -> None:
        is_running = self.current is not None
        found = self._problem()
        image, place = self.image, self.large.place
        own = (image.layer_box.native, image.axes, image.voxel, image.channel, image.shapes_box.native, self.model.box)
        for field in (*own, place.kind, place.name, place.place):
            frame_wrong(field, found is not None and found[0] is field and not is_running)
        self.run_button.setEnabled(not is_running and found is None)
        self.run_button.setToolTip(found[1] if found is not None else "Segment the image with the model.")
        for widget in (image, self.large, self.correct, self.threshold_box, self.threshold_box.ways_back):
            widget.setEnabled(not is_running)
        self._show_ways_on()
        if not is_running and not (keep_status and found is None):
            self.controls.say(found[1] if found is not None else "", is_wrong=found is not None)

    def _say_count(self, suffix: str) -> None:
        self.controls.say(result_words(self.results, suffix))

    def scene(self) -> Scene | None:
        """What was found last, on its image."""
        return self.runs.scene()

    def take_front(self, is_front: bool) -> None:
        """Show results again that gave way to what is painted on them, which is hidden."""
        self.runs.spared = None
        super().take_front(is_front)

    def layer_boxes(self) -> tuple[LayerBox, ...]:
        """Boxes in which a layer is chosen."""
        return self.image.layer_box, self.image.shapes_box

    def release(self) -> None:
        """End all runs and follow the viewer no longer."""
        unopened.explained.disconnect(self._take_unopened)
        self.controls.close_down()
        self.large.runs.close_down()
        self.correct.close_down()
        self.batch.controls.close_down()
        self.reclustering.cancel()
        self.advice.cancel()
        self.drops.close_down()
        self.image.close_down()
        self.settings.close_down()
        self.embedding.close_down()
        self.crossing.close_down()
        self.viewer.layers.events.removed.disconnect(self._take_removed)
        self.viewer.layers.selection.events.active.disconnect(self._follow_selection)
