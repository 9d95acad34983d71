from __future__ import annotations

import pytest
from large_steps import blobs, write_store

from embedseg_napari.jobs.large.plan import LargeJob


@pytest.fixture
def store(tmp_path):
    """An image of 8 blocks of 64 pixels."""
    return write_store(tmp_path / "cells.ome.zarr", blobs((100, 250), 40, radius=(4.0, 7.0)))


@pytest.fixture
def job(store):
    return LargeJob(store, "nuclei-2d", "cpu", {"precision": "float32"}, block=64)
