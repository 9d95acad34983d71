"""Images of a session as they are opened again."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, paint

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.mark.parametrize("n_colours", [3, 4])
@pytest.mark.parametrize("is_new", [True, False])
def test_an_image_in_colour_comes_back_in_its_colours(viewer, label_panel, rng, n_colours, is_new):
    colours = rng.integers(0, 256, (40, 50, n_colours)).astype(np.uint8)
    panel = label_panel
    annotate(panel, viewer.add_image(colours, name="tissue", rgb=True, scale=(0.5, 0.25), units=("um", "um")))
    painted = paint(panel, 2).data.copy()
    assert panel.autosave.save_now()
    folder = panel.autosave.session.folder
    viewer.layers.clear()
    panel.sessions.new.click()
    if not is_new:
        # A session of an older version.
        state = json.loads((folder / "session.json").read_text())
        del state["images"][0]["is_colour"]
        (folder / "session.json").write_text(json.dumps(state))
    panel.sessions.resume_wanted.emit(folder)
    layer = viewer.layers["tissue"]
    assert layer.rgb == is_new
    np.testing.assert_array_equal(layer.data, colours if is_new else np.moveaxis(colours, -1, 0))
    np.testing.assert_allclose(layer.scale[-2:], (0.5, 0.25))
    assert tuple(layer.axis_labels) == (("y", "x") if is_new else ("c", "y", "x"))
    np.testing.assert_array_equal(np.squeeze(panel.annotation.layers.labels.data), painted)
    assert panel.autosave.is_kept()
