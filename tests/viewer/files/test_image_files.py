"""Pictures as layers, and what their files say of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedseg_napari.core.files.tiff import Picture, read_image, write_labels
from embedseg_napari.viewer.files.image_files import image_layer, labels_layer


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
