"""A large image is annotated in parts, and what is accepted there goes into the labels of its store."""

from __future__ import annotations

import numpy as np
import pytest
from big_steps import IMAGE, in_one_go, labels_in, open_cells, small_blocks

PANEL = "EmbedSeg: Label & Train"


@pytest.fixture
def panel(open_panel, monkeypatch):
    small_blocks(monkeypatch)
    monkeypatch.setattr("embedseg_napari.viewer.label.large_part.MOST", {2: (200, 240)})
    return open_panel(PANEL)


def look_at(viewer, center, zoom):
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0, *center), zoom


def annotate(panel, qtbot):
    panel.annotation.annotate.click()
    qtbot.waitUntil(lambda: panel.annotation.layers.labels is not None)
    return panel.annotation.layers


def test_annotate_copies_what_is_in_view(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    in_one_go(path, name="embedseg")
    assert "is large" in panel.problem()
    look_at(viewer, (150, 175), 1)
    layers = annotate(panel, qtbot)
    part = layers.image
    assert part.name.startswith("cells y")
    assert part.data.shape == (200, 240)
    start = tuple(np.round(image.world_to_data(part.data_to_world((0, 0)))).astype(int))
    inside = tuple(slice(a, a + n) for a, n in zip(start, part.data.shape, strict=True))
    np.testing.assert_array_equal(part.data, IMAGE[inside])
    # What is painted and accepted replaces what the run found there.
    before = labels_in(path)
    mine = np.zeros(part.data.shape, np.int32)
    mine[50:60, 50:60], mine[100:110, 100:110], mine[150:155, 150:155] = 1, 2, 3
    layers.labels.data = mine
    assert not panel.store.isHidden()
    assert not panel.store.write_button.isEnabled()
    layers.accept([1, 2])
    panel.annotation.count()
    assert panel.store.labels.currentData() == "embedseg"
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    assert "2 new objects" in panel.store.said.text()
    now = labels_in(path)[inside]
    assert (now[50:60, 50:60] == before.max() + 1).all()
    assert (now[100:110, 100:110] == before.max() + 2).all()
    assert not np.isin(now[mine == 3], [before.max() + 3]).any()
    assert "cells embedseg" in viewer.layers
    # Once more: they are there, and stay the same.
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    assert "0 new objects" in panel.store.said.text()


def test_a_rectangle_that_is_selected_is_copied_and_labels_are_made(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    corners = [image.data_to_world(one) for one in ((300, 400), (300, 500), (420, 500), (420, 400))]
    panel.annotation.image.choose(image)
    viewer.layers.selection.active = viewer.add_shapes([corners], shape_type="rectangle")
    layers = annotate(panel, qtbot)
    assert layers.image.name == "cells y300 x400"
    assert layers.image.data.shape == (121, 101)
    mine = np.zeros(layers.image.data.shape, np.int32)
    mine[:10, :10] = 5
    layers.labels.data = mine
    layers.accept([5])
    panel.annotation.count()
    assert panel.store.labels.currentText() == "into annotated (new)"
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    made = labels_in(path, "annotated")
    assert made.sum() == 100
    assert (made[300:310, 400:410] == 1).all()
    np.testing.assert_array_equal(labels_in(path, "annotated", 1), made[::2, ::2])


def test_images_in_memory_are_annotated_whole(viewer, panel, qtbot):
    viewer.add_image(IMAGE, name="cells")
    assert annotate(panel, qtbot).labels.data.shape == IMAGE.shape
    assert panel.store.isHidden()
