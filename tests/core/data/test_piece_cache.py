"""Images read through a cache of bounded size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from store_steps import write_store

from embedseg_napari.core.data.piece_cache import PieceCache
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(0, 60_000, (3, 20, 300, 310), np.uint16)


@pytest.mark.parametrize("kind", ["zarr", "lines", "strips"])
def test_every_part_is_that_of_the_image_and_memory_is_bounded(tmp_path, volume, kind):
    if kind == "zarr":
        path = write_store(tmp_path / "a.ome.zarr", volume, "czyx", chunk=50)
    else:
        path = tmp_path / "a.tif"
        packed = {"compression": "zlib", "rowsperstrip": 32} if kind == "strips" else {}
        tifffile.imwrite(path, volume, metadata={"axes": "CZYX"}, ome=True, **packed)
    cache = PieceCache(11_000_000)
    image = cache.of(open_image(path))
    rng = np.random.default_rng(1)

    def look(_: int) -> bool:
        low = [int(rng.integers(0, n)) for n in volume.shape[1:]]
        key = (slice(None), *(slice(a, a + int(rng.integers(1, 140))) for a in low))
        return np.array_equal(image[key], volume[key]) and cache.n_bytes <= cache.limit

    assert all(map(look, range(40)))
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(look, range(40)))
    assert np.array_equal(image[1, 2, slice(5, 9), slice(None)], volume[1, 2, 5:9])
    cache.forget()
    assert cache.n_bytes == 0


def test_what_was_read_is_not_read_again(tmp_path, volume):
    path = write_store(tmp_path / "a.ome.zarr", volume[0], "zyx", chunk=50)
    image = PieceCache(100_000_000).of(open_image(path))
    before = image[slice(None), slice(None), slice(None)]
    for chunk in (path / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    assert np.array_equal(image[slice(None), slice(None), slice(None)], before)


def test_pieces_too_large_for_the_memory_are_refused(tmp_path, volume):
    path = write_store(tmp_path / "a.ome.zarr", volume[0], "zyx", chunk=400)
    with pytest.raises(DataError, match=r"8 x 300 x 310 pixels \(1\.5 MB\), too large .* memory of 5\.0 MB"):
        PieceCache(5_000_000).of(open_image(path))
