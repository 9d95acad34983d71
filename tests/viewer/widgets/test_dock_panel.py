"""What holds for every panel: its lists of layers follow the viewer, and a closed panel follows nothing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.viewer.layers import FOUND, RESULT

PANELS = ["EmbedSeg: Segment", "EmbedSeg: Label & Train", "EmbedSeg: Train", "EmbedSeg: Evaluate"]


@pytest.fixture(params=PANELS)
def panel(request, open_panel):
    """Return each of the panels, opened as the menu does."""
    return open_panel(request.param)


def shown(box) -> list[str]:
    return [box.native.itemText(i) for i in range(box.native.count())]


def boxes_of(panel, kind):
    return [box for box in panel.layer_boxes() if box.kind is kind]


@pytest.fixture
def layers(viewer):
    """Return two layers of each kind that a panel may list."""
    zeros = np.zeros((16, 16), np.uint8)
    return [
        *(viewer.add_image(zeros, name=f"image {i}") for i in range(2)),
        *(viewer.add_labels(zeros, name=f"labels {i}") for i in range(2)),
        *(viewer.add_shapes(np.array([[0, 0], [9, 9]]), shape_type="line", name=f"shapes {i}") for i in range(2)),
    ]


def test_lists_of_layers_follow_the_viewer(viewer, panel, layers):
    for box in panel.layer_boxes():
        of_kind = [layer for layer in viewer.layers if isinstance(layer, box.kind)]
        assert shown(box)[-2:] == [layer.name for layer in reversed(of_kind)]
        box.choose(next(layer for layer in of_kind if layer.name.endswith(" 0")))
    for layer in layers:
        layer.name = f"new {layer.name}"
    viewer.layers.move_multiple([0], len(viewer.layers))
    for box in panel.layer_boxes():
        of_kind = [layer for layer in viewer.layers if isinstance(layer, box.kind)]
        assert shown(box)[-2:] == [layer.name for layer in reversed(of_kind)]
        # Neither a new name nor a new place is another choice.
        assert box.current_choice.startswith("new ")
        assert box.current_choice.endswith(" 0")
        assert box.layer().name == box.current_choice
    for layer in layers:
        viewer.layers.remove(layer.name)
    assert [box.layer() for box in panel.layer_boxes()] == [None] * len(list(panel.layer_boxes()))


def test_a_choice_is_told_once_and_a_renaming_is_none(viewer, open_panel, layers):
    panel = open_panel("EmbedSeg: Train")
    box, told = panel.pairs.rows[0].region, []
    box.changed.connect(told.append)
    box.choose(layers[-1])
    layers[-1].name = "another name"
    box.choose(None)
    assert told == [layers[-1], None]


def test_a_panel_that_shows_nothing_puts_no_hidden_layer_in_hand(viewer, open_panel):
    image = viewer.add_image(np.zeros((16, 16)), name="cells")
    first, second = (viewer.add_labels(np.ones((16, 16), int), name=name) for name in ("first", "second"))
    first.metadata[RESULT] = second.metadata[RESULT] = FOUND
    measure, train = open_panel("EmbedSeg: Measure"), open_panel("EmbedSeg: Train")
    viewer.layers.selection.active = first
    measure.labels.choose(second)
    measure.take_front(True)
    assert viewer.layers.selection.active == second
    measure.take_front(False)
    train.take_front(True)
    assert train.scene() is None
    assert [layer.visible for layer in (image, first, second)] == [True, False, True]
    assert viewer.layers.selection.active == second


def test_a_closed_panel_follows_no_layer(viewer, panel, layers):
    before = [shown(box) for box in panel.layer_boxes()]
    boxes = list(panel.layer_boxes())
    viewer.window.remove_dock_widget(panel)
    assert panel.is_closed
    viewer.add_image(np.zeros((16, 16)), name="later")
    viewer.theme = "light"
    assert [shown(box) for box in boxes] == before
    panel.close_down()
