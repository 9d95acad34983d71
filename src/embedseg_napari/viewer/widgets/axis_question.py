"""Asks once what the planes of a stack are, where nothing says so; the layer remembers the answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from embedseg_napari.viewer.layers import ONE_EACH, array_of, name_axes, unknown_axis
from embedseg_napari.viewer.widgets.boxes import Sentence, button, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

MOST_CHANNELS = 6
"""Stacks of more planes are not taken for channels."""
ANSWERS = {
    "Z": ("Depth", "Slices of one volume: objects reach through several of them."),
    "T": ("Time", "Frames of a movie, or separate images: each is segmented by itself."),
    "C": ("Channels", "Several dyes or colours of the same place."),
    ONE_EACH: ("One object each", "Masks of one image, a plane for each object: objects may share pixels."),
}
"""By letter of the axis: what is written on the button, and what it means."""


class AxisQuestion(QWidget):
    """A sentence and a button for each answer; hidden where nothing is open.

    Parameters
    ----------
    fitting : callable, optional
        Gives the name of the model that fits an answer (a letter of the axis), to be named on its button.
    """

    answered = Signal(str)
    """The letter of an answer, after the layer was told."""

    def __init__(self, fitting: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self.fitting = fitting
        self.layer: Image | Labels | None = None
        self.sentence = Sentence()
        # With names of models on them, three side by side would widen the panel at the cost of the image.
        row = QHBoxLayout() if fitting is None else QVBoxLayout()
        self.buttons = {letter: button(*words, partial(self.answer, letter)) for letter, words in ANSWERS.items()}
        for letter in ANSWERS:
            row.addWidget(self.buttons[letter])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addLayout(row)
        self.hide()

    def ask_about(self, layer: Image | Labels | None) -> None:
        """Ask about the planes of a layer, or hide where they are known."""
        axis = None if layer is None else unknown_axis(layer)
        self.layer = None
        if layer is not None and axis is not None:
            self.layer = layer
            n = array_of(layer).shape[axis]
            self.sentence.setText(f"What are the {n} planes of {layer.name}? Its file does not say.")
            for letter, one in self.buttons.items():
                model = "" if self.fitting is None else self.fitting(letter)
                one.setText(ANSWERS[letter][0] + (f", segmented with {short(model)}" if model else ""))
            is_image = isinstance(layer, Image)
            self.buttons[ONE_EACH].setVisible(not is_image)
            self.buttons["C"].setVisible(is_image and n <= MOST_CHANNELS)
        self.setVisible(self.layer is not None)

    def answer(self, letter: str) -> None:
        """Name the axis; panels that chose the layer follow."""
        layer = self.layer
        if layer is not None:
            self.ask_about(None)
            name_axes(layer, f"{letter}YX")
            self.answered.emit(letter)

    def problem(self) -> str:
        """What is to be done first; empty where nothing is open."""
        layer = self.layer
        return "" if layer is None else f"Say what the planes of {layer.name} are."
