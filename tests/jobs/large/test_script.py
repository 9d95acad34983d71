"""Segmenting in blocks from a script: whose model and settings count, and what may be given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from large_steps import labels_of

from embedseg_napari import LegacyGeometry, load_model, predict_large
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.jobs.large.recipe import call_of

MODEL = "nuclei-2d"


def test_a_model_that_is_not_as_in_its_file_is_saved_first(store, tmp_path):
    model = load_model(MODEL, device="cpu")
    brighter = model.config.normalization.model_copy(update={"high": 90.0})
    settings = model.config.prediction.changed({"min_object_size": 40, "precision": "float32"})
    for change in ({"normalization": brighter}, {"prediction": settings}):
        model = load_model(MODEL, device="cpu")
        model.config = model.config.model_copy(update=change)
        with pytest.raises(SettingsError, match=r"not as in its file .*nuclei-2d.embedseg.* save it first"):
            predict_large(store, model, block=64, progress=False)
    assert not (store / "labels").exists()
    model.save(tmp_path / "mine.embedseg")
    result = predict_large(store, model, block=np.int64(64), halo=[np.int64(96)], tile=256, progress=False)
    assert (result.is_finished, result.n_blocks) == (True, 8)
    sizes = np.bincount(labels_of(store).ravel())[1:]
    assert sizes[sizes > 0].min() > 40
    # Where it was, it runs.
    assert call_of(result.labels)["options"]["device"] == "cpu"


@pytest.mark.parametrize("half", [True, False])
def test_a_model_that_was_just_saved_is_as_in_its_file(store, tmp_path, half):
    model = load_model(MODEL, device="cpu")
    weights = next(model.network.parameters())
    with torch.no_grad():
        # No number of half precision.
        weights += 1e-5
    model.save(tmp_path / "mine.embedseg", half=half)
    assert predict_large(store, model, block=64, region=[(0, 64)] * 2, progress=False).is_finished
    with torch.no_grad():
        weights += 0.01
    with pytest.raises(SettingsError, match="save it first"):
        predict_large(store, model, block=64, region=[(0, 64)] * 2, name="other", progress=False)


def test_what_a_checkpoint_was_loaded_with_is_not_dropped(store, tmp_path):
    path = tmp_path / "worms.pth"
    torch.save({"model_state_dict": BranchedERFNet(2, 1).state_dict()}, path)
    model = load_model(path, device="cpu", legacy=LegacyGeometry(spacing=(0.002, 0.002)))
    with pytest.raises(SettingsError, match="save it first"):
        predict_large(store, model, progress=False)


@pytest.mark.parametrize("given", [{"block": "64"}, {"block": 64.0}, {"halo": 1.5}, {"block": [64, "x"]}])
def test_pixels_that_are_no_whole_numbers_are_a_sentence(store, given):
    with pytest.raises(SettingsError, match="takes whole numbers of pixels"):
        predict_large(store, MODEL, progress=False, **given)
