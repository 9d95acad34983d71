"""Damaged and hostile sessions: an error that says so, never another one; see `tests/cli/test_hostile_input.py`."""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from damage import NASTY, damaged, give_seeds, twisted_json

from embedseg_napari.core.annotation.annotation import Annotation, next_revision
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.session.session import AnnotationSession

pytest_generate_tests = give_seeds


@pytest.fixture
def folder(session, image):
    """A session that was closed, with an annotation and regions in it."""
    labels = np.zeros(image.shape, np.int32)
    labels[2:9, 3:9] = 5
    session.save_annotation("cells", Annotation(labels, labels == 0, frozenset([5])))
    session.close()
    yield session.folder
    shutil.rmtree(session.folder)


def use(folder):
    """Read everything, and write it again."""
    with AnnotationSession.open(folder) as session:
        for name in session.image_names:
            session.load_image(name)
            session.save_annotation(name, replace(session.load_annotation(name), revision=next_revision()))
        session.image_names, session.kind, session.rounds  # noqa: B018


def archive(path, arrays):
    with zipfile.ZipFile(path, "w") as out:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=True)
            out.writestr(f"{name}.npy", content.getvalue())


def test_any_damage_is_said(seed, folder, image):
    rng = random.Random(seed)
    labels, ids = np.zeros(image.shape, np.uint16), np.array([1])
    annotation = next(folder.glob("annotations/*/*.npz"))
    match rng.randrange(4):
        case 0:
            file = rng.choice([path for path in folder.rglob("*") if path.is_file()])
            file.write_bytes(damaged(file.read_bytes(), rng))
        case 1:
            arrays = {"labels": labels, "accepted_ids": ids, "regions": np.packbits(labels > 0)}
            arrays[rng.choice(list(arrays))] = np.asarray(rng.choice(NASTY), object)
            archive(annotation, arrays)
        case _:
            state = folder / "session.json"
            state.write_bytes(twisted_json(state.read_text(), rng))
    try:
        use(folder)
    except DataError:
        # That says what is wrong; any other error fails the test.
        pass
    else:
        # What was taken for good can be opened again.
        use(folder)
    assert not list(folder.rglob(".tmp-*"))


@pytest.mark.parametrize(
    "change",
    [
        {"axes": "ZYX"}, {"axes": "YY"}, {"axes": "CZ"}, {"axes": ""}, {"key": "a" * 400}, {"key": "../a"},
        {"shape": [0, 24]},
        {"shape": [20, 10**12]}, {"spacing": [float("nan"), 1]}, {"spacing": [-1, 1]}, {"name": "\ud800"}, {"dtype": 5},
    ],
)  # fmt: skip
def test_images_that_cannot_be_are_refused(folder, change):
    state = json.loads((folder / "session.json").read_text())
    state["images"][0] |= change
    (folder / "session.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match=r"session\.json: is damaged"):
        AnnotationSession.open(folder)


def test_two_images_cannot_share_an_annotation(folder):
    state = json.loads((folder / "session.json").read_text())
    state["images"].append(state["images"][0] | {"name": "other"})
    (folder / "session.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="two images have the same key"):
        AnnotationSession.open(folder)


@pytest.mark.parametrize(
    "arrays",
    [
        {"accepted_ids": np.ones((2, 2), int)}, {"accepted_ids": np.array([np.inf])}, {"accepted_ids": np.array(3)},
        {"regions": np.zeros(60)}, {"labels": np.zeros((20, 24))}, {"labels": np.full((20, 24), -1)},
        {"labels": np.zeros((5, 5), int)}, {"labels": np.array(["x"])}, {"regions": np.zeros(3, np.uint8)},
        {"earlier_regions": np.zeros(3, np.uint8)}, {"earlier_regions": np.zeros(60)},
    ],
)  # fmt: skip
def test_annotations_that_cannot_be_are_said(folder, arrays):
    whole = {"labels": np.zeros((20, 24), np.uint16), "accepted_ids": np.array([1])}
    archive(next(folder.glob("annotations/*/*.npz")), whole | arrays)
    with AnnotationSession.open(folder) as session, pytest.raises(DataError, match="this annotation"):
        session.load_annotation("cells")


def test_a_claimed_size_takes_no_memory(folder):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<i4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(next(folder.glob("annotations/*/*.npz")), "w") as out:
        out.writestr("labels.npy", content.getvalue())
    with AnnotationSession.open(folder) as session, pytest.raises(DataError, match="is damaged"):
        session.load_annotation("cells")


def test_annotations_that_are_a_file_are_not_taken_for_none(folder):
    for path in folder.glob("annotations/*/*"):
        path.unlink()
    (folder / "annotations" / "0001").rmdir()
    (folder / "annotations" / "0001").write_text("x")
    with AnnotationSession.open(folder) as session, pytest.raises(DataError, match="Not a directory"):
        session.load_annotation("cells")
