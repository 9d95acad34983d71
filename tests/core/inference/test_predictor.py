from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from skimage.transform import resize
from torch import Tensor, nn

from embedseg_napari.core.config import NormalizationConfig, ObjectSizes, PredictionConfig
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import (
    ComputeError,
    DataError,
    EmbedSegError,
    ModelError,
    SettingsError,
    Stopped,
)
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.events import (
    ClusteringStarted,
    FrameFinished,
    Message,
    PredictionStarted,
    TileFinished,
)
from embedseg_napari.core.inference import predictor as predictor_module
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import drain


@pytest.mark.parametrize("ndim", [2, 3])
def test_events_tell_the_story(equivariant, ndim: int) -> None:
    image = np.zeros((2, *(16, 40, 30)[-ndim:]), np.float32)
    settings = PredictionConfig(tile=(8, 24, 24)[-ndim:], tile_overlap=(0,) * ndim, tta=True)
    events: list = []
    result = drain(Predictor(equivariant(ndim), settings).run(image, "TZYX" if ndim == 3 else "TYX"), events.append)
    n_tiles = (2 * 2 * 2 * 16) if ndim == 3 else 2 * 2 * 8
    assert events[0] == PredictionStarted("TZYX" if ndim == 3 else "TYX", 2, n_tiles)
    for frame in range(2):
        part = events[1 + frame * (n_tiles + 2) :][: n_tiles + 2]
        assert part[:-2] == [TileFinished(frame, i + 1, n_tiles) for i in range(n_tiles)]
        assert part[-2:] == [ClusteringStarted(frame), FrameFinished(frame, 2, 0)]
    assert len(events) == 1 + 2 * (n_tiles + 2)
    assert result.labels.shape == image.shape


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 1), (9, 17, 23), (2, 8, 8)])
def test_any_size(equivariant, ndim: int, shape: tuple[int, ...]) -> None:
    shape = shape[-ndim:]
    found = equivariant(ndim).predict(np.ones(shape, np.uint8), "ZYX"[-ndim:], tta=True)
    assert found.labels.shape == found.maps.seed_map.shape == shape
    assert found.maps.offsets.shape == found.maps.margins.shape == (ndim, *shape)
    assert np.isfinite(found.maps.margins).all()


@pytest.mark.parametrize("axes", ["CYX", "YXC", "XCY"])
def test_axes_in_any_order(blobs, pass_through, perfect_raw, axes: str) -> None:
    _, labels = blobs(2)
    raw = perfect_raw(labels)
    expected = pass_through(2).predict(raw, "CYX")
    found = pass_through(2).predict(raw.transpose(["CYX".index(letter) for letter in axes]), axes)
    # Results come back in the order of the image.
    assert np.array_equal(found.labels.T if axes == "XCY" else found.labels, expected.labels)
    assert found.labels.max() == labels.max()


def test_guessed_axes_are_told(equivariant, caplog: pytest.LogCaptureFixture) -> None:
    events: list = []
    equivariant(2).predict(np.zeros((9, 16, 16)), on_event=events.append)
    assert isinstance(events[0], Message)
    assert "TYX" in events[0].text
    with caplog.at_level(logging.INFO):
        equivariant(2).embed(np.zeros((16, 24)))
    assert "YX" in caplog.text
    events.clear()
    equivariant(2).predict(np.zeros((9, 16, 16)), "TYX", on_event=events.append)
    assert not any(isinstance(event, Message) for event in events)


def test_every_setting_of_clustering_can_be_given(blobs, pass_through, perfect_raw) -> None:
    given = {"seed_threshold": 0.8, "foreground_threshold": 0.4, "faint_seeds": 0.1, "margin_scale": 0.7}
    given["min_object_size"] = 7
    settings = pass_through(2).predict(perfect_raw(blobs(2)[1]), **given).settings
    assert {name: getattr(settings, name) for name in given} == given


