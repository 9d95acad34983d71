from __future__ import annotations

import os

import numpy as np
import pytest
from session_steps import SHAPE, annotated, painted, reopened

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.errors import DataError, ModelError
from embedseg_napari.core.files.tiff import Picture, read_image
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.session.session import AnnotatedImage, AnnotationSession
from embedseg_napari.core.session.state import Round


@pytest.mark.parametrize("highest", [3, BACKGROUND, 70000])
def test_annotation_comes_back_as_it_was(session, highest):
    regions = np.zeros(SHAPE, bool)
    regions[4:, 5:] = True
    session.save_annotation("cells", Annotation(painted(highest), regions, frozenset({highest, 9})))
    with reopened(session) as again:
        found = again.load_annotation("cells")
        assert found.labels.dtype == np.int32
        np.testing.assert_array_equal(found.labels, painted(highest))
        np.testing.assert_array_equal(found.regions, regions)
        assert found.accepted_ids == {highest, 9}


def test_what_was_annotated_before_the_whole_image_comes_back_with_it(session):
    before = np.zeros(SHAPE, bool)
    before[4:, 5:] = True
    whole = np.ones(SHAPE, bool)
    known = Annotation(painted(3), whole, earlier_regions=before)
    assert not known.is_same(Annotation(painted(3), whole))
    assert known.is_same(Annotation(painted(3), whole, earlier_regions=before.copy()))
    session.save_annotation("cells", known)
    with reopened(session) as again:
        np.testing.assert_array_equal(again.load_annotation("cells").earlier_regions, before)
        again.save_annotation("cells", Annotation(painted(3), before, earlier_regions=whole))
        assert again.load_annotation("cells").earlier_regions is None


def test_image_without_annotation_is_empty(session):
    found = session.load_annotation("cells")
    assert found.is_empty
    assert found.labels.shape == SHAPE
    assert found.regions is None


def test_annotation_that_does_not_fit_leaves_the_saved_one(session):
    session.save_annotation("cells", Annotation(painted(3)))
    with pytest.raises(DataError, match=r"labels of cells.*\(3, 3\)"):
        session.save_annotation("cells", Annotation(np.zeros((3, 3), np.int32)))
    with pytest.raises(DataError, match="whole numbers"):
        session.save_annotation("cells", Annotation(painted(3) * -1))
    with pytest.raises(DataError, match="regions have shape"):
        Annotation(painted(4), np.zeros((3, 3), bool))
    with pytest.raises(DataError, match="no image 'nuclei'"):
        session.save_annotation("nuclei", Annotation(painted(4)))
    np.testing.assert_array_equal(session.load_annotation("cells").labels, painted(3))


@pytest.fixture
def model(tmp_path, untrained):
    """A model, and its file."""
    model = untrained()
    model.save(tmp_path / "model.embedseg")
    return model, tmp_path / "model.embedseg"


def test_round_keeps_model_numbers_and_annotations(session, model, tmp_path):
    session.save_annotation("cells", Annotation(painted(3), accepted_ids=frozenset([3])))
    model, path = model
    row = Round(seconds=12.5, score=0.75, thresholds={"seed_threshold": 0.8})
    added = session.add_round(row, path, annotated(session))
    assert (added.number, added.n_images, added.n_objects) == (1, 1, 1)
    assert added.n_pixels_labelled == added.counts["cells"].labelled_pixels == 42 + 24
    second = session.add_round(Round(comment="again"), session.model_path(1), annotated(session))
    with reopened(session) as again:
        assert again.rounds == (added, second)
        assert again.model_path(2).name == "002.embedseg"
        stored = load_model(again.model_path(2), "cpu").network.state_dict()
        for name, value in model.network.state_dict().items():
            assert (stored[name] == value).all()
        with pytest.raises(DataError, match="no round 3"):
            again.model_path(3)
        again.model_path(1).unlink()
        with pytest.raises(DataError, match="model of round 1 is gone"):
            again.model_path(1)
        again.folder.rename(tmp_path / "aside")
        with pytest.raises(DataError, match="was moved or deleted"):
            again.restore_round(2)


