"""The Estimate panel: a person judges a random sample, and precision, missed objects and recall follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtWidgets import QApplication, QFileDialog, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.estimate.judgement import Judgement, read_judgement
from embedseg_napari.core.estimate.sample import MOST, N_AREAS, N_OBJECTS, finding
from embedseg_napari.core.files.names import portable_name
from embedseg_napari.core.wording import count, shape_words
from embedseg_napari.viewer.estimate.judge_box import JudgeBox
from embedseg_napari.viewer.layers import file_of, is_users, is_users_or_found, picture_of
from embedseg_napari.viewer.neighbours import name_as_its_image
from embedseg_napari.viewer.step_back import meet
from embedseg_napari.viewer.widgets.boxes import Sentence, WholeNumberBox, add_row, button
from embedseg_napari.viewer.widgets.dock_panel import DockPanel
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.widgets.run_controls import RunControls
from embedseg_napari.viewer.widgets.scroll import FittingScroll

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from embedseg_napari.core.estimate.sample import Found
    from embedseg_napari.core.measure.measurements import PartMeasured

NO_LABELS = "Open or make a Labels layer."
FORMATS = "Judgement, to go on with later (*.json);;Table of what was judged (*.csv)"
LARGEST_SEED = 2**31 - 1


class EstimateWidget(DockPanel):
    """Panel that tells how good the objects of a Labels layer are, without a ground truth.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are judged.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.judged: Labels | None = None
        """The layer whose sample is judged; None where it is gone."""
        self._axes = ""
        self._is_old = False
        """Whether the labels have changed since their sample was drawn."""
        self._was_old = False
        """The same of an earlier sample, which stays where no other one comes of a run."""
        self._followed: Labels | None = None
        self._said_unfit = ""
        """What was said of layers that cannot be judged."""
        self._build()
        self._connect()
        self.labels.choose(viewer.layers.selection.active)
        self._show_state()

    def _build(self) -> None:
        self.labels = LayerBox(
            self.viewer, Labels, "Labels layer whose objects are judged.", is_wanted=is_users_or_found
        )
        self.n_objects, self.n_areas, self.seed = WholeNumberBox(), WholeNumberBox(), WholeNumberBox()
        self.n_objects.setRange(0, MOST)
        self.n_objects.setValue(N_OBJECTS)
        self.n_objects.setToolTip("Objects that are drawn at random, for the precision; all if there are not more.")
        self.n_areas.setRange(0, MOST)
        self.n_areas.setValue(N_AREAS)
        self.n_areas.setToolTip(
            "Areas that are drawn at random, in which you mark missed objects; each is as large as two objects need."
        )
        self.seed.setRange(-1, LARGEST_SEED)
        self.seed.setValue(-1)
        self.seed.setSpecialValueText("random")
        self.seed.setToolTip(
            "The same number draws the same sample from the same labels, for a second person; it is saved. Corrected "
            "labels need another one."
        )
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        add_row(form, "Labels", self.labels.native)
        add_row(form, "Objects", self.n_objects)
        add_row(form, "Areas", self.n_areas)
        add_row(form, "Seed", self.seed)
        self.controls = RunControls("Draw a sample", "Stop; nothing is drawn.", parent=self)
        self.judge = JudgeBox(self.viewer)
        self.pause = button("Pause", "Show the labels as they were, and go on later.", self._toggle)
        self.result = Sentence()
        self.copy = button("Copy", "Copy the estimate as text.", self._copy)
        self.save = button("Save…", "Save sample, judgements and estimate.", self._ask_save)
        self.open = button("Open…", "Go on with a judgement that was saved, of the chosen labels.", self._ask_open)
        row = QHBoxLayout()
        for one in (self.copy, self.save, self.open):
            row.addWidget(one)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(form)
        layout.addLayout(self.controls.buttons())
        layout.addWidget(self.controls.progress)
        layout.addWidget(self.controls.status)
        layout.addWidget(self.judge)
        layout.addWidget(self.pause)
        layout.addWidget(self.result)
        layout.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(2, 4, 2, 4)
        outer.addWidget(FittingScroll(content), 1)
        outer.addLayout(row)

    def _connect(self) -> None:
        self.controls.run_button.clicked.connect(self.start)
        self.controls.cancel_button.clicked.connect(self.controls.cancel)
        self.controls.changed.connect(self._show_state)
        self.controls.finished.connect(self._take_end)
        self.labels.changed.connect(self._show_state)
        self.judge.changed.connect(self._show_state)
        self.viewer.layers.events.removed.connect(self._take_removed)

    @property
    def judgement(self) -> Judgement | None:
        """What is judged, and what was said of it."""
        return self.judge.judgement

    # Drawing

    def start(self) -> None:
        """Draw a sample of the chosen layer."""
        layer, seed = self.labels.layer(), self.seed.value()
        if layer is None:
            return
        n_objects, n_areas = self.n_objects.value(), self.n_areas.value()

        def draw(found: Found) -> Judgement:
            return Judgement(found.draw(n_objects, n_areas, None if seed < 0 else seed), layer.name)

        self._look_at(layer, draw)

    def go_on(self, path: Path) -> None:
        """Go on with a judgement that was saved, of the chosen layer."""
        layer = self.labels.layer()
        if layer is None:
            return
        try:
            judgement = read_judgement(path)
        except EmbedSegError as error:
            self.controls.fail(error)
            return

        def check(found: Found) -> Judgement:
            sample = judgement.sample
            if (sample.axes, sample.shape) != (found.axes, found.shape):
                raise DataError(
                    f"{path.name} is of labels with {shape_words(sample.shape)} pixels ({sample.axes}), but "
                    f"{layer.name} has {shape_words(found.shape)} ({found.axes}); choose the labels that were judged."
                )
            if sample.digest != found.digest:
                raise DataError(
                    f"{path.name} is of other labels than {layer.name} is now: objects differ. Choose the labels that "
                    "were judged, or draw a new sample."
                )
            return judgement

        self._look_at(layer, check)

    def _look_at(self, layer: Labels, make: Callable[[Found], Judgement]) -> None:
        """List the objects of a layer, and begin with the judgement that is made of them."""
        if self.controls.current is not None:
            return
        name_as_its_image(layer, self.viewer.layers)
        try:
            picture = picture_of(layer)
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        self.judge.end()
        # What is painted from now on is not among what is listed.
        self._was_old = self._is_old
        self._follow(layer)

        def take(found: Found) -> None:
            try:
                self._begin(layer, picture.axes, make(found))
            except EmbedSegError as error:
                self.controls.fail(error)

        self.controls.start(
            lambda should_stop: finding(picture.array, picture.axes, should_stop), self._take_event, take
        )
        self.controls.progress.setFormat("Listing objects")
        self.controls.say("Listing the objects…")

    def _take_event(self, event: PartMeasured) -> None:
        self.controls.progress.setRange(0, event.n_parts)
        self.controls.progress.setValue(event.done)

    def _begin(self, layer: Labels, axes: str, judgement: Judgement) -> None:
        if layer not in self.viewer.layers:
            self.controls.say("The layer was removed in the meantime.")
            return
        if self._is_old:
            self.controls.say("The labels changed in the meantime; draw again.", True)
            return
        self.judged, self._axes, self._was_old = layer, axes, False
        self.judge.begin(judgement, layer, axes)
        self.controls.say(self._words(judgement))

    def _take_end(self) -> None:
        if self._followed != self.judged:
            self._follow(self.judged)
        self._is_old |= self._was_old
        self._show_state()

    def _words(self, judgement: Judgement) -> str:
        sample = judgement.sample
        frames = f" in {sample.shape[0]} frames" if "T" in sample.axes else ""
        drawn = f"{count(len(sample.objects), 'object')} and {count(len(sample.areas), 'area')}"
        words = f"{drawn} drawn from {count(sample.n_found, 'object')}{frames}, seed {sample.seed}."
        images = (one for one in self.viewer.layers if isinstance(one, Image) and is_users(one) and one.visible)
        if self.judged is not None and not any(meet(one, self.judged) for one in images):
            words += " Show the image of these labels: without it nothing can be judged."
        return words

    # Judging

    def _toggle(self) -> None:
        if self.judge.is_judging:
            self.judge.end()
        elif self.judged is not None and self.judgement is not None:
            self.judge.begin(self.judgement, self.judged, self._axes)

    def _follow(self, layer: Labels | None) -> None:
        if self._followed is not None:
            self._followed.events.paint.disconnect(self._take_change)
            self._followed.events.labels_update.disconnect(self._take_change)
            self._followed.events.data.disconnect(self._take_change)
        self._followed, self._is_old = layer, False
        if layer is not None:
            layer.events.paint.connect(self._take_change)
            layer.events.labels_update.connect(self._take_change)
            layer.events.data.connect(self._take_change)

    def _take_change(self, _: Any = None) -> None:
        self._is_old = True
        if self.judged is not None and self._followed == self.judged and self.controls.current is None:
            self.judge.end()
            self.controls.say(
                "The labels have changed since the sample was drawn: the estimate is of the labels before. Draw a new "
                "sample for these.", True,
            )  # fmt: skip
            self._show_state()

    def _take_removed(self, event: Any) -> None:
        if self.judged is not None and event.value == self.judged:
            self.judge.end()
            self._follow(None)
            self.judged = None
            self.controls.say("The labels were removed; what was judged can still be saved.")
            self._show_state()
        elif self.judge.is_judging and self.judge.marks.is_ours(event.value):
            # Somebody has taken away what shows what is judged; it comes back with the next step.
            self.judge.end()

    # Results

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.result.text())
        self.controls.say("Copied.")

    def _ask_save(self) -> None:
        judgement = self.judgement
        if judgement is None:
            return
        path, text = QFileDialog.getSaveFileName(self, "Save the judgement", self._beside(judgement.labels), FORMATS)
        if path:
            self.write(Path(path), ".csv" if "csv" in text else ".json")

    def write(self, path: Path, ending: str = ".json") -> None:
        """Save the judgement; the dialog has asked whether the file of this very name may be replaced.

        Parameters
        ----------
        path : Path
            Target.
        ending : str
            Of the file, where its name has none.
        """
        target = path if path.suffix else path.with_name(path.name + ending)
        assert self.judgement is not None
        try:
            self.judgement.write(target, overwrite=target == path)
        except EmbedSegError as error:
            self.controls.fail(error)
        else:
            self.controls.say(f"Saved {target}.")

    def _ask_open(self) -> None:
        layer = self.labels.layer()
        place = "" if layer is None else self._beside(layer.name)
        path, _ = QFileDialog.getOpenFileName(self, "Go on with a judgement", place, "Judgement (*.json)")
        if path:
            self.go_on(Path(path))

    def _beside(self, name: str) -> str:
        """A name to propose: beside the labels, where they are a file."""
        proposed = f"{portable_name(name, 'labels')}.estimate.json"
        try:
            return proposed if self.judged is None else str(file_of(self.judged).with_name(proposed))
        except DataError:
            return proposed

    # State

    def _show_state(self, *_: object) -> None:
        is_running = self.controls.current is not None
        unfit, judgement = self._unfit(), self.judgement
        has_labels = not unfit
        self.controls.run_button.setEnabled(has_labels and not is_running)
        self.open.setEnabled(has_labels and not is_running)
        self.judge.setVisible(judgement is not None)
        can_judge = self.judged is not None and not self._is_old and not is_running
        self.judge.setEnabled(can_judge)
        self.pause.setVisible(judgement is not None)
        self.pause.setText("Pause" if self.judge.is_judging else "Go on")
        self.pause.setEnabled(can_judge)
        is_judged = judgement is not None and bool(judgement.answers)
        for one in (self.copy, self.save):
            one.setEnabled(is_judged and not is_running)
        self.result.setVisible(is_judged)
        if judgement is not None and is_judged:
            self.result.setText(str(judgement.estimate()))
        if unfit and judgement is None:
            self.controls.say(unfit, unfit != NO_LABELS)
        elif self._said_unfit and self.controls.status.text() == self._said_unfit:
            self.controls.say("")
        self._said_unfit = unfit

    def _unfit(self) -> str:
        """Why there is nothing that can be judged; empty where there is."""
        layer = self.labels.layer()
        if layer is None:
            return NO_LABELS
        try:
            picture_of(layer)
        except EmbedSegError as error:
            return str(error)
        return ""

    def layer_boxes(self) -> tuple[LayerBox, ...]:
        """Boxes in which a layer is chosen."""
        return (self.labels,)

    def release(self) -> None:
        """Follow the viewer no longer; layers are as they were."""
        self.controls.close_down()
        self.judge.end()
        self._follow(None)
        self.viewer.layers.events.removed.disconnect(self._take_removed)
