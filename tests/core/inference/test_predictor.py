"""From an image of any axes, type and size to its objects."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from embedseg_napari.core.config import NormalizationConfig, PredictionConfig
from embedseg_napari.core.errors import (
    DataError,
    EmbedSegError,
    ModelError,
)
from embedseg_napari.core.events import (
    ClusteringStarted,
    FrameFinished,
    Message,
    PredictionStarted,
    TileFinished,
)
from embedseg_napari.core.inference.predictor import Predictor
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


def test_settings_come_from_the_model(blobs, pass_through, perfect_raw) -> None:
    raw = perfect_raw(blobs(2)[1])
    strict = pass_through(2, prediction=PredictionConfig(seed_threshold=0.999))
    assert strict.predict(raw).labels.max() == 0
    assert strict.predict(raw, seed_threshold=0.9).labels.max() > 0
    assert drain(Predictor(strict, PredictionConfig()).run(raw)).labels.max() > 0


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


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("changes", [{}, {"faint_seeds": 0.3, "foreground_threshold": 0.1}, {"fill_holes": True}])
def test_without_maps_the_objects_of_a_tiled_image_are_the_same(
    pass_through, rng: np.random.Generator, ndim: int, changes: dict
) -> None:
    raw = rng.normal(0, 1, (2 * ndim + 1, *(13, 45, 70)[-ndim:])).astype(np.float32)
    # Margins of two pixels, and offsets of about as much.
    raw[:ndim] *= 0.002
    raw[ndim : 2 * ndim] = 1.2 + 0.05 * raw[ndim : 2 * ndim]
    settings = PredictionConfig(tile=(16,) * ndim, tile_overlap=(8,) * ndim, seed_threshold=0.6, **changes)
    predictor = Predictor(pass_through(ndim), settings)
    whole = drain(predictor.run(raw, "CZYX" if ndim == 3 else "CYX"))
    plain = drain(predictor.run(raw, "CZYX" if ndim == 3 else "CYX", keep_maps=False, advise=True, remarks=True))
    assert len(whole.scores) > 20
    assert plain.kept_maps is None
    for name in ("labels", "seeds"):
        assert np.array_equal(getattr(plain, name), getattr(whole, name))
    # Parts of another shape are decoded with another rounding of the last bit.
    for name in ("centers", "scores"):
        np.testing.assert_allclose(getattr(plain, name), getattr(whole, name), rtol=1e-6)
    assert plain.n_bright == whole.n_bright