def test_round_whose_model_cannot_be_read_is_no_round(session, tmp_path):
    (tmp_path / "bad.embedseg").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="bad"):
        session.add_round(Round(), tmp_path / "bad.embedseg", [])
    assert session.rounds == ()


def test_restored_round_can_be_undone(session, model, image):
    session.save_annotation("cells", Annotation(painted(3), accepted_ids=frozenset([3])))
    session.add_round(Round(), model[1], annotated(session))
    session.add_image("later", Picture(image, "YX"))
    session.save_annotation("cells", Annotation(painted(4), np.ones(SHAPE, bool), frozenset([4])))
    session.save_annotation("later", Annotation(painted(5)))
    assert not session.can_undo_restore

    session.restore_round(1)
    np.testing.assert_array_equal(session.load_annotation("cells").labels, painted(3))
    assert session.load_annotation("cells").regions is None
    assert session.load_annotation("later").is_empty
    # What is painted now must not change the copy that the round keeps.
    session.save_annotation("cells", Annotation(painted(6)))
    session.restore_round(1)
    np.testing.assert_array_equal(session.load_annotation("cells").labels, painted(3))

    with reopened(session) as again:
        again.undo_restore()
        np.testing.assert_array_equal(again.load_annotation("cells").labels, painted(6))
        again.undo_restore()
        np.testing.assert_array_equal(again.load_annotation("cells").labels, painted(4))
        assert again.load_annotation("cells").accepted_ids == {4}
        np.testing.assert_array_equal(again.load_annotation("later").labels, painted(5))
        with pytest.raises(DataError, match="no restored round"):
            again.undo_restore()


def test_round_without_hard_links(session, model, monkeypatch):
    def refuse(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr(os, "link", refuse)
    session.save_annotation("cells", Annotation(painted(3)))
    session.add_round(Round(), model[1], annotated(session))
    session.save_annotation("cells", Annotation(painted(4)))
    session.restore_round(1)
    np.testing.assert_array_equal(session.load_annotation("cells").labels, painted(3))
    with reopened(session) as again, pytest.raises(DataError, match="already open"):
        AnnotationSession.open(again.folder)


def test_exported_data_set_is_read_by_training(session, tmp_path, image):
    regions = np.zeros(SHAPE, bool)
    regions[1:] = True
    regions[12:, 12:] = False
    session.save_annotation("cells", Annotation(painted(7), regions))
    session.add_image("full: of it/all", Picture(image, "YX"))
    session.save_annotation("full: of it/all", Annotation(painted(3), np.ones(SHAPE, bool)))
    session.add_image("untouched", Picture(image, "YX"))
    assert session.export_dataset(tmp_path / "data", {}) == 2
    first, second = load_folder(tmp_path / "data")
    np.testing.assert_array_equal(first.image[0], image)
    np.testing.assert_array_equal(first.instances, np.where(painted(7) == 7, 7, 0))
    np.testing.assert_array_equal(first.ignore, ~regions & (painted(7) == 0))
    assert first.spacing == (0.5, 0.25)
    assert second.ignore is None
    with pytest.raises(DataError, match="not empty"):
        session.export_dataset(tmp_path / "data", {})


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.float16])
def test_open_images_of_types_that_no_tiff_holds_are_exported(session, tmp_path, image, kind):
    session.save_annotation("cells", Annotation(painted(3)))
    session.export_dataset(tmp_path / "data", {"cells": Picture((image % 2000).astype(kind), "YX")})
    np.testing.assert_array_equal(load_folder(tmp_path / "data")[0].image[0], image % 2000)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("look", ["colours", "alpha", "grey", "one colour"])
def test_an_exported_data_set_keeps_colours_and_is_learned_from(session, tmp_path, rng, kind, look):
    colours = rng.integers(0, 200, (*SHAPE, 4 if look == "alpha" else 3)).astype(kind)
    if look == "grey":
        colours[..., 1:] = colours[..., :1]
    elif look == "one colour":
        colours[..., 1:] = 0
    session.add_image("tissue", Picture(colours, "YXC", (0.5, 0.25), "um", is_colour=True))
    session.save_annotation("tissue", Annotation(painted(3)))
    session.export_dataset(tmp_path / "data", {})
    (example,) = load_folder(tmp_path / "data")
    np.testing.assert_array_equal(example.image, np.moveaxis(colours, -1, 0))
    assert example.image.dtype == kind
    assert example.spacing == (0.5, 0.25)
    picture = read_image(example.path)
    assert picture.is_colour == (look in ("colours", "alpha") and kind != np.float32)
    assert picture.axes == ("YXC" if picture.is_colour else "CYX")


