"""README's two clicks and the ways between panels, with real clicks: an image, a volume and a movie."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

pytest.importorskip("pyqtgraph")

from fake_training import FakeTraining
from qtpy.QtCore import Qt

from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.model.known_models import bundled_path
from embedseg_napari.viewer.train import widget as train_widget
from embedseg_napari.viewer.widgets.layer_box import CHOOSE

WAIT = 60_000
MODELS = {"image": "nuclei-2d", "volume": "nuclei-3d", "movie": "nuclei-2d"}


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


@pytest.fixture
def drop(viewer, tmp_path):
    """Open an image and later its true labels, as somebody who drops files; returns how to open the labels."""

    def open_image(kind):
        samples = [nuclei((16, 64, 64), diameter=14, seed=1)] if kind == "volume" else []
        samples = samples or [nuclei((96, 96), seed=seed) for seed in range(1 + 2 * (kind == "movie"))]
        arrays = [[getattr(sample, part) for sample in samples] for part in ("image", "labels")]
        image, labels = (parts[0] if kind != "movie" else np.stack(parts) for parts in arrays)
        # The files do not say what their planes are.
        for name, array in (("cells", image), ("truth", labels.astype(np.uint16))):
            tifffile.imwrite(tmp_path / f"{name}.tif", array, metadata=None, photometric="minisblack")
        (layer,) = viewer.open(str(tmp_path / "cells.tif"), plugin="napari")
        return layer, lambda: viewer.open(str(tmp_path / "truth.tif"), plugin="napari", layer_type="labels")[0]

    return open_image


@pytest.fixture
def click(qtbot):
    def press(button):
        assert button.isEnabled(), button.toolTip()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return press


def segmented(panel, qtbot):
    qtbot.waitUntil(lambda: panel.current is None, timeout=WAIT)
    assert panel.results.labels is not None, panel.status.text()
    return panel.results.labels


@pytest.mark.usefixtures("whole_window")
@pytest.mark.parametrize("kind", ["image", "volume", pytest.param("movie", marks=pytest.mark.thorough)])
def test_from_a_dropped_file_to_labels_to_a_model_of_ones_own_and_back(
    viewer, open_panel, drop, click, qtbot, monkeypatch, kind
):
    model = bundled_path(MODELS[kind])
    monkeypatch.setattr(train_widget, "TrainingJob", FakeTraining)
    monkeypatch.setattr(FakeTraining, "model", model.read_bytes())
    layer, open_truth = drop(kind)

    segment = open_panel("EmbedSeg: Segment")
    if kind != "image":
        # What the planes are is asked, once.
        assert not segment.run_button.isEnabled()
        click(segment.image.question.buttons["T" if kind == "movie" else "Z"])
    assert segment.image.layer == layer
    assert segment.model.path == model
    click(segment.run_button)
    found = segmented(segment, qtbot)
    assert found.data.shape == layer.data.shape
    assert viewer.layers.selection.active == found
    assert found.data.max() >= 3

    # What was found is not taken for the truth.
    train = open_panel("EmbedSeg: Train")
    row = train.pairs.rows[0]
    assert row.image.layer() == layer
    assert row.labels.native.currentText() == CHOOSE
    assert not train.train.isEnabled()
    truth = open_truth()
    assert (row.image.layer(), row.labels.layer()) == (layer, truth)
    qtbot.waitUntil(train.train.isEnabled, timeout=WAIT)
    click(train.train)
    qtbot.waitUntil(lambda: train.saved is not None, timeout=WAIT)
    qtbot.waitUntil(lambda: not train.progress.segment.isHidden(), timeout=WAIT)

    # Back to the image it learned from, with the new model.
    viewer.add_image(np.zeros((8, 8)), name="something else")
    click(train.progress.segment)
    assert segment.model.path == train.saved.path != model
    assert segment.image.layer == layer
    again = segmented(segment, qtbot)
    np.testing.assert_array_equal(again.data, found.data)

    # The user's own labels are the truth of an evaluation, the last result is what is judged.
    source = open_panel("EmbedSeg: Evaluate").source
    assert source.truth.layer() == truth
    assert source.predicted.layer() == again
