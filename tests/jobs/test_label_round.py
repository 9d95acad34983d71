"""A round of training on an annotation that grows meanwhile, by the real Trainer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.events import (
    EpochFinished,
    LabelsUpdated,
    Message,
    PreviewReady,
    StepFinished,
    TrainingFinished,
    TrainingStarted,
)
from embedseg_napari.core.files.tiff import Picture
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.session.session import AnnotatedImage, AnnotationSession
from embedseg_napari.jobs import label_round
from embedseg_napari.jobs.label_round import LabelTraining, RoundRequest


def request_for(painted, folder, **changes):
    ndim = painted.annotation.labels.ndim
    values = {"epochs": 2, "minutes": None, "steps_per_epoch": 2, "batch_size": 1, "crop_size": (8, 32, 32)[-ndim:]}
    values["precision"] = "float32"
    return RoundRequest(
        config=TrainingConfig(**values | changes),
        front=painted,
        pictures={painted.name: painted.picture},
        start_from=None,
        device="cpu",
        output=folder / "models" / "cells.embedseg",
        session=AnnotationSession(folder / "session"),
    )


def painted(image, labels, n, name="cells"):
    """The first objects, and background in the first rows."""
    annotation = np.where((labels > 0) & (labels <= n), labels, 0).astype(np.int32)
    rows = annotation[..., :4, :]
    rows[labels[..., :4, :] == 0] = BACKGROUND
    return AnnotatedImage(name, Picture(image, "ZYX"[-image.ndim :]), Annotation(annotation))


def save(session, image):
    session.save_annotation(image.name, image.annotation, image.picture)


def train(request, preview=None, meanwhile=()):
    """Run a training; after the first epoch, what is painted meanwhile is offered."""
    job = LabelTraining(request, preview=preview)
    run, events = job.run(never), []
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            return events, end.value
        if isinstance(events[-1], EpochFinished) and events[-1].epoch == 0:
            for one in meanwhile:
                job.offer(one)


@pytest.mark.parametrize("ndim", [2, 3])
def test_new_strokes_join_at_the_next_epoch_and_the_round_is_kept(blobs, tmp_path, ndim):
    image, labels = blobs(ndim)
    newer = painted(image, labels, 4)
    request = request_for(painted(image, labels, 3), tmp_path)
    events, saved = train(request, preview=lambda example, normalization: example, meanwhile=[newer])
    (update,) = [event for event in events if isinstance(event, LabelsUpdated)]
    assert (update.n_objects, update.n_changed) == (4, 1)
    assert any(isinstance(event, PreviewReady) for event in events)
    assert saved.path.exists()
    save(request.session, newer)
    request.session.close()
    with AnnotationSession.open(tmp_path / "session") as session:
        (row,) = session.rounds
        assert (row.number, row.n_objects) == (1, 4)
        assert row.score is None
        assert set(row.thresholds) == {"seed_threshold", "foreground_threshold"}
        session.restore_round(1)
        assert np.array_equal(session.load_annotation("cells").labels, newer.annotation.labels)
        assert session.model_path(1).exists()


def test_all_images_are_learned_from_and_another_joins_meanwhile(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 3), tmp_path, epochs=3)
    save(request.session, painted(image[::-1], labels[::-1], 2, "others"))
    # Nothing of it was written when the round began.
    third = painted(image[:, ::-1], labels[:, ::-1], 4, "third")
    events, _ = train(request, meanwhile=[third])
    (started,) = [event for event in events if isinstance(event, TrainingStarted)]
    assert (started.n_images, started.n_objects) == (2, 5)
    (update,) = [event for event in events if isinstance(event, LabelsUpdated)]
    assert (update.n_images, update.n_objects) == (3, 9)
    (row,) = request.session.rounds
    assert (row.n_images, row.n_objects) == (3, 9)
    assert np.array_equal(request.session.load_annotation("third").labels, third.annotation.labels)


def test_what_was_painted_after_the_last_epoch_stays(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 3), tmp_path)
    job = LabelTraining(request)
    for _ in job.run(never):
        save(request.session, painted(image, labels, 5))
    session = request.session
    assert session.rounds[0].n_objects == 3
    assert session.load_annotation("cells").labels.max(where=labels > 0, initial=0) == 5
    session.restore_round(1)
    assert session.load_annotation("cells").labels.max(where=labels > 0, initial=0) == 3


@pytest.mark.parametrize("place", ["images", "annotations/0001"])
def test_what_cannot_be_read_is_left_out_with_a_warning(blobs, tmp_path, place):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 3), tmp_path)
    save(request.session, painted(image, labels, 3, "lost"))
    next((tmp_path / "session" / place).glob("*lost*")).write_bytes(b"")
    events, saved = train(request)
    (warning,) = (event.text for event in events if isinstance(event, Message) and "lost" in event.text)
    assert "learns nothing from it" in warning
    assert saved.path.exists()
    (row,) = request.session.rounds
    assert set(row.counts) == {"cells"}


def test_where_nothing_can_be_learned_from_it_is_said(blobs, tmp_path):
    image, labels = blobs(2)
    request = replace(request_for(painted(image, labels, 3), tmp_path), front=None, pictures={})
    save(request.session, painted(image, labels, 3))
    next((tmp_path / "session" / "images").iterdir()).unlink()
    with pytest.raises(DataError, match="there is no such file"):
        train(request)


def test_that_nothing_is_annotated_is_said(blobs, tmp_path):
    image, _ = blobs(2)
    request = replace(request_for(painted(image, np.zeros_like(image, np.int32), 0), tmp_path), front=None)
    with pytest.raises(DataError, match="nothing in this session"):
        train(request)


def test_ten_objects_give_a_score(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 6), tmp_path, validation_objects=0.5)
    save(request.session, painted(image[::-1], labels[::-1], 6, "others"))
    train(request)
    assert request.session.rounds[0].score is not None


def test_stopped_before_the_first_step_there_is_no_model_and_no_round(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 3), tmp_path)
    saved = drain(LabelTraining(request).run(lambda: True))
    assert saved.path is None
    assert request.session.rounds == ()
    # What was painted is safe all the same.
    assert request.session.load_annotation("cells").labels.max() == BACKGROUND


def test_a_round_that_is_stopped_says_what_its_list_says_of_held_out_objects(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 6), tmp_path, validation_objects=0.5)
    save(request.session, painted(image[::-1], labels[::-1], 6, "others"))
    seen = []
    saved = drain(LabelTraining(request).run(lambda: any(isinstance(one, StepFinished) for one in seen)), seen.append)
    (one,) = request.session.rounds
    assert saved.stopped
    assert one.comparison.held_out.n_objects
    assert saved.held_out == one.comparison.held_out


def test_a_comparison_that_is_stopped_leaves_the_round(blobs, tmp_path, monkeypatch):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 3), tmp_path)
    monkeypatch.setattr(label_round, "soon_after", lambda should_stop: should_stop)
    seen = []
    saved = drain(
        LabelTraining(request).run(lambda: any(isinstance(one, TrainingFinished) for one in seen)), seen.append
    )
    assert saved.path.exists()
    (one,) = request.session.rounds
    assert one.comparison is None
    assert any("before it was compared" in one.text for one in seen if isinstance(one, Message))


def test_a_model_is_never_overwritten(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 3), tmp_path)
    request.output.parent.mkdir()
    request.output.write_bytes(b"a model")
    with pytest.raises(SettingsError, match="exists already"):
        next(LabelTraining(request).run(never))
    assert request.output.read_bytes() == b"a model"


def test_a_round_is_compared_with_the_model_it_started_from(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 4), tmp_path)
    train(request)
    (first,) = request.session.rounds
    assert first.started_from == ""
    assert (first.comparison.painted.n_objects, first.comparison.painted.before) == (4, None)
    front = painted(image, labels, 6)
    accepted = Annotation(front.annotation.labels, accepted_ids=frozenset({1, 2}))
    again = replace(
        request,
        front=AnnotatedImage(front.name, front.picture, accepted),
        start_from=first.saved_as,
        output=tmp_path / "models" / "again.embedseg",
    )
    train(again)
    second = request.session.rounds[1]
    found = second.comparison
    assert second.started_from == first.saved_as
    assert (found.held_out.n_objects, found.accepted.n_objects, found.painted.n_objects) == (0, 2, 4)
    assert found.painted.before is not None
    assert (found.n_images, found.in_images.n_objects, found.verdict) == (1, 6, "unknown")
    # What the disk holds is the same.
    request.session.close()
    with AnnotationSession.open(tmp_path / "session") as session:
        assert session.rounds[1] == second


def test_held_out_objects_are_counted_apart(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(painted(image, labels, 6), tmp_path, validation_objects=0.5)
    save(request.session, painted(image[::-1], labels[::-1], 6, "others"))
    train(request)
    found = request.session.rounds[0].comparison
    assert 0 < found.held_out.n_objects < found.in_images.n_objects
    assert found.held_out.n_objects + found.painted.n_objects == found.in_images.n_objects
