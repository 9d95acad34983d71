"""The Track panel: objects of a time-lapse become tracks, links are corrected by hand, and all is saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QMessageBox

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.exchange.tracks import CORRECTIONS, write_tracks
from embedseg_napari.core.files.names import portable_name
from embedseg_napari.core.files.units import MICROMETRE, in_micrometres
from embedseg_napari.core.tracking.run import MAX_GAP
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.recipe import of_words
from embedseg_napari.jobs.track import TrackJob, read_corrections, words_of
from embedseg_napari.viewer.labelled_images import file_beside, found_within, without_channel
from embedseg_napari.viewer.layers import TRACKED, axes_of_file, unchanged_file
from embedseg_napari.viewer.track.correct_box import CorrectBox
from embedseg_napari.viewer.track.kept_links import kept_links
from embedseg_napari.viewer.track.track_layers import TrackLayers, link_layer, movie_of
from embedseg_napari.viewer.widgets.boxes import FloatBox, WholeNumberBox, add_row, button
from embedseg_napari.viewer.widgets.labels_panel import LabelsPanel
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari
    from napari.layers import Image, Labels, Layer

    from embedseg_napari.core.tracking.tracks import Tracks
    from embedseg_napari.jobs.recipe import Recipe
    from embedseg_napari.viewer.stage import Scene

FORMATS = {"Folder for the cell tracking challenge (*)": "ctc", "Folder with a graph, GEFF (*)": "geff"}


class TrackWidget(LabelsPanel):
    """Panel that links the objects of a Labels layer from frame to frame.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are linked.
    """

    no_labels = "Open or make a Labels layer of a time-lapse."
    asks_planes = False

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(
            viewer,
            "Track",
            "Stop; layers stay as they were.",
            "Labels layer of a time-lapse; numbers need not mean anything from frame to frame.",
            "Image whose brightness is saved for each object.",
        )
        self.layers = TrackLayers(viewer)
        self._is_stale = False
        """Whether other objects were found in the labels since they were linked."""
        self._build()
        self._listen()
        self.correct.changed.connect(self._take_correction)
        self._say_whose()
        self._show_state()

    def _build(self) -> None:
        self.distance = FloatBox()
        self.distance.setRange(0, 1e6)
        self.distance.setSpecialValueText("automatic")
        self.distance.setToolTip(
            "How far an object moves from frame to frame at most: in micrometres where the units of the labels, or "
            "else of their image, are lengths, otherwise in units of their scale; automatic: three times its radius."
        )
        self.gap = WholeNumberBox()
        self.gap.setRange(0, 20)
        self.gap.setValue(MAX_GAP)
        self.gap.setToolTip("Frames in which an object may be missing.")
        self.divisions = QCheckBox("Objects divide")
        self.divisions.setChecked(True)
        self.divisions.setToolTip("Whether an object can become two.")
        add_row(self.form, "Largest step", self.distance)
        add_row(self.form, "Largest gap", self.gap)
        self.form.addRow(self.divisions)
        self.correct = CorrectBox(self.layers)
        self.export = button(
            "Export…", "Save tracks, labels with their numbers and a table to a new folder.", self._ask
        )
        self.open = button(
            "Open corrections…",
            f"Track these labels and make the corrections of an export again, its {CORRECTIONS}.",
            self._ask_corrections,
        )
        self.recipe = RecipeButtons(self._recipe)
        for box in (self.labels, self.image):
            box.changed.connect(self.recipe.forget)
        row = QHBoxLayout()
        row.addWidget(self.export)
        row.addWidget(self.open)
        layout = self._lay_out(row)
        layout.addWidget(self.recipe)
        layout.addWidget(self.correct)
        layout.addStretch(1)

    # Linking

    def take_over(self, labels: Labels, image: Image | None) -> None:
        """Choose layers and link them."""
        self.labels.choose(labels)
        if image is not None:
            self.image.choose(image)
        self.start()

    @property
    def subject(self) -> Labels | None:
        """The layer that was linked."""
        return self.layers.source

    def is_wanted(self, layer: Layer) -> bool:
        """Whether a layer can be linked: not what became of one that was."""
        return super().is_wanted(layer) and TRACKED not in layer.metadata

    def problem_of(self, layer: Labels) -> str:
        """Why a layer is no time-lapse; empty where it is one."""
        try:
            movie_of(layer, None)
        except EmbedSegError as error:
            return str(error)
        return ""

    def start(self) -> None:
        """Link the objects of the chosen layer."""
        layer = self.labels.layer()
        if layer is None or self.controls.current is not None or not self._may_replace(layer):
            return
        try:
            picture, image = movie_of(layer, self.image.layer())
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        settings = self._settings()
        self._begin(
            layer,
            lambda should_stop: link_layer(picture, image, settings, should_stop),
            lambda result: self._take_tracks(layer, *result),
            "Linking",
        )

    def _may_replace(self, layer: Labels) -> bool:
        """Whether a layer may be linked anew: corrections hold as long as its objects have the numbers they had."""
        return not kept_links(layer).is_stale or self._may_discard(layer)

    def _may_discard(self, layer: Labels) -> bool:
        """Whether corrections of the links of a layer may be given up; asks where they are in no file."""
        kept = kept_links(layer)
        if not kept.would_be_lost:
            return True
        way_out = "Export… keeps them." if self.export.isEnabled() else "The labels changed since they were made."
        question = f"Discard {count(len(kept.corrections), 'correction')} of links? {way_out}"
        return bool(QMessageBox.question(self, "Track", question) == QMessageBox.StandardButton.Yes)

    def _settings(self) -> dict[str, Any]:
        return {
            "max_distance": self.distance.value() or None,
            "max_gap": self.gap.value(),
            "divisions": self.divisions.isChecked(),
        }

    def _recipe(self) -> Recipe:
        """What links the labels of the chosen layer's file as it is set.

        Raises
        ------
        DataError
            If a layer is from no file, labels were changed since, or links were corrected by hand, which lie in an
            export only.
        """
        layer, image = self.labels.layer(), self.image.layer()
        if layer is None:
            raise DataError(self.no_labels)
        if kept_links(layer).corrections:
            raise DataError(
                "Links were corrected by hand: press Export…, and give its corrections.json to embedseg track "
                "--corrections."
            )
        picture, _ = movie_of(layer, image)
        path = unchanged_file(layer)
        spacing, unit = in_micrometres(picture.spacing, picture.unit)
        axes = axes_of_file(picture.array.shape, picture.axes)
        if spacing is not None:
            spacing = spacing[-len(spatial_axes(axes)) :]
        within = found_within(layer, self.viewer.layers)
        if within is not None and within.words:
            self.controls.say(f"The command counts from where {layer.name} begins: {within.words} of its image.")
        return of_words(
            words_of(
                TrackJob(
                    path,
                    path.parent / "tracks",
                    None if image is None else file_beside(image, layer),
                    axes=axes,
                    spacing=spacing if unit == MICROMETRE else None,
                    **self._settings(),
                )
            )
        )

    def _take_tracks(self, layer: Labels, tracks: Tracks, tracked: Any) -> None:
        kept = kept_links(layer)
        corrections = () if kept.is_stale else kept.corrections
        self.layers.show(layer, tracks, tracked)
        self._is_stale = False
        for shown in filter(None, (self.layers.labels, self.layers.lines)):
            self.stage.set_visible(shown, True)
        self.show_scene()
        n_lost = self.correct.take(tracks, corrections)
        assert self.correct.corrected is not None
        kept.begin(self.correct.corrected.tracks.corrections)
        words = [_words(self.correct.corrected.tracks)]
        if self.layers.lines is None:
            words.append("Napari draws no lines over five axes; track labels of a single channel to see them.")
        if corrections:
            words.append(f"Corrections made again: {len(corrections) - n_lost} of {len(corrections)}.")
        self.controls.say(" ".join(words), bool(n_lost))
        self._show_state()

    def _take_correction(self) -> None:
        corrected, source = self.correct.corrected, self.layers.source
        assert corrected is not None
        assert source is not None
        kept_links(source).corrections = corrected.tracks.corrections
        self.controls.say(_words(corrected.tracks))

    # Saving

    def _ask(self) -> None:
        source = self.layers.source
        name = portable_name("tracks" if source is None else f"{source.name} tracks", "tracks")
        path, text = QFileDialog.getSaveFileName(
            self, "Export to a new folder", name, ";;".join(FORMATS), options=QFileDialog.Option.DontConfirmOverwrite
        )
        if path:
            self.write(Path(path), FORMATS[text])

    def write(self, folder: Path, format: str) -> None:
        """Write tracks and corrections to a folder that does not exist."""
        corrected, source = self.correct.corrected, self.layers.source
        if corrected is None or source is None or self.controls.current is not None:
            return
        tracks, labels, within = corrected.tracks, without_channel(source)[0], self.layers.within
        start = None if within is None else within.start

        def run(should_stop: Callable[[], bool]) -> Generator[None, None, None]:
            write_tracks(tracks, labels, folder, format, start=start, should_stop=should_stop)
            yield

        def saved(_: object) -> None:
            kept_links(source).in_file = tracks.corrections
            words = "" if within is None or not within.words else f" Its label images begin at {within.words}."
            self.controls.say(f"Saved {folder}.{words}")

        self.controls.start(run, lambda _: None, saved)
        self.controls.progress.setFormat("Saving")
        self.controls.say("Saving…")

    def _ask_corrections(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open corrections", CORRECTIONS, "Corrections of links (*.json)")
        if path:
            self.open_corrections(Path(path))

    def open_corrections(self, path: Path) -> None:
        """Link the objects of the chosen layer, and make the corrections of an export again."""
        layer = self.labels.layer()
        if layer is None or self.controls.current is not None:
            return
        try:
            corrections = tuple(read_corrections(path))
        except DataError as error:
            self.controls.fail(error)
            return
        if self._may_discard(layer):
            kept = kept_links(layer)
            kept.begin(corrections)
            kept.in_file = corrections
            self.start()

    # State

    def _words_of_other(self, chosen: Labels) -> str:
        """Say whose the tracks in sight are, and that corrections of the chosen labels are kept."""
        kept = kept_links(chosen)
        if kept.is_stale or not kept.corrections:
            return super()._words_of_other(chosen)
        done = count(len(kept.corrections), "correction")
        return f"{done} of links of {chosen.name} kept; press {self.controls.run_button.text()} to see the tracks."

    def _take_change(self, event: Any = None) -> None:
        if event is not None and event.type == "data" and self.layers.tracks is not None:
            self._is_stale = True
            self.show_scene()
            self.layers.step_back()
        super()._take_change(event)

    def _tell_old(self) -> None:
        self.controls.say("The labels changed since they were linked; press Track again.", True)
        self._show_state()

    def _take_removed(self, event: Any) -> None:
        source = self.layers.source
        if event.value in (self.layers.labels, source) and self.correct.corrected is not None:
            self.correct.drop()
            self.layers.forget()
            self.show_scene()
            self._follow(None)
            is_gone = source not in self.viewer.layers
            self.controls.say("What was tracked was removed, and its links with it." if is_gone else "Tracks removed.")
            self._say_whose()
            self._show_state()

    def _show_state(self, *_: object) -> None:
        is_running = self.controls.current is not None
        problem, has_tracks = self._problem(), self.correct.corrected is not None
        self.controls.run_button.setEnabled(not problem and not is_running)
        self.correct.setVisible(has_tracks)
        self.correct.setEnabled(not is_running and not self._is_old)
        self.open.setEnabled(not problem and not is_running)
        self.export.setEnabled(has_tracks and not is_running and not self._is_old)
        self._say_problem("" if has_tracks else problem)

    def scene(self) -> Scene | None:
        """The tracks of what is chosen; not of objects that were found anew."""
        layers = self.layers
        if layers.tracks is None or self._is_stale or self.labels.layer() not in (layers.source, None):
            return super().scene()
        return self.scene_of(layers.labels, layers.lines, is_own=lambda layer: layer == layers.marks)

    def take_front(self, is_front: bool) -> None:
        """Correct links only while the panel is in front."""
        super().take_front(is_front)
        self.correct.take_front(is_front)

    def release(self) -> None:
        """Follow the viewer no longer; labels and tracks stay, and what was corrected is kept with the labels."""
        self.correct.drop()
        self.layers.forget()
        super().release()


def _words(tracks: Tracks) -> str:
    n, n_tracks, n_divisions = len(tracks.loose_ends()), len(tracks.rows()), tracks.divisions()
    loose = f" {count(n, 'loose end')} in between: Next goes there." if n else ""
    return f"{count(n_tracks, 'track')}, {count(n_divisions, 'division')} in {tracks.n_frames} frames.{loose}"
