"""Makes layers that stay of what a preview shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QPushButton

from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from embedseg_napari.viewer.preview.preview import TrainingView


class KeepButton(QPushButton):
    """A button that can be pressed once something was previewed.

    Parameters
    ----------
    view : TrainingView
        What shows the previews.
    """

    def __init__(self, view: TrainingView) -> None:
        super().__init__("Keep")
        self.view = view
        self.setToolTip(
            "Add what the preview shows as layers of their own, which stay when the preview goes or changes."
        )
        self.clicked.connect(self.keep)
        self.setEnabled(False)

    def keep(self) -> None:
        """Add the layers, and say how many there are."""
        n = self.view.keep()
        show_info(f"{count(n, 'layer')} added, to stay.")
