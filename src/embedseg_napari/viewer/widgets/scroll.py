"""A panel that scrolls up and down, and is never narrower than what it holds."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from qtpy.QtWidgets import QScrollArea, QWidget


class FittingScroll(QScrollArea):
    """Scrolls vertically; its width follows the content, so that nothing is cut off at the side."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self._wanted: QWidget | None = None
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setWidget(content)
        content.installEventFilter(self)

    def bring_in(self, part: QWidget) -> None:
        """Scroll as far as it takes to see a part of the content, or its top, once that is laid out anew."""
        self._wanted = part
        QTimer.singleShot(0, self._bring_in)

    def _bring_in(self) -> None:
        if self._wanted is not None:
            self.ensureWidgetVisible(self._wanted, 0, 0)
            bar, top = self.verticalScrollBar(), self._wanted.mapTo(self.widget(), QPoint()).y()
            bar.setValue(min(bar.value(), top))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the content's least width."""
        content = self.widget()
        if content is not None and event is not None and event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
            self.setMinimumWidth(content.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width())
        return super().eventFilter(watched, event)
