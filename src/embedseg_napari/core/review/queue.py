"""Predicted objects in the order in which a person should look at them, and what can be done with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.annotation.edits import Edit, accept, delete_predicted, paint_background, repaint
from embedseg_napari.core.annotation.states import BACKGROUND, free_labels, is_object
from embedseg_napari.core.review.slices import pixels_near
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.review.doubt import Doubt

N_VIEWS = 1
"""Other views of the image that the network is asked about; each costs as much time as the prediction."""
WORDS = {
    "seed": "unsure seed", "body": "faint", "views": "differs when flipped", "contested": "border unclear",
    "size": "unusual size", "pieces": "in several pieces", "model": "the model sees it otherwise",
}  # fmt: skip
LEAST_REASON, MOST_REASONS = 0.2, 2


@dataclass
class ReviewQueue:
    """Doubtful places of one image, the most doubtful first.

    Parameters
    ----------
    segmentation : Segmentation
        Of the whole image.
    doubts : list of Doubt
        From `rank_doubt`.
    """

    segmentation: Segmentation
    doubts: list[Doubt]
    position: int = -1
    """Of the current place; -1 before the first."""
    n_annotated: int = 0
    """Objects, of this image or of an earlier one, by which the model was judged."""
    n_found: int = 0
    """How many of those the model finds."""
    are_drafts: bool = False
    """Whether the objects come from elsewhere, and no model found them."""

    @property
    def current(self) -> Doubt | None:
        """The place to look at."""
        return self.doubts[self.position] if 0 <= self.position < len(self.doubts) else None

    def step(self, labels: np.ndarray, by: int = 1) -> Doubt | None:
        """Go to the next place that is not annotated yet, or with -1 to the one before, annotated or not."""
        self.position = min(max(self.position + by, -1), len(self.doubts))
        while by > 0 and self.current is not None and self.is_annotated(self.current, labels):
            self.position += 1
        return self.current

    def is_annotated(self, doubt: Doubt, labels: np.ndarray) -> bool:
        """Whether more than half of a place is annotated."""
        return bool((self._there(doubt, labels) != 0).mean() > 0.5)

    def n_left(self, labels: np.ndarray) -> tuple[int, int]:
        """How many places are not annotated yet, and how many of them have an object."""
        left = [doubt for doubt in self.doubts if not self.is_annotated(doubt, labels)]
        return len(left), sum(doubt.pixels is None for doubt in left)

    def annotated_as(self, labels: np.ndarray) -> int | None:
        """The object of the annotation that the current place belongs to; None if most of it belongs to none."""
        there = self._there(self._current(), labels)
        ids, sizes = np.unique(there[is_object(there)], return_counts=True)
        return int(ids[sizes.argmax()]) if 2 * sizes.sum() > len(there) else None

    def _there(self, doubt: Doubt, labels: np.ndarray) -> NDArray[Any]:
        """The annotation's values at the pixels of a place."""
        if doubt.pixels is not None:
            there: NDArray[Any] = labels[doubt.pixels]
        else:
            there = labels[doubt.box][self.segmentation.labels[doubt.box] == doubt.label]
        return there

    def pixels(self, labels: np.ndarray) -> Indices:
        """Pixels of the current place as it is now: of the object that it is annotated as, else as it was found."""
        doubt, annotated = self._current(), self.annotated_as(labels)
        if annotated is not None:
            return pixels_near(labels, annotated, doubt.box)
        if doubt.pixels is not None:
            return doubt.pixels
        return pixels_near(self.segmentation.labels, doubt.label, doubt.box)

    @property
    def has_object(self) -> bool:
        """Whether an object was found at the current place, which can be accepted or corrected."""
        return self.current is not None and self.current.pixels is None

    def accept(self, labels: np.ndarray, new_id: int) -> Edit:
        """Copy the current object into the annotation; what is annotated there already stays."""
        doubt = self._current()
        return accept(labels, self.segmentation.labels, doubt.label, new_id)

    def accept_all(self, labels: np.ndarray) -> tuple[Edit, list[int]]:
        """Copy all objects that are not annotated yet into the annotation, and give their numbers there."""
        wanted = [doubt.label for doubt in self.doubts if doubt.pixels is None and not self.is_annotated(doubt, labels)]
        new_ids = free_labels(labels, len(wanted))
        number = np.zeros(len(self.segmentation.scores) + 1, np.int32)
        number[wanted] = new_ids
        values = np.where(is_object(labels), 0, number[self.segmentation.labels])
        pixels = np.nonzero(values)
        return Edit(pixels, values[pixels]), new_ids

    def delete(self, labels: np.ndarray) -> Edit:
        """Make the current object background: as it was found, where nothing is painted, and as it is annotated."""
        doubt, annotated = self._current(), self.annotated_as(labels)
        if doubt.pixels is not None:
            free = paint_background(labels, doubt.pixels)
        else:
            free = delete_predicted(labels, self.segmentation.labels, doubt.label)
        if annotated is None:
            return free
        painted = pixels_near(labels, annotated, doubt.box)
        return Edit(tuple(np.concatenate(axis) for axis in zip(free.indices, painted, strict=True)), BACKGROUND)

    def repaint(self, labels: np.ndarray, new_id: int) -> Edit:
        """Copy the current object into the annotation to be corrected."""
        doubt = self._current()
        return repaint(labels, self.segmentation.labels, doubt.label, new_id)

    def sentence(self, labels: np.ndarray, is_whole: bool = False) -> str:
        """Where the queue stands, by what is annotated; the whole image may be said to be."""
        doubt, n = self.current, len(self.doubts)
        if doubt is None:
            return self._words_of_drafts(labels, is_whole) if self.are_drafts else self._words_outside()
        if doubt.kind == "missed":
            return (
                f"Place {self.position + 1} of {n}: no object was found here, but there may be one. Paint it (R), or "
                "mark background (D)."
            )
        found = sorted(doubt.reasons, key=lambda name: -doubt.reasons[name])[:MOST_REASONS]
        words = [WORDS[name] for name in found if doubt.reasons[name] >= LEAST_REASON]
        because = f" ({', '.join(words)})" if words else ""
        return f"Object {self.position + 1} of {n}: doubt {doubt.score:.2f}{because}"

    def _words_outside(self) -> str:
        """Before the first place, or behind the last."""
        n, n_objects = len(self.doubts), len(self.segmentation.scores)
        if self.position >= 0 and n:
            return "All places were looked at; train on."
        if self.n_found < self.n_annotated / 2:
            places = f" before looking at {count(n, 'doubtful place')} (J)" if n else ""
            return f"The model finds {self.n_found} of {self.n_annotated} annotated objects so far: train on{places}."
        if not n_objects:
            places = f"; {count(n, 'place')} may hold one (J)" if n else ""
            return f"No object was found in this image. If it shows some, paint a few and train on{places}."
        if not n:
            return "Nothing to look at here; paint more, go to the next image (Shift+J), or train on."
        return f"{count(n, 'place')} to look at, the most doubtful first: press J."

    def _words_of_drafts(self, labels: np.ndarray, is_whole: bool) -> str:
        n_places, n_drafts = self.n_left(labels)
        if self.position < 0 and n_drafts:
            return (
                f"{count(n_drafts, 'draft')}, {count(n_places, 'place')} to look at, the most doubtful first: press J."
            )
        if self.position < 0 and n_places:
            return f"All drafts are annotated; in {count(n_places, 'place')} an object may be missing: press J."
        done = "All drafts were looked at" if n_drafts else "All drafts are annotated"
        if is_whole:
            return f"{done}: train."
        return f"{done}. Where every object is annotated, press Whole image or draw a Fully annotated area; then train."

    def _current(self) -> Doubt:
        doubt = self.current
        assert doubt is not None
        return doubt


