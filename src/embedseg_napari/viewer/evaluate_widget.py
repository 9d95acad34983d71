"""The Evaluate panel: scores of a segmentation, its mistakes on the image, and better thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.evaluation.diagnosis import Kind
from embedseg_napari.core.evaluation.matching import IOU_THRESHOLDS
from embedseg_napari.core.evaluation.thresholds import PairTried
from embedseg_napari.core.events import Message
from embedseg_napari.viewer.error_overlay import LAYER_NAME, Legend, colormap, mark_names
from embedseg_napari.viewer.evaluation_run import (
    Evaluation,
    ImageScore,
    ImageScored,
    evaluate_arrays,
    evaluate_folders,
    mean_ap,
    scores_as_csv,
    with_errors,
)
from embedseg_napari.viewer.evaluation_source import MISTAKES, EvaluationSource
from embedseg_napari.viewer.input_boxes import ChoiceBox
from embedseg_napari.viewer.layers import RESULT, array_of, is_shown, show_labels, spatial_frame
from embedseg_napari.viewer.navigation import go_to
from embedseg_napari.viewer.score_plot import ScorePlot
from embedseg_napari.viewer.score_table import ImageTable, ObjectTable, ScoreTable
from embedseg_napari.viewer.segmentations import news, origin_of
from embedseg_napari.viewer.threshold_panel import ThresholdPanel
from embedseg_napari.viewer.tuning_flow import SPACE, TuningFlow
from embedseg_napari.viewer.worker import BackgroundRun, report_message, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Labels
    from qtpy.QtGui import QEnterEvent

    from embedseg_napari.core.evaluation.diagnosis import Finding
    from embedseg_napari.viewer.layers import Frame


class EvaluateWidget(QWidget):
    """Panel that compares labels with the truth.

    Parameters
    ----------
    viewer : napari viewer
        Where layers are found and shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.run: BackgroundRun | None = None
        self.scores: Evaluation | None = None
        self.overlay: Labels | None = None
        self._shown: Evaluation | None = None
        self._frame: Frame | None = None
        self._compared: tuple[Labels, Labels] | None = None
        self._opened: dict[str, Any] = {}
        self._is_closed = False
        self._build()
        self._connect()
        self._follow_theme()
        self._follow()

    def _build(self) -> None:
        self.source = EvaluationSource(self.viewer)
        self.evaluate = QPushButton("Evaluate")
        self.evaluate.setToolTip("Match the objects one to one and score them at IoU 0.5 to 0.9.")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Stop what is running.")
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        self.status = QLabel()
        self.status.setWordWrap(True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.evaluate, 1)
        buttons.addWidget(self.stop)

        self.headline = QLabel("No scores yet: choose truth and prediction, then press Evaluate.")
        self.headline.setWordWrap(True)
        self.headline.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.table, self.plot = ScoreTable(), ScorePlot()
        self.export = QPushButton("Save scores...")
        self.export.setToolTip("Write the scores of all images together, and of each, to a CSV file.")
        scores = _column(self.headline, self.table, self.plot, self.export)
        scores.layout().setAlignment(self.headline, Qt.AlignmentFlag.AlignTop)
        scores.layout().setStretchFactor(self.plot, 1)

        self.threshold = ChoiceBox()
        self.threshold.addItems([f"{value:.2f}" for value in IOU_THRESHOLDS])
        self.threshold.setToolTip("IoU from which on a pair counts as found.")
        label = QLabel("Mistakes at IoU")
        label.setBuddy(self.threshold)
        choice = QHBoxLayout()
        choice.addWidget(label)
        choice.addWidget(self.threshold)
        choice.addStretch(1)
        self.legend, self.objects = Legend(), ObjectTable()
        self.objects.setMinimumHeight(180)
        mistakes = _column(choice, self.legend, self.objects)

        self.images = ImageTable()
        self.images.setMinimumHeight(180)
        hint = QLabel("Double-click an image to see its mistakes.")
        hint.setWordWrap(True)
        self.thresholds = ThresholdPanel(self.viewer)
        self.tuning = TuningFlow(self.viewer, self.thresholds, self.source, self._start, self._say, self._evaluate)

        self.tabs = QTabWidget()
        for page, title, tip in (
            (scores, "Scores", "Scores over IoU 0.5 to 0.9."),
            (mistakes, "Mistakes", "What happened to each object."),
            (_column(hint, self.images), "Images", "Scores of each image."),
            (self.thresholds, "Thresholds", "Find better thresholds for a model."),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(page, title), tip)
        content = _column(self.source, buttons, self.reason, self.progress, self.status, self.tabs, margins=9)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        self.setMinimumWidth(360)

    def _connect(self) -> None:
        self.evaluate.clicked.connect(self._evaluate)
        self.stop.clicked.connect(self._stop)
        self.source.changed.connect(self._follow)
        self.export.clicked.connect(self._export)
        self.table.threshold_chosen.connect(lambda value: self.threshold.setCurrentText(f"{value:.2f}"))
        self.threshold.currentIndexChanged.connect(self._change_threshold)
        self.legend.shown_changed.connect(self._follow_legend)
        self.objects.finding_chosen.connect(self._go_to)
        self.images.image_chosen.connect(self._open_image)
        self.tabs.currentChanged.connect(self._follow)
        news.remembered.connect(self._follow)
        self.thresholds.image.layer_changed.connect(self._follow)
        self.thresholds.model.currentIndexChanged.connect(self._follow)
        self.viewer.events.theme.connect(self._follow_theme)
        self.destroyed.connect(lambda *_: self.close_down())

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
        self.thresholds.set_origin(origin_of(predicted))
        self.thresholds.set_reason("Something is running; wait or stop it." if is_running else self._no_tuning())
        self.export.setEnabled(self.scores is not None)
        self.threshold.setEnabled(not is_running)
        self.table.setEnabled(not is_running)
        has_images = self.scores is not None and len(self.scores.images) > 1
        self.tabs.setTabVisible(2, has_images)
        for widget in (self.table, self.plot, self.export):
            widget.setVisible(self.scores is not None)
        self.tabs.setTabEnabled(1, self._shown is not None)

    def _no_tuning(self) -> str:
        if not self.source.is_layers():
            return "Thresholds are tuned on layers: choose Layers above, and the truth."
        if self.source.truth.layer() is None:
            return "Open a Labels layer with the truth."
        if not self.thresholds.has_source():
            return "Segment the image first, or add a model in the Segment panel."
        if self.thresholds.model_path() is not None and self.thresholds.image.layer() is None:
            return "Open the image that the model shall segment."
        return ""

    def _start(self, run: Callable[..., Any], on_result: Callable[[Any], None], what: str) -> None:
        self.progress.setRange(0, 0)
        self.progress.setFormat(what)
        self.status.setText("")
        self.status.hide()
        self.run = run_in_background(run, on_event=self._on_event, on_result=on_result, on_finished=self._follow)
        self._follow()

    def _stop(self) -> None:
        if self.run is not None:
            self.run.stop(patience=1.0)
            self.progress.setFormat("Stopping...")

    def _on_event(self, event: Any) -> None:
        match event:
            case ImageScored(done, n):
                self._advance(done, n, "image %v of %m")
            case PairTried(done, n):
                self._advance(done, n, "thresholds: pair %v of %m")
            case Message():
                report_message(event)

    def _advance(self, done: int, n: int, text: str) -> None:
        self.progress.setRange(0, n)
        self.progress.setValue(done)
        self.progress.setFormat(text)

    # Scores and mistakes

    def _evaluate(self) -> None:
        threshold = float(self.threshold.currentText())
        if not self.source.is_layers():
            truth, predicted = self.source.true_folder.path(), self.source.predicted_folder.path()
            self._forget_layers()
            self._start(lambda stop: evaluate_folders(truth, predicted, stop), self._take_scores, "reading images")
            return
        true_layer, found_layer = self.source.truth.layer(), self.source.predicted.layer()
        if true_layer is None or found_layer is None:
            return
        has_frames = self.source.has_frames()
        self._compare(true_layer, found_layer)
        arrays = array_of(true_layer), array_of(found_layer)
        self._start(
            lambda stop: evaluate_arrays(*arrays, threshold, has_frames, stop), self._take_scores, "comparing objects"
        )

    def _compare(self, truth: Labels, predicted: Labels) -> None:
        self._forget_layers()
        self._compared = (truth, predicted)
        self._frame = spatial_frame(predicted, SPACE[predicted.ndim])
        for layer in self._compared:
            layer.events.paint.connect(self._note_change)
            layer.events.data.connect(self._note_change)

    def _forget_layers(self) -> None:
        for layer in self._compared or ():
            layer.events.paint.disconnect(self._note_change)
            layer.events.data.disconnect(self._note_change)
        self._compared = None

    def _note_change(self, event: object = None) -> None:
        self._say("The labels were changed since; evaluate again for new scores.")

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _take_scores(self, scores: Evaluation) -> None:
        self.scores = scores
        self.table.show_rows(scores.rows, scores.lenient)
        self.table.select_threshold(float(self.threshold.currentText()))
        self.plot.show_rows(scores.rows)
        self.images.show_images(scores.images)
        first = scores.rows[0]
        n = len(scores.images)
        lines = [f"<b>AP {first.ap:.3f}</b> at IoU 0.5, <b>{mean_ap(scores):.3f}</b> as mean over 0.5 to 0.9"]
        where = f" in {n} images" if n > 1 else ""
        lines.append(f"{first.tp + first.fn} true and {first.tp + first.fp} predicted objects{where}")
        self.headline.setText("<br>".join(lines))
        if scores.errors is not None:
            self._show_errors(scores)
        else:
            self._shown = None
            self.objects.show_findings(())
            self.legend.set_counts(None)
        self._follow()
        if self.tabs.currentWidget() is self.thresholds:
            self.tabs.setCurrentIndex(0)

    def _change_threshold(self, *_: object) -> None:
        threshold = float(self.threshold.currentText())
        self.table.select_threshold(threshold)
        self.plot.mark_threshold(threshold)
        shown = self._shown
        if shown is not None:
            self._start(lambda stop: with_errors(shown, threshold, stop), self._show_errors, "marking mistakes")

    def _show_errors(self, scores: Evaluation) -> None:
        errors = scores.errors
        if errors is None or self._frame is None:
            return
        self._shown = scores
        self.overlay = show_labels(
            self.viewer,
            LAYER_NAME,
            errors.overlay,
            frame=self._frame,
            features={"index": list(range(len(mark_names()))), "what": mark_names()},
            into=self.overlay,
            opacity=0.6,
            metadata={RESULT: MISTAKES},
            colormap=colormap(self.legend.shown()),
        )
        counts = {kind: sum(finding.kind is kind for finding in errors.findings) for kind in Kind}
        self.legend.set_counts(counts)
        self.objects.show_findings(errors.findings)
        self._follow_legend()
        self._follow()

    def _follow_legend(self) -> None:
        shown = self.legend.shown()
        self.objects.show_kinds(shown)
        if self.overlay is not None and is_shown(self.viewer, self.overlay):
            self.overlay.colormap = colormap(shown)

    def _go_to(self, finding: Finding) -> None:
        layers = [self.overlay, *(self._compared or ())[::-1]]
        layer = next((layer for layer in layers if is_shown(self.viewer, layer)), None)
        if layer is None:
            self._say("The layers of this evaluation were removed; open them and evaluate again.")
            return
        lead = layer.ndim - len(finding.center)
        pad = (0,) * lead
        go_to(self.viewer, layer, pad + finding.center, pad + finding.lower, tuple(1 for _ in pad) + finding.upper)
        if self._compared is not None:
            for compared, ids in zip(self._compared, (finding.true_ids, finding.predicted_ids), strict=True):
                if ids and is_shown(self.viewer, compared) and compared.ndim == layer.ndim:
                    compared.selected_label = ids[0]

    # Images of a folder

    def _open_image(self, image: ImageScore) -> None:
        if self.run is not None and self.run.is_active:
            return
        if image.files is None:
            frame = next(i for i, other in enumerate(self.scores.images) if other is image) if self.scores else 0
            self.viewer.dims.set_point(self.viewer.dims.ndim - len(self._frame.axes) if self._frame else 0, frame)
            return
        from embedseg_napari.viewer.evaluation_files import open_files

        threshold, files = float(self.threshold.currentText()), image.files
        self._start(lambda stop: open_files(files, threshold, stop), self._show_image, "reading the image")

    def _show_image(self, opened: Any) -> None:
        from embedseg_napari.viewer.evaluation_files import show_opened

        # Anew, so that it lies above the layers of the image.
        self._opened = show_opened(self.viewer, opened, {**self._opened, "mistakes": self.overlay})
        self._compare(self._opened["truth"], self._opened["prediction"])
        self._show_errors(opened.scores)
        self.viewer.reset_view()
        self.tabs.setCurrentIndex(1)

    def _export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save scores", "scores.csv", "Tables (*.csv)")
        if path and self.scores is not None:
            self._write_scores(Path(path))

    def _write_scores(self, path: Path) -> None:
        from embedseg_napari.core.data.images import write_atomically

        assert self.scores is not None
        text = scores_as_csv(self.scores)
        write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"))
        self._say(f"Saved {path}.")

    # Looks and leave-taking

    def _follow_theme(self, event: object = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.plot.set_colors(theme.background.as_hex(), theme.text.as_hex())

    def event(self, event: QEvent) -> bool:
        """Notice when the dock lets go of the panel: napari does not delete it then."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.close_down()
        return bool(super().event(event))

    def enterEvent(self, event: QEnterEvent) -> None:
        """Look anew at what the other panels have made meanwhile."""
        self._follow()
        super().enterEvent(event)

    def close_down(self) -> None:
        """End what is running and follow the viewer no longer."""
        if self._is_closed:
            return
        self._is_closed = True
        if self.run is not None:
            self.run.detach()
        self.viewer.events.theme.disconnect(self._follow_theme)
        news.remembered.disconnect(self._follow)
        self._forget_layers()
        self.source.disconnect_viewer()
        self.thresholds.disconnect_all()


def _column(*items: Any, margins: int = 6) -> QWidget:
    """Widgets and layouts, one below the other."""
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(margins, margins, margins, margins)
    for item in items:
        layout.addWidget(item) if isinstance(item, QWidget) else layout.addLayout(item)
    return page
