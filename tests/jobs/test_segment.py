"""What a job makes of an image before a network sees it, which maps it keeps, and which models stay in memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from embedseg_napari.core.config import ModelConfig, NormalizationConfig
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.events import TileFinished
from embedseg_napari.core.files.region import Part, choose_region
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.inference import predictor
from embedseg_napari.core.inference.scale_search import FoundScale
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs import segment
from embedseg_napari.jobs.segment import SegmentJob, cached_model, predict, take_channel, warm_up


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_the_mean_of_grey_colours_is_the_grey_image(tmp_path, dtype):
    grey = (np.random.default_rng(0).random((40, 50)) * (1 if dtype == "float32" else np.iinfo(dtype).max)).astype(
        dtype
    )
    colours = np.stack([grey] * 3, -1)
    means = [
        take_channel(colours, "YXC", "mean")[0],
        choose_region(colours, "YXC", "mean").read(0, Part((0, 0), grey.shape))[0],
        from_arrays([(colours, np.ones(grey.shape, int))], axes="YXC", channel="mean")[0].image[0],
    ]
    if dtype == "uint8":
        write_image(tmp_path / "film.tif", np.stack([np.moveaxis(colours, -1, 0)] * 2), "TCYX")
        film = read_image(tmp_path / "film.tif", lazily=True)
        means.append(np.asarray(take_channel(film.array, film.axes, "mean")[0][1]))
    for mean in means:
        np.testing.assert_allclose(mean, grey, rtol=1e-6)
        wanted, seen = (normalize(one[None], NormalizationConfig()) for one in (grey, mean))
        np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", ["TYXC", "TCYX"])
def test_channels_are_not_counted_among_the_maps_of_a_movie(monkeypatch, axes):
    model = Model(ModelConfig(n_channels=3), BranchedERFNet(2, 3))
    movie = np.zeros((2, 16, 16, 3), np.uint8)
    movie = movie if axes == "TYXC" else np.moveaxis(movie, -1, 1)
    job = SegmentJob(movie, axes, "all", "", "cpu", None, {}, advise=False)
    n_bytes = 2 * 16 * 16 * 4 * 5
    for most, is_kept in ((n_bytes, True), (n_bytes - 1, False)):
        monkeypatch.setattr(segment, "MOST_MAP_BYTES", most)
        found = drain(predict(model, job, never))
        assert all((frame.kept_maps is not None) == is_kept for frame in found.frames)


@pytest.mark.parametrize("name", ["data_properties.json", "normalization.json"])
def test_a_checkpoint_is_loaded_anew_where_a_file_beside_it_came_or_was_changed(tmp_path, name):
    path = tmp_path / "run" / "worms.pth"
    path.parent.mkdir()
    torch.save({"model_state_dict": BranchedERFNet(2, 1).state_dict()}, path)
    known = [cached_model(path, "cpu")]
    assert cached_model(path, "cpu") is known[0]
    for place in (tmp_path, path.parent):
        for content in ({"n_x": 513, "norm": "mean-std"}, {"n_x": 257, "norm": "absolute", "data_type": "8-bit"}):
            (place / name).write_text(json.dumps(content))
            known.append(cached_model(path, "cpu"))
    seen = {(one.config.grid_spacing, one.config.normalization.method) for one in known}
    assert len(seen) == 3
    assert known[1].config == known[3].config != known[2].config == known[4].config


def test_the_mean_of_a_single_channel_is_that_channel():
    grey = np.arange(600, dtype=np.uint8).reshape(1, 20, 30)
    region = choose_region(grey, "CYX", "mean").read(0, Part((0, 0), (20, 30)))
    (example,) = from_arrays([(grey, np.ones((20, 30), int))], axes="CYX", channel="mean")
    # Some models go by the type of the pixels.
    for mean in (take_channel(grey, "CYX", "mean")[0], region[0], example.image[0]):
        assert mean.dtype == np.uint8
        np.testing.assert_array_equal(mean, grey[0])


def test_a_model_that_looks_for_the_scale_of_images_looks_for_none_while_it_is_warmed_up(
    tmp_path, tiny_model_file, monkeypatch
):
    """On two cores that took 25 seconds with the bundled model of volumes, each time its panel was opened."""
    model = load_model(tiny_model_file)
    prediction = model.config.prediction.changed({"find_scale": True})
    model.config = model.config.model_copy(update={"prediction": prediction})
    looks = []
    monkeypatch.setattr(predictor, "find_scale", lambda *given: looks.append(given) or FoundScale(1.0, 1.0))
    path = model.save(tmp_path / "scales.embedseg")
    n_tiles = sum(isinstance(event, TileFinished) for event in warm_up(path, "cpu", never))
    assert n_tiles == 1
    assert not looks