def find_doubts(
    model_path: Path, image: np.ndarray, labels: np.ndarray, device: str, should_stop: Callable[[], bool]
) -> Generator[Any, None, ReviewQueue]:
    """Segment an image and rank what was found; a run for a worker thread.

    Parameters
    ----------
    model_path : Path
        File of the model.
    image : ndarray
        C(Z)YX.
    labels : ndarray of int, shape ((Z,) Y, X)
        A copy of the annotation; what is annotated is left out.
    device : str
        Where to compute.
    should_stop : callable
        Looked at between tiles.

    Raises
    ------
    EmbedSegError
        If the model cannot be read or does not fit; Stopped if `should_stop` returned True.
    """
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.sparse import object_ids
    from embedseg_napari.core.evaluation.before_after import FOUND
    from embedseg_napari.core.evaluation.held_out import held_out_ious
    from embedseg_napari.core.inference.predictor import Predictor
    from embedseg_napari.core.model.channels import seeing_channels
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.review.doubt import rank_doubt
    from embedseg_napari.core.review.views import disagreeing_views

    model = seeing_channels(load_model(model_path, device), len(image))
    axes = model.config.axes
    # Annotated objects have said how large objects are.
    settings = model.config.prediction.model_copy(update={"find_scale": False})
    segmentation = yield from Predictor(model, settings).run(image, axes, should_stop)
    views = disagreeing_views(model, image, axes, N_VIEWS, should_stop=should_stop)
    doubts = rank_doubt(segmentation, views, model.config.object_sizes, annotation=labels, should_stop=should_stop)
    # As after a round, where both models are compared.
    known = Example("annotated", image, np.where(is_object(labels), labels, 0).astype(np.int32), ignore=labels == 0)
    ious = held_out_ious(segmentation.labels, known, object_ids(known))
    return ReviewQueue(segmentation, doubts, n_annotated=len(ious), n_found=int((ious >= FOUND).sum()))