@pytest.mark.parametrize("ndim", [2, 3])
def test_frames_are_segmented_by_themselves(blobs, pass_through, perfect_raw, ndim: int) -> None:
    _, labels = blobs(ndim)
    frames = [perfect_raw(labels), perfect_raw(np.where(labels == 1, 0, labels)), perfect_raw(np.flip(labels))]
    model = pass_through(ndim)
    found = model.predict(np.stack(frames), "TCZYX" if ndim == 3 else "TCYX")
    assert found.labels.shape == (3, *labels.shape)
    for t, frame in enumerate(frames):
        alone = model.predict(frame)
        assert np.array_equal(found.frames[t].labels, alone.labels)
        assert np.array_equal(found.labels[t] > 0, alone.labels > 0)
        rows = found.centers[:, 0] == t
        assert np.array_equal(found.centers[rows, 1:], alone.centers)
        assert np.array_equal(found.scores[rows], alone.scores)
        assert np.array_equal(found.frames[t].maps.seed_map, alone.maps.seed_map)
    assert found.frames[1].labels.max() == labels.max() - 1
    assert np.unique(found.labels).tolist() == list(range(len(found.scores) + 1))


def test_one_frame_with_a_time_axis_keeps_it(equivariant) -> None:
    assert equivariant(2).predict(np.zeros((1, 16, 16)), "TYX").labels.shape == (1, 16, 16)


def test_brightness_of_one_frame_does_not_touch_another(equivariant, rng: np.random.Generator) -> None:
    model = equivariant(2, normalization=NormalizationConfig())
    image = rng.integers(0, 100, (24, 24)).astype(np.uint16)
    found = model.predict(np.stack([image, image * 40]), "TYX")
    np.testing.assert_allclose(found.frames[0].maps.seed_map, found.frames[1].maps.seed_map, rtol=1e-4)
    raw = model.embed(image, normalize=False).seed_map
    assert np.abs(raw - found.frames[0].maps.seed_map).max() > 0.1


def test_normalisation_is_the_same_for_all_tiles(equivariant, rng: np.random.Generator) -> None:
    model = equivariant(2, normalization=NormalizationConfig())
    image = rng.integers(0, 100, (64, 64)) + np.arange(64) * 50
    whole, tiled = model.embed(image, "YX"), model.embed(image, "YX", tile=24)
    np.testing.assert_allclose(tiled.seed_map, whole.seed_map, atol=1e-5)


