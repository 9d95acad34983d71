"""Why there is no command is said as long as it is about what is chosen."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["Measure", "Track", "Evaluate", "Train"])
def test_another_layer_takes_the_reason_away(viewer, open_panel, name):
    one, other = (viewer.add_labels(np.ones((4, 9, 9), int), name=text) for text in ("one", "other"))
    viewer.add_image(np.zeros((4, 9, 9)), name="cells")
    if name == "Train":
        pytest.importorskip("pyqtgraph")
    panel = open_panel(f"EmbedSeg: {name}")
    if name == "Evaluate":
        box, recipe = panel.source.predicted, panel.recipe
    elif name == "Train":
        box, recipe = panel.pairs.rows[0].labels, panel.recipe
    else:
        box, recipe = panel.labels, panel.files.recipe if name == "Measure" else panel.recipe
    box.choose(one)
    recipe.copy_command()
    assert not recipe.line.isHidden()
    box.choose(other)
    assert recipe.line.isHidden()
