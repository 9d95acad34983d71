"""Labels that this program writes, read by ome-zarr-models, which needs an older pydantic: `tox -e validate`."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from store_steps import write_store

from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.core.stores.pyramid import build_pyramid

models = pytest.importorskip("ome_zarr_models", reason="it has an environment of its own")


@pytest.mark.parametrize("shape", [(2, 300, 200), (3, 2, 20, 300, 200)], ids=["cyx", "tczyx"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_another_reader_finds_image_and_labels(tmp_path, version, shape):
    axes = "tczyx"[-len(shape) :] if len(shape) > 3 else "cyx"
    path = write_store(tmp_path / "im.ome.zarr", np.ones(shape, np.uint8), axes, version, levels=2)
    block = (20, 128, 128)[3 - sum(letter in "zyx" for letter in axes) :]
    inside = create_labels(path, open_image(path), name="nuclei", block=block)
    alone = create_labels(tmp_path / "new.ome.zarr", open_image(path), block=block, version=version)
    for store in (inside, alone):
        store.write((slice(0, 1),) * len(store.axes), np.ones((1,) * len(store.axes), int))
        list(build_pyramid(store))

    def read(folder):
        return models.open_ome_zarr(zarr.open_group(str(folder), mode="r"))

    image = read(path)
    assert type(image).__name__ == "Image"
    assert "nuclei" in str(image.labels.attributes)
    for store in (inside, alone):
        assert type(read(store.folder)).__name__ == "ImageLabel"
