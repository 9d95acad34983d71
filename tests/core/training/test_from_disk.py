"""Training on images that stay on the disk: the same as on the same images in memory."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from store_steps import write_store
from stored_steps import CROP, MEMORY, picture, settings, store

from embedseg_napari.core import events
from embedseg_napari.core.data import parts
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.data.stored import StoredLabels, StoredPixels
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.crops import sampler as samplers
from embedseg_napari.core.training.reading import from_disk
from embedseg_napari.core.training.trainer import Trainer, train
from embedseg_napari.core.training.training_set import TrainingSet
from embedseg_napari.core.training.validation import Validator

pytestmark = pytest.mark.usefixtures("slim_network")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def steps(source, config, **options):
    """Losses of all steps, and all that was said."""
    seen = []
    train(source, config, on_event=seen.append, progress=False, device="cpu", **options)
    losses = [
        (e.loss, e.loss_instance, e.loss_variance, e.loss_seed) for e in seen if isinstance(e, events.StepFinished)
    ]
    return losses, " ".join(e.text for e in seen if isinstance(e, events.Message))


@pytest.fixture
def opened(monkeypatch):
    """Images that crops were cut from on the disk."""
    names = []

    def note(example, *args, **options):
        names.append(example.name)
        return original(example, *args, **options)

    original = samplers.open_source
    monkeypatch.setattr(samplers, "open_source", note)
    return names


TURNED = {"augmentation": {"rotation": True, "scale": 0.2}}
CASES = {
    "objects held out": ({}, None),
    "turned, all objects": (TURNED | {"validation_fraction": 0}, None),
    "sparse": ({"ignore_label": 0}, None),
    "an unknown object": ({"ignore_label": 14, "validation_fraction": 0}, None),
    "-1 is unknown": (
        {"ignore_label": -1, "validation_fraction": 0},
        lambda ids: np.where((ids % 14 == 0) & (ids > 0), -1, ids),
    ),
    "fragments": ({"center_of": "fragment", "center": "centroid"}, None),
    "ids of more than 31 bits": ({"validation_fraction": 0}, lambda ids: ids.astype(np.int64) * 10**9),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_the_same_image_in_memory(tmp_path, opened, case):
    changes, ids = CASES[case]
    labels = picture(2)[1]
    path = store(tmp_path / "a.ome.zarr", labels=labels if ids is None else ids(labels))
    from_memory, _ = steps(path, settings(2, **changes))
    assert opened == []
    read, words = steps(path, settings(2, MEMORY, **changes))
    assert opened == ["a"]
    assert read == from_memory
    assert len(read) == 6
    assert "Brightness is measured on the whole image" in words


@pytest.mark.parametrize("changes", [{}, {"ignore_label": 0}, {"ignore_label": 14}])
def test_volumes_too(tmp_path, opened, changes):
    path = store(tmp_path / "a.ome.zarr", 3)
    assert steps(path, settings(3, MEMORY, **changes))[0] == steps(path, settings(3, **changes))[0]
    assert opened == ["a"]


@pytest.mark.parametrize(("ndim", "scale"), [(2, 0.43), (3, 0.7), (2, 1.3)])
def test_crops_of_resized_images_differ_by_rounding_only(tmp_path, ndim, scale):
    path = store(tmp_path / "a.ome.zarr", ndim, version="0.4")
    config = settings(ndim, MEMORY)
    read = load_folder(path, from_disk=from_disk(config, None))
    batches = [
        samplers.CropSampler(examples, CROP[ndim], config, torch.device("cpu"), scale).cut(4, np.random.default_rng(1))
        for examples in (read, load_folder(path))
    ]
    torch.testing.assert_close(batches[0].images, batches[1].images, rtol=1e-4, atol=1e-4)
    for here, there, n in zip(batches[0].instances, batches[1].instances, batches[0].centers, strict=True):
        # The same objects, whatever their numbers.
        pairs = torch.stack([here.flatten(), there.flatten()]).unique(dim=1)
        assert len(pairs[0]) == len(pairs[0].unique()) == len(pairs[1].unique()) == len(n) + 1
    for here, there in zip(batches[0].centers, batches[1].centers, strict=True):
        np.testing.assert_array_equal(here, there)


def test_a_folder_of_stores_and_tiffs_with_ignore_masks(tmp_path, opened, caplog):
    for part in ("images", "masks", "ignore"):
        (tmp_path / part).mkdir()
    for number in range(2):
        image, labels = picture(2, number)
        hidden = np.zeros(image.shape, np.uint8)
        hidden[:50] = 1
        tifffile.imwrite(tmp_path / "ignore" / f"{number}.tif", hidden)
        if number:
            tifffile.imwrite(tmp_path / "images" / "1.tif", image, tile=(64, 64), bigtiff=True)
            tifffile.imwrite(tmp_path / "masks" / "1.tif", labels, tile=(32, 32), compression="zlib")
        else:
            write_store(tmp_path / "images" / "0.ome.zarr", image, chunk=50)
            write_store(tmp_path / "masks" / "0.zarr", labels, chunk=30, version="0.4")
    read, _ = steps(tmp_path, settings(2, MEMORY))
    assert opened == ["0", "1"]
    assert read == steps(tmp_path, settings(2))[0]
    assert "2 images would need 1.1 MB of memory" in caplog.text


def test_images_held_out_are_scored_on_parts(tmp_path):
    for number in range(5):
        image, labels = picture(2, number)
        write_store(tmp_path / "images" / f"{number}.ome.zarr", image, chunk=64)
        write_store(tmp_path / "masks" / f"{number}.ome.zarr", labels, chunk=64)
    seen = []
    train(tmp_path, settings(2, MEMORY), on_event=seen.append, progress=False, device="cpu")
    rows = [e for e in seen if isinstance(e, events.EpochFinished)]
    assert all(row.ap_50 is not None for row in rows)
    assert any("8 parts of each image" in e.text for e in seen if isinstance(e, events.Message))


def test_resuming_without_the_start_model_scores_images_normalised_as_it_had_them(tmp_path, monkeypatch):
    for number in range(2):
        image, labels = picture(2, number)
        write_store(tmp_path / ("train", "val")[number] / "images" / "a.ome.zarr", image, chunk=64)
        write_store(tmp_path / ("train", "val")[number] / "masks" / "a.ome.zarr", labels, chunk=64)
    first = settings(2, epochs=1, steps_per_epoch=1, normalization={"method": "mean-std"})
    start = train(tmp_path, first, progress=False, device="cpu").model
    scored = []

    def note(validator, *args):
        scored.append([one.image for one in validator.examples])
        return original(validator, *args)

    original = Validator.embed
    monkeypatch.setattr(Validator, "embed", note)
    config, output, counts = settings(2, MEMORY), tmp_path / "m.embedseg", iter(range(9))
    steps(tmp_path, config, start_from=start, output=output, should_stop=lambda: next(counts) > 3)
    assert len(scored) == 1
    assert "Resumed" in steps(tmp_path, config, output=output, resume=True)[1]
    for before, after in zip(scored[0], scored[1], strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_model_last_saved_is_there_when_the_images_are_gone(tmp_path, monkeypatch):
    config, run_folder, counts = settings(2, MEMORY), tmp_path / "m.run", iter(range(9))
    images = [load_folder(store(tmp_path / f"{n}.ome.zarr", seed=n), from_disk=from_disk(config, None)) for n in (0, 1)]
    drain(Trainer(config, *images, run_folder=run_folder, device="cpu").run(lambda: next(counts) > 1))

    def gone(*args):
        raise DataError("the disk is gone")

    monkeypatch.setattr(StoredPixels, "read", gone)
    monkeypatch.setattr(StoredLabels, "read", gone)
    trainer = Trainer(config, *images, run_folder=run_folder, device="cpu", resume=True)
    with pytest.raises(DataError, match="the disk is gone"):
        drain(trainer.run())
    assert trainer.last_saved().model.config.training["steps"] == 2


@pytest.mark.parametrize("ndim", [2, 3])
def test_objects_held_out_are_scored_wherever_they_lie(tmp_path, monkeypatch, ndim):
    sides = {2: (100, 120), 3: (12, 40, 48)}
    monkeypatch.setattr(parts, "SIDES", sides)
    labels = picture(ndim)[1]
    labels[: sides[ndim][0]] = 0
    path, config = store(tmp_path / "a.ome.zarr", ndim, labels), settings(ndim, MEMORY, validation_objects=0.5)
    validator = TrainingSet(config, load_folder(path, from_disk=from_disk(config, None)), []).validator()
    assert validator.examples
    for part, ids in zip(validator.examples, validator.ids, strict=True):
        assert len(ids)
        assert set(ids) <= set(np.unique(part.instances))


def test_parts_that_are_looked_at_twice_at_the_end_are_read_once(tmp_path):
    path, config = store(tmp_path / "a.ome.zarr", seed=1), settings(2, MEMORY, reached_seeds=True)
    data = TrainingSet(config, load_folder(path, from_disk=from_disk(config, None)), [])
    scored, thresholded = data.compared_examples()
    assert 1 <= len(scored) <= 3
    assert {id(one) for one in scored} <= {id(one) for one in thresholded}
    assert [one.name for one in thresholded] == [one.name for one in data.threshold_examples]


def test_what_was_measured_is_kept_beside_the_run_and_not_measured_again(tmp_path, monkeypatch):
    path, output = store(tmp_path / "a.ome.zarr"), tmp_path / "m.embedseg"
    config = settings(2, MEMORY, validation_fraction=0)
    n_seen = 0

    def soon():
        nonlocal n_seen
        n_seen += 1
        return n_seen > 2

    steps(path, config, output=output, should_stop=soon)
    kept = list((tmp_path / "m.run").glob("objects-*"))
    assert len(kept) == 1
    from embedseg_napari.core.data import survey

    monkeypatch.setattr(survey, "_recent", type(survey._recent)())
    monkeypatch.setattr("embedseg_napari.core.data.stored.survey_labels", None)
    losses, words = steps(path, config, output=output, resume=True)
    assert "Resumed" in words
    assert "changed" not in words
    assert losses
