"""A window of its own that lets go of what it follows, however it is closed."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QDialog


class Window(QDialog):
    """Calls `close_down` when it is closed: by a key, by a button, or by the frame of the window."""

    def done(self, result: int) -> None:
        """Close; called for every way to do so but the window's own button."""
        self.close_down()
        super().done(result)

    def closeEvent(self, event: Any) -> None:
        """Close by the window's own button."""
        self.close_down()
        super().closeEvent(event)

    def close_down(self) -> None:
        """Stop what runs, and follow nothing longer; may be called more than once."""
        raise NotImplementedError
