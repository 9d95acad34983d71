"""Labels that were opened as an image are told, and become a Labels layer by one press."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from napari.layers import Labels

from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.viewer.layers import ANNOTATION, FOUND, RESULT


@pytest.fixture
def pair():
    made = nuclei((96, 96), diameter=16, seed=2)
    return made.image, made.labels


def test_both_panels_say_it_of_masks_and_turn_them_into_labels(viewer, open_panel, pair):
    image = viewer.add_image(pair[0], name="cells")
    segment, train = open_panel("EmbedSeg: Segment"), open_panel("EmbedSeg: Train")
    row = train.pairs.rows[0]
    hints = segment.image.hint, row.hint
    assert all(hint.isHidden() for hint in hints)
    masks = viewer.add_image(pair[1].astype(np.float32), name="cells truth", scale=(2, 2), translate=(3, 4))
    row.image.choose(masks)
    for hint in hints:
        assert not hint.isHidden()
        assert "cells truth looks like labels" in hint.sentence.text()
    hints[1].button.click()
    assert all(hint.isHidden() for hint in hints)
    made = viewer.layers["cells truth"]
    assert isinstance(made, Labels)
    np.testing.assert_array_equal(made.data, pair[1])
    np.testing.assert_array_equal(made.scale, (2, 2))
    np.testing.assert_array_equal(made.translate, (3, 4))
    assert [layer.name for layer in viewer.layers] == ["cells", "cells truth"]
    assert row.image.layer() == image
    assert row.labels.layer() == made
    assert row.pair().labels.max() == pair[1].max()
    assert segment.image.layer == image


def test_labels_made_of_a_mask_lie_over_their_image_whichever_was_opened_first(viewer, open_panel, pair):
    panel = open_panel("EmbedSeg: Segment")
    masks = viewer.add_image(pair[1].astype(np.float32), name="masks")
    viewer.add_image(pair[0], name="cells")
    panel.image.layer_box.choose(masks)
    panel.image.hint.button.click()
    assert [layer.name for layer in viewer.layers] == ["cells", "masks"]


def test_masks_that_come_while_a_panel_is_open_are_told_where_labels_are_missing(viewer, open_panel, pair):
    image = viewer.add_image(pair[0], name="cells")
    train, evaluate = open_panel("EmbedSeg: Train"), open_panel("EmbedSeg: Evaluate")
    row = train.pairs.rows[0]
    assert row.image.layer() == image
    viewer.add_image(pair[0] + 1, name="other cells")
    assert row.hint.layer is None
    masks = viewer.add_image(pair[1], name="masks")
    assert row.image.layer() == image
    assert row.hint.layer == evaluate.source.hint.layer == masks
    assert "Turn it into labels" in train.reason.text()
    viewer.layers.remove(masks)
    assert row.hint.layer is None
    assert evaluate.source.hint.isHidden()
    viewer.add_image(pair[1], name="masks")
    row.hint.button.click()
    assert row.labels.layer() == evaluate.source.truth.layer() == viewer.layers["masks"]
    assert row.hint.isHidden()
    # Whoever has labels is not asked about another mask.
    viewer.add_image(pair[1], name="more masks")
    assert row.hint.layer is None


@pytest.mark.parametrize("name", ["Measure", "Track", "Estimate"])
@pytest.mark.parametrize("is_open", [True, False])
def test_panels_of_labels_say_it_of_what_was_opened_as_an_image(viewer, open_panel, pair, name, is_open):
    movie = {"axis_labels": ("t", "y", "x")} if name == "Track" else {}
    pixels, masks = [np.stack([one] * 3) for one in pair] if name == "Track" else pair
    panel = open_panel(f"EmbedSeg: {name}") if is_open else None
    image = viewer.add_image(pixels, name="cells", **movie)
    viewer.add_image(masks.astype(np.float32), name="masks", **movie)
    panel = panel or open_panel(f"EmbedSeg: {name}")
    assert "masks looks like labels" in panel.hint.sentence.text()
    assert panel.hint.isVisibleTo(panel)
    panel.hint.button.click()
    assert panel.labels.layer() == viewer.layers["masks"]
    assert panel.image.layer() == image
    assert not panel.hint.isVisibleTo(panel)
    assert panel.controls.run_button.isEnabled()
    # Whoever has labels is not asked about another mask.
    viewer.add_image(masks, name="more masks", **movie)
    assert not panel.hint.isVisibleTo(panel)


def test_labels_that_come_end_the_offer_and_those_of_another_kind_do_not(viewer, open_panel, pair):
    panel = open_panel("EmbedSeg: Track")
    viewer.add_labels(pair[1], name="plane")
    viewer.add_image(np.stack([pair[1]] * 3), name="masks", axis_labels=("t", "y", "x"))
    assert panel.hint.isVisibleTo(panel)
    viewer.add_labels(np.stack([pair[1]] * 3), name="movie", axis_labels=("t", "y", "x"))
    assert panel.labels.layer() == viewer.layers["movie"]
    assert not panel.hint.isVisibleTo(panel)


def test_a_mask_takes_the_place_of_annotations_as_the_truth(viewer, open_panel, pair):
    annotated = viewer.add_labels(pair[1] * 0 + 1, name="annotation", metadata={ANNOTATION: "cells"})
    found = viewer.add_labels(pair[1], name="found", metadata={RESULT: FOUND})
    source = open_panel("EmbedSeg: Evaluate").source
    assert (source.truth.layer(), source.predicted.layer()) == (annotated, found)
    viewer.add_image(pair[1], name="masks")
    source.hint.button.click()
    assert (source.truth.layer(), source.predicted.layer()) == (viewer.layers["masks"], found)


@pytest.mark.parametrize("kind", ["pyramid", "colours", "binary", "stack"])
def test_masks_of_every_kind_of_layer(viewer, open_panel, pair, kind):
    labels = pair[1]
    data = {
        "pyramid": [labels, labels[::2, ::2]],
        "colours": np.stack([labels.astype(np.uint8)] * 3, axis=-1),
        "binary": labels > 0,
        "stack": np.stack([labels] * 3),
    }[kind]
    segment = open_panel("EmbedSeg: Segment")
    viewer.add_image(data, name="masks", multiscale=kind == "pyramid", rgb=kind == "colours")
    assert not segment.image.hint.isHidden()
    segment.image.hint.button.click()
    made = viewer.layers["masks"]
    assert isinstance(made, Labels)
    whole = np.asarray(made.data[0] if kind == "pyramid" else made.data)
    np.testing.assert_array_equal(whole if kind != "stack" else whole[1], labels > 0 if kind == "binary" else labels)


@pytest.mark.parametrize("kind", ["wide", "locked", "store"])
def test_labels_can_be_painted_whatever_they_were_stored_as(viewer, open_panel, pair, kind, qtbot):
    labels = pair[1]
    if kind == "wide":
        data = labels * 1e10
    elif kind == "locked":
        data = labels.copy()
        data.flags.writeable = False
    else:
        zarr = pytest.importorskip("zarr")
        data = zarr.array(labels.astype(np.float32))
    segment = open_panel("EmbedSeg: Segment")
    viewer.add_image(data, name="masks")
    # What lies on a disk is looked at in the background.
    qtbot.waitUntil(lambda: segment.image.hint.layer is not None)
    segment.image.hint.layer.visible = False
    segment.image.hint.button.click()
    made = viewer.layers["masks"]
    assert isinstance(made, Labels)
    assert not made.visible
    np.testing.assert_array_equal(np.asarray(made.data), labels.astype(np.int64) * (10**10 if kind == "wide" else 1))
    made.paint((3, 3), 7)
    assert np.asarray(made.data)[3, 3] == 7


def test_an_image_that_gets_the_pixels_of_a_mask_is_told_too(viewer, open_panel, pair):
    segment = open_panel("EmbedSeg: Segment")
    layer = viewer.add_image(pair[0], name="cells")
    assert segment.image.hint.isHidden()
    layer.data = pair[1]
    assert not segment.image.hint.isHidden()
