"""What is done with the Estimate panel in a test."""

from __future__ import annotations

PANEL = "EmbedSeg: Estimate"


def draw(panel, qtbot) -> None:
    panel.controls.run_button.click()
    wait(panel, qtbot)


def wait(panel, qtbot) -> None:
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
