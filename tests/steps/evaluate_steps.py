"""What tests of the Evaluate panel share."""

from __future__ import annotations

import numpy as np

PANEL = "EmbedSeg: Evaluate"


def finish(panel, qtbot) -> None:
    # The buttons follow a moment after the run.
    qtbot.waitUntil(lambda: panel.run is not None and not panel.run.is_active and panel.stop.isHidden(), timeout=60_000)


def press(button, panel, qtbot) -> None:
    assert button.isEnabled()
    button.click()
    finish(panel, qtbot)


def spoiled(true: np.ndarray) -> np.ndarray:
    """A prediction without the first object, with the last one moved and one invented in a corner."""
    predicted = np.where(true == 1, 0, true)
    last = true == true.max()
    predicted[last] = 0
    predicted[np.roll(last, 1, axis=-1) & (predicted == 0)] = true.max()
    predicted[..., :3, :3] = true.max() + 1
    return predicted.astype(np.int32)
