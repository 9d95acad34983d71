"""Images of a session as they are opened again."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, paint

from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.session.session import AnnotationSession

pytestmark = pytest.mark.usefixtures("own_data")


def test_an_image_of_a_unit_that_is_none_is_opened(viewer, label_panel, tmp_path):
    """As "voxel", which ImageJ writes where nobody told it better."""
    with AnnotationSession(tmp_path / "session") as session:
        session.add_image("stack", Picture(np.zeros((2, 4, 30, 30)), "CZYX", (2.0, 0.5, 0.25), "voxel"))
    label_panel.sessions.resume_wanted.emit(tmp_path / "session")
    layer = viewer.layers["stack"]
    assert tuple(layer.scale) == (1, 2, 0.5, 0.25)
    assert {str(unit) for unit in layer.units} == {"pixel"}
    assert tuple(layer.axis_labels) == ("c", "z", "y", "x")


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