@pytest.mark.parametrize(
    ("ndim", "shape", "axes", "error", "sentence"),
    [
        (2, (4, 16, 16), "ZYX", ModelError, "works in 2D"),
        (3, (16, 16), "YX", ModelError, "works in 3D"),
        (2, (3, 16, 16), "CYX", ModelError, "3 channel"),
        (2, (16, 16), "ZYX", DataError, "axes"),
        (2, (16, 16), "QX", DataError, "unknown letter"),
        (2, (0, 16), "YX", DataError, "empty"),
        (2, (16,), None, DataError, "no image"),
    ],
)
def test_images_that_do_not_fit(equivariant, ndim: int, shape, axes, error, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        equivariant(ndim).predict(np.zeros(shape), axes)


@pytest.mark.parametrize("image", [np.zeros((8, 8), complex), np.full((8, 8), "a"), np.full((8, 8), None)])
def test_what_is_no_number_is_a_sentence(equivariant, image: np.ndarray) -> None:
    with pytest.raises(DataError, match="real numbers"):
        equivariant(2).predict(image, "YX")


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint32", "float16", "float64", "bool", ">u2"])
def test_every_real_type(equivariant, kind: str) -> None:
    assert equivariant(2).predict(np.ones((16, 16), kind), "YX").labels.shape == (16, 16)


def test_lists_and_read_only_arrays(equivariant) -> None:
    image = np.ones((16, 16), np.float32)
    image.flags.writeable = False
    model = equivariant(2)
    assert np.array_equal(model.embed(image).seed_map, model.embed(image.tolist()).seed_map)


def test_embedding_takes_one_frame(equivariant) -> None:
    with pytest.raises(DataError, match="one by one"):
        equivariant(2).embed(np.zeros((2, 16, 16)), "TYX")
    assert equivariant(2).embed(np.zeros((1, 16, 16)), "TYX").seed_map.shape == (16, 16)


def test_stop_between_tiles(equivariant) -> None:
    events: list = []

    def should_stop() -> bool:
        return sum(isinstance(event, TileFinished) for event in events) == 3

    with pytest.raises(Stopped):
        equivariant(2).predict(np.zeros((64, 64)), tile=16, on_event=events.append, should_stop=should_stop)
    assert sum(isinstance(event, TileFinished) for event in events) == 3


def test_stop_while_clustering(blobs, pass_through, perfect_raw) -> None:
    events: list = []

    def should_stop() -> bool:
        return any(isinstance(event, ClusteringStarted) for event in events)

    with pytest.raises(Stopped):
        pass_through(2).predict(perfect_raw(blobs(2)[1]), on_event=events.append, should_stop=should_stop)


def test_inference_mode_does_not_leak_out_of_the_generator(equivariant) -> None:
    for _ in Predictor(equivariant(2)).run(np.zeros((16, 16)), "YX"):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


class Limited(nn.Module):
    """Runs out of memory above so many pixels."""

    def __init__(self, network: nn.Module, pixels: int, text: str = "CUDA out of memory.") -> None:
        super().__init__()
        self.network, self.pixels, self.text = network, pixels, text

    def forward(self, x: Tensor) -> Tensor:
        if x[0, 0].numel() > self.pixels:
            raise RuntimeError(self.text)
        return self.network(x)


def test_smaller_tiles_where_memory_runs_out(equivariant, rng: np.random.Generator) -> None:
    image = rng.normal(0, 0.3, (256, 200)).astype(np.float32)
    model = equivariant(2)
    expected = model.embed(image)
    model.network = Limited(model.network, 128 * 128)
    events: list = []
    found = model.predict(image, on_event=events.append)
    messages = [event for event in events if isinstance(event, Message) and event.level == "warning"]
    assert messages
    assert "smaller tiles" in messages[0].text
    np.testing.assert_allclose(found.maps.offsets, expected.offsets, atol=1e-3)


def test_no_memory_at_all_is_a_sentence(equivariant) -> None:
    model = equivariant(2)
    model.network = Limited(model.network, 0)
    with pytest.raises(ComputeError, match="close other programs"):
        model.predict(np.zeros((300, 300)))


def test_other_failures_of_the_device_are_a_sentence(equivariant) -> None:
    model = equivariant(2)
    model.network = Limited(model.network, 0, "CUDNN_STATUS_NOT_SUPPORTED")
    with pytest.raises(ComputeError, match="CUDNN_STATUS_NOT_SUPPORTED"):
        model.predict(np.zeros((30, 30)))


def test_precision_falls_back_and_says_so(equivariant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "supports_precision", lambda device, precision: precision == "float32")
    events: list = []
    equivariant(2).predict(np.zeros((16, 16)), "YX", precision="bfloat16", on_event=events.append)
    assert any(isinstance(event, Message) and "float32" in event.text for event in events)


def test_far_pixel_sizes_are_told(equivariant) -> None:
    model = equivariant(2, spacing=(0.5, 0.5), spacing_unit="µm")

    def warnings(spacing: tuple[float, ...] | None) -> list[str]:
        events: list = []
        model.predict(np.zeros((16, 16)), "YX", spacing=spacing, on_event=events.append)
        return [event.text for event in events if isinstance(event, Message)]

    assert "0.5 x 0.5 µm" in warnings((0.1, 0.1))[0]
    assert warnings((0.45, 0.5)) == warnings(None) == []


@pytest.mark.parametrize("ndim", [2, 3])
def test_maps_are_on_the_images_own_pixels_at_any_network_scale(pass_through, ndim: int) -> None:
    # One large ball: at half the size the network's offsets are half as long, on the image's pixels they are whole.
    shape, step = (32, 32, 48)[-ndim:], 1 / 1023
    center = np.array([(n - 1) / 2 for n in shape]).reshape(-1, *[1] * ndim)
    offsets = np.broadcast_to(center, (ndim, *shape)) - np.indices(shape)
    raw = np.concatenate([np.arctanh(offsets * step / 2), np.zeros((ndim, *shape)), np.ones((1, *shape))])
    maps = pass_through(ndim, reference_scale=0.5).embed(raw.astype(np.float32))
    inner = (slice(None), *(slice(4, -4),) * ndim)
    np.testing.assert_allclose(maps.offsets[inner], offsets[inner], atol=0.1)
    np.testing.assert_allclose(maps.margins, 2 * np.sqrt(np.log(2)) / step, rtol=1e-4)


def test_a_scale_acts_as_that_of_the_model(equivariant) -> None:
    image = np.random.default_rng(0).random((40, 56)).astype(np.float32)
    small, other = equivariant(2), equivariant(2, reference_scale=0.5)
    asked = small.predict(image, "YX", scale=0.5).maps
    stored = other.predict(image, "YX").maps
    np.testing.assert_array_equal(asked.seed_map, stored.seed_map)
    assert asked.seed_map.shape == image.shape
    with pytest.raises(SettingsError, match="scale"):
        small.predict(image, "YX", scale=0.0)


def test_a_scale_that_makes_up_for_the_pixel_size_is_not_warned_of(equivariant) -> None:
    model = equivariant(2, spacing=(0.5, 0.5), spacing_unit="µm")
    events: list = []
    model.predict(np.zeros((16, 16)), "YX", spacing=(0.25, 0.25), scale=0.5, on_event=events.append)
    assert not [event for event in events if isinstance(event, Message)]


def test_objects_of_another_size_are_told(blobs, pass_through, perfect_raw) -> None:
    _, labels = blobs(2)
    sizes = ObjectSizes(n_objects=9, mean=(40.0, 40.0), std=(2.0, 2.0))
    events: list = []
    pass_through(2, object_sizes=sizes).predict(perfect_raw(labels), on_event=events.append)
    text = " ".join(event.text for event in events if isinstance(event, Message))
    assert "those the model learned 40 ± 2" in text


def test_tile_of_the_wrong_length_is_a_sentence(equivariant) -> None:
    with pytest.raises(SettingsError, match="works in 3D"):
        equivariant(3).predict(np.zeros((8, 16, 16)), tile=(64, 64))


def test_settings_come_from_the_model(blobs, pass_through, perfect_raw) -> None:
    raw = perfect_raw(blobs(2)[1])
    strict = pass_through(2, prediction=PredictionConfig(seed_threshold=0.999))
    assert strict.predict(raw).labels.max() == 0
    assert strict.predict(raw, seed_threshold=0.9).labels.max() > 0
    assert drain(Predictor(strict, PredictionConfig()).run(raw)).labels.max() > 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0,), (0.0, 1.0), (float("nan"), 1.0), ("a", "b"), 0.5])
