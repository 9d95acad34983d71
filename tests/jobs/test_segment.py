"""What a job makes of an image before a network sees it."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.files.region import Part, choose_region
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.jobs.segment import take_channel


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


def test_the_mean_of_a_single_channel_is_that_channel():
    grey = np.arange(600, dtype=np.uint8).reshape(1, 20, 30)
    region = choose_region(grey, "CYX", "mean").read(0, Part((0, 0), (20, 30)))
    (example,) = from_arrays([(grey, np.ones((20, 30), int))], axes="CYX", channel="mean")
    # Some models go by the type of the pixels.
    for mean in (take_channel(grey, "CYX", "mean")[0], region[0], example.image[0]):
        assert mean.dtype == np.uint8
        np.testing.assert_array_equal(mean, grey[0])
