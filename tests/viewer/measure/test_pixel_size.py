"""A pixel size is typed where a layer has none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from measure_steps import export, measure
from qtpy.QtWidgets import QApplication

import embedseg_napari as es
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.viewer.measure import files


def test_a_pixel_size_is_typed_where_the_layer_has_none(panel, viewer, blobs, qtbot, monkeypatch, tmp_path) -> None:
    _, data = blobs(3)
    labels = viewer.add_labels(data, name="objects", axis_labels="zyx")
    assert panel.pixel_size.placeholderText() == "not known: in pixels"
    for wrong in ("0.5", "2, 0, 0.5", "a, b, c", "nan 1 1"):
        panel.pixel_size.setText(wrong)
        panel.start()
        assert f"{wrong} is no pixel size; give three numbers (z, y, x)" in panel.controls.status.text()
    panel.pixel_size.setText("2, 0.5, 0.25")
    measure(panel, qtbot)
    wanted = es.measure(data, spacing=(2, 0.5, 0.25))
    np.testing.assert_array_equal(panel.table["volume_um3"], wanted["volume_um3"])
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "objects.tif"), ""))
    panel.files.recipe.copy.click()
    assert "--spacing 2,0.5,0.25" in QApplication.clipboard().text()
    export(panel, qtbot, tmp_path / "a.ome.tif", "ome-tiff")
    assert read_image(tmp_path / "a.ome.tif", labels=True).spacing == (2, 0.5, 0.25)
    # Another layer's pixels are its own.
    other = viewer.add_labels(data[0], name="other", scale=(0.1, 0.1), units=("um", "um"))
    panel.labels.choose(other)
    assert panel.pixel_size.text() == ""
    assert panel.pixel_size.placeholderText() == "0.1, 0.1"
    panel.pixel_size.setText("0.2")
    measure(panel, qtbot)
    np.testing.assert_allclose(panel.table["area_um2"], panel.table["num_pixels"] * 0.04)
    assert labels.scale.tolist() == [1, 1, 1]
