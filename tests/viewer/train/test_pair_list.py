"""Pairs of layers that are trained on, each with its channel."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.errors import DataError
from embedseg_napari.viewer.layers import FOUND, RESULT, SEGMENTED

pytestmark = pytest.mark.usefixtures("own_data", "slim_network")


def test_a_second_pair_takes_layers_that_are_free(viewer, ready, blobs):
    image, labels = blobs(2)
    viewer.add_image(image, name="more")
    viewer.add_labels(labels, name="more truth")
    ready.pairs.add_button.click()
    second = ready.pairs.rows[1]
    assert second.image.layer() != ready.pairs.rows[0].image.layer()
    assert second.labels.layer() != ready.pairs.rows[0].labels.layer()
    assert len(ready.request().pairs) == 2
    second.remove.click()
    assert len(ready.request().pairs) == 1


def test_the_image_is_the_one_that_the_labels_lie_on(viewer, open_panel):
    viewer.add_image(np.zeros((3, 24, 24)), name="film", axis_labels=("t", "y", "x"))
    viewer.add_image(np.zeros((24, 24)), name="film t=1")
    viewer.add_labels(np.ones((3, 24, 24), int), name="truth", axis_labels=("t", "y", "x"))
    (row,) = open_panel("EmbedSeg: Train").pairs.rows
    assert row.image.layer().name == "film"


def test_the_mean_of_all_channels_can_be_learned_from(panel, viewer, qtbot, blobs):
    image, labels = blobs(2)
    viewer.add_image(np.stack([image, 3.0 * image]), name="two", axis_labels=("c", "y", "x"))
    viewer.add_labels(labels, name="truth")
    (row,) = panel.pairs.rows
    row.channel.setCurrentText("mean of all")
    (pair,) = panel.request().pairs
    np.testing.assert_allclose(pair.examples()[0].image, 2.0 * image[None], rtol=1e-6)
    panel.preview.begin(panel.request().config, learns_from_layers=True)
    seen = panel.preview.view.example(pair.examples()[0], NormalizationConfig())
    np.testing.assert_allclose(seen.image, normalize(2.0 * image[None], NormalizationConfig()), atol=1e-5)


def test_channels_have_their_names_and_the_chosen_one_stays(viewer, open_panel):
    (row,) = open_panel("EmbedSeg: Train").pairs.rows
    names = {"a": ("DAPI", "GFP"), "b": ("GFP", "DAPI"), "plain": ()}
    images = {
        name: viewer.add_image(
            np.zeros((2, 24, 24)), name=name, axis_labels=("c", "y", "x"), metadata={"channel_names": of}
        )
        for name, of in names.items()
    }
    images["colours"] = viewer.add_image(np.zeros((24, 24, 3), np.uint8), name="colours", rgb=True)
    viewer.add_labels(np.ones((24, 24), int), name="truth")
    seen = {}
    for name, image in images.items():
        row.image.choose(image)
        seen[name] = [row.channel.itemText(i) for i in range(row.channel.count())][2:]
    assert seen == {
        "a": ["DAPI", "GFP"], "b": ["GFP", "DAPI"], "plain": ["channel 0", "channel 1"],
        "colours": ["red", "green", "blue"],
    }  # fmt: skip
    row.channel.setCurrentText("blue")
    assert row.pair().channel == 2
    row.image.choose(images["a"])
    assert row.pair().channel is None
    row.channel.setCurrentText("GFP")
    assert row.pair().channel == 1
    row.image.choose(images["b"])
    assert row.pair().channel == 0


def test_what_was_found_in_a_part_is_learned_from_there(panel, viewer, blobs, qtbot):
    image, labels = blobs(2)
    cells = viewer.add_image(image, name="cells")
    metadata = {RESULT: FOUND, SEGMENTED: str(cells.unique_id)}
    part = viewer.add_labels(labels[8:50, 4:44], name="cells labels", translate=(8, 4), metadata=metadata)
    (row,) = panel.pairs.rows
    row.labels.choose(part)
    qtbot.waitUntil(panel.train.isEnabled, timeout=20000)
    (pair,) = panel.request().pairs
    np.testing.assert_array_equal(pair.examples()[0].image[0], image[8:50, 4:44])
    assert pair.corners() == {"cells": (8, 4)}
    # A command would read all of the image's file.
    with pytest.raises(DataError, match=r"is of a part of cells, .* and choose that\.$"):
        panel.make_recipe()
