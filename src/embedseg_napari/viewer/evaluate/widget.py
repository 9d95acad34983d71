"""The Evaluate panel: scores of a segmentation, its mistakes on the image, and better thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.axes import SPATIAL
from embedseg_napari.core.events import Message, PairTried
from embedseg_napari.jobs.evaluate import (
    Evaluation,
    ImageScore,
    ImageScored,
    evaluate_arrays,
    evaluate_folders,
    with_errors,
)
from embedseg_napari.viewer.camera import show_whole
from embedseg_napari.viewer.evaluate.mistakes_page import ComparedLayers, MistakesPage
from embedseg_napari.viewer.evaluate.scores_page import ScoresPage
from embedseg_napari.viewer.evaluate.source import EvaluationSource
from embedseg_napari.viewer.evaluate.tables import ImageTable
from embedseg_napari.viewer.evaluate.threshold_actions import TuningFlow
from embedseg_napari.viewer.evaluate.threshold_panel import ThresholdPanel
from embedseg_napari.viewer.provenance import maps_of, news
from embedseg_napari.viewer.widgets.boxes import Sentence, short
from embedseg_napari.viewer.widgets.dock_panel import DockPanel
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons
from embedseg_napari.viewer.widgets.scroll import FittingScroll
from embedseg_napari.viewer.widgets.time_left import TimeLeft
from embedseg_napari.viewer.worker import BackgroundRun, report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import napari
    from qtpy.QtGui import QEnterEvent

    from embedseg_napari.viewer.stage import Scene
    from embedseg_napari.viewer.widgets.layer_box import LayerBox


class EvaluateWidget(DockPanel):
    """Panel that compares labels with the truth.

    Parameters
    ----------
    viewer : napari viewer
        Where layers are found and shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.run: BackgroundRun | None = None
        self._opened: dict[str, Any] = {}
        self._asked: tuple[Any, ...] = ()
        self._scored: tuple[Any, ...] = ()
        """Truth and prediction that the scores are of, and their names then."""
        self._pair: Hashable = None
        self._time_left = TimeLeft()
        self._build()
        self._connect()
        self.plot = self.scoring.plot
        self.follow_theme()
        self._follow()

    def _build(self) -> None:
        self.source = EvaluationSource(self.viewer)
        self.evaluate = QPushButton("Evaluate")
        self.evaluate.setToolTip("Match the objects one to one and score them at IoU 0.5 to 0.9.")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Stop what is running.")
        self.reason = Sentence()
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        self.status, self.old = Sentence(), Sentence()
        buttons = QHBoxLayout()
        buttons.addWidget(self.evaluate, 1)
        buttons.addWidget(self.stop)

        self.scoring, self.mistakes = ScoresPage(), MistakesPage(self.viewer)
        self.images = ImageTable()
        self.images.setMinimumHeight(180)
        hint = QLabel("Double-click an image to see its mistakes.")
        hint.setWordWrap(True)
        self.thresholds = ThresholdPanel(self.viewer)
        self.tuning = TuningFlow(self.viewer, self.thresholds, self.source, self._start, self._say, self._evaluate)

        self.tabs = QTabWidget()
        for page, title, tip in (
            (self.scoring, "Scores", "Scores over IoU 0.5 to 0.9."),
            (self.mistakes, "Mistakes", "What happened to each object."),
            (_column(hint, self.images), "Images", "Scores of each image."),
            (self.thresholds, "Thresholds", "Find better thresholds for a model."),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(page, title), tip)
        self.recipe = RecipeButtons(self.source.recipe)
        content = _column(self.source, buttons, self.reason, self.progress, self.status, self.old, self.tabs, margins=4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.addWidget(FittingScroll(content), 1)
        # However long the page above is.
        layout.addWidget(self.recipe)

    def _connect(self) -> None:
        self.evaluate.clicked.connect(self._evaluate)
        self.stop.clicked.connect(self._stop)
        self.source.changed.connect(self._follow)
        self.source.changed.connect(self._show_pair)
        self.source.changed.connect(self.recipe.forget)
        # What was said is of the others.
        self.source.use_folders.toggled.connect(lambda _: self._say(""))
        self.scoring.written.connect(lambda path: self._say(f"Saved {path}."))
        self.scoring.failed.connect(self._fail)
        self.scoring.table.threshold_chosen.connect(self.mistakes.choose)
        self.mistakes.threshold_chosen.connect(self._change_threshold)
        self.mistakes.noted.connect(self._say)
        self.mistakes.scene_changed.connect(self.show_scene)
        self.images.image_chosen.connect(self._open_image)
        self.tabs.currentChanged.connect(self._follow)
        news.remembered.connect(self._follow)
        self.thresholds.image.changed.connect(self._follow)
        self.thresholds.model.currentIndexChanged.connect(self._follow)

    @property
    def scores(self) -> Evaluation | None:
        """The latest scores."""
        return self.scoring.scores

    # What can be done now

    def _follow(self, *_: object) -> None:
        """Bring buttons and reasons up to date."""
        is_running = self.run is not None and self.run.is_active
        fault = self.source.fault()
        self.evaluate.setEnabled(not fault and not is_running)
        self.stop.setVisible(is_running)
        self.progress.setVisible(is_running)
        self.reason.setText(fault)
        self.reason.setVisible(bool(fault) and not is_running and not self.source.is_wrong())
        predicted = self.source.predicted.layer() if self.source.is_layers() else None
        self.thresholds.set_origin(maps_of(predicted))
        self.thresholds.set_running(is_running)
        self.tuning.follow()
        self.thresholds.set_reason("Something is running; wait or stop it." if is_running else self._no_tuning())
        self.mistakes.threshold.setEnabled(not is_running)
        self.scoring.table.setEnabled(not is_running)
        is_old = self.scores is not None and not is_running and not fault and self._scored[:2] != self._compared()[:2]
        names = " and ".join(self._scored[2:])
        self.old.setText(f"What is below is of {names}; press Evaluate for what is chosen now." if is_old else "")
        self.old.setVisible(is_old)
        has_images = self.scores is not None and len(self.scores.images) > 1
        self.tabs.setTabVisible(2, has_images)
        self.tabs.setTabEnabled(1, self.mistakes.shown is not None)

    def _compared(self) -> tuple[Any, ...]:
        """Truth and prediction that are chosen, and their names."""
        source = self.source
        if source.is_layers():
            layers = source.truth.layer(), source.predicted.layer()
            return *layers, *(short(layer.name) for layer in layers if layer is not None)
        folders = source.true_folder.path(), source.predicted_folder.path()
        return *folders, *(short(folder.name) for folder in folders)

    def _no_tuning(self) -> str:
        if not self.source.is_layers():
            return "Thresholds are tuned on layers: choose Layers above, and the truth."
        if self.source.truth.layer() is None:
            return "Open a Labels layer with the truth."
        if not self.thresholds.has_source():
            return "Segment the image first, or add a model in the Segment panel."
        if self.thresholds.model_path() is not None and self.thresholds.image.layer() is None:
            return "Open the image for the model to segment."
        return ""

    def _start(self, run: Callable[..., Any], on_result: Callable[[Any], None], what: str) -> None:
        self.progress.setRange(0, 0)
        self.progress.setFormat(what)
        self.status.setText("")
        self.status.hide()
        self._time_left.begin()
        self.run = run_in_background(
            run, on_event=self._on_event, on_result=on_result, on_error=self._fail, on_finished=self._follow
        )
        self._follow()

    def _stop(self) -> None:
        if self.run is not None:
            self.run.stop(patience=1.0)
            self.progress.setFormat("Stopping…")

    def _on_event(self, event: Any) -> None:
        match event:
            case ImageScored(done, n):
                self._advance(done, n, "image %v of %m")
            case PairTried(done, n):
                self._advance(done, n, "thresholds: pair %v of %m")
            case Message():
                # Here, where it can be read whole, and not as a notification.
                self._say("\n".join(filter(None, (self.status.text(), event.text))))

    def _advance(self, done: int, n: int, text: str) -> None:
        self.progress.setRange(0, n)
        self.progress.setValue(done)
        self.progress.setFormat(text + self._time_left.text(done / n))

    # Scores and mistakes

    def _evaluate(self) -> None:
        threshold = self.mistakes.iou()
        self._asked = self._compared()
        if not self.source.is_layers():
            truth, predicted = self.source.true_folder.path(), self.source.predicted_folder.path()
            self._start(lambda stop: evaluate_folders(truth, predicted, stop), self._take_scores, "reading images")
            return
        true_layer, found_layer = self.source.truth.layer(), self.source.predicted.layer()
        if true_layer is None or found_layer is None:
            return
        has_frames, (truth, predicted, ignore) = self.source.has_frames(), self.source.compared()
        are_planes = self.source.are_planes()
        compared = ComparedLayers(true_layer, found_layer, self.source.axes(), self.viewer.layers)
        self._start(
            lambda stop: evaluate_arrays(truth, predicted, threshold, has_frames, stop, ignore, are_planes),
            lambda scores: self._take_scores(scores, compared),
            "comparing objects",
        )

    def _fail(self, error: Exception) -> None:
        """Say here, too, what went wrong: a notification is gone before it was read, or cut off."""
        self._say(str(error), is_wrong=True)
        report_error(error)

    def _say(self, text: str, is_wrong: bool = False) -> None:
        self.status.say(text, is_wrong)
        self.status.setVisible(bool(text))

    def _take_scores(self, scores: Evaluation, compared: ComparedLayers | None = None) -> None:
        self._scored = self._asked
        self.scoring.show_scores(scores, self.mistakes.iou())
        self.images.show_images(scores.images)
        if scores.errors is not None and compared is not None:
            self.mistakes.compare(compared)
            self._show_mistakes(scores)
        else:
            self.mistakes.clear()
            self._follow()
        if self.tabs.currentWidget() is self.thresholds:
            self.tabs.setCurrentIndex(0)

    def _change_threshold(self, threshold: float) -> None:
        self.scoring.mark_threshold(threshold)
        shown = self.mistakes.shown
        if shown is not None:
            self._start(lambda stop: with_errors(shown, threshold, stop), self._show_mistakes, "marking mistakes")

    def _show_mistakes(self, scores: Evaluation) -> None:
        self.mistakes.show_mistakes(scores)
        if self._was_front is False:
            # The user went on to another panel.
            self.mistakes.step_aside()
        self._follow()

    # Images of a folder

    def _open_image(self, image: ImageScore) -> None:
        if self.run is not None and self.run.is_active:
            return
        if image.files is None:
            frame = next(i for i, other in enumerate(self.scores.images) if other is image) if self.scores else 0
            self.mistakes.go_to_frame(frame)
            return
        from embedseg_napari.viewer.evaluate.open_pair import open_files

        threshold, files = self.mistakes.iou(), image.files

        def show(opened: Any) -> None:
            self._show_image(opened, image.frame)

        self._start(lambda stop: open_files(files, threshold, stop), show, "reading the image")

    def _show_image(self, opened: Any, frame: int | None) -> None:
        from embedseg_napari.viewer.evaluate.open_pair import show_opened

        # Anew, so that it lies above the layers of the image.
        self._opened = show_opened(self.viewer, opened, {**self._opened, "mistakes": self.mistakes.overlay})
        predicted = self._opened["prediction"]
        n_space = predicted.ndim - opened.scores.has_frames
        axes = "T" * opened.scores.has_frames + SPATIAL[-n_space:]
        self.mistakes.compare(ComparedLayers(self._opened["truth"], predicted, axes, self.viewer.layers))
        self._show_mistakes(opened.scores)
        # As large as it goes, whatever else is open.
        show_whole(self.viewer, predicted)
        if frame is not None:
            self.mistakes.go_to_frame(frame)
        self.tabs.setCurrentIndex(1)

    # Coming and going

    def enterEvent(self, event: QEnterEvent) -> None:
        """Look anew at what the other panels have made meanwhile."""
        self._follow()
        super().enterEvent(event)

    def scene(self) -> Scene | None:
        """The mistakes over what is compared; before there are any, the truth and prediction that are chosen."""
        return self.source.scene() if self.mistakes.shown is None else self.mistakes.scene()

    def _show_pair(self) -> None:
        """Show what is chosen, where it is another pair than before."""
        scene = self.source.scene()
        subject = None if scene is None else scene.subject
        if subject != self._pair:
            self._pair = subject
            self.show_scene()

    def take_front(self, is_front: bool) -> None:
        """Show the mistakes while the panel is before others, and all as it was while another one is."""
        super().take_front(is_front)
        if not is_front:
            self.stage.leave(self)
            self.mistakes.step_aside()

    def layer_boxes(self) -> tuple[LayerBox, ...]:
        """Boxes in which a layer is chosen."""
        return self.source.truth, self.source.predicted, self.thresholds.image

    def reset_choices(self, event: Any = None) -> None:
        """List the layers anew, and choose two different ones when one comes or goes."""
        super().reset_choices(event)
        if not self.is_closed and event is not None and event.type in ("inserted", "removed"):
            self.source.tell_apart(stays=event.type == "removed")

    def release(self) -> None:
        """End what is running and follow the viewer no longer."""
        if self.run is not None:
            self.run.detach()
        news.remembered.disconnect(self._follow)
        self.mistakes.close_down()
        self.source.hint.close_down()
        self.thresholds.close_down()


def _column(*items: Any, margins: int = 6) -> QWidget:
    """Widgets and layouts, one below the other."""
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(margins, margins, margins, margins)
    for item in items:
        layout.addWidget(item) if isinstance(item, QWidget) else layout.addLayout(item)
    return page
