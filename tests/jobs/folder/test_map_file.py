"""Maps beside the labels: what the file holds, where it lies, what is refused and what is told."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import embedseg_napari as es
from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.runs import drain
from embedseg_napari.jobs.folder.plan import FolderJob, plan
from embedseg_napari.jobs.folder.segment_folder import segment_folder

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = {2: (24, 32), 3: (16, 24, 32)}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def job(tmp_path: Path):
    """``job(ndim)``: one image with a pixel size, and a model that finds objects without thresholds only."""

    def make(ndim: int, axes: str = "", **more: Any) -> FolderJob:
        shape = SHAPE[ndim]
        image = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
        axes = axes or "ZYX"[-ndim:]
        if "T" in axes:
            image = np.stack([image, image[::-1], image])
        write_image(tmp_path / "images" / "a.tif", image, axes, (2.0, 0.5, 0.25)[-ndim:], "um")
        config = ModelConfig(name="tiny", ndim=ndim, grid_spacing=(1 / 1023,) * ndim)
        model = Model(config, BranchedERFNet(ndim, 1)).save(tmp_path / "tiny.embedseg")
        changes = {"seed_threshold": 0, "foreground_threshold": 0}
        more = {"save_maps": True, **more}
        return FolderJob((tmp_path / "images",), tmp_path / "out", model, "cpu", changes, **more)

    return make


def run(job: FolderJob) -> tuple[list[str], Any]:
    events: list[Any] = []
    result = drain(segment_folder(job, lambda: False), events.append)
    return [event.text for event in events if isinstance(event, Message)], result


@pytest.mark.parametrize(("ndim", "axes"), [(2, "YX"), (2, "TYX"), (3, "ZYX"), (3, "TZYX")])
def test_channels_are_seed_map_offsets_and_margins(job, ndim: int, axes: str) -> None:
    one = job(ndim, axes)
    assert run(one)[1].failures == ()
    found = load_model(one.model).predict(
        read_image(one.inputs[0] / "a.tif").array, axes, seed_threshold=0, foreground_threshold=0
    )
    picture, labels = read_image(one.results / "maps" / "a.tif"), read_image(one.results / "a.tif")
    assert picture.axes == f"{axes[:-2]}C{axes[-2:]}"
    assert picture.array.dtype == np.float32
    assert (picture.spacing, picture.unit) == (labels.spacing, labels.unit) == ((2.0, 0.5, 0.25)[-ndim:], "um")
    space = "zyx"[-ndim:]
    names = ["seed map", *(f"offset {letter}" for letter in space), *(f"margin {letter}" for letter in space)]
    assert list(picture.channel_names) == names
    channels = np.moveaxis(picture.array, -3, 0)
    for t, frame in enumerate(found.frames or (found,)):
        seed_map, offsets, margins = np.split(channels[:, t] if found.frames else channels, [1, 1 + ndim])
        np.testing.assert_array_equal(seed_map[0], frame.maps.seed_map)
        np.testing.assert_array_equal(offsets, frame.maps.offsets)
        np.testing.assert_array_equal(margins, frame.maps.margins)
        # Whoever reads the file collects the same objects.
        maps = es.EmbeddingMaps(offsets, margins, seed_map[0])
        np.testing.assert_array_equal(es.cluster(maps, **found.settings.clustering), frame.labels)
    with tifffile.TiffFile(one.results / "maps" / "a.tif") as tif:
        assert tif.is_imagej


def test_they_lie_on_the_labels_whatever_the_order_of_the_axes(job) -> None:
    one = job(2)
    tifffile.imwrite(one.inputs[0] / "a.tif", np.zeros((20, 30), np.uint8), metadata=None)
    run(replace(one, axes="XY"))
    assert tifffile.imread(one.results / "a.tif").shape == (20, 30)
    assert tifffile.imread(one.results / "maps" / "a.tif").shape == (5, 20, 30)


@pytest.mark.parametrize("axes", ["ZTYX", "TZYX"])
def test_movies_of_volumes_in_any_order(job, axes: str) -> None:
    one = job(3)
    image = np.random.default_rng(0).integers(0, 200, (8, 3, 16, 24)).astype(np.uint8)
    shape = (8, 3) if axes[0] == "Z" else (3, 8)
    stack = image if axes[0] == "Z" else image.swapaxes(0, 1)
    tifffile.imwrite(one.inputs[0] / "a.tif", stack, ome=True, metadata={"axes": axes}, photometric="minisblack")
    assert run(one)[1].failures == ()
    labels, maps = read_image(one.results / "a.tif"), read_image(one.results / "maps" / "a.tif")
    assert (labels.axes, labels.array.shape) == (axes, (*shape, 16, 24))
    assert (maps.axes, maps.array.shape) == (f"{axes[:2]}CYX", (*shape, 7, 16, 24))
    assert (maps.array[:, :, 0][labels.array > 0] > 0).all()


def test_label_images_stay_among_themselves(job) -> None:
    one = job(2, tables="each")
    run(one)
    assert sorted(path.name for path in one.results.iterdir()) == ["a.csv", "a.tif", "maps", "recipes"]
    run(replace(one, save_maps=False, overwrite=True, results=one.results.with_name("bare")))
    assert not (one.results.with_name("bare") / "maps").exists()


def test_they_are_refused_and_replaced_like_labels(job) -> None:
    one = job(2)
    maps = one.results / "maps" / "a.tif"
    maps.parent.mkdir(parents=True)
    maps.write_text("precious")
    with pytest.raises(DataError, match=r"maps.a\.tif exists already"):
        plan(one)
    assert plan(replace(one, save_maps=False))
    # What something else has made is never replaced by going on.
    assert "a.tif" in run(replace(one, resume=True))[1].failures[0].reason
    assert (maps.read_text(), (one.results / "a.tif").exists()) == ("precious", False)
    assert run(replace(one, overwrite=True))[1].n_saved == 1
    assert read_image(maps).array.shape == (5, *SHAPE[2])
    with pytest.raises(DataError, match="is an input image and would be replaced by maps"):
        plan(replace(one, inputs=(maps,), overwrite=True))
    (one.results.with_name("new")).mkdir()
    (one.results.with_name("new") / "maps").touch()
    with pytest.raises(DataError, match="nothing can be written there"):
        plan(replace(one, results=one.results.with_name("new")))


def test_going_on_makes_maps_that_are_missing_or_damaged(job) -> None:
    one = replace(job(2), resume=True)
    run(replace(one, save_maps=False))
    labels, maps = one.results / "a.tif", one.results / "maps" / "a.tif"
    before = labels.read_bytes()
    assert run(one)[1].n_saved == 1
    assert run(one)[1].n_skipped == 1
    whole = maps.read_bytes()
    maps.write_bytes(whole[:-100])
    assert run(one)[1].n_saved == 1
    assert (maps.read_bytes(), labels.read_bytes()) == (whole, before)


def test_going_on_adds_maps_to_labels_with_a_table(job) -> None:
    one = replace(job(2), resume=True, tables="each")
    run(replace(one, save_maps=False))
    before = {path: path.stat().st_mtime_ns for path in one.results.iterdir()}
    assert run(one)[1].n_saved == 1
    maps = one.results / "maps" / "a.tif"
    maps.write_bytes(maps.read_bytes()[:-100])
    assert run(one)[1].n_saved == 1
    assert run(one)[1].n_skipped == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_they_take_is_told_once_and_a_full_disk_found_before_the_work(job, monkeypatch) -> None:
    one = job(2)
    for name in ("b", "c"):
        shutil.copy(one.inputs[0] / "a.tif", one.inputs[0] / f"{name}.tif")
    said = [text for text in run(one)[0] if "Maps take" in text]
    assert len(said) == 1
    assert "15.4 kB" in said[0]
    assert "3 images like this one 46.1 kB" in said[0]
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**6, 10**6, 1000))
    result = run(replace(one, results=one.results.with_name("full")))[1]
    assert (result.n_saved, len(result.failures)) == (0, 3)
    assert "up to 30.7 kB" in result.failures[0].reason
    assert "1.0 kB free" in result.failures[0].reason
    assert not one.results.with_name("full").exists()
