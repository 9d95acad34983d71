"""The model of a round of training beside the one that it started from, on the annotated images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.data.sparse import object_ids
from embedseg_napari.core.data.splitting import hold_out_objects
from embedseg_napari.core.evaluation.before_after import FOUND, BeforeAfter, judge
from embedseg_napari.core.evaluation.held_out import held_out_ious
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.core.model.quiet import quietly_segmented
from embedseg_napari.core.runs import never
from embedseg_napari.core.session.state import Comparison, FoundObjects
from embedseg_napari.jobs.segment import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embedseg_napari.core.annotation.annotation import Annotation
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.model import Model

MOST_IMAGES = 10
"""Images that are segmented for a comparison, those with most objects."""
HELD_OUT, ACCEPTED, PAINTED = range(3)


def compare_with_start(
    start: Model | None,
    model: Model,
    learned: Sequence[tuple[Example, Annotation]],
    config: TrainingConfig,
    should_stop: Callable[[], bool] = never,
) -> Comparison:
    """Segment the annotated images with both models, and count which annotated objects each finds.

    Parameters
    ----------
    start : Model, optional
        What the round started from; without it only the new model is looked at.
    model : Model
        What came out.
    learned : sequence of (Example, Annotation)
        The images with what is annotated in them, which says what was accepted.
    config : TrainingConfig
        Of the round; says which objects were held out.
    should_stop : callable
        As for a prediction.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    # Annotated objects have said how large objects are, but not to a model that came with the package.
    keeps_scale: dict[str, Any] = {"find_scale": False}
    options = {} if start is not None and start.path is not None and model_at(start.path).is_bundled else keeps_scale
    if start is not None:
        from embedseg_napari.core.model.channels import with_channels

        # As the training took it.
        start = with_channels(start, model.config.n_channels)
    total = sum(len(object_ids(example)) for example, _ in learned)
    most = sorted(learned, key=lambda one: -len(object_ids(one[0])))[:MOST_IMAGES]
    rows, n_found = [np.zeros((3, 0))], np.zeros(2, int)
    for example, annotation in most:
        ids = object_ids(example)
        labels = [
            _segment(start, example, should_stop, **options),
            _segment(model, example, should_stop, **keeps_scale),
        ]
        n_found += [len(np.unique(one[one > 0])) for one in labels]
        group = np.where(np.isin(ids, list(annotation.accepted_ids)), ACCEPTED, PAINTED)
        group[np.isin(ids, hold_out_objects(example, config.validation_objects, config.seed, total)[1])] = HELD_OUT
        rows.append(np.stack([group, *(held_out_ious(one, example, ids) for one in labels)]))
    group, before, now = np.concatenate(rows, axis=1)

    def counted(is_in: np.ndarray, n: Sequence[int] | None = None) -> FoundObjects:
        n_before, n_now = n or [int((ious[is_in] >= FOUND).sum()) for ious in (before, now)]
        return FoundObjects(n_objects=int(is_in.sum()), before=None if start is None else n_before, now=n_now)

    held_out, learned_from = (BeforeAfter(before[rows], now[rows]) for rows in (group == HELD_OUT, group != HELD_OUT))
    return Comparison(
        verdict="unknown" if start is None else judge(held_out, learned_from),
        held_out=counted(group == HELD_OUT),
        accepted=counted(group == ACCEPTED),
        painted=counted(group == PAINTED),
        n_images=len(most),
        in_images=counted(group >= 0, n_found.tolist()),
    )


def _segment(model: Model | None, example: Example, should_stop: Callable[[], bool], **settings: Any) -> np.ndarray:
    if model is None:
        return np.zeros(example.image.shape[1:], np.int32)
    with interruptible(model, should_stop):
        return quietly_segmented(model, example, should_stop, **settings)
