"""A list of the channels of one image, by their names; proposed is what a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superqt.utils import signals_blocked

from embedseg_napari.viewer.layers import channel_names
from embedseg_napari.viewer.widgets.boxes import ChoiceBox

if TYPE_CHECKING:
    from napari.layers import Image

    from embedseg_napari.core.axes import Channel


class ImageChannelBox(ChoiceBox):
    """All channels of an image, one of them, or their mean.

    Parameters
    ----------
    tooltip : str
        Says what is chosen here.
    """

    def __init__(self, tooltip: str) -> None:
        super().__init__(tooltip=tooltip)
        self._is_colour = False
        self._used: dict[bool, str] = {}
        """Names of the channels used last: of images that are in colour (True), and of others."""
        self.currentIndexChanged.connect(self._remember)

    def list_of(self, image: Image | None, n: int, wanted: int) -> None:
        """List the channels of an image that has `n`; all are proposed where a model wants as many. Nobody is told."""
        with signals_blocked(self):
            self.clear()
            if n > 1 and image is not None:
                self._is_colour = is_colour = bool(image.rgb)
                self.addItem(f"all {n}", "all")
                for i, name in enumerate(channel_names(image, n)):
                    self.addItem(name, i)
                self.addItem("mean of all", "mean")
                if wanted != n:
                    # Where channels come in another order, the one of the same name.
                    index = self.findText(self._used.get(is_colour, ""))
                    usual = self.findData("mean" if is_colour else 0)
                    self.setCurrentIndex(index if index >= 0 else usual)
                    self._used.setdefault(is_colour, self.currentText())
            else:
                self.addItem("the only one", "all")

    def channel(self) -> Channel:
        """What is chosen."""
        chosen: Channel = self.currentData()
        return chosen

    def _remember(self, *_: object) -> None:
        """Remember a channel that was chosen; all of them are taken where the model is for as many."""
        if self.currentData() != "all":
            self._used[self._is_colour] = self.currentText()
