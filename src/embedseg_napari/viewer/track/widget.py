"""The Track panel: objects of a time-lapse become tracks, links are corrected by hand, and all is saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.exchange.tracks import write_tracks
from embedseg_napari.core.files.names import portable_name
from embedseg_napari.core.tracking.run import MAX_GAP
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.recipe import of_words
from embedseg_napari.jobs.track import TrackJob, words_of
from embedseg_napari.viewer.layers import array_of, file_of, is_users_or_found
from embedseg_napari.viewer.neighbours import image_under
from embedseg_napari.viewer.track.correct_box import CorrectBox
from embedseg_napari.viewer.track.track_layers import TrackLayers, link_layer, movie_of
from embedseg_napari.viewer.widgets.boxes import FloatBox, WholeNumberBox, add_row, button
from embedseg_napari.viewer.widgets.dock_panel import DockPanel
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons
from embedseg_napari.viewer.widgets.run_controls import RunControls
from embedseg_napari.viewer.widgets.scroll import FittingScroll

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

    from embedseg_napari.core.tracking.run import FrameLinked
    from embedseg_napari.core.tracking.tracks import Tracks
    from embedseg_napari.jobs.recipe import Recipe

FORMATS = {"Folder for the cell tracking challenge (*)": "ctc", "Folder with a graph, GEFF (*)": "geff"}
NO_LABELS = "Open or make a Labels layer of a time-lapse."


class TrackWidget(DockPanel):
    """Panel that links the objects of a Labels layer from frame to frame.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are linked.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.layers = TrackLayers(viewer)
        self._followed: Labels | None = None
        self._is_old = False
        """Whether the labels changed since they were linked."""
        self._was_old = False
        """The same of earlier tracks, which stay where a run ends without others."""
        self._build()
        self._connect()
        self.labels.choose(viewer.layers.selection.active)
        self._propose_image()
        self._show_state()

    def _build(self) -> None:
        self.labels = LayerBox(
            self.viewer, Labels, "Labels layer of a time-lapse; numbers need not mean anything from frame to frame.",
            is_wanted=lambda layer: is_users_or_found(layer) and layer != self.layers.labels,
            is_proposed=lambda layer: layer.ndim > 2,
        )  # fmt: skip
        self.image = LayerBox(
            self.viewer, Image, "Image whose brightness is saved for each object.", nothing="no image"
        )
        self.distance = FloatBox()
        self.distance.setRange(0, 1e6)
        self.distance.setSpecialValueText("automatic")
        self.distance.setToolTip(
            "How far an object moves from frame to frame at most, in units of the layer's scale; automatic: three "
            "times its radius."
        )
        self.gap = WholeNumberBox()
        self.gap.setRange(0, 20)
        self.gap.setValue(MAX_GAP)
        self.gap.setToolTip("Frames in which an object may be missing.")
        self.divisions = QCheckBox("Objects divide")
        self.divisions.setChecked(True)
        self.divisions.setToolTip("Whether an object can become two.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        add_row(form, "Labels", self.labels.native)
        add_row(form, "Image", self.image.native)
        add_row(form, "Largest step", self.distance)
        add_row(form, "Largest gap", self.gap)
        form.addRow(self.divisions)
        self.controls = RunControls("Track", "Stop; layers stay as they were.", parent=self)
        self.correct = CorrectBox(self.layers)
        self.export = button(
            "Export…", "Save tracks, labels with their numbers and a table to a new folder.", self._ask
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(form)
        layout.addLayout(self.controls.buttons())
        layout.addWidget(self.controls.progress)
        layout.addWidget(self.controls.status)
        self.recipe = RecipeButtons(self._recipe)
        layout.addWidget(self.recipe)
        layout.addWidget(self.correct)
        layout.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(2, 4, 2, 4)
        outer.addWidget(FittingScroll(content), 1)
        outer.addWidget(self.export)

    def _connect(self) -> None:
        self.controls.run_button.clicked.connect(self.start)
        self.controls.cancel_button.clicked.connect(self.controls.cancel)
        self.controls.changed.connect(self._show_state)
        self.controls.finished.connect(self._take_end)
        self.labels.changed.connect(self._show_state)
        self.labels.changed.connect(self._propose_image)
        self.correct.changed.connect(self._take_correction)
        self.viewer.layers.events.removed.connect(self._take_removed)

    def _propose_image(self, *_: object) -> None:
        """Choose the image that the labels lie on; without one, brightness would be left out unasked."""
        layer = self.labels.layer()
        if layer is not None:
            self.image.choose(image_under(layer, self.image.layers))

    # Linking

    def take_over(self, labels: Labels, image: Image | None) -> None:
        """Choose layers and link them."""
        self.labels.choose(labels)
        if image is not None:
            self.image.choose(image)
        self.start()

    def start(self) -> None:
        """Link the objects of the chosen layer."""
        layer = self.labels.layer()
        if layer is None or self.controls.current is not None:
            return
        try:
            picture, image = movie_of(layer, self.image.layer())
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        settings = self._settings()
        # What is painted from now on is not among what is linked.
        self._was_old = self._is_old
        self._follow(layer)
        self.controls.start(
            lambda should_stop: link_layer(picture, image, settings, should_stop),
            self._take_event,
            lambda result: self._take_tracks(layer, *result),
        )
        self.controls.progress.setFormat("Linking")
        self.controls.say("Linking…")

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
            If a layer is from no file, or links were corrected by hand, which lie in an export only.
        """
        layer, image = self.labels.layer(), self.image.layer()
        if layer is None:
            raise DataError(NO_LABELS)
        corrected = self.correct.corrected
        if layer == self.layers.source and corrected is not None and corrected.n_steps:
            raise DataError(
                "Links were corrected by hand: press Export…, and give its corrections.json to embedseg track "
                "--corrections."
            )
        picture, _ = movie_of(layer, image)
        path = file_of(layer)
        return of_words(
            words_of(
                TrackJob(
                    path,
                    path.parent / "tracks",
                    None if image is None else file_of(image),
                    axes=picture.axes,
                    spacing=picture.spacing if picture.unit == "um" else None,
                    **self._settings(),
                )
            )
        )

    def _take_event(self, event: FrameLinked) -> None:
        self.controls.progress.setRange(0, event.n_parts)
        self.controls.progress.setValue(event.done)

    def _take_tracks(self, layer: Labels, tracks: Tracks, tracked: Any) -> None:
        if layer not in self.viewer.layers:
            self.controls.say("The layer was removed in the meantime; its tracks were discarded.")
            return
        if self._is_old:
            self.controls.say("The labels changed in the meantime; press Track again.", True)
            return
        self._was_old = False
        self.layers.show(layer, tracks, tracked, self.image.layer() or image_under(layer, self.image.layers))
        self.correct.take(tracks)
        self.controls.say(_words(tracks))
        self._show_state()

    def _take_end(self) -> None:
        if self._followed != self.layers.source:
            self._follow(self.layers.source)
        self._is_old |= self._was_old
        self._show_state()

    def _take_correction(self) -> None:
        assert self.correct.corrected is not None
        self.controls.say(_words(self.correct.corrected.tracks))

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
        tracks, labels = corrected.tracks, array_of(source)

        def run(should_stop: Callable[[], bool]) -> Generator[None, None, None]:
            write_tracks(tracks, labels, folder, format)
            yield

        self.controls.start(run, lambda _: None, lambda _: self.controls.say(f"Saved {folder}."))
        self.controls.progress.setFormat("Saving")
        self.controls.say("Saving…")

    # State

    def _follow(self, layer: Labels | None) -> None:
        if self._followed is not None:
            self._followed.events.paint.disconnect(self._take_change)
            self._followed.events.data.disconnect(self._take_change)
        self._followed, self._is_old = layer, False
        if layer is not None:
            layer.events.paint.connect(self._take_change)
            layer.events.data.connect(self._take_change)

    def _take_change(self, event: Any = None) -> None:
        self._is_old = True
        if event is not None and event.type == "data":
            self.layers.step_back()
        if self.correct.corrected is not None:
            self.controls.say("The labels changed since they were linked; press Track again.", True)
        self._show_state()

    def _take_removed(self, event: Any) -> None:
        if event.value in (self.layers.labels, self.layers.source) and self.correct.corrected is not None:
            self.correct.drop()
            self.layers.forget()
            self._follow(None)
            self._show_state()

    def _show_state(self, *_: object) -> None:
        is_running = self.controls.current is not None
        has_labels, has_tracks = self.labels.layer() is not None, self.correct.corrected is not None
        self.controls.run_button.setEnabled(has_labels and not is_running)
        self.correct.setVisible(has_tracks)
        self.correct.setEnabled(not is_running and not self._is_old)
        self.export.setEnabled(has_tracks and not is_running and not self._is_old)
        if not has_labels and not has_tracks:
            self.controls.say(NO_LABELS)
        elif self.controls.status.text() == NO_LABELS:
            self.controls.say("")

    def take_front(self, is_front: bool) -> None:
        """Mark chosen objects only while links can be corrected."""
        self.layers.show_marks(is_front)

    def layer_boxes(self) -> tuple[LayerBox, ...]:
        """Boxes in which a layer is chosen."""
        return self.labels, self.image

    def release(self) -> None:
        """Follow the viewer no longer; the layers stay."""
        self.controls.close_down()
        self.correct.drop()
        self._follow(None)
        self.viewer.layers.events.removed.disconnect(self._take_removed)


def _words(tracks: Tracks) -> str:
    n, n_tracks, n_divisions = len(tracks.loose_ends()), len(tracks.rows()), tracks.divisions()
    loose = f" {count(n, 'loose end')} in between: Next goes there." if n else ""
    return f"{count(n_tracks, 'track')}, {count(n_divisions, 'division')} in {tracks.n_frames} frames.{loose}"
