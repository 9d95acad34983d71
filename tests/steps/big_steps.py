"""What tests of large images in the viewer share: a store that counts as large, opened, and a run over it."""

from __future__ import annotations

import numpy as np
from large_steps import blob_model, blobs
from store_steps import write_store

from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.jobs.large.run import predict_large
from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder

SHAPE = (600, 700)
IMAGE = blobs(SHAPE, 150, radius=(4.0, 7.0))


def small_blocks(monkeypatch, ndim=2):
    """Cut images into small blocks, take these for large, and let a network find their blobs that is quick."""
    model = blob_model(ndim)
    for place in ("jobs.segment", "jobs.large.opened"):
        monkeypatch.setattr(f"embedseg_napari.{place}.cached_model", lambda source, device: model)
    monkeypatch.setattr("embedseg_napari.viewer.large.source.SMALL", 200_000)
    monkeypatch.setattr("embedseg_napari.jobs.large.plan.LEAN_TILE", {2: (256, 256), 3: (32, 96, 96)})


def write_cells(folder, image=IMAGE, axes="yx", version="0.5"):
    """A store of three levels."""
    return write_store(folder / "cells.ome.zarr", image, axes, version, levels=3, chunk=128)


def open_cells(viewer, folder, image=IMAGE, axes="yx", version="0.5"):
    """A store of three levels, opened by the plugin: its path and the Image layer."""
    path = write_cells(folder, image, axes, version)
    return path, open_dataset_folder(viewer, path)[0]


def in_one_go(path, panel=None, name="other"):
    """Labels of the same image by the job of the command line, with the settings of a panel or of the model."""
    import zarr

    changes = {} if panel is None else panel.settings.changes()
    done = drain(predict_large(LargeJob(path, "nuclei-2d", "cpu", changes, name=name), never))
    return np.asarray(zarr.open_array(str(done.labels / "0"), mode="r")[...]), done


def labels_in(path, name="embedseg", level=0):
    """Labels that lie in a store."""
    import zarr

    return np.asarray(zarr.open_array(str(path / "labels" / name / str(level)), mode="r")[...])
