"""Pictures as layers, and what their files say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedseg_napari.core.files.tiff import Picture, read_image, write_labels
from embedseg_napari.viewer.files.image_files import image_layer, labels_layer


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("n_channels", [2, 3])
def test_channels_behind_the_image_are_colours_or_a_slider(layer_viewer, dtype, n_channels) -> None:
    array = np.random.default_rng(0).integers(0, 200, (20, 30, n_channels)).astype(dtype)
    is_rgb = n_channels == 3 and dtype != "float32"
    picture = Picture(array, "YXC", (0.5, 0.25), "um", path=Path("image.tif"), is_colour=is_rgb)
    data, options, _ = image_layer(picture, "image")
    layer = layer_viewer.add_image(data, **options)
    assert layer.rgb == is_rgb
    np.testing.assert_array_equal(layer.data, array if is_rgb else np.moveaxis(array, -1, 0))
    assert layer.axis_labels == ("y", "x") if is_rgb else ("c", "y", "x")
    np.testing.assert_array_equal(layer.scale[-2:], (0.5, 0.25))
    # A command of the layer names its file only where both have the same axes.
    assert ("path" in layer.metadata) == is_rgb


@pytest.mark.parametrize("is_said", [True, False])
def test_the_seconds_between_frames_go_with_an_image_and_its_mask(layer_viewer, tmp_path, is_said) -> None:
    picture = Picture(np.zeros((3, 8, 9), np.uint16), "TYX", interval=30.0 if is_said else None)
    write_labels(tmp_path / "mask.tif", np.ones((3, 8, 9), np.uint16), "TYX")
    mask = read_image(tmp_path / "mask.tif", labels=True)
    for data, options, _ in (
        image_layer(picture, "image"),
        labels_layer(mask, "mask", picture),
        labels_layer(replace(picture, path=None), "labels"),
    ):
        layer = layer_viewer.add_labels(data, **{name: one for name, one in options.items() if name != "rgb"})
        layer.save(str(tmp_path / "saved.tif"), plugin="embedseg-napari")
        assert read_image(tmp_path / "saved.tif").interval == picture.interval
