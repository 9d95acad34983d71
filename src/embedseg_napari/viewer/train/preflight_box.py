"""The part of the Train panel that says what was found in the data."""

from __future__ import annotations

import html
import sys
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt.utils import qdebounced

from embedseg_napari.jobs.notes import Notes
from embedseg_napari.jobs.preflight import Findings, inspect_data, inspect_plan
from embedseg_napari.viewer.widgets.boxes import Sentence
from embedseg_napari.viewer.widgets.long_names import with_short_words
from embedseg_napari.viewer.worker import BackgroundRun, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.jobs.train import TrainingRequest

WAIT_MILLISECONDS = 400
"""Painting and typing come in bursts; look when they rest."""


class PreflightBox(QWidget):
    """Looks at data and settings in a thread whenever they change."""

    changed = Signal()
    """There are new findings, or they are awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.text = Sentence()
        self.text.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        self.findings: Findings | None = None
        self.request: TrainingRequest | None = None
        self.background: BackgroundRun | None = None
        self.is_device_allowed = False
        self._show()

    def allow_device(self) -> None:
        """From now on look at the device too, for which PyTorch is loaded: the user has begun to work here."""
        self.is_device_allowed = True

    def refuse(self, reason: str) -> None:
        """There is nothing to look at, for the given reason."""
        self._stop_looking()
        self.request = None
        self.findings = Findings(problem=reason)
        self._show()

    def look_at(self, request: TrainingRequest, is_longer_only: bool = False) -> None:
        """Look at a request soon; the latest counts.

        Where it differs from the one before only in how long it trains, what was found of that holds meanwhile.
        """
        if self.request is None or not request.reads_same(self.request):
            self._stop_looking()
        self.request = request
        if not is_longer_only:
            self.findings = None
        self._look()
        self._show()

    def _stop_looking(self) -> None:
        """Nobody wants to know any more what is being looked at; large images take minutes."""
        if self.background is not None:
            self.background.stop()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be read."""
        return not self.text.text()

    def reason(self) -> str:
        """Why training cannot start; empty if it can."""
        return "Looking at the data…" if self.findings is None else self.findings.problem

    @qdebounced(timeout=WAIT_MILLISECONDS)
    def _look(self) -> None:
        if self.background is not None and self.background.is_active:
            self._look()
            return
        request = self.request
        if request is None:
            return
        with_device = self.is_device_allowed or "torch" in sys.modules

        def take(findings: Findings) -> None:
            if self.request is request:
                self.findings = findings
                self._show()

        def fail(error: Exception) -> None:
            take(Findings(problem=str(error)))

        self.background = run_in_background(
            _looking(request, with_device), on_event=take, on_result=take, on_error=fail
        )

    def _show(self) -> None:
        found = self.findings
        if found is None:
            self.text.setText("Looking at the data…")
        else:
            rows = "".join(_row(topic, sentence) for topic, sentence in found.rows)
            parts = [f"<table>{rows}</table>"] if rows else []
            parts += [f"<p>⚠ {html.escape(with_short_words(warning))}</p>" for warning in found.warnings]
            # What is wrong stands beside Train.
            self.text.setText("".join(parts))
            # There, names are whole.
            self.text.setToolTip("\n".join(found.warnings))
        self.changed.emit()

    def close_down(self) -> None:
        """Stop looking."""
        if self.background is not None:
            self.background.detach()


def _row(topic: str, sentence: str) -> str:
    return f"<tr><td style='padding-right:8px'><b>{html.escape(topic)}</b></td><td>{html.escape(sentence)}</td></tr>"


def _looking(
    request: TrainingRequest, with_device: bool
) -> Callable[[Callable[[], bool]], Generator[Any, None, Findings]]:
    def look(should_stop: Callable[[], bool]) -> Generator[Any, None, Findings]:
        notes = Notes()
        training, validation = request.read(notes, should_stop)
        found = inspect_data(training, validation, notes.sentences())
        # Enough to train; the device takes longer the first time.
        yield found
        if found.problem or not with_device:
            return found
        from embedseg_napari.viewer.model_list import read_config

        start = None if request.start_from is None else read_config(request.start_from)
        return inspect_plan(training, validation, request.config, start, request.device, found)

    return look