def test_nothing_annotated_is_not_exported(session, tmp_path):
    with pytest.raises(DataError, match="Nothing is annotated"):
        session.export_dataset(tmp_path / "data", {})
    assert not (tmp_path / "data").exists()


def test_damaged_annotation_is_said(session):
    session.save_annotation("cells", Annotation(painted(3)))
    (file,) = (session.folder / "annotations" / "0001").iterdir()
    data = file.read_bytes()
    for damaged in (data[: len(data) // 2], data[:60] + b"\x00\x01\x02\x03" + data[64:], b""):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged"):
            session.load_annotation("cells")


def test_images_whose_annotation_is_damaged_are_left_out_of_training_and_stop_an_export(session, tmp_path, image):
    session.save_annotation("cells", Annotation(painted(3)))
    session.save_annotation("other", Annotation(painted(4)), Picture(image, "YX"))
    next(session.folder.glob("annotations/*/*-cells.npz")).write_bytes(b"")
    images, faults = session.annotated_images({})
    assert [one.name for one in images] == ["other"]
    assert len(faults) == 1
    assert "cells.npz: this annotation is damaged" in faults[0]
    with pytest.raises(DataError, match="is damaged"):
        session.export_dataset(tmp_path / "data", {})


def test_write_that_fails_leaves_the_old_state(session, monkeypatch):
    session.save_annotation("cells", Annotation(painted(3)))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        session.save_annotation("cells", Annotation(painted(4)))
    with pytest.raises(DataError, match="No space left"):
        session.add_image("b", Picture(painted(4), "YX"))
    monkeypatch.undo()
    assert session.image_names == ["cells"]
    with reopened(session) as again:
        np.testing.assert_array_equal(again.load_annotation("cells").labels, painted(3))
        assert not list(again.folder.rglob(".*"))


def test_closed_session_writes_nothing(session):
    session.close()
    session.close()
    with pytest.raises(DataError, match="closed"):
        session.save_annotation("cells", Annotation(painted(3)))


def test_an_older_annotation_never_replaces_a_newer_one(session, model):
    older, newer, latest = Annotation(painted(3)), Annotation(painted(4)), Annotation(painted(5))
    assert session.save_annotation("cells", newer)
    assert not session.save_annotation("cells", older)
    # It is there already.
    assert session.save_annotation("cells", newer)
    assert session.load_annotation("cells").revision == newer.revision
    session.add_round(Round(), model[1], annotated(session))
    session.restore_round(1)
    # A thread that was about to write it comes too late.
    assert not session.save_annotation("cells", latest)
    np.testing.assert_array_equal(session.load_annotation("cells").labels, painted(4))


def test_a_round_holds_what_it_learned_and_the_session_what_was_painted_since(session, model, image):
    session.save_annotation("cells", Annotation(painted(3)))
    learned = annotated(session)
    session.save_annotation("cells", Annotation(painted(6)))
    later = AnnotatedImage("later", Picture(image, "YX"), Annotation(painted(5)))
    row = session.add_round(Round(), model[1], [*learned, later])
    assert set(row.counts) == {"cells", "later"}
    np.testing.assert_array_equal(session.load_annotation("cells").labels, painted(6))
    assert session.restore_round(1) == session.model_path(1) == session.latest_model()
    np.testing.assert_array_equal(session.load_annotation("cells").labels, painted(3))
    np.testing.assert_array_equal(session.load_annotation("later").labels, painted(5))


def test_a_session_is_on_the_disk_with_the_first_thing_written_into_it(tmp_path, image):
    session = AnnotationSession(tmp_path / "s")
    session.close()
    assert not (tmp_path / "s").exists()
    with AnnotationSession(tmp_path / "s") as session:
        assert (session.rounds, session.kind, session.latest_model()) == ((), None, None)
        session.save_annotation("cells", Annotation(painted(3)), Picture(image, "YX"))
        assert session.kind == (2, 1)
