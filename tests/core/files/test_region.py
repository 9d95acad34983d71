"""Regions of images that are read in parts: which channels there are to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.region import Part, choose_region
from embedseg_napari.core.files.tiff import read_image

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = Part((0, 0), (320, 480))


@pytest.mark.parametrize("hidden", [False, True])
def test_alpha_is_a_channel_in_parts_where_it_is_one_in_the_whole(tmp_path: Path, hidden: bool) -> None:
    image = np.random.default_rng(0).integers(0, 255, (320, 480, 4)).astype(np.uint8)
    image[..., 3] = 255
    # As beside the tissue of a slide that was put together.
    image[: 40 * hidden, :, 3] = 0
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64), photometric="rgb", extrasamples=["unassalpha"])
    lazy, whole = open_image(tmp_path / "a.tif"), read_image(tmp_path / "a.tif")
    seen = choose_region(lazy, lazy.axes, "all")
    n = whole.array.shape[whole.axes.index("C")]
    assert n == (4 if hidden else 3)
    assert seen.n_channels == n
    np.testing.assert_array_equal(seen.read(0, WHOLE), np.moveaxis(image[..., :n], -1, 0))
    mean = choose_region(lazy, lazy.axes, "mean", ((10, 50), (20, 90)))
    np.testing.assert_allclose(mean.read(0, Part((0, 0), (40, 70)))[0], image[10:50, 20:90, :n].mean(-1), rtol=1e-6)
    if not hidden:
        with pytest.raises(DataError, match="3 channels, counted from 0; there is no channel 3"):
            choose_region(lazy, lazy.axes, 3)


def test_four_channels_that_are_no_colours_stay(tmp_path: Path) -> None:
    image = np.full((4, 32, 48), 255, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", metadata={"axes": "CYX"})
    lazy = open_image(tmp_path / "a.tif")
    assert choose_region(lazy, lazy.axes, "all").n_channels == 4
