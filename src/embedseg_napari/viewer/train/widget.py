"""The panel that trains a model on layers of the viewer or on a folder, and shows it learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QButtonGroup,
    QGroupBox,
    QHBoxLayout,
    QRadioButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.errors import EmbedSegError, ModelError
from embedseg_napari.core.files.names import dataset_name
from embedseg_napari.core.training.start import usual_start
from embedseg_napari.jobs.train import TrainingJob, TrainingPaused, TrainingRequest
from embedseg_napari.jobs.training_recipe import of_training
from embedseg_napari.viewer.model_list import read_config
from embedseg_napari.viewer.stage import Scene
from embedseg_napari.viewer.train.folder_source import TIP, FolderSource
from embedseg_napari.viewer.train.pair_list import PairList
from embedseg_napari.viewer.train.panel import TrainingPanel
from embedseg_napari.viewer.train.preflight_box import PreflightBox
from embedseg_napari.viewer.train.preview_box import PreviewBox
from embedseg_napari.viewer.train.progress import ProgressBox
from embedseg_napari.viewer.widgets.boxes import button
from embedseg_napari.viewer.widgets.scroll import FittingScroll
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from napari.layers import Layer

    from embedseg_napari.core.events import PreviewReady
    from embedseg_napari.jobs.recipe import Recipe
    from embedseg_napari.jobs.saved_training import SavedTraining
    from embedseg_napari.viewer.widgets.layer_box import LayerBox


class TrainWidget(TrainingPanel):
    """Train a model.

    Parameters
    ----------
    napari_viewer : napari viewer
        Whose layers can be trained on, and which shows the previews.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.job: TrainingJob | None = None
        self.is_paused = False
        self.ndim = 0
        """Spatial axes of the images that were found last."""
        self.settings.fits = self._is_for_such_images
        self._subject: object = None
        """What was shown last."""
        self._plan: tuple[Any, ...] = ()
        """What was looked at last, but for the pairs and how long it trains."""
        self._learned: set[object] = set()
        """What the last training learned from."""
        self.pairs = PairList(napari_viewer)
        self.check = PreflightBox()
        self.preview = PreviewBox(napari_viewer, self.pairs)
        self.view = self.preview.view
        self.progress = ProgressBox(self.preview)
        self.tabs = QTabWidget()
        self.tabs.addTab(self._setup_page(), "Set up")
        self.tabs.addTab(FittingScroll(self.progress), "Progress")
        self.pause = button(
            "Pause", "Let go of the processor; the time stands still and nothing is lost.", self._pause_or_resume
        )
        self.stop.setToolTip("End now and keep the model so far.")
        self.set_up(self.tabs, self.train, self.pause, self.stop)
        # In sight beside Train: the page above is longer than most screens.
        self.layout().addWidget(self.recipe)
        self.pairs.changed.connect(self._on_data)
        self.preview.image.changed.connect(self._show_other)
        self.settings.changed.connect(self._on_settings)
        self.check.changed.connect(self._on_findings)
        self.progress.continue_wanted.connect(self._set_up_next)
        self._on_data()

    def _setup_page(self) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(8, 8, 8, 8)
        data = QGroupBox("Learn from")
        inner = QVBoxLayout(data)
        self.from_layers = QRadioButton("Layers of this viewer")
        self.from_layers.setToolTip("Learn from images that are open here, and the labels painted on them.")
        self.from_folder = QRadioButton("A folder")
        self.from_folder.setToolTip(TIP)
        self.from_layers.setChecked(True)
        self.source = QButtonGroup(self)
        choice = QHBoxLayout()
        for one in (self.from_layers, self.from_folder):
            self.source.addButton(one)
            choice.addWidget(one)
        choice.addStretch(1)
        inner.addLayout(choice)
        self.folder_source = FolderSource()
        self.folder = self.folder_source.edit
        inner.addWidget(self.pairs)
        inner.addWidget(self.folder_source)
        self.folder_source.hide()
        self.source.buttonToggled.connect(self._on_source)
        # A folder is chosen by hand: the device is worth looking at.
        self.folder_source.changed.connect(self._on_settings)
        self.boxes = [data]
        layout.addWidget(data)
        for title, content in (("Check", self.check), ("Settings", self.settings), ("Save the model as", self.output)):
            box = QGroupBox(title)
            QVBoxLayout(box).addWidget(content)
            layout.addWidget(box)
            self.boxes.append(box)
        self.check_box = self.boxes[1]
        layout.addStretch(1)
        return FittingScroll(page)

    # Data and settings

    def _on_source(self, *_: object) -> None:
        self.pairs.setVisible(self.from_layers.isChecked())
        self.folder_source.setVisible(self.from_folder.isChecked())
        self._on_data()

    def _on_settings(self) -> None:
        self.check.allow_device()
        self._on_data(only_settings=True)

    def _on_data(self, only_settings: bool = False) -> None:
        """Look at the data anew; while a model trains the processor is left to it."""
        if self.is_training:
            return
        self.recipe.forget()
        if not self._learned <= self._learned_from():
            # A training that was stopped has learned from others.
            self._let_start_go()
        try:
            self._suggest_start()
            request = self.request()
        except EmbedSegError as error:
            self.check.refuse(str(error))
        else:
            folder = request.folder
            self.output.suggest(request.pairs[0].name if folder is None else dataset_name(folder))
            settings = request.config.model_dump(exclude={"minutes", "epochs"})
            data = (request.folder, request.axes, request.channel, request.spacing)
            plan = (*data, request.start_from, request.device, settings)
            # Who writes the minutes and presses Train at once must not find it disabled under the mouse.
            self.check.look_at(request, is_longer_only=only_settings and plan == self._plan)
            self._plan = plan
        self.update_buttons()
        self._show_other()

    def _on_findings(self) -> None:
        """Offer models for images like those that were found, where they are of another kind than those before."""
        found = self.check.findings
        if found is not None and found.ndim not in (0, self.ndim):
            self.ndim = found.ndim
            self.settings.list_models()
            before = self.settings.start_from()
            self._suggest_start()
            if before != self.settings.start_from():
                self._on_data()
        self.update_buttons()

    def _learned_from(self) -> set[object]:
        """The folder, or the pairs of layers."""
        if self.from_folder.isChecked():
            return {self.folder.text()}
        layers = ((row.image.layer(), row.labels.layer()) for row in self.pairs.rows)
        return {tuple(None if layer is None else layer.unique_id for layer in pair) for pair in layers}

    def _let_start_go(self) -> None:
        """Go on from a training that was stopped no longer, unless a person chose to."""
        if not self.settings.why.isHidden():
            self.settings.is_start_chosen = False

    def _suggest_start(self) -> None:
        """Start from what the command line would, unless a person chose."""
        if self.ndim:
            self.settings.suggest_start(*usual_start(self.settings.config(), self.ndim))

    def _is_for_such_images(self, path: Path) -> bool:
        try:
            config = read_config(path)
        except ModelError:
            # What is wrong with it is said to who chooses it.
            return True
        return not self.ndim or config is None or config.ndim == self.ndim

    def request(self) -> TrainingRequest:
        """What the panel asks for.

        Raises
        ------
        EmbedSegError
            If data or settings are not complete.
        """
        folder, axes, spacing, channel = None, None, None, None
        if self.from_folder.isChecked():
            folder, axes = self.folder_source.path(), self.folder_source.axes()
            spacing, channel = self.folder_source.spacing(), self.folder_source.channel()
        pairs = () if folder is not None else tuple(self.pairs.pairs())
        start = self.settings.start_from()
        return TrainingRequest(
            config=self.settings.config(),
            pairs=pairs,
            folder=folder,
            start_from=None if start is None else str(start),
            device=self.settings.device.currentText(),
            output=self.output.path(),
            axes=axes,
            spacing=spacing,
            channel=channel,
        )

    def make_recipe(self) -> Recipe:
        """What trains as the panel is set to do, without a viewer; layers count as their files hold them.

        Raises
        ------
        EmbedSegError
            If data or settings are not complete, or a layer is not in a file.
        """
        request = self.request()
        return of_training(request, self.pairs.files() if request.folder is None else ())

    def update_buttons(self) -> None:
        """Enable what can be used now."""
        is_active = self.is_training
        for box in self.boxes:
            box.setEnabled(not is_active)
        self.check_box.setVisible(not self.check.is_empty)
        self.show_reason(
            "" if is_active else self.check.reason() or self.output.problem(),
            "Train a model on the data above with these settings.",
        )
        self.pause.setVisible(is_active)
        self.recipe.setVisible(not is_active)
        self.pause.setText("Resume" if self.is_paused else "Pause")

    # The training

    def start(self) -> None:
        """Begin to train."""
        try:
            request = self.request()
        except EmbedSegError as error:
            report_error(error)
            return
        self.is_paused = False
        self.recipe.forget()
        is_of_layers, channel = request.folder is None, request.pairs[0].channel if request.pairs else request.channel
        self.preview.begin(
            request.config, learns_from_layers=is_of_layers, findings=self.check.findings, channel=channel
        )
        self._learned = self._learned_from()
        self.trained_on = self.pairs.rows[0].image.layer() if request.pairs else None
        self.trained_channel = "all" if channel is None else channel
        self.job = TrainingJob(request, preview=self.preview.view.example)
        self.progress.begin(request.output.stem)
        self.tabs.setCurrentIndex(1)
        self.pause.setEnabled(True)
        self.run(self.job.run)

    def take_event(self, event: Any) -> None:
        """Show what a training says."""
        if isinstance(event, TrainingPaused):
            self.is_paused = True
            self.pause.setEnabled(True)
            self.progress.show_pause()
            self.update_buttons()
        else:
            super().take_event(event)

    def show_preview(self, event: PreviewReady) -> None:
        """Show what the current network makes of an image."""
        self.preview.show_preview(event)

    def reset_choices(self, event: object = None) -> None:
        """List the layers anew; an image that has come since may be that of the labels of a pair."""
        before = self.pairs.rows[0].image.layers
        super().reset_choices(event)
        if not self.is_closed and not self.is_training:
            for row in self.pairs.rows:
                row.choose_image_under([one for one in row.image.layers if one not in before])

    def learns_from(self, layer: Layer) -> bool:
        """Whether a layer is chosen as an image, or the labels of one."""
        return any(layer in (row.image.layer(), row.labels.layer()) for row in self.pairs.rows)

    def scene(self) -> Scene | None:
        """The image that is previewed, or the first that is learned from, with its labels."""
        source = self.view.source if self.is_training else None
        rows = [] if self.from_folder.isChecked() else self.pairs.rows
        row = next((row for row in rows if source in (None, row.image.layer())), None)
        image = source or (None if row is None else row.image.layer())
        labels = None if row is None else row.labels.layer()
        if image is None or (labels is None and source is None):
            return None
        about = (image, *([] if labels is None else [labels]))
        return Scene(image, about[1:], self.is_own, subject=tuple(layer.unique_id for layer in about))

    def _show_other(self, *_: object) -> None:
        """Show what is learned from, or previewed, where it is another one than before."""
        scene = self.scene()
        subject = None if scene is None else scene.subject
        if subject != self._subject:
            self._subject = subject
            if scene is None and self.stage.owner is self:
                # A folder, for instance: not all that is there at once.
                self.stage.rest()
            else:
                self.show_scene()

    def take_result(self, result: SavedTraining) -> None:
        """Show what a training left behind; one that was stopped is gone on with unless a person chooses otherwise."""
        super().take_result(result)
        if result.path is None:
            return
        if result.stopped:
            self.settings.choose_start(result.path, "the training that was stopped can go on from it")
        else:
            # One that was stopped before has been gone on with.
            self._let_start_go()

    def take_end(self) -> None:
        """Get ready for the next training."""
        self.preview.end()
        self.is_paused = False
        self.output.suggest(self.output.name.text(), anew=True)
        self._on_data()

    def _pause_or_resume(self) -> None:
        if self.job is None:
            return
        if self.is_paused:
            self.is_paused = False
            self.job.resume()
            self.progress.show_resume()
            self.update_buttons()
        else:
            self.pause.setEnabled(False)
            self.pause.setText("Pausing…")
            self.job.pause()

    def stop_training(self) -> None:
        """End now and keep the model so far."""
        self.pause.setEnabled(False)
        super().stop_training()

    def _set_up_next(self) -> None:
        if self.saved is not None and self.saved.path is not None:
            self.settings.choose_start(self.saved.path)
        self.tabs.setCurrentIndex(0)

    def layer_boxes(self) -> tuple[LayerBox, ...]:
        """Boxes in which a layer is chosen."""
        return self.preview.image, *(box for row in self.pairs.rows for box in row.boxes)

    def release(self) -> None:
        """Follow viewer and layers no longer."""
        self.pairs.close_down()
        self.check.close_down()
        self.preview.gradually.cancel()
        self.preview.view.close_down()
        super().release()
