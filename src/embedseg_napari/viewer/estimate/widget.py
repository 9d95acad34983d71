"""The Estimate panel: a person judges a random sample, and precision, missed objects and recall follow from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QMessageBox

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.estimate.judgement import Answer, Judgement, read_judgement
from embedseg_napari.core.estimate.sample import MOST, N_AREAS, N_OBJECTS, finding
from embedseg_napari.core.files.names import portable_name, with_ending
from embedseg_napari.core.measure.table_files import ENDINGS
from embedseg_napari.core.wording import count, shape_words
from embedseg_napari.viewer.estimate.judge_box import JudgeBox
from embedseg_napari.viewer.labelled_images import labels_picture
from embedseg_napari.viewer.layers import file_of, is_users, object_axis, one_each_axes, picture_of
from embedseg_napari.viewer.neighbours import name_as_its_image
from embedseg_napari.viewer.stage import meet
from embedseg_napari.viewer.widgets.boxes import Sentence, WholeNumberBox, add_row, button
from embedseg_napari.viewer.widgets.labels_panel import LabelsPanel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari
    from napari.layers import Labels

    from embedseg_napari.core.estimate.sample import Found
    from embedseg_napari.viewer.stage import Scene

FORMATS = {
    "Judgement, to go on with later (*.json)": (".json",),
    "Table of what was judged (*.csv *.parquet)": ENDINGS,
}
"""Of files, and the endings that their names have."""
WRITTEN = tuple(ending for endings in FORMATS.values() for ending in endings)
LARGEST_SEED = 2**31 - 1


class EstimateWidget(LabelsPanel):
    """Panel that tells how good the objects of a Labels layer are, without a ground truth.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are judged.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, "Draw a sample", "Stop; nothing is drawn.", "Labels layer whose objects are judged.")
        self.judged: Labels | None = None
        """The layer whose sample is judged; None where it is gone."""
        self._axes = ""
        self._goes_on = False
        """Whether judging goes on when the panel comes to the front again."""
        self._kept: list[Answer] = []
        """Answers that are in a file."""
        self._build()
        self._listen()
        self.judge.changed.connect(self._show_state)
        self.judge.turned.connect(self.show_scene)
        self._show_state()

    def _build(self) -> None:
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
        add_row(self.form, "Objects", self.n_objects)
        add_row(self.form, "Areas", self.n_areas)
        add_row(self.form, "Seed", self.seed)
        self.judge = JudgeBox(self.viewer)
        self.pause = button("Pause", "Show the labels as they were, and go on later.", self._toggle)
        self.result = Sentence()
        self.copy = button("Copy", "Copy the estimate as text.", self._copy)
        self.save = button("Save…", "Save sample, judgements and estimate.", self._ask_save)
        self.open = button("Open…", "Go on with a judgement that was saved, of the chosen labels.", self._ask_open)
        row = QHBoxLayout()
        for one in (self.copy, self.save, self.open):
            row.addWidget(one)
        layout = self._lay_out(row)
        layout.addWidget(self.judge)
        layout.addWidget(self.pause)
        layout.addWidget(self.result)
        layout.addStretch(1)

    @property
    def judgement(self) -> Judgement | None:
        """What is judged, and what was said of it."""
        return self.judge.judgement

    @property
    def subject(self) -> Labels | None:
        """The layer whose sample is judged."""
        return self.judged

    # Drawing

    def start(self) -> None:
        """Draw a sample of the chosen layer."""
        layer, seed = self.labels.layer(), self.seed.value()
        if layer is None or not self._may_replace():
            return
        # On a plane of one object all others would seem to be missed.
        n_areas = self.n_areas.value() if object_axis(layer.axis_labels) is None else 0
        n_objects = self.n_objects.value()

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
        if not self._may_replace():
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

    def _may_replace(self) -> bool:
        """Whether another judgement may take the place of this one; asks where answers would be lost."""
        answers = [] if self.judgement is None else self.judgement.answers
        if answers == self._kept or not answers:
            return True
        question = f"Discard {count(len(answers), 'answer')}? They were not saved since the last one was given."
        return bool(QMessageBox.question(self, "Another sample", question) == QMessageBox.StandardButton.Yes)

    def _look_at(self, layer: Labels, make: Callable[[Found], Judgement]) -> None:
        """List the objects of a layer, and begin with the judgement that is made of them."""
        if self.controls.current is not None:
            return
        name_as_its_image(layer, self.viewer.layers)
        try:
            axes, picture = picture_of(layer).axes, labels_picture(layer)
            if planes := one_each_axes(layer.axis_labels, layer.name):
                # Each plane is judged by itself, as a frame is.
                axes = f"T{planes}"
                picture = replace(picture, axes=axes)
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        self.judge.end()
        self._begin(
            layer,
            lambda should_stop: finding(picture.array, picture.axes, should_stop),
            lambda found: self._judge(layer, axes, make(found)),
            "Listing the objects",
        )

    def _judge(self, layer: Labels, axes: str, judgement: Judgement) -> None:
        self.judged, self._axes, self._kept = layer, axes, list(judgement.answers)
        self.judge.begin(judgement, layer, axes)
        self.controls.say(self._words(judgement))

    def _words(self, judgement: Judgement) -> str:
        sample = judgement.sample
        has_one_each = self.judged is not None and object_axis(self.judged.axis_labels) is not None
        frames = f" in {sample.shape[0]} {'planes' if has_one_each else 'frames'}" if "T" in sample.axes else ""
        drawn = f"{count(len(sample.objects), 'object')} and {count(len(sample.areas), 'area')}"
        words = f"{drawn} drawn from {count(sample.n_found, 'object')}{frames}, seed {sample.seed}."
        if has_one_each and self.n_areas.value():
            words += " What is missed is not asked about: a plane shows one object alone."
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

    def _tell_old(self) -> None:
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
        place = self._beside(judgement.labels)
        path, text = QFileDialog.getSaveFileName(self, "Save the judgement", place, ";;".join(FORMATS))
        if path:
            self.write(Path(path), FORMATS[text])

    def write(self, path: Path, endings: Sequence[str] = WRITTEN) -> None:
        """Save the judgement; the dialog has asked whether the file of this very name may be replaced.

        Parameters
        ----------
        path : Path
            Target.
        endings : sequence of str
            Of the format; where its name has none of them, the first is put on.
        """
        target = with_ending(path, endings, WRITTEN)
        assert self.judgement is not None
        try:
            self.judgement.write(target, overwrite=target == path)
        except EmbedSegError as error:
            self.controls.fail(error)
        else:
            self._kept = list(self.judgement.answers)
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
        problem, judgement = self._problem(), self.judgement
        for one in (self.controls.run_button, self.open):
            one.setEnabled(not problem and not is_running)
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
        self._say_problem("" if judgement is not None else problem)

    def scene(self) -> Scene | None:
        """What is judged; what else shows objects would lie over it."""
        labels = self.judged if self.judge.is_judging else self.labels.layer()
        return self.scene_of(labels, is_own=self.judge.marks.is_ours)

    def take_front(self, is_front: bool) -> None:
        """Pause while another panel is in front, whose keys and layers these would be."""
        super().take_front(is_front)
        if is_front and self._goes_on and self.pause.isEnabled() and not self.judge.is_judging:
            self._toggle()
        self._goes_on = not is_front and self.judge.is_judging
        if not is_front:
            self.judge.end()

    def release(self) -> None:
        """Follow the viewer no longer; layers are as they were."""
        self.controls.close_down()
        self.judge.end()
        super().release()
