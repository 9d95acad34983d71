"""Objects that overlap, one plane each in a Labels layer: what Evaluate takes, Train takes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.viewer.preview.part import part_in_view


@pytest.fixture
def crossing(viewer):
    """Two bars that cross, each on its own plane."""
    planes = np.zeros((2, 64, 64), np.uint8)
    planes[0, 28:36, 8:56] = planes[1, 8:56, 28:36] = 1
    image = planes.max(0) + np.random.default_rng(0).normal(0, 0.1, (64, 64)).astype(np.float32)
    return viewer.add_image(image, name="worms"), viewer.add_labels(planes, name="worms truth")


def test_train_takes_planes_and_shows_both_objects(viewer, open_panel, crossing, qtbot):
    panel = open_panel("EmbedSeg: Train")
    qtbot.waitUntil(lambda: not panel.reason.text() or "2 objects" in panel.reason.text(), timeout=20000)
    (example,) = panel.pairs.pairs()[0].examples()
    assert example.is_planes
    part = part_in_view(viewer, crossing[0], "YX", None, crossing[1], "worms")
    objects = part.objects("medoid")
    assert objects is not None
    assert len(objects.ids) == 2