def test_a_pixel_size_of_other_axes_is_refused(equivariant, spacing) -> None:
    with pytest.raises(DataError, match=r"pacing.*(axes YX|positive)"):
        equivariant(2).predict(np.zeros((16, 16)), "YX", spacing=spacing)


def test_pixels_that_show_nothing_are_told_once_for_all_frames(equivariant) -> None:
    rng = np.random.default_rng(0)
    movie = rng.normal(100, 5, (3, 64, 64)).astype(np.float32)
    movie[:, 20, 30] = 90_000
    movie[1, 4, 4] = np.nan
    events: list = []
    model = equivariant(2, normalization=NormalizationConfig())
    model.predict(movie, "TYX", on_event=events.append)
    told = [event for event in events if isinstance(event, Message)]
    assert len(told) == 1
    assert told[0].level == "warning"
    assert "1 value that is no finite number, 3 hot or dead pixels" in told[0].text


def test_maps_without_numbers_are_told(equivariant) -> None:
    """As where values in a network grow beyond what a short number holds."""
    model = equivariant(2)
    model.network.register_forward_hook(lambda *hooked: hooked[-1] * float("nan"))
    events: list = []
    assert model.predict(np.zeros((16, 24)), "YX", on_event=events.append).labels.max() == 0
    told = [event.text for event in events if isinstance(event, Message) and event.level == "warning"]
    assert any("The maps hold no number (NaN) at 384 pixels" in text for text in told)


