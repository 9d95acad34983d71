"""What is seen of an image that gave way to one of another size."""

from __future__ import annotations

import numpy as np
import pytest
from segment_steps import WAIT, finish


def seen(viewer):
    return {layer.name for layer in viewer.layers if layer.visible}


@pytest.fixture
def hidden(viewer, panel, fake, qtbot):
    """What is seen of an image with its labels, which one of another size has hidden."""
    viewer.add_image(np.zeros((60, 60)), name="one")
    panel.start()
    finish(qtbot, panel)
    before = seen(viewer)
    viewer.add_image(np.zeros((24, 24)), name="two")
    qtbot.waitUntil(lambda: seen(viewer) == {"two"})
    return before


@pytest.mark.parametrize("is_segmented", [False, True])
def test_it_comes_back_where_the_other_is_removed(viewer, panel, hidden, qtbot, is_segmented):
    if is_segmented:
        panel.start()
        finish(qtbot, panel)
        viewer.layers.remove("two labels")
        viewer.layers.remove("two centres")
    viewer.layers.remove("two")
    qtbot.waitUntil(lambda: seen(viewer) == hidden)


def test_it_comes_back_where_the_other_is_removed_during_its_run(viewer, panel, fake, hidden, qtbot):
    fake.gate.clear()
    panel.start()
    qtbot.waitUntil(lambda: "Tile" in panel.progress.format(), timeout=WAIT)
    viewer.layers.remove("two")
    finish(qtbot, panel)
    qtbot.waitUntil(lambda: seen(viewer) == hidden)


def test_it_comes_back_where_it_is_selected_once_the_other_is_as_large(viewer, panel, hidden, qtbot):
    two = viewer.layers["two"]
    two.scale, two.translate = (60 / 24, 60 / 24), (0.75, 0.75)
    viewer.layers.selection.active = viewer.layers["one"]
    qtbot.waitUntil(lambda: hidden <= seen(viewer))


def test_what_the_user_hid_stays_hidden(viewer, panel, fake, qtbot):
    one = viewer.add_image(np.zeros((60, 60)), name="one", visible=False)
    two = viewer.add_image(np.zeros((24, 24)), name="two")
    qtbot.waitUntil(lambda: panel.image.layer == two)
    viewer.layers.remove("two")
    qtbot.waitUntil(lambda: panel.image.layer == one)
    qtbot.wait(50)
    assert not one.visible
