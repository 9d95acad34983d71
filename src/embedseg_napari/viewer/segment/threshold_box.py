"""The thresholds: of the chosen result, whose objects follow at once, or else of the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.errors import ModelError
from embedseg_napari.viewer.model_list import read_config
from embedseg_napari.viewer.segment.reclustering import Reclustering
from embedseg_napari.viewer.widgets.boxes import button
from embedseg_napari.viewer.widgets.long_names import cut
from embedseg_napari.viewer.widgets.threshold_sliders import ThresholdSliders

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.segment.results import Result, ResultLayers

MOST_LETTERS = 22
"""Of a name in the title: the panel is as wide as that."""
WIDTH = 292
"""Pixels."""
UNDO = "Take the thresholds from before the last change, or show again what was there before a run found nothing."
SETTLE = 250
"""Milliseconds after the last move of a slider until tables and arrows follow."""


class ThresholdBox(QGroupBox):
    """Sliders, the way back to the model's thresholds, and to those before the last change.

    Parameters
    ----------
    results : ResultLayers
        Whose chosen result the sliders act on.
    """

    collected = Signal(object)
    """The `Result` whose objects were collected anew."""
    replaced = Signal(object)
    """The `Result` that found nothing, instead of which the one before is shown again."""
    settled = Signal()
    """Sliders came to rest, and tables may follow."""

    def __init__(self, results: ResultLayers) -> None:
        super().__init__()
        self.results = results
        self.sliders = ThresholdSliders()
        self.sliders.setToolTip("After a run the objects follow at once; the network is not run again.")
        self.reclustering = Reclustering(self)
        self.is_settled = True
        """Whether tables and arrows have followed the sliders."""
        self.back_button = button(
            "Back to the model's thresholds", "Take the thresholds stored with the model.", self.go_back
        )
        self.undo_button = button("Undo", UNDO, self.undo)
        self.ways_back = QWidget()
        """The two buttons; they stay in sight where the sliders are scrolled away."""
        buttons = QHBoxLayout(self.ways_back)
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.addWidget(self.back_button, 1)
        buttons.addWidget(self.undo_button)
        buttons.setSpacing(2)
        layout = QVBoxLayout(self)
        # Beside a panel of this width the canvas has 700 pixels of a screen of 1366; narrower sliders are hard to set.
        self.setMinimumWidth(WIDTH)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.sliders)
        self._result: Result | None = None
        self._moved: list[Result] = []
        """Those whose tables have not followed yet."""
        self._model_path: Path | None = None
        self._chosen = self._stored = self._next = PredictionConfig().clustering
        self._own_size: int = self._stored["min_object_size"]
        """The minimum size of the model; that of a result may be smaller, see `PredictionConfig.at_scale`."""
        self.sliders.changed.connect(self._recluster)
        self.reclustering.ready.connect(self._take_objects)
        self.follow(None)

    @property
    def result(self) -> Result | None:
        """The result that the sliders act on; None where they are for the next run."""
        return self._result

    def take_model(self, path: Path | None, stored: dict[str, Any]) -> None:
        """Show the thresholds of another model, for the next run."""
        self._model_path, self._result = path, None
        self._stored = self._chosen = {name: stored[name] for name in self.sliders.values()}
        self._own_size = stored["min_object_size"]
        self.sliders.set_values(self._chosen)
        self.show_state()

    def follow(self, result: Result | None) -> None:
        """Act on a result, and show its thresholds."""
        self._next = self.of_next_run()
        self._result = result
        if result is None:
            self._stored = self._chosen
            self._own_size = self._stored["min_object_size"]
            self.sliders.set_values(self._next)
        else:
            self._stored, self._own_size = _stored_for(result)
            self.sliders.set_values(result.values)
        self.show_state()

    def of_next_run(self) -> dict[str, Any]:
        """Thresholds for the next run: those that are shown, unless they are of a result of another model."""
        is_other = self._result is not None and self._result.model_path != self._model_path
        if is_other:
            return self._next
        values = self.sliders.values()
        # What fell with the scale of one image does not stay so for the next.
        is_own = values["min_object_size"] == self._stored["min_object_size"]
        return values | {"min_object_size": self._own_size} if is_own else values

    def show_state(self) -> None:
        """Say what the sliders act on, and which buttons would change something."""
        result = self._result
        is_own = self.sliders.values() == self._stored
        what = "the next run" if result is None else cut(result.name, MOST_LETTERS)
        # Also those of the last session, which are taken up again.
        # No longer than this: the panel is as wide as its title.
        self.setTitle(f"Thresholds of {what}" if is_own else f"Changed for {what}")
        own = "" if is_own else "Other thresholds than those stored with the model."
        self.setToolTip("\n".join(filter(None, ("" if result is None else result.name, own))))
        self.back_button.setEnabled(not is_own)
        self.undo_button.setEnabled(result is not None and (len(result.history) > 1 or result.instead_of is not None))

    def go_back(self) -> None:
        """Take the thresholds stored with the model."""
        self._take(self._stored)

    def undo(self) -> None:
        """Take the thresholds from before the last change, or show what was there before a run that found nothing."""
        result = self._result
        if result is not None and len(result.history) > 1:
            result.history.pop()
            self._take(result.history[-1])
        elif result is not None and result.instead_of is not None:
            self.reclustering.cancel([result])
            earlier = self.results.bring_back(result)
            self.follow(earlier)
            self.replaced.emit(result)
            self.collected.emit(earlier)
            self.settled.emit()

    def catch_up(self) -> None:
        """Collect the objects that were asked for before a run that has brought no others."""
        for result in self.results.all:
            if result.has_maps() and result.values != result.segmentation.settings.clustering:
                self.is_settled = False
                self.reclustering.request(result, result.values)

    def _take(self, values: dict[str, Any]) -> None:
        self.sliders.set_values(values)
        self._recluster()

    def _recluster(self) -> None:
        result = self._result
        if result is not None and result.has_maps() and self.isEnabled():
            self.is_settled = False
            result.values = self.sliders.values()
            self.reclustering.request(result, result.values)
        self.show_state()

    def _take_objects(self, result: Result, segmentation: Segmentation) -> None:
        self.results.update(result, segmentation)
        self.collected.emit(result)
        self._moved.append(result)
        self._settle()

    @qdebounced(timeout=SETTLE)
    def _settle(self) -> None:
        moved, self._moved = self._moved, []
        for result in self.results.all:
            if result in moved:
                self.results.finish_update(result)
                if result.history[-1] != result.values:
                    result.history.append(result.values)
        self.is_settled = True
        self.show_state()
        self.settled.emit()


def _stored_for(result: Result) -> tuple[dict[str, Any], int]:
    """Thresholds of the model of a result at the scale that was found for it, and the model's own minimum size."""
    try:
        config = read_config(result.model_path)
    except ModelError:
        # The file is gone since.
        config = None
    if config is None:
        config = ModelConfig()
    stored, own = config.prediction, config.prediction.min_object_size
    there = stored.at_scale(result.segmentation.settings.scale, config.ndim)
    fell = result.history[0]["min_object_size"] == there.min_object_size
    return (there if fell else stored).clustering, own
