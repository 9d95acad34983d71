"""What a person does in the Track panel."""

from __future__ import annotations

import numpy as np


def track(panel, qtbot) -> None:
    panel.start()
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)


def click(viewer, panel, row: int) -> None:
    """Step to an object and click on it."""
    tracks, shown = panel.correct.corrected.tracks, panel.layers.labels
    place = shown.data_to_world([tracks.frame[row], *np.round(tracks.centroid[row])])
    for axis in viewer.dims.not_displayed:
        viewer.dims.set_point(axis, place[axis])
    panel.correct.click(place)


def press(layer, key: str) -> None:
    """What napari does with a key of a layer."""
    {str(bound): action for bound, action in layer.keymap.items()}[key](layer)
