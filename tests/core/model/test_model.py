from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from embedseg_napari.cli.predict import predict
from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.device import supports_bfloat16
from embedseg_napari.core.errors import ComputeError, ModelError, SettingsError
from embedseg_napari.core.events import PredictionStarted
from embedseg_napari.core.model import known_models
from embedseg_napari.core.model.legacy import LegacyGeometry
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.erfnet import BranchedERFNet


def fresh(ndim: int, **prediction: object) -> Model:
    torch.manual_seed(0)
    config = ModelConfig(ndim=ndim, grid_spacing=(1 / 1023,) * ndim, prediction=PredictionConfig(**prediction))
    return Model(config, BranchedERFNet(ndim))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundled models with one of them."""
    folder = tmp_path / "models"
    monkeypatch.setattr(known_models, "FOLDER", folder)
    fresh(2).save(folder / "nuclei-2d", half=True)
    return folder


def test_bundled_models_load_by_name(shelf: Path) -> None:
    model = load_model("nuclei-2d", device="cpu")
    assert model.path == shelf / "nuclei-2d.embedseg"
    assert known_models.bundled_names() == ["nuclei-2d"]


@pytest.mark.parametrize("source", ["nuclei-3d", "some/where.embedseg", Path("nuclei-2d"), ""])
def test_missing_models_are_a_sentence(shelf: Path, source: str | Path) -> None:
    with pytest.raises(ModelError, match="nuclei-2d" if source != "" else "folder"):
        load_model(source, device="cpu")


def test_no_bundled_models_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_models, "FOLDER", tmp_path / "none")
    assert known_models.bundled_names() == []
    with pytest.raises(ModelError, match="none"):
        load_model("nuclei-2d", device="cpu")
    with pytest.raises(ModelError, match="none"):
        known_models.bundled_path("nuclei-2d")


def test_folders_and_other_files_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path, device="cpu")
    (tmp_path / "image.tif").write_bytes(b"II*\0")
    with pytest.raises(ModelError, match="is not a model file"):
        load_model(tmp_path / "image.tif", device="cpu")


def test_missing_device_is_told_before_reading(shelf: Path) -> None:
    with pytest.raises(ComputeError):
        load_model("nuclei-2d", device="gpu")


def test_geometry_is_only_for_original_checkpoints(shelf: Path) -> None:
    with pytest.raises(SettingsError, match=r"only for original \.pth"):
        load_model("nuclei-2d", device="cpu", legacy=LegacyGeometry((0.001, 0.001)))


def test_save_adds_the_suffix_and_remembers_the_path(tmp_path: Path) -> None:
    model = fresh(2)
    assert model.save(tmp_path / "new" / "cells.v2") == tmp_path / "new" / "cells.v2.embedseg" == model.path


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_fresh_model_predicts(ndim: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (9, 30, 41)[-ndim:]).astype(np.uint8)
    found = fresh(ndim).predict(image, "ZYX"[-ndim:])
    assert found.labels.shape == image.shape
    assert found.maps.offsets.dtype == found.maps.margins.dtype == found.maps.seed_map.dtype == np.float32
    assert (found.maps.offsets == 0).all()


@pytest.mark.skipif(not supports_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16")
@pytest.mark.parametrize("ndim", [2, 3])
def test_bfloat16_stays_close_and_is_used_when_stored(ndim: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(8, 32, 32)[-ndim:]).astype(np.float32)
    model = fresh(ndim)
    torch.nn.init.normal_(model.network.decoders[0].output_conv.weight, std=0.05)
    exact, reduced = model.embed(image), model.embed(image, precision="bfloat16")
    assert not np.array_equal(exact.seed_map, reduced.seed_map)
    np.testing.assert_allclose(reduced.seed_map, exact.seed_map, atol=0.05)
    assert reduced.margins.dtype == np.float32
    model.config = model.config.model_copy(update={"prediction": PredictionConfig(precision="bfloat16")})
    assert np.array_equal(model.embed(image).seed_map, reduced.seed_map)
    assert np.array_equal(model.embed(image, precision="float32").seed_map, exact.seed_map)


def test_wrong_settings_are_a_sentence() -> None:
    model = fresh(2)
    for wrong in ({"seed_threshold": 2.0}, {"min_object_size": -1}, {"precision": "int8"}, {"tile": (10, 10)}):
        with pytest.raises(SettingsError):
            model.predict(np.zeros((16, 16)), "YX", **wrong)


def test_cpu_is_in_evaluation_mode_and_keeps_no_gradients() -> None:
    model = fresh(2)
    model.network.train()
    again = Model(model.config, model.network)
    assert not again.network.training
    assert not any(weight.requires_grad for weight in again.network.parameters())
    assert again.device.type == "cpu"


def test_every_prediction_setting_can_be_set_in_python_and_on_the_command_line() -> None:
    settings = set(PredictionConfig.model_fields)
    for function in (Model.predict, predict):
        assert settings <= set(inspect.signature(function).parameters)


@pytest.mark.parametrize("overlap", [32, np.int64(32), (32, 32)])
def test_tiles_overlap_as_far_as_is_said(overlap) -> None:
    image = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32)
    model, seen = fresh(2), []
    for given in (0, overlap):
        events = []
        model.predict(image, "YX", tile=64, tile_overlap=given, on_event=events.append)
        seen.append(next(event.n_tiles for event in events if isinstance(event, PredictionStarted)))
    assert seen == [2, 3]
    assert model.embed(image, "YX", tile=64, tile_overlap=overlap).seed_map.shape == image.shape
    with pytest.raises(SettingsError, match="tile_overlap"):
        model.predict(image, "YX", tile_overlap=-1)
