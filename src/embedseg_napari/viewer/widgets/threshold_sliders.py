"""Sliders for the thresholds that turn maps into objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QSlider, QWidget

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, FloatBox, IntBox
from embedseg_napari.viewer.widgets.config_form import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("seed_threshold", "foreground_threshold", "faint_seeds", "margin_scale", "min_object_size")
RANGES = {"faint_seeds": (0.0, 0.5), "margin_scale": (0.5, 3.0)}
"""Of the others it is 0 to 1."""
STEPS = 100
"""Slider steps from 0 to 1."""
LARGEST_SIZE = 10**6


class ThresholdSliders(QWidget):
    """What turns maps into objects: for each number a slider beside a box, and the kind of seeds."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        self.sliders: dict[str, QSlider] = {}
        self.numbers: dict[str, Any] = {}
        for row, name in enumerate(NAMES):
            field = PredictionConfig.model_fields[name]
            tip = field.description or ""
            label = QLabel(label_of(name).replace("Min object size", "Minimum size (px)"))
            slider = QSlider(Qt.Orientation.Horizontal)
            slider.setMinimumWidth(60)
            number: Any = IntBox() if name == "min_object_size" else FloatBox()
            if name == "min_object_size":
                number.setRange(0, LARGEST_SIZE)
                # Squares: fine steps for small objects, and thousands still in reach.
                slider.setRange(0, STEPS)
            else:
                least, most = RANGES.get(name, (0.0, 1.0))
                number.setRange(least, most)
                number.setSingleStep(0.01)
                slider.setRange(round(least * STEPS), round(most * STEPS))
            number.setKeyboardTracking(False)
            number.setFixedWidth(96)
            label.setBuddy(number)
            for widget in (label, slider, number):
                widget.setToolTip(tip)
            grid.addWidget(label, row, 0)
            grid.addWidget(slider, row, 1)
            grid.addWidget(number, row, 2)
            self.sliders[name], self.numbers[name] = slider, number
            slider.valueChanged.connect(lambda place, name=name: self._slide(name, place))
            number.valueChanged.connect(lambda value, name=name: self._type(name, value))
        self.seeds = ChoiceBox()
        self.seeds.addItem("any pixel", "greedy")
        self.seeds.addItem("local maxima", "local_maxima")
        label = QLabel("Seeds")
        label.setBuddy(self.seeds)
        for widget in (label, self.seeds):
            widget.setToolTip(PredictionConfig.model_fields["seeds"].description or "")
        grid.addWidget(label, len(NAMES), 0)
        grid.addWidget(self.seeds, len(NAMES), 1, 1, 2)
        self.seeds.currentIndexChanged.connect(self.changed)
        self.set_values(PredictionConfig().model_dump())

    def values(self) -> dict[str, Any]:
        """The settings."""
        return {name: self.numbers[name].value() for name in NAMES} | {"seeds": self.seeds.currentData()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show settings without announcing them; what is not given stays."""
        self.seeds.blockSignals(True)
        self.seeds.setCurrentIndex(self.seeds.findData(values.get("seeds", self.seeds.currentData())))
        self.seeds.blockSignals(False)
        for name in [name for name in NAMES if name in values]:
            for widget, value in (
                (self.numbers[name], values[name]),
                (self.sliders[name], place_of(name, values[name])),
            ):
                widget.blockSignals(True)
                widget.setValue(value)
                widget.blockSignals(False)

    def _slide(self, name: str, place: int) -> None:
        value = place**2 if name == "min_object_size" else place / STEPS
        self.numbers[name].setValue(value)

    def _type(self, name: str, value: float) -> None:
        slider = self.sliders[name]
        slider.blockSignals(True)
        slider.setValue(place_of(name, value))
        slider.blockSignals(False)
        self.changed.emit()


def place_of(name: str, value: float) -> int:
    """Where a slider stands for a value."""
    return min(STEPS, round(value**0.5)) if name == "min_object_size" else round(value * STEPS)
