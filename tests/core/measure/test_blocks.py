"""What is read block by block is measured as if it were in memory."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from skimage.segmentation import watershed

import embedseg_napari as es
from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.measure import blocks
from embedseg_napari.core.measure.blocks import Blocks


@pytest.fixture(autouse=True)
def little_memory(monkeypatch) -> None:
    monkeypatch.setattr(blocks, "MEMORY", 4000)


def cells(shape: tuple[int, ...], n: int, largest: int = 90_000) -> np.ndarray:
    """Touching cells that lie across blocks, one of them a frame around all others."""
    rng = np.random.default_rng(0)
    seeds = np.zeros(shape, np.int64)
    seeds.flat[rng.choice(seeds.size, n, replace=False)] = rng.choice(largest, n, replace=False) + 1
    labels = watershed(rng.random(shape), seeds, mask=rng.random(shape) < 0.9)
    labels[..., 0] = labels[..., -1] = labels[..., 0, :] = labels[..., -1, :] = 5
    return labels


def stored(array: np.ndarray, chunks: tuple[int, ...]) -> zarr.Array:
    found = zarr.create_array({}, shape=array.shape, dtype=array.dtype, chunks=chunks)
    found[...] = array
    return found


@pytest.mark.parametrize(
    ("shape", "axes", "chunks", "image_axes", "image_chunks"),
    [
        ((70, 90), "YX", (16, 16), "YXC", (20, 90, 1)),
        ((70, 90), "XY", (7, 16), "YX", (1, 90)),
        ((17, 40, 50), "ZYX", (8, 8, 8), "CZYX", (1, 1, 40, 50)),
        ((3, 70, 90), "TYX", (1, 13, 50), "TCYX", (1, 2, 13, 13)),
    ],
)
@pytest.mark.parametrize("columns", [(), ("solidity", "surface")])
def test_blocks_give_the_table_of_the_whole(shape, axes, chunks, image_axes, image_chunks, columns) -> None:
    labels = cells(shape, 40).astype(np.uint32)
    sizes = dict(zip(axes, shape, strict=True)) | {"C": 2}
    image = np.random.default_rng(1).integers(0, 60_000, [sizes[letter] for letter in image_axes], np.uint16)
    options = {"image_axes": image_axes, "spacing": (2.0, 0.5, 0.4)[-sum(one in axes for one in "ZYX") :]}
    lazy = stored(labels, chunks)
    assert Blocks(lazy, axes).n_blocks > 3
    wanted = es.measure(labels, image, axes, columns=columns, **options)
    for one, other in ((lazy, stored(image, image_chunks)), (lazy, image), (labels, stored(image, image_chunks))):
        found = es.measure(one, other, axes, columns=columns, **options)
        assert list(found) == list(wanted)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_dask_arrays_and_ids_of_billions() -> None:
    array = pytest.importorskip("dask.array")
    labels = cells((40, 60), 20).astype(np.uint32) * 40_000
    found, wanted = (es.measure(one) for one in (array.from_array(labels, (9, 60)), labels))
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_chunks_decide_where_blocks_are_cut() -> None:
    labels, image = np.zeros((8, 64, 64), np.uint16), np.zeros((8, 64, 64), np.uint16)
    # An image in planes is not read plane by plane again for each small cube of labels.
    assert Blocks(stored(labels, (4, 8, 8)), "ZYX", stored(image, (1, 64, 64)), "ZYX").sides[1:] != (8, 8)
    assert Blocks(labels, "ZYX").sides == labels.shape


def test_negative_numbers_are_found_in_the_block_where_they_are() -> None:
    labels = np.ones((64, 64), np.int32)
    labels[60, 60] = -1
    with pytest.raises(DataError, match="negative numbers"):
        es.measure(stored(labels, (16, 16)))
    with pytest.raises(DataError, match="float32 values"):
        es.measure(stored(labels.astype(np.float32), (16, 16)))


def test_it_stops_between_blocks() -> None:
    asked = []
    with pytest.raises(Stopped):
        es.measure(stored(np.ones((90, 90), np.int32), (16, 16)), should_stop=lambda: asked.append(1) or len(asked) > 3)
    assert len(asked) == 4
