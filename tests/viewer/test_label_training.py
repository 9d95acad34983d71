"""A round of training on an annotation that grows meanwhile, by the real Trainer."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.annotation.session import AnnotationSession
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.events import EpochFinished, LabelsUpdated, PreviewReady
from embedseg_napari.core.runs import drain, never
from embedseg_napari.viewer.label_training import LabelTraining, RoundRequest
from embedseg_napari.viewer.session_place import NewImage, SessionPlace, Snapshot


def request_for(image, folder, **changes):
    ndim = image.ndim
    values = {"epochs": 2, "minutes": None, "steps_per_epoch": 2, "batch_size": 1, "crop_size": (8, 32, 32)[-ndim:]}
    values["precision"] = "float32"
    return RoundRequest(
        config=TrainingConfig(**values | changes),
        name="cells",
        image=image[None],
        spacing=None,
        unit=None,
        start_from=None,
        device="cpu",
        output=folder / "models" / "cells.embedseg",
        place=SessionPlace(folder / "session", NewImage("cells", image, "ZYX"[-ndim:], None, None, None)),
    )


def annotation(labels, n):
    """The first objects, and background in the first rows."""
    painted = np.where((labels > 0) & (labels <= n), labels, 0).astype(np.int32)
    rows = painted[..., :4, :]
    rows[labels[..., :4, :] == 0] = BACKGROUND
    return Snapshot(painted, None)


@pytest.mark.parametrize("ndim", [2, 3])
def test_new_strokes_join_at_the_next_epoch_and_the_round_is_kept(blobs, tmp_path, ndim):
    image, labels = blobs(ndim)
    request = request_for(image, tmp_path)
    job = LabelTraining(request, annotation(labels, 3), preview=lambda example: example)
    run, events = job.run(never), []
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            saved = end.value
            break
        if isinstance(events[-1], EpochFinished) and events[-1].epoch == 0:
            job.offer(annotation(labels, 4))
    (update,) = [event for event in events if isinstance(event, LabelsUpdated)]
    assert (update.n_objects, update.n_changed) == (4, 1)
    assert any(isinstance(event, PreviewReady) for event in events)
    assert saved.path.exists()
    request.place.close()
    with AnnotationSession.open(tmp_path / "session") as session:
        (row,) = session.rounds
        assert (row.number, row.n_objects) == (1, 4)
        assert np.array_equal(session.load_annotation("cells").labels, annotation(labels, 4).labels)
        assert session.model_path(1).exists()


def test_stopped_before_the_first_step_there_is_no_model_and_no_round(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(image, tmp_path)
    saved = drain(LabelTraining(request, annotation(labels, 3)).run(lambda: True))
    assert saved.path is None
    assert request.place.rounds == []
    # What was painted is safe all the same.
    assert request.place.session.load_annotation("cells").labels.max() == BACKGROUND


def test_a_model_is_never_overwritten(blobs, tmp_path):
    image, labels = blobs(2)
    request = request_for(image, tmp_path)
    request.output.parent.mkdir()
    request.output.write_bytes(b"a model")
    with pytest.raises(SettingsError, match="exists already"):
        next(LabelTraining(request, annotation(labels, 3)).run(never))
    assert request.output.read_bytes() == b"a model"
