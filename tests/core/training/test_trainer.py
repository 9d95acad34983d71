"""The training loop: what it says, stopping, resuming, refusing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file, save_file

from embedseg_napari.core import events
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.errors import ComputeError, DataError, SettingsError
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer, train

pytestmark = pytest.mark.usefixtures("slim_network")

SMALL = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "precision": "float32"}
CROP = {2: (32, 32), 3: (8, 16, 16)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(ndim=2, **changes):
    return TrainingConfig.parse({"minutes": None, "crop_size": CROP[ndim], **SMALL, **changes})


def data(blobs, ndim=2, n=2):
    image, labels = blobs(ndim)
    return [(np.roll(image, 3 * i, -1), np.roll(labels, 3 * i, -1)) for i in range(n)]


def weights(result):
    return {k: v.clone() for k, v in result.model.network.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("ndim", [2, 3])
def test_tells_what_happens_in_order(blobs, ndim):
    pairs = data(blobs, ndim)
    seen = []
    result = drain(Trainer(settings(ndim), pairs[:1], pairs[1:]).run(), seen.append)
    kinds = [type(e) for e in seen if not isinstance(e, events.Message)]
    step, epoch = events.StepFinished, events.EpochFinished
    assert kinds == [events.TrainingStarted, step, step, epoch, step, step, epoch, events.TrainingFinished]
    assert [row.epoch for row in result.history] == [0, 1]
    assert all(row.ap_50 is not None for row in result.history)
    assert seen[-1].stopped is False
    assert result.model.config.ndim == ndim
    assert result.model.config.training["steps"] == 4


@pytest.mark.parametrize("ndim", [2, 3])
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(blobs, tmp_path, ndim):
    pairs = data(blobs, ndim)
    config = settings(ndim, epochs=3, steps_per_epoch=2, average_decay=0.9, virtual_batches=2)
    whole = drain(Trainer(config, pairs[:1], pairs[1:]).run())
    count = 0

    def after_three_steps():
        nonlocal count
        count += 1
        return count > 3

    stopped = drain(Trainer(config, pairs[:1], pairs[1:], run_folder=tmp_path).run(after_three_steps))
    assert stopped.stopped
    resumed = drain(Trainer(config, pairs[:1], pairs[1:], run_folder=tmp_path, resume=True).run())
    assert same(weights(whole), weights(resumed))
    assert [r.loss for r in whole.history] == [r.loss for r in resumed.history]
    assert [r.ap_mean for r in whole.history] == [r.ap_mean for r in resumed.history]


def test_a_checkpoint_without_averaged_weights_is_resumed(blobs, tmp_path):
    pairs = data(blobs)
    config = settings(epochs=3, steps_per_epoch=1, average_decay=0.0)
    whole = drain(Trainer(config, pairs[:1], []).run())
    counts = iter(range(9))
    assert drain(Trainer(config, pairs[:1], [], run_folder=tmp_path).run(lambda: next(counts) > 1)).stopped
    # As older versions wrote it where the average is the network itself.
    (path,) = tmp_path.glob("*.safetensors")
    tensors = {name: value for name, value in load_file(path).items() if not name.startswith("average.")}
    save_file(tensors, path)
    resumed = drain(Trainer(config, pairs[:1], [], run_folder=tmp_path, resume=True).run())
    assert same(weights(whole), weights(resumed))


def test_resuming_keeps_the_gentle_rate_of_a_start_model(blobs, tmp_path):
    pairs = data(blobs, 3)
    model = drain(Trainer(settings(3, epochs=1, steps_per_epoch=1), pairs[:1]).run()).model
    config = settings(3, epochs=3, steps_per_epoch=2)
    whole = drain(Trainer(config, pairs[:1], start_from=model).run())
    counts = iter(range(9))
    stopped = drain(Trainer(config, pairs[:1], start_from=model, run_folder=tmp_path).run(lambda: next(counts) > 2))
    assert stopped.stopped
    # The checkpoint holds the weights; the start model may be gone.
    resumed = drain(Trainer(config, pairs[:1], run_folder=tmp_path, resume=True).run())
    assert [r.learning_rate for r in resumed.history] == [r.learning_rate for r in whole.history]
    assert same(weights(whole), weights(resumed))


def test_resuming_keeps_grid_and_normalisation_of_a_start_model_that_is_gone(blobs, tmp_path):
    pairs = data(blobs)
    first = settings(epochs=1, steps_per_epoch=1, grid_samples=512, normalization={"method": "mean-std"})
    model = drain(Trainer(first, pairs[:1]).run()).model
    known = {"seed_threshold": 0.7, "foreground_threshold": 0.3, "min_object_size": 3}
    model.config = model.config.model_copy(update={"name": "gone", "prediction": model.config.settings_with(**known)})
    config = settings(epochs=3)
    whole = drain(Trainer(config, pairs[:1], start_from=model).run())
    counts = iter(range(9))
    assert drain(
        Trainer(config, pairs[:1], start_from=model, run_folder=tmp_path).run(lambda: next(counts) > 2)
    ).stopped
    resumed = drain(Trainer(config, pairs[:1], run_folder=tmp_path, resume=True).run())
    for name in ("grid_spacing", "normalization"):
        assert getattr(resumed.model.config, name) == getattr(model.config, name)
    assert same(weights(whole), weights(resumed))
    assert resumed.model.config.prediction == whole.model.config.prediction
    assert {name: getattr(resumed.model.config.prediction, name) for name in known} == known
    record, expected = resumed.model.config.training, whole.model.config.training
    assert {**record, "seconds": 0} == {**expected, "seconds": 0}
    assert (record["started_from"], record["steps_before"], record["usual_seed_threshold"]) == ("gone", 1, 0.9)


def test_resuming_without_a_start_model_of_another_network_is_refused(blobs, tmp_path):
    pairs = data(blobs)
    model = drain(Trainer(settings(epochs=1, steps_per_epoch=1, architecture="branched-erfnet"), pairs[:1]).run()).model
    counts = iter(range(9))
    drain(Trainer(settings(), pairs[:1], start_from=model, run_folder=tmp_path).run(lambda: next(counts) > 1))
    with pytest.raises(SettingsError, match="resume with the same start"):
        drain(Trainer(settings(), pairs[:1], run_folder=tmp_path, resume=True).run())


def test_names_with_a_dot_have_run_folders_of_their_own(blobs, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("lr0.01", "lr0.001"):
        result = train(data(blobs)[:1], settings(epochs=1, steps_per_epoch=1), output=f"~/{name}", progress=False)
        assert result.path == tmp_path / f"{name}.embedseg"
        assert (tmp_path / f"{name}.run").is_dir()
    with pytest.raises(DataError, match="exists already"):
        train(data(blobs)[:1], settings(), output="~/lr0.01", progress=False)


@pytest.mark.parametrize("reserve", [2.0, 100.0])
def test_held_out_images_that_take_long_leave_half_of_the_time_and_it_is_told(blobs, monkeypatch, reserve):
    def keep(run, seconds):
        run.schedule.reserve = reserve

    monkeypatch.setattr("embedseg_napari.core.training.run.TrainingRun._reserve_time", keep)
    pairs, seen = data(blobs), []
    result = drain(Trainer(settings(epochs=None, minutes=0.1), pairs[:1], pairs[1:]).run(), seen.append)
    assert result.model.config.training["steps"] > 2
    told = [event.text for event in seen if isinstance(event, events.Message) and "learn for half" in event.text]
    assert len(told) == (reserve > 10)


def test_the_same_seed_gives_the_same_model_and_leaves_torchs_generator_alone(blobs):
    pairs = data(blobs)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = drain(Trainer(settings(), pairs).run())
    assert torch.equal(torch.rand(1), expected)
    two = drain(Trainer(settings(), pairs).run())
    other = drain(Trainer(settings(seed=1), pairs).run())
    assert same(weights(one), weights(two))
    assert not same(weights(one), weights(other))


def test_stopped_at_once_still_gives_a_model_that_can_be_kept(blobs, tmp_path):
    result = drain(Trainer(settings(), data(blobs)).run(lambda: True))
    assert result.stopped
    path = result.model.save(tmp_path / "m.embedseg")
    assert load_model(path).config.ndim == 2


def test_stopped_before_the_first_step_nothing_is_written(blobs, tmp_path):
    told, output = [], tmp_path / "m.embedseg"
    result = train(
        data(blobs), config=settings(), output=output, should_stop=lambda: True, on_event=told.append, progress=False
    )
    assert result.path is None
    assert not output.exists()
    assert any("Stopped before the first step" in event.text for event in told if isinstance(event, events.Message))


def test_a_time_budget_ends_the_training(blobs):
    config = settings(epochs=None, minutes=0.04)
    result = drain(Trainer(config, data(blobs), []).run())
    assert not result.stopped
    assert result.model.config.training["steps"] >= 1
    assert result.model.config.training["seconds"] < 60


@pytest.mark.parametrize(("preset", "architecture"), [("fast", "unet"), ("few", "unet"), ("paper", "branched-erfnet")])
def test_presets_train(blobs, preset, architecture):
    config = TrainingConfig.preset(preset, epochs=1, steps_per_epoch=1, batch_size=1, precision="float32")
    result = drain(Trainer(config, data(blobs)).run())
    assert result.history[0].step == 1
    assert result.model.config.architecture == architecture


def test_overlapping_planes_train(blobs):
    image, labels = blobs(2)
    planes = np.stack([labels == i for i in np.unique(labels) if i])
    planes[0] |= planes[1]
    result = drain(Trainer(settings(), [(image, planes)], [(image, planes)]).run())
    assert np.isfinite(result.history[-1].loss)


def test_several_channels_train(blobs):
    image, labels = blobs(2)
    result = drain(Trainer(settings(), [(np.stack([image, 1 - image]), labels)]).run())
    assert result.model.config.n_channels == 2


@pytest.mark.parametrize("architecture", ["unet", "branched-erfnet"])
def test_starting_from_a_model_takes_its_network_grid_and_weights(blobs, architecture):
    pairs = data(blobs)
    first = drain(Trainer(settings(grid_samples=256, architecture=architecture), pairs).run()).model
    second = drain(Trainer(settings(learning_rate=1e-9, weight_decay=0.0), pairs, start_from=first).run()).model
    assert second.config.grid_spacing == first.config.grid_spacing
    assert second.config.architecture == architecture
    old, new = dict(first.network.named_parameters()), dict(second.network.named_parameters())
    assert old.keys() == new.keys()
    for key, weight in new.items():
        torch.testing.assert_close(weight, old[key], atol=1e-6, rtol=0)


def test_previews_are_true_predictions_of_the_chosen_image(blobs):
    pairs = data(blobs)
    example = from_arrays(pairs[:1])[0]
    seen = []
    drain(Trainer(settings(), pairs, [], preview=lambda: example).run(), seen.append)
    previews = [e for e in seen if isinstance(e, events.PreviewReady)]
    assert previews
    assert previews[0].labels.shape == previews[0].seed_map.shape == (64, 64)
    assert previews[0].image.shape == (1, 64, 64)


def after_each_step(monkeypatch):
    """Let a preview be due, whatever those before it cost."""
    monkeypatch.setattr("embedseg_napari.core.training.previews.PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr("embedseg_napari.core.training.previews.PREVIEW_SHARE", float("inf"))


def test_a_preview_that_cannot_be_made_is_told_once_and_ends_nothing(blobs, monkeypatch):
    after_each_step(monkeypatch)
    colours = from_arrays([(np.stack([blobs(2)[0]] * 3), blobs(2)[1])], axes="CYX")[0]
    volume, asked, seen = from_arrays([blobs(3)], axes="ZYX")[0], [], []

    def ask():
        asked.append(None)
        if len(asked) % 3 == 0:
            raise OSError("the disk is gone")
        return (colours, volume)[len(asked) % 2]

    result = drain(Trainer(settings(steps_per_epoch=6), data(blobs), [], preview=ask).run(), seen.append)
    assert result.model.config.training["steps"] == len(asked) == 12
    told = [e.text for e in seen if isinstance(e, events.Message) and "without this preview" in e.text]
    assert len(told) == 3
    for words in ("the disk is gone", "3 channels", "works in 2D"):
        assert any(words in text for text in told)


@pytest.mark.parametrize("ndim", [2, 3])
def test_previews_hold_the_maps_as_arrays(blobs, ndim):
    pairs = data(blobs, ndim, n=1)
    example = from_arrays(pairs)[0]
    seen = []
    drain(Trainer(settings(ndim), pairs, [], preview=lambda: example).run(), seen.append)
    maps = next(e for e in seen if isinstance(e, events.PreviewReady)).maps
    assert all(type(one) is np.ndarray for one in (maps.offsets, maps.margins, maps.seed_map))
    assert maps.offsets.shape == maps.margins.shape == (ndim, *example.instances.shape)
    # Young margins are about half an object: these are pixels.
    assert 1 < np.median(maps.margins) < 20


def test_a_run_of_an_older_version_goes_on_as_it_began(blobs, tmp_path):
    pairs = data(blobs, 3)
    model = drain(Trainer(settings(3, epochs=1, steps_per_epoch=1), pairs[:1]).run()).model
    config = settings(3, epochs=3, steps_per_epoch=1, start_rate=1.0)
    whole = drain(Trainer(config, pairs[:1], start_from=model).run())
    counts = iter(range(9))
    drain(Trainer(config, pairs[:1], start_from=model, run_folder=tmp_path).run(lambda: next(counts) > 0))
    path = tmp_path / "state.json"
    state = json.loads(path.read_text())
    del state["rate"], state["origin"], state["settings"]["start_rate"]
    path.write_text(json.dumps(state))
    # Such runs took all of the learning rate; what is the default now changes nothing for them.
    usual = settings(3, epochs=3, steps_per_epoch=1)
    resumed = drain(Trainer(usual, pairs[:1], start_from=model, run_folder=tmp_path, resume=True).run())
    assert [r.learning_rate for r in resumed.history] == [r.learning_rate for r in whole.history]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"learning_rate": 5e-3}, SettingsError, "learning_rate"),
        ({}, DataError, "other images"),
    ],
)
def test_resuming_something_else_is_refused(blobs, tmp_path, change, error, text):
    pairs = data(blobs, n=3)
    drain(Trainer(settings(), pairs[:2], [], run_folder=tmp_path).run())
    training = pairs[:2] if change else [pairs[0], (pairs[1][0][:40], pairs[1][1][:40])]
    with pytest.raises(error, match=text):
        drain(Trainer(settings(**change), training, [], run_folder=tmp_path, resume=True).run())


def test_resuming_with_other_held_out_images_is_refused(blobs, tmp_path):
    pairs = data(blobs, n=3)
    drain(Trainer(settings(), pairs[:2], pairs[:1], run_folder=tmp_path).run())
    with pytest.raises(DataError, match="other held-out images"):
        drain(Trainer(settings(), pairs, pairs[:2], run_folder=tmp_path, resume=True).run())


def test_a_damaged_run_folder_is_refused_with_a_sentence(blobs, tmp_path):
    drain(Trainer(settings(), data(blobs), [], run_folder=tmp_path).run())
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        drain(Trainer(settings(), data(blobs), [], run_folder=tmp_path, resume=True).run())


def test_a_run_folder_holds_no_pickle_and_only_the_last_state(blobs, tmp_path):
    drain(Trainer(settings(), data(blobs), [], run_folder=tmp_path).run())
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_a_loss_that_is_no_number_is_told(blobs, monkeypatch):
    after_each_step(monkeypatch)
    image, labels = blobs(2)
    example = from_arrays([(image, labels)])[0]
    config = settings(learning_rate=1.0, weight_instance=1e38, epochs=4)
    with pytest.raises(ComputeError, match="lower learning rate"):
        drain(Trainer(config, [(image, labels)], preview=lambda: example).run())


def test_train_saves_resumes_and_reads_folders(blobs, tmp_path):
    from embedseg_napari.core.files.tiff import write_image, write_labels

    for i, (image, labels) in enumerate(data(blobs, n=2)):
        for part, write, array in (("images", write_image, image), ("masks", write_labels, labels)):
            (tmp_path / "set" / part).mkdir(parents=True, exist_ok=True)
            write(tmp_path / "set" / part / f"{i}.tif", array, "YX")
    result = train(tmp_path / "set", settings(), output=tmp_path / "m.embedseg")
    assert result.path == tmp_path / "m.embedseg"
    assert load_model(result.path).config.name == "m"
    assert (tmp_path / "m.run" / "state.json").exists()
    longer = train(tmp_path / "set", settings(epochs=3), output=tmp_path / "m.embedseg", resume=True)
    assert len(longer.history) == 3
    with pytest.raises(SettingsError, match="output"):
        train(tmp_path / "set", settings(), resume=True)


@pytest.mark.parametrize("by_trainer", [False, True])
def test_axes_channel_and_spacing_of_arrays(blobs, tmp_path, by_trainer):
    image, labels = blobs(3)
    both = np.stack([np.zeros_like(image), image])
    # Turned to XCZY, masks to XZY.
    pairs = [(both.transpose(3, 0, 1, 2), labels.transpose(2, 0, 1))] * 2
    given = {"axes": "XCZY", "channel": 1, "spacing": (2.0, 1.0, 1.0)}
    seen = []
    if by_trainer:
        result = drain(Trainer(settings(3), pairs[:1], pairs[1:], **given).run(), seen.append)
    else:
        result = train(pairs[:1], settings(3), validation=pairs[1:], on_event=seen.append, **given)
    plain = drain(Trainer(settings(3), from_arrays([(image, labels)], "ZYX", (2, 1, 1)), [(image, labels)]).run())
    assert same(weights(result), weights(plain))
    assert result.model.config.spacing == (2.0, 1.0, 1.0)
    assert result.model.config.n_channels == 1
    assert not any("cubes" in event.text for event in seen if isinstance(event, events.Message))


def test_axes_channel_and_spacing_of_folders(blobs, tmp_path):
    image, labels = blobs(2)
    folder = tmp_path / "set"
    for name, array in (("images", np.stack([image, image * 0]).astype(np.uint8)), ("masks", labels)):
        (folder / name).mkdir(parents=True)
        tifffile.imwrite(folder / name / "a.tif", array)
    given = {"axes": "CXY", "channel": 0, "spacing": (0.5, 0.25)}
    result = train(folder, settings(), validation=folder, **given)
    assert (result.model.config.n_channels, result.model.config.spacing) == (1, (0.5, 0.25))
    plain = train([(image.T.astype(np.uint8), labels.T)], settings(), validation=[(image.T.astype(np.uint8), labels.T)])
    assert same(weights(result), weights(plain))
