from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.errors import DataError, ModelError
from embedseg_napari.core.files.tiff import Picture, read_image, write_image
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.session.folder import list_sessions
from embedseg_napari.core.session.session import AnnotatedImage, AnnotationSession
from embedseg_napari.core.session.state import Round

SHAPE = (20, 24)


def painted(number: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    labels[2:8, 2:9] = number
    labels[0] = BACKGROUND
    return labels


def annotated(session):
    return session.annotated_images({})[0]


def reopened(session):
    session.close()
    return AnnotationSession.open(session.folder)


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
        with pytest.raises(DataError, match="volume was changed since"):
            again.load_image("volume")
        path.unlink()
        with pytest.raises(DataError, match=r"a\.tif.*volume is missing"):
            again.load_image("volume")


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


@pytest.fixture
def model(tmp_path, untrained):
    """A model, and its file."""
    model = untrained()
    model.save(tmp_path / "model.embedseg")
    return model, tmp_path / "model.embedseg"


def test_round_keeps_model_numbers_and_annotations(session, model):
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


def test_nothing_annotated_is_not_exported(session, tmp_path):
    with pytest.raises(DataError, match="Nothing is annotated"):
        session.export_dataset(tmp_path / "data", {})
    assert not (tmp_path / "data").exists()


def test_folder_that_is_no_session(tmp_path, session):
    with pytest.raises(DataError, match="holds no session"):
        AnnotationSession.open(tmp_path)
    with pytest.raises(DataError, match="not empty"):
        AnnotationSession(tmp_path).begin()
    with pytest.raises(DataError, match="already holds a session"):
        AnnotationSession(session.folder).begin()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"format_version": 1', '"format_version": 2'), "format 2.*Update"),
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: text.replace("annotations/0001", "../../elsewhere"), "damaged.*annotations"),
        (lambda text: text.replace('"key": "001-cells"', '"key": "../cells"'), "damaged.*key"),
        (lambda _: "[]", "damaged"),
    ],
)
def test_state_that_cannot_be_trusted_is_refused(session, change, message):
    session.close()
    file = session.folder / "session.json"
    file.write_text(change(file.read_text()))
    # Twice: a refused opening leaves no lock.
    for _ in range(2):
        with pytest.raises(DataError, match=message):
            AnnotationSession.open(session.folder)


def test_damaged_annotation_is_said(session):
    session.save_annotation("cells", Annotation(painted(3)))
    (file,) = (session.folder / "annotations" / "0001").iterdir()
    data = file.read_bytes()
    for damaged in (data[: len(data) // 2], data[:60] + b"\x00\x01\x02\x03" + data[64:], b""):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged"):
            session.load_annotation("cells")


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


def test_sessions_of_a_folder_latest_first(tmp_path, image):
    for name in ("a", "b", "c"):
        with AnnotationSession(tmp_path / name) as session:
            session.add_image("cells", Picture(image, "YX"))
            session.save_annotation("cells", Annotation(painted(1)))
    (tmp_path / "no session").mkdir()
    for age, name in enumerate(("b", "a", "c")):
        for path in (tmp_path / name / "session.json", tmp_path / name / "annotations" / "0001"):
            os.utime(path, (1e9 - age, 1e9 - age))
    assert [path.name for path in list_sessions(tmp_path)] == ["b", "a", "c"]
    assert list_sessions(tmp_path / "nowhere") == []


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(session):
    session.close()
    code = (
        "import sys; from pathlib import Path; from embedseg_napari.core.files.leftovers import temporary_name\n"
        "folder, file = (Path(place) / temporary_name('.json') for place in sys.argv[1:])\n"
        "folder.mkdir(parents=True); (folder / 'half').write_text('half'); file.write_text('{')"
    )
    subprocess.run([sys.executable, "-c", code, session.folder / "annotations", session.folder], check=True)
    assert len(list(session.folder.rglob(".tmp-*"))) == 2
    notes = session.folder / ".tmp-notes.txt"
    notes.write_text("mine")
    # A round whose row was never written.
    shutil.copytree(session.folder / "images", session.folder / "rounds" / "001")
    with AnnotationSession.open(session.folder) as again:
        assert list(again.folder.rglob(".tmp-*")) == [notes]
        assert again.rounds == ()


def test_takes_up_a_folder_whose_beginning_was_killed(tmp_path, image):
    code = (
        "import os, sys; from embedseg_napari.core.session.session import AnnotationSession\n"
        "os.replace = lambda *_: os._exit(9)\n"
        "AnnotationSession(sys.argv[1]).begin()"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "s"], check=False).returncode == 9
    assert {path.name[:5] for path in (tmp_path / "s").iterdir()} == {"lock", ".tmp-"}
    # As earlier versions named it.
    (tmp_path / "s" / ".tmp-0261895a-session.json").write_text("{")
    with AnnotationSession(tmp_path / "s") as session:
        session.add_image("cells", Picture(image, "YX"))
    assert {path.name for path in (tmp_path / "s").iterdir()} >= {"images", "session.json"}


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


def test_a_retained_session_closes_when_it_is_released(session):
    session.retain()
    session.close()
    session.save_annotation("cells", Annotation(painted(3)))
    with pytest.raises(DataError, match="already open"):
        AnnotationSession.open(session.folder)
    session.release()
    with AnnotationSession.open(session.folder) as again:
        assert not again.load_annotation("cells").is_empty
