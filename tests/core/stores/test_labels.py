"""Label images as OME-Zarr: written block by block, with levels, valid, and never in place of others unasked."""

from __future__ import annotations

import json
import pickle
import warnings

import numpy as np
import pytest
import yaozarrs
from store_steps import write_store

from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.stores.labels import LabelStore, create_labels, open_labels
from embedseg_napari.core.stores.pyramid import build_pyramid

LABELS = np.random.default_rng(0).integers(0, 1 << 32, (300, 200), dtype=np.uint32)
LABELS[:128, :128] = 0


def write_all(store: LabelStore, labels: np.ndarray, edge: int = 128) -> None:
    for y in range(0, labels.shape[-2], edge):
        for x in range(0, labels.shape[-1], edge):
            key = (..., slice(y, y + edge), slice(x, x + edge))
            full = (slice(None),) * (labels.ndim - 2) + key[1:]
            store.write(full, labels[full])


def validate(path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yaozarrs.validate_zarr_store(path)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_lie_in_the_image_with_levels_and_source(tmp_path, version, levels):
    image = np.zeros((2, 300, 200), np.uint16) + 7
    path = write_store(tmp_path / "im.ome.zarr", image, "cyx", version, levels=levels)
    store = create_labels(path, open_image(path), name="nuclei", block=(128, 128))
    write_all(store, LABELS)
    events = list(build_pyramid(store))
    assert events[-1][0] == events[-1][1]
    assert store.levels[0] == "0"
    assert len(store.levels) == 2
    found = open_image(path / "labels" / "nuclei")
    assert (found.ngff, found.is_labels, found.axes, found.spacing) == (version, True, "YX", (0.5, 0.5))
    np.testing.assert_array_equal(found[...], LABELS)
    np.testing.assert_array_equal(open_image(path / "labels" / "nuclei", 1)[...], LABELS[::2, ::2])
    np.testing.assert_array_equal(read_image(path, labels=True).array, LABELS)
    create_labels(path, open_image(path), name="cells", block=(128, 128))
    validate(path)
    validate(store.folder)
    file = store.folder / ("zarr.json" if version == "0.5" else ".zattrs")
    said = json.loads(file.read_text())
    said = said["attributes"]["ome"] if version == "0.5" else said
    assert said["image-label"]["source"] == {"image": "../../"}


def test_a_block_is_one_file_and_background_none(tmp_path):
    path = write_store(tmp_path / "im.zarr", np.ones((300, 200), np.uint8))
    store = create_labels(path, open_image(path), name="nuclei", block=(128, 128))
    write_all(store, LABELS)
    pieces = [piece for piece in (store.folder / "0" / "c").rglob("*") if piece.is_file()]
    assert len(pieces) == 6 - 1
    assert store.block() == (128, 128)


def test_borders_of_chunks_lie_on_those_of_blocks(tmp_path):
    path = write_store(tmp_path / "im.zarr", np.ones((40, 300, 200), np.uint8), "zyx", "0.4")
    store = create_labels(path, open_image(path), name="nuclei", block=(24, 160, 96))
    array = store.array()
    assert store.block() == (24, 160, 96)
    assert all(edge % chunk == 0 for edge, chunk in zip(store.block(), array.chunks, strict=True))


def test_a_new_store_keeps_frames_apart_and_pixel_sizes(tmp_path):
    movie = np.ones((3, 2, 300, 200), np.uint8)
    path = write_store(tmp_path / "im.zarr", movie, "tcyx", "0.4")
    store = create_labels(
        tmp_path / "out" / "labels.ome.zarr", open_image(path), block=(128, 128), more={"made": "here"}
    )
    for frame in range(3):
        store.write((slice(frame, frame + 1), slice(0, 128), slice(0, 128)), np.full((1, 128, 128), frame + 1))
    list(build_pyramid(store))
    assert store.factors == ((1, 1, 1), (1, 2, 2))
    validate(store.folder)
    picture = read_image(store.folder, labels=True)
    assert (picture.axes, picture.spacing, picture.unit) == ("TYX", (0.5, 0.5), "um")
    assert [int(frame[0, 0]) for frame in picture.array] == [1, 2, 3]
    np.testing.assert_array_equal(open_image(store.folder, 1)[...], picture.array[:, ::2, ::2])


def test_a_new_store_on_another_drive_names_no_source(tmp_path, monkeypatch):
    path = write_store(tmp_path / "im.zarr", np.ones((300, 200), np.uint8))

    def other_drive(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    with monkeypatch.context() as windows:
        windows.setattr("os.path.relpath", other_drive)
        image = open_image(path)
        store = create_labels(tmp_path / "labels.ome.zarr", image, block=(128, 128))
    said = json.loads((store.folder / "zarr.json").read_text())["attributes"]["ome"]["image-label"]
    assert "source" not in said
    validate(store.folder)


def test_levels_keep_thin_volumes_as_deep_as_they_are(tmp_path):
    path = write_store(tmp_path / "im.zarr", np.ones((6, 600, 500), np.uint8), "zyx", spacing=0.2)
    store = create_labels(path, open_image(path), name="nuclei", block=(6, 256, 256))
    assert store.factors == ((1, 1, 1), (1, 2, 2), (1, 4, 4))


def test_a_pyramid_is_gone_on_with_after_a_stop(tmp_path):
    path = write_store(tmp_path / "im.zarr", np.ones((300, 200), np.uint8))
    store = create_labels(path, open_image(path), name="nuclei", block=(64, 64))
    write_all(store, LABELS, 64)
    run = build_pyramid(pickle.loads(pickle.dumps(store)))
    next(run)
    run.close()
    list(build_pyramid(open_labels(store.folder)))
    np.testing.assert_array_equal(store.image(1)[...], LABELS[::2, ::2])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_that_are_there_are_replaced_only_when_asked(tmp_path, version):
    path = write_store(tmp_path / "im.zarr", np.ones((300, 200), np.uint8), version=version)
    store = create_labels(path, open_image(path), name="nuclei", block=(128, 128))
    write_all(store, LABELS)
    with pytest.raises(AlreadyExists, match="exists already"):
        create_labels(path, open_image(path), name="nuclei", block=(128, 128))
    np.testing.assert_array_equal(store.image()[...], LABELS)
    create_labels(path, open_image(path), name="nuclei", block=(128, 128), overwrite=True)
    assert not np.asarray(store.array()[...]).any()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("much work")
    with pytest.raises(AlreadyExists, match="no Zarr store, and is not replaced"):
        create_labels(tmp_path / "mine", open_image(path), block=(128, 128), overwrite=True)
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert not [one for one in path.parent.iterdir() if one.name.startswith(".tmp")]


def test_what_cannot_hold_labels_is_said(tmp_path):
    path = write_store(tmp_path / "im.zarr", np.ones((300, 200), np.uint8))
    image = open_image(path)
    with pytest.raises(DataError, match="is no name for labels"):
        create_labels(path, image, name="../other", block=(128, 128))
    with pytest.raises(DataError, match="can hold no labels; give --output"):
        create_labels(tmp_path, image, name="nuclei", block=(128, 128))
    with pytest.raises(DataError, match="needs one positive number"):
        create_labels(path, image, name="nuclei", block=(0, 128))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        create_labels(tmp_path / "file" / "new.zarr", image, block=(128, 128))
    store = create_labels(path, image, name="nuclei", block=(128, 128))
    with pytest.raises(DataError, match="cannot be stored; the largest is 4294967295"):
        store.write((slice(0, 1), slice(0, 1)), np.array([[1 << 32]]))
