"""Images of a session: copied or remembered, and found again."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tifffile
from PIL import Image
from session_steps import reopened

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import Picture, read_image, write_image
from embedseg_napari.core.session.images import ImageChanged, may_hold
from embedseg_napari.core.session.session import AnnotationSession


def test_image_in_memory_is_copied(session, image):
    image_before = image.copy()
    image[:] = 0
    with reopened(session) as again:
        picture = again.load_image("cells")
        np.testing.assert_array_equal(picture.array, image_before)
        assert (picture.axes, picture.spacing, picture.unit) == ("YX", (0.5, 0.25), "um")


@pytest.mark.parametrize(
    ("shape", "axes", "stored_axes", "dtype"),
    [
        ((5, 6, 7), "ZYX", "ZYX", np.int64),
        ((20, 21, 3), "YXC", "CYX", np.float16),
        ((2, 5, 6, 7), "CZYX", "ZCYX", np.float64),
        ((1, 1, 6, 7), "CZYX", "ZCYX", bool),
    ],
)
def test_images_of_many_kinds_are_copied(session, rng, shape, axes, stored_axes, dtype):
    array = rng.integers(0, 100, shape).astype(dtype)
    session.add_image("other", Picture(array, axes))
    picture = session.load_image("other")
    assert picture.axes == stored_axes
    order = [axes.index(letter) for letter in stored_axes]
    np.testing.assert_array_equal(picture.array, array.transpose(order))
    spatial = session.image("other").spatial_shape
    assert session.load_annotation("other").labels.shape == spatial
    session.save_annotation("other", Annotation(np.ones(spatial, np.int32)))
    assert session.annotated_images({})[0][0].example().ndim == len(spatial) == len(stored_axes.replace("C", ""))


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_what_is_in_colour_is_remembered_as_such(session, tmp_path, rng, ending):
    path, colours = tmp_path / f"tissue.{ending}", rng.integers(0, 256, (20, 21, 3)).astype(np.uint8)
    if ending == "tif":
        tifffile.imwrite(path, colours, photometric="rgb")
    else:
        Image.fromarray(colours).save(path)
    session.add_image("tissue", read_image(path))
    session.add_image("dyes", Picture(np.moveaxis(colours, -1, 0), "CYX"))
    with reopened(session) as again:
        assert (again.image("tissue").source is None) == (ending == "png")
        assert again.load_image("tissue").is_colour
        assert not again.load_image("dyes").is_colour


def test_image_file_is_remembered_not_copied(session, tmp_path, rng):
    path = tmp_path / "a.tif"
    array = rng.integers(0, 255, (4, 20, 24)).astype(np.uint8)
    write_image(path, array, "ZYX", (2.0, 0.5, 0.5), "um")
    session.add_image("volume", read_image(path))
    with reopened(session) as again:
        picture = again.load_image("volume")
        np.testing.assert_array_equal(picture.array, array)
        assert (picture.axes, picture.spacing, picture.unit) == ("ZYX", (2.0, 0.5, 0.5), "um")
        assert len(list((again.folder / "images").iterdir())) == 1

        # A copy with another date is the same image; so is one that moved along with the session.
        os.utime(path, (1, 1))
        np.testing.assert_array_equal(again.load_image("volume").array, array)
        write_image(path, array + 1, "ZYX", overwrite=True)
        with pytest.raises(ImageChanged, match="volume was changed since"):
            again.load_image("volume")
        path.unlink()
        with pytest.raises(DataError, match=r"a\.tif.*volume is missing") as missing:
            again.load_image("volume")
        assert not isinstance(missing.value, ImageChanged)


def test_sessions_of_before_keep_an_alpha_channel_that_hides_nothing(session, tmp_path, rng):
    array = rng.integers(0, 255, (20, 24, 4)).astype(np.uint8)
    array[..., 3] = 255
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    session.add_image("tissue", read_image(tmp_path / "a.tif"))
    path = session.folder / "session.json"
    with reopened(session) as again:
        np.testing.assert_array_equal(again.load_image("tissue").array, array[..., :3])
    state = json.loads(path.read_text())
    state["images"][-1]["shape"] = list(array.shape)
    path.write_text(json.dumps(state))
    with AnnotationSession.open(session.folder) as again:
        np.testing.assert_array_equal(again.load_image("tissue").array, array)


@pytest.mark.parametrize("case", ["a stack of files", "one channel of a file", "another type", "damaged"])
def test_what_its_file_does_not_hold_as_it_is_shown_is_copied(session, tmp_path, rng, case):
    path, array = tmp_path / "a.tif", rng.integers(0, 255, (3, 20, 24)).astype(np.uint8)
    write_image(path, *((array, "CYX") if case == "one channel of a file" else (array[0], "YX")))
    if case == "damaged":
        path.write_bytes(path.read_bytes()[:200])
    shown, axes = (array, "ZYX") if case == "a stack of files" else (array[0], "YX")
    if case == "another type":
        shown = shown.astype(np.int64)
    session.add_image("other", Picture(shown, axes, path=path))
    with reopened(session) as again:
        assert again.image("other").source is None
        np.testing.assert_array_equal(again.load_image("other").array, shown)


def test_a_file_with_values_that_are_no_numbers_is_remembered(session, tmp_path):
    array = np.ones((20, 24), np.float32)
    array[:3, :4] = np.nan
    write_image(tmp_path / "a.tif", array, "YX")
    session.add_image("other", read_image(tmp_path / "a.tif"))
    assert session.image("other").source is not None


def test_session_and_images_may_move_together(tmp_path, image):
    (tmp_path / "before").mkdir()
    write_image(tmp_path / "before" / "a.tif", image, "YX")
    with AnnotationSession(tmp_path / "before" / "session") as session:
        session.add_image("a", read_image(tmp_path / "before" / "a.tif", "YX"))
    (tmp_path / "before").rename(tmp_path / "after")
    with AnnotationSession.open(tmp_path / "after" / "session") as session:
        np.testing.assert_array_equal(session.load_image("a").array, image)


def test_images_that_make_no_sense_are_refused(session, image):
    with pytest.raises(DataError, match="name of its own"):
        session.add_image("cells", Picture(image, "YX"))
    with pytest.raises(DataError, match="time points"):
        session.add_image("movie", Picture(np.zeros((3, 8, 8)), "TYX"))
    with pytest.raises(DataError, match="spacing"):
        session.add_image("b", Picture(image, "YX", (1.0,)))
    with pytest.raises(DataError, match="is not an image"):
        session.add_image("b", Picture(image.astype(complex), "YX"))
    assert session.image_names == ["cells"]


def test_a_file_may_hold_an_image_whose_own_is_gone_if_it_is_the_same(session, tmp_path, image):
    for name, array in (("a", image), ("b", image + 1)):
        write_image(tmp_path / f"{name}.tif", array, "YX")
    session.add_image("a", read_image(tmp_path / "a.tif", "YX"))
    (tmp_path / "a.tif").rename(tmp_path / "moved.tif")
    entry = session.image("a")
    assert may_hold(str(tmp_path / "moved.tif"), entry)
    assert not may_hold(str(tmp_path / "b.tif"), entry)
    # What is in no file, or was in none, cannot be told apart.
    assert may_hold(None, entry)
    assert may_hold(str(tmp_path / "b.tif"), session.image("cells"))
