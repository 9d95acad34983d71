"""OME-Zarr opened as layers: image and labels aligned, in all resolutions, read only where looked at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication
from store_steps import write_store

from embedseg_napari import export_labels
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.core.stores.parts import write_part
from embedseg_napari.core.stores.pyramid import build_pyramid
from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder
from embedseg_napari.viewer.files.live import store_of
from embedseg_napari.viewer.labelled_images import pair_from_layers
from embedseg_napari.viewer.layers import picture_of


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_image_and_labels_lie_on_each_other(layer_viewer, tmp_path, blobs, version):
    image, labels = blobs(2)
    path = write_store(tmp_path / "cells.ome.zarr", image, "yx", version, levels=2)
    store = create_labels(path, open_image(path), name="truth", block=(64, 64))
    store.write((slice(None), slice(None)), labels)
    list(build_pyramid(store))
    shown, truth = open_dataset_folder(layer_viewer, path)
    assert [(type(layer).__name__, layer.name, layer.multiscale) for layer in (shown, truth)] == [
        ("Image", "cells", True),
        ("Labels", "truth", True),
    ]
    np.testing.assert_array_equal(shown.extent.world, truth.extent.world)
    np.testing.assert_allclose(shown.scale, (0.5, 0.5))
    np.testing.assert_array_equal(np.asarray(truth.data[0]), labels)
    picture = picture_of(shown)
    assert (picture.axes, picture.spacing, picture.unit) == ("YX", (0.5, 0.5), "um")
    pair = pair_from_layers(shown, truth)
    np.testing.assert_array_equal(np.asarray(pair.labels), labels)


def test_levels_of_a_thin_volume_have_the_axes_of_the_full_one(layer_viewer, tmp_path):
    labels = np.zeros((2, 300, 40), np.uint32)
    labels[:, 20:90, 5:30] = 3
    export_labels(labels, tmp_path / "labels.ome.zarr", "ome-zarr", "ZYX")
    shutil.copytree(tmp_path / "labels.ome.zarr", tmp_path / "image.ome.zarr")
    described = json.loads((tmp_path / "image.ome.zarr" / "zarr.json").read_text())
    del described["attributes"]["ome"]["image-label"]
    (tmp_path / "image.ome.zarr" / "zarr.json").write_text(json.dumps(described))
    for name, kind in (("labels", "Labels"), ("image", "Image")):
        (layer,) = open_dataset_folder(layer_viewer, tmp_path / f"{name}.ome.zarr")
        assert type(layer).__name__ == kind
        assert [level.shape for level in layer.data] == [(2, 300, 40), (1, 150, 20)]
        np.testing.assert_array_equal(np.asarray(layer.data[0]), labels)
        np.testing.assert_array_equal(np.asarray(layer.data[1]), labels[::2, ::2, ::2])


def test_a_store_that_is_dropped_on_a_panel_opens_with_its_labels(viewer, open_panel, tmp_path, blobs):
    image, labels = blobs(2)
    path = write_store(tmp_path / "cells.ome.zarr", image, "yx", levels=2)
    store = create_labels(path, open_image(path), name="truth", block=(64, 64))
    write_part(store, (0, 0), labels)
    panel = open_panel("EmbedSeg: Segment")
    assert drop(panel, tmp_path) == (False, False)
    assert drop(panel, path) == (True, True)
    assert [layer.name for layer in viewer.layers] == ["cells", "truth"]
    truth = viewer.layers["truth"]
    assert store_of(truth).folder == path / "labels" / "truth"
    # What is written later is seen, too.
    write_part(store, (0, 0), np.zeros_like(labels))
    truth.refresh()
    assert not np.asarray(truth.data[0]).any()


def test_images_beside_the_first_are_told(layer_viewer, tmp_path, blobs, caplog):
    for name in ("0", "1"):
        write_store(tmp_path / "all.zarr" / name, blobs(2)[0])
    (tmp_path / "all.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    assert len(open_dataset_folder(layer_viewer, tmp_path / "all.zarr")) == 1
    assert "all.zarr: holds 2 images; the first, 0, is read" in caplog.text


def drop(panel, path):
    """Whether a panel takes something that is dragged over it, and dropped."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    rest = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter, end = QDragEnterEvent(QPoint(5, 5), *rest), QDropEvent(QPointF(5, 5), *rest)
    for event in (enter, end):
        event.ignore()
        QApplication.sendEvent(panel, event)
    return enter.isAccepted(), end.isAccepted()


def test_what_is_no_image_is_said(layer_viewer, tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataError, match="is no OME-Zarr"):
        open_dataset_folder(layer_viewer, tmp_path / "empty.zarr")


def test_what_does_not_fit_into_memory_is_neither_saved_nor_compared(viewer, open_panel, tmp_path, blobs, monkeypatch):
    image, labels = blobs(2)
    path = write_store(tmp_path / "cells.ome.zarr", image, "yx", levels=2)
    for name in ("truth", "found"):
        write_part(create_labels(path, open_image(path), name=name, block=(64, 64)), (0, 0), labels)
    open_dataset_folder(viewer, path)
    panel = open_panel("EmbedSeg: Evaluate")
    panel.source.choose(viewer.layers["truth"], viewer.layers["found"])
    assert panel.source.fault() == ""
    written = viewer.layers["truth"].save(str(tmp_path / "whole.tif"), plugin="embedseg-napari")
    np.testing.assert_array_equal(read_image(written[0]).array, labels)
    written = viewer.layers["truth"].save(str(tmp_path / "whole.geojson"), plugin="embedseg-napari")
    assert len(json.loads(Path(written[0]).read_text())["features"]) == len(np.unique(labels)) - 1
    monkeypatch.setattr("embedseg_napari.core.machine.memory_of_machine", lambda: 2 * labels.size * 4)
    assert "do not fit into memory" in panel.source.fault()
    for ending in (".tif", ".geojson"):
        with pytest.raises(DataError, match=r"labels.truth already.*Copy the store"):
            viewer.layers["truth"].save(str(tmp_path / f"truth{ending}"), plugin="embedseg-napari")
    assert not list(tmp_path.glob("truth.*"))
