"""Images of a session that are opened when they are gone to."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

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