def test_what_is_masked_is_missing(equivariant) -> None:
    image = np.random.default_rng(0).normal(100, 5, (64, 64))
    hidden = np.zeros(image.shape, bool)
    hidden[10:14, 10:14] = True
    model = equivariant(2, normalization=NormalizationConfig())
    masked = np.ma.MaskedArray(np.where(hidden, 1e9, image), hidden)
    events: list = []
    found = model.predict(masked, "YX", on_event=events.append)
    plain = model.predict(np.where(hidden, np.nan, image), "YX", on_event=lambda _: None)
    np.testing.assert_array_equal(found.maps.seed_map, plain.maps.seed_map)
    assert any("16 values that are no finite numbers" in str(getattr(event, "text", "")) for event in events)


def test_an_image_without_any_number_is_refused(equivariant) -> None:
    with pytest.raises(DataError, match="no finite number"):
        equivariant(2, normalization=NormalizationConfig()).predict(np.full((32, 32), np.nan), "YX")


def test_one_hot_pixel_changes_no_object() -> None:
    model = load_model("nuclei-2d", device="cpu")
    image = nuclei((128, 128), seed=2).image.astype(np.float32)
    clean = model.predict(image, "YX", on_event=lambda _: None).labels
    for factor in (5, 100, 1000):
        spoiled = image.copy()
        spoiled[64, 64] = factor * np.percentile(image, 99.8)
        found = model.predict(spoiled, "YX", on_event=lambda _: None).labels
        assert match(clean, found, (0.9,))[0].ap == 1


def test_better_scales_are_looked_for_only_when_asked() -> None:
    image = resize(nuclei((160, 160), seed=1).image.astype(np.float32), (720, 720), order=1)
    model = load_model("nuclei-2d", device="cpu")
    texts = []
    for advise in (False, True):
        events: list = []
        model.predict(image, "YX", advise=advise, on_event=events.append)
        texts.append(" ".join(event.text for event in events if isinstance(event, Message)))
    assert "try the scale" not in texts[0]
    assert "try the scale 0." in texts[1]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"axes": ("Y", "X")}, "write one word"),
        ({"spacing": 5}, "no pixel size"),
        ({"spacing": (0, 1)}, "pixel sizes are positive numbers"),
        ({"seeds": "local-maxima"}, "did you mean 'local_maxima'"),
        ({"tile": "x"}, "list of numbers"),
        ({"should_stop": 5}, "should_stop takes a function"),
        ({"on_event": 5}, "on_event takes a function"),
    ],
)
def test_arguments_of_another_kind_are_sentences(equivariant, given, sentence: str) -> None:
    with pytest.raises(EmbedSegError, match=sentence):
        equivariant(2).predict(np.zeros((32, 32)), **given)


def test_an_image_is_not_enlarged_beyond_all_memory(equivariant) -> None:
    with pytest.raises(SettingsError, match="enlarge the image of 3000 x 3000 pixels to 60000 x 60000"):
        equivariant(2).predict(np.zeros((3000, 3000), np.uint8), scale=20)
