"""Arrays that name their axes, as xarray's do: with a stand-in that has only what counts, and with xarray itself."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.errors import AssumptionWarning, DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.named_axes import as_picture
from embedseg_napari.core.files.tiff import read_image


class Named:
    """What counts of a DataArray: dims, shape, data, coords with attrs."""

    def __init__(self, data, dims, steps=None, units=None) -> None:
        self.data, self.dims, self.shape = data, tuple(dims), data.shape
        self.coords = {
            name: Coordinates(5 + np.arange(data.shape[dims.index(name)]) * step, (units or {}).get(name))
            for name, step in (steps or {}).items()
        }

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.data, dtype)


class Coordinates(SimpleNamespace):
    def __init__(self, values, unit) -> None:
        super().__init__(values=values, attrs={} if unit is None else {"units": unit})

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.values, dtype)


def from_xarray(data, dims, steps=None, units=None):
    xarray = pytest.importorskip("xarray")
    coords = {
        name: xarray.DataArray(
            5 + np.arange(data.shape[list(dims).index(name)]) * step,
            dims=name,
            attrs={"units": units[name]} if units and name in units else {},
        )
        for name, step in (steps or {}).items()
    }
    return xarray.DataArray(data, dims=list(dims), coords=coords)


@pytest.fixture(params=[Named, from_xarray])
def named(request):
    return request.param


@pytest.mark.parametrize(
    ("dims", "axes"),
    [
        (("time", "y", "x"), "TYX"),
        (("T", "C", "Z", "Y", "X"), "TCZYX"),
        (("x", "depth", "y"), "XZY"),
        (("row", "col", "channel"), "YXC"),
        (("dim_0", "dim_1"), ""),
    ],
)
def test_names_of_axes_are_their_letters(named, dims, axes) -> None:
    pixels = np.zeros((3, 4, 5, 6, 7)[: len(dims)], np.uint8)
    picture = as_picture(named(pixels, dims))
    assert (picture.axes, picture.array.shape) == (axes, pixels.shape)


def test_other_arrays_name_nothing() -> None:
    assert as_picture(np.zeros((3, 4))) is None
    assert as_picture([[1, 2]]) is None


@pytest.mark.parametrize("dims", [("position", "y", "x"), ("z", "depth", "x")])
def test_names_that_say_nothing_are_a_sentence(named, dims) -> None:
    with pytest.raises(DataError, match='axes="TYX"'):
        as_picture(named(np.zeros((3, 4, 5)), dims))


@pytest.mark.parametrize(
    ("steps", "units", "spacing", "unit"),
    [
        ({"z": 2.0, "y": 0.5, "x": 0.25}, dict.fromkeys("zyx", "micrometer"), (2, 0.5, 0.25), "um"),
        ({"z": 2000.0, "y": 0.5, "x": 0.25}, {"z": "nm", "y": "um", "x": "µm"}, (2, 0.5, 0.25), "um"),
        ({"z": -2.0, "y": 0.5, "x": 0.25}, None, (2, 0.5, 0.25), None),
        ({"y": 0.5, "x": 0.25}, None, None, None),
        ({"z": 1, "y": 1, "x": 1}, None, None, None),
        ({"z": 2.0, "y": 0.5, "x": 0.25}, {"z": "um"}, None, None),
    ],
)
def test_steps_of_coordinates_are_the_pixel_size(named, steps, units, spacing, unit) -> None:
    picture = as_picture(named(np.zeros((4, 5, 6)), ("z", "y", "x"), steps, units))
    assert picture.spacing == (None if spacing is None else pytest.approx(spacing))
    assert picture.unit == unit


def test_predict_goes_by_names_and_coordinates(named, untrained, rng) -> None:
    model = untrained(2)
    model.config = model.config.model_copy(update={"spacing": (0.5, 0.5), "spacing_unit": "um"})
    pixels = rng.integers(0, 99, (3, 16, 24), np.uint8)
    far, events = dict.fromkeys("yx", 2000), []
    movie = named(pixels.transpose(1, 0, 2), ("y", "time", "x"), far, dict.fromkeys("yx", "nm"))
    found = model.predict(movie, on_event=events.append)
    assert found.labels.shape == (16, 3, 24)
    told = [event.text for event in events if isinstance(event, Message)]
    assert not any("guessed" in text for text in told)
    assert any("pixels of 0.5 x 0.5 µm, these are 2 x 2" in text for text in told)
    np.testing.assert_array_equal(found.labels, model.predict(movie, "YTX", on_event=lambda _: None).labels)
    assert model.embed(named(pixels[0].T, ("x", "y"))).seed_map.shape == (16, 24)


def test_training_goes_by_names_and_coordinates(named, rng, recwarn) -> None:
    pixels, labels = rng.integers(0, 99, (4, 16, 24), np.uint8), np.zeros((4, 16, 24), np.int32)
    labels[1:3, 2:6, 3:9] = 7
    image = named(
        pixels.transpose(2, 0, 1), ("x", "z", "y"), {"z": 2.0, "y": 0.5, "x": 0.5}, dict.fromkeys("zyx", "um")
    )
    mask = named(labels.transpose(1, 2, 0), ("y", "x", "z"))
    planes = named((labels == 7).transpose(2, 0, 1)[None], ("object", "x", "z", "y"))
    single = named(labels.transpose(2, 0, 1)[:, None], ("x", "channel", "z", "y"))
    for objects in (mask, planes, single, labels.transpose(2, 0, 1)):
        (example,) = from_arrays([(image, objects)])
        np.testing.assert_array_equal(example.image, pixels[None])
        np.testing.assert_array_equal(example.instances.reshape(-1, 16, 24) > 0, labels > 0)
        assert (example.spacing, example.unit) == ((2.0, 0.5, 0.5), "um")
    assert from_arrays([(image, mask)], spacing=(3, 1, 1))[0].spacing == (3, 1, 1)
    assert not any(issubclass(one.category, AssumptionWarning) for one in recwarn)


def test_a_channel_of_one_example_and_its_spacing_can_be_given() -> None:
    one = es.Example("a", np.arange(2 * 8 * 8).reshape(2, 8, 8), np.zeros((8, 8), np.int32))
    (example,) = from_arrays([one], channel=1, spacing=(0.5, 0.5))
    np.testing.assert_array_equal(example.image, one.image[1:])
    assert example.spacing == (0.5, 0.5)


@pytest.fixture
def movie() -> np.ndarray:
    """Two objects in three frames."""
    labels = np.zeros((3, 16, 24), np.int32)
    labels[:, 2:6, 3:9], labels[:, 9:13, 12:20] = 1, 2
    return labels


def test_labels_are_measured_sampled_tracked_and_exported_by_names_and_coordinates(named, movie, rng, tmp_path) -> None:
    pixels = rng.integers(0, 99, movie.shape, np.uint8)
    sizes = {"y": 500.0, "x": 250.0}, dict.fromkeys("yx", "nm")
    labels, image = named(movie.transpose(1, 0, 2), ("y", "time", "x"), *sizes), named(pixels.T, ("x", "y", "t"))
    found, expected = es.measure(labels, image), es.measure(movie, pixels, "TYX", spacing=(0.5, 0.25))
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)
    # The coordinates of the image count where the labels have none.
    other = es.measure(movie, named(pixels, ("t", "y", "x"), *sizes), "TYX")
    np.testing.assert_allclose(other["area_um2"], expected["area_um2"])
    # What is given goes before.
    assert es.measure(labels, axes="YTX")["area_px"].tolist() == [24.0, 32.0] * 3
    assert es.measure(labels, spacing=(1, 1))["area_um2"].tolist() == [24.0, 32.0] * 3
    assert es.draw_sample(labels, seed=1) == es.draw_sample(movie, "TYX", seed=1)
    tracks = es.track(labels, image)
    assert (tracks.axes, tracks.spacing, tracks.unit) == ("YTX", (500.0, 250.0), "nm")
    assert tracks.frame.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(set(tracks.track.tolist())) == 2
    es.export_labels(named(movie[0].T, ("x", "y"), *sizes), tmp_path / "a.ome.tif", "ome-tiff")
    written = read_image(tmp_path / "a.ome.tif", labels=True)
    np.testing.assert_array_equal(written.array, movie[0])
    assert (written.axes, written.spacing, written.unit) == ("YX", (500.0, 250.0), "nm")
    planes = named(np.stack([movie[0] == 1, movie[0] == 2]).transpose(0, 2, 1), ("object", "x", "y"))
    es.export_labels(planes, tmp_path / "a.json", "coco", planes=True)
    np.testing.assert_array_equal(es.import_labels(tmp_path / "a.json", (16, 24)), movie[0])


@pytest.mark.parametrize("name", ["marker", "channel"])
def test_the_axis_that_labels_lack_counts_channels_whatever_it_is_called(named, movie, rng, name) -> None:
    pixels = rng.integers(0, 99, (2, *movie.shape), np.uint8)
    labels, image = named(movie, ("t", "y", "x")), named(pixels.transpose(1, 2, 3, 0), ("t", "y", "x", name))
    found, expected = es.measure(labels, image), es.measure(movie, pixels, "TYX", image_axes="CTYX")
    for number in range(2):
        np.testing.assert_allclose(found[f"intensity_mean_{number}"], expected[f"intensity_mean_{number}"])
    np.testing.assert_allclose(
        es.track(labels, image).brightness, es.track(movie, pixels, image_axes="CTYX").brightness
    )
    unnamed = es.measure(movie[0], named(pixels[:, 0], (name, "y", "x")), "YX")
    np.testing.assert_allclose(unnamed["intensity_mean_1"], expected["intensity_mean_1"][:2])
    for function in (es.measure, es.track):
        with pytest.raises(DataError, match=r'axes of the image are called position.* image_axes="TYX"'):
            function(labels, named(pixels[0], ("position", "y", "x")))


def test_frames_that_are_named_are_matched_one_by_one(named, movie) -> None:
    predicted = movie.copy()
    predicted[2] = 0
    (row,) = es.match(named(movie.transpose(1, 2, 0), ("y", "x", "t")), predicted.transpose(1, 2, 0), [0.9])
    assert (row.tp, row.fn) == (4, 2)
    (row,) = es.match(named(movie, ("t", "y", "x")), named(predicted.T, ("x", "y", "time")), [0.9])
    assert (row.tp, row.fn) == (4, 2)
    with pytest.raises(DataError, match="the same for truth and prediction"):
        es.match(named(movie, ("t", "y", "x")), named(predicted, ("z", "y", "x")))


def test_images_along_an_axis_of_another_name_are_no_planes_of_one_object(named, movie) -> None:
    positions = named(movie, ("position", "y", "x"))
    for other in (positions, movie[0], movie):
        with pytest.raises(DataError, match=r'The truth: plane 0 holds several numbers.*axes="TYX"'):
            es.match(positions, other)
    assert es.match(positions, positions, [0.9], axes="TYX")[0].tp == 6
    planes = named(np.stack([movie[0] == 1, movie[0] == 2]) * np.uint8([[[3]], [[5]]]), ("object", "y", "x"))
    assert es.match(planes, movie[0], [0.9])[0].tp == es.match(planes, planes, [0.9])[0].tp == 2


@pytest.mark.parametrize("axes", [None, "TYX"])
def test_lazy_arrays_with_names_are_read_in_parts(movie, axes) -> None:
    xarray, dask = pytest.importorskip("xarray"), pytest.importorskip("dask.array")
    labels = xarray.DataArray(dask.from_array(movie, chunks=(1, 8, 8)), dims=("t", "y", "x"))
    found, expected = es.measure(labels, labels, axes), es.measure(movie, movie, "TYX")
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)
    assert es.draw_sample(labels, axes, seed=1) == es.draw_sample(movie, "TYX", seed=1)
    assert es.track(labels, axes=axes).frame.tolist() == [0, 0, 1, 1, 2, 2]
