"""A session as a data set."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import Picture
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.jobs.training_pairs import read_dataset


def test_an_open_session_is_read_and_left_as_it_is(tmp_path, blobs) -> None:
    image, labels = blobs(2)
    with AnnotationSession(tmp_path / "session") as session:
        picture = Picture(image, "YX")
        session.add_image("cells", picture)
        session.save_annotation("cells", Annotation(labels), picture)
        (example,), held_out = read_dataset(tmp_path / "session")
        assert held_out == []
        assert len(np.unique(example.instances)) == labels.max() + 1
        assert read_dataset(tmp_path / "session", is_split_anew=True)[1] is None
        with pytest.raises(DataError, match="leave out axes"):
            read_dataset(tmp_path / "session", axes="YX")
        with pytest.raises(DataError, match="already holds a session"):
            AnnotationSession.look_into(tmp_path / "session").add_image("other", picture)
        session.add_image("other", picture)


def test_a_session_in_which_nothing_is_annotated_says_so(tmp_path, blobs) -> None:
    with AnnotationSession(tmp_path / "session") as session:
        session.add_image("cells", Picture(blobs(2)[0], "YX"))
        with pytest.raises(DataError, match="nothing is annotated"):
            read_dataset(tmp_path / "session")


def test_images_that_cannot_be_read_are_left_out_and_told(tmp_path, blobs) -> None:
    image, labels = blobs(2)
    with AnnotationSession(tmp_path / "session") as session:
        for name in ("cells", "damaged", "gone"):
            session.save_annotation(name, Annotation(labels), Picture(image, "YX"))
    next((tmp_path / "session").glob("annotations/*/*-damaged.npz")).write_bytes(b"")
    next((tmp_path / "session").glob("images/*-gone.tif")).unlink()
    told = []
    examples, _ = read_dataset(tmp_path / "session", tell=lambda where, words: told.append(words))
    assert [example.name for example in examples] == ["cells"]
    assert ["damaged.npz" in told[0], "gone.tif" in told[1]] == [True, True]
    assert all("learns nothing from it" in words for words in told)
    next((tmp_path / "session").glob("annotations/*/*-cells.npz")).unlink()
    with pytest.raises(DataError, match=r"damaged\.npz"):
        read_dataset(tmp_path / "session")
