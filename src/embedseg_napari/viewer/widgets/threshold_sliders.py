"""Sliders for the thresholds that turn maps into objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QSpinBox, QWidget
from superqt import QDoubleSlider
from superqt.utils import signals_blocked

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, FloatBox, Sentence, WholeNumberBox, fit_into_panel
from embedseg_napari.viewer.widgets.config_form import label_of
from embedseg_napari.viewer.widgets.editors import MOST_WHOLE, limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtGui import QKeyEvent

NAMES = ("seed_threshold", "foreground_threshold", "faint_seeds", "margin_scale", "min_object_size")
MOST_BY_SLIDER = 10_000
"""Pixels of the minimum size that the slider reaches; more can be typed."""
KEYS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Down: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (1, 0),
    Qt.Key.Key_PageDown: (0, -1),
    Qt.Key.Key_PageUp: (0, 1),
}
"""Steps and pages by which a key moves a slider."""
TICKED = {"drop_border_objects": "Drop at border", "fill_holes": "Fill holes"}


class _KeySlider(QDoubleSlider):
    """A slider that can be moved by keyboard: superqt's takes the focus and no keys."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() not in KEYS:
            super().keyPressEvent(event)
            return
        steps, pages = KEYS[event.key()]
        self.setValue(self.value() + steps * self.singleStep() + pages * self.pageStep())


class ThresholdSliders(QWidget):
    """What turns maps into objects: for each number a slider beside a box, the largest size, and the kind of seeds.

    The slider of the minimum size stands at its square root: fine steps for small objects, and thousands still in
    reach. Largest and minimum size keep each other apart.
    """

    # The labels of superqt's labelled sliders are not reached by keyboard, round what they show, and know no squares.

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        self.sliders: dict[str, _KeySlider] = {}
        self.numbers: dict[str, Any] = {}
        for row, name in enumerate(NAMES):
            field = PredictionConfig.model_fields[name]
            is_size = name == "min_object_size"
            # The heading above says that all of them are thresholds.
            label = QLabel("Min. size (px)" if is_size else label_of(name).removesuffix(" threshold"))
            slider = _KeySlider(Qt.Orientation.Horizontal)
            slider.setMinimumWidth(40)
            number: Any = QSpinBox() if is_size else FloatBox()
            low, high = limits(field, int if is_size else float)
            number.setRange(low, min(high, MOST_WHOLE) if is_size else high)
            slider.setRange(number.minimum(), MOST_BY_SLIDER**0.5 if is_size else number.maximum())
            slider.setSingleStep(1 if is_size else 0.01)
            slider.setPageStep(10 if is_size else 0.1)
            number.setSingleStep(slider.singleStep())
            number.setKeyboardTracking(False)
            number.setFixedWidth(100)
            label.setBuddy(number)
            for column, widget in enumerate((label, slider, number)):
                widget.setToolTip(field.description)
                grid.addWidget(widget, row, column)
            for control in (slider, number):
                fit_into_panel(control)
            self.sliders[name], self.numbers[name] = slider, number
            slider.valueChanged.connect(lambda place, name=name: self._slide(name, place))
            number.valueChanged.connect(lambda value, name=name: self._type(name, value))
        self.largest = WholeNumberBox()
        self.largest.setRange(0, MOST_WHOLE)
        self.largest.setSpecialValueText("no limit")
        self.largest.setSingleStep(10)
        self.largest.setKeyboardTracking(False)
        self.largest.valueChanged.connect(self._keep_apart)
        self.seeds = ChoiceBox()
        self.seeds.addItem("any pixel", "greedy")
        self.seeds.addItem("local maxima", "local_maxima")
        self.seeds.currentIndexChanged.connect(self.changed)
        self._add_row(grid, "Max. size (px)", self.largest, "max_object_size")
        self._add_row(grid, "Seeds", self.seeds, "seeds")
        self.ticks = {name: QCheckBox(text) for name, text in TICKED.items()}
        together = QHBoxLayout()
        for name, tick in self.ticks.items():
            tick.setToolTip(PredictionConfig.model_fields[name].description or "")
            tick.toggled.connect(self.changed)
            together.addWidget(tick)
        grid.addLayout(together, grid.rowCount(), 0, 1, 3)
        self.note = Sentence()
        self.note.hide()
        grid.addWidget(self.note, grid.rowCount(), 0, 1, 3)
        self.set_values(PredictionConfig().model_dump())

    def _add_row(self, grid: QGridLayout, text: str, control: QWidget, name: str) -> None:
        label, row = QLabel(text), grid.rowCount()
        label.setBuddy(control)
        for widget in (label, control):
            widget.setToolTip(PredictionConfig.model_fields[name].description or "")
        grid.addWidget(label, row, 0)
        grid.addWidget(control, row, 1, 1, 2)

    def values(self) -> dict[str, Any]:
        """The settings."""
        return (
            {name: number.value() for name, number in self.numbers.items()}
            | {"max_object_size": self.largest.value(), "seeds": self.seeds.currentData()}
            | {name: tick.isChecked() for name, tick in self.ticks.items()}
        )

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show settings without announcing them; what is not given stays."""
        now = {**self.values(), **values}
        with signals_blocked(self):
            # First, for the minimum size would move it otherwise.
            self.largest.setValue(0)
            for name, number in self.numbers.items():
                number.setValue(now[name])
            self.largest.setValue(now["max_object_size"])
            self.seeds.setCurrentIndex(self.seeds.findData(now["seeds"]))
            for name, tick in self.ticks.items():
                tick.setChecked(now[name])
            self._say("")

    def _slide(self, name: str, place: float) -> None:
        self.numbers[name].setValue(round(place**2) if name == "min_object_size" else round(place, 2))

    def _type(self, name: str, value: float) -> None:
        with signals_blocked(self.sliders[name]):
            self.sliders[name].setValue(value**0.5 if name == "min_object_size" else value)
        if name == "min_object_size" and 0 < self.largest.value() <= value:
            with signals_blocked(self.largest):
                self.largest.setValue(round(value) + 1)
            self._say(f"The largest size was raised to {self.largest.value():,} px, above the smallest.")
        elif name == "min_object_size":
            self._say("")
        self.changed.emit()

    def _keep_apart(self, largest: int) -> None:
        smallest, text = self.numbers["min_object_size"], ""
        if 0 < largest <= smallest.value():
            with signals_blocked(smallest):
                smallest.setValue(largest - 1)
            with signals_blocked(self.sliders["min_object_size"]):
                self.sliders["min_object_size"].setValue(smallest.value() ** 0.5)
            text = f"The smallest size was lowered to {smallest.value():,} px, below the largest."
        self._say(text)
        self.changed.emit()

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))
