"""Model files dropped on napari."""

from __future__ import annotations

import shutil

import pytest
from napari.errors import ReaderPluginError

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import ModelError
from embedseg_napari.core.model.model_file import write_model_file
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.viewer.files.readers import get_reader
from embedseg_napari.viewer.model_list import models


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "tiny.embedseg"
    write_model_file(path, BranchedERFNet(2).state_dict(), ModelConfig(ndim=2))
    return path


@pytest.mark.parametrize("path", ["image.tif", "folder", "package.zip", ["a.embedseg", "b.tif"]])
def test_other_files_are_declined(path):
    assert get_reader(path) is None


def test_a_dropped_model_is_listed_and_adds_no_layer(layer_viewer, model_file):
    assert layer_viewer.open(str(model_file), plugin=None) == []
    assert len(layer_viewer.layers) == 0
    assert models.all()[-1].path == model_file.resolve()


def test_a_dropped_checkpoint_of_the_original_is_imported(layer_viewer, golden, tmp_path):
    source = shutil.copy(golden("legacy_2d.pth"), tmp_path / "best.pth")
    (tmp_path / "data_properties.json").write_text('{"n_x": 513}')
    assert layer_viewer.open(str(source), plugin=None) == []
    known = models.library.find("best")
    assert known.config().grid_spacing == pytest.approx((1 / 512, 1 / 512))
    assert known.path.resolve() in [one.path.resolve() for one in models.all()]


def test_the_panels_are_told(model_file):
    told = []
    models.changed.connect(told.append)
    try:
        get_reader([str(model_file)])([str(model_file)])
    finally:
        models.changed.disconnect(told.append)
    assert [known.path for known in told] == [model_file.resolve()]


def test_a_damaged_model_is_refused_and_not_listed(layer_viewer, tmp_path):
    path = tmp_path / "broken.embedseg"
    path.write_bytes(b"no zip")
    with pytest.raises(ReaderPluginError, match=r"broken\.embedseg: is not a model file, or is damaged"):
        layer_viewer.open(str(path), plugin=None)
    with pytest.raises(ModelError, match=r"broken\.embedseg"):
        get_reader(str(path))(str(path))
    assert path.resolve() not in [known.path for known in models.all()]
