"""Which image to annotate next: candidates are segmented in a thread and ranked by how unsure the model is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.review.queue import ReviewQueue, find_doubts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    import numpy as np

MOST_BYTES = 1_000_000_000
"""Of network outputs that are kept; of further images only the doubt is, and they are segmented again when gone to."""


@dataclass(frozen=True)
class Candidate:
    """An image that may be gone to."""

    key: str
    """Tells it apart."""
    name: str
    target: Any
    """What the viewer needs to go there."""
    read: Callable[[], tuple[np.ndarray, np.ndarray]]
    """Its pixels C(Z)YX and its annotation ((Z,) Y, X); called in the worker thread."""


@dataclass(frozen=True)
class Looking:
    """An image is being segmented."""

    name: str
    number: int
    n: int


@dataclass
class Rated:
    """How unsure the model is about an image."""

    candidate: Candidate
    doubt: float
    """0 to 1."""
    queue: ReviewQueue | None
    """Its doubtful places; None where that would take too much memory."""


@dataclass
class ImageRanking:
    """Results of one model, and which images were gone to with it."""

    model: Path | None = None
    rated: dict[str, Rated] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def use(self, model: Path) -> None:
        """Forget the results of another model."""
        if model != self.model:
            self.model = model
            self.rated.clear()
            self.seen.clear()

    def seen_with(self, model: Path) -> set[str]:
        """Keys of the candidates that were gone to with a model."""
        return self.seen if model == self.model else set()

    def missing(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Candidates that are not rated yet and were not gone to."""
        return [one for one in candidates if one.key not in self.rated and one.key not in self.seen]

    def add(self, rated: Rated) -> None:
        """Keep a result; the surest images give up their network outputs where memory is short."""
        self.rated[rated.candidate.key] = rated
        kept = sorted((one for one in self.rated.values() if one.queue is not None), key=lambda one: one.doubt)
        total = sum(bytes_of(one.queue) for one in kept if one.queue is not None)
        for one in kept:
            if total <= MOST_BYTES:
                break
            assert one.queue is not None
            total -= bytes_of(one.queue)
            one.queue = None

    def best(self, candidates: Sequence[Candidate]) -> Rated | None:
        """The candidate that the model is least sure about, among those not gone to; None if there is none."""
        found = [self.rated[one.key] for one in candidates if one.key in self.rated and one.key not in self.seen]
        return max(found, key=lambda one: one.doubt, default=None)


def rate_images(
    model: Path, candidates: Sequence[Candidate], device: str, should_stop: Callable[[], bool]
) -> Generator[Looking | Rated | Any, None, None]:
    """Segment images and yield how doubtful each is; a run for a worker thread.

    An image that cannot be read is passed over with a warning.

    Parameters
    ----------
    model : Path
        File of the model.
    candidates : sequence of Candidate
        The images.
    device : str
        Where to compute.
    should_stop : callable
        Looked at between tiles.

    Raises
    ------
    EmbedSegError
        If the model cannot be read or does not fit; Stopped if `should_stop` returned True.
    """
    from embedseg_napari.core.review.doubt import image_doubt

    for number, candidate in enumerate(candidates, 1):
        yield Looking(candidate.name, number, len(candidates))
        try:
            image, labels = candidate.read()
        except DataError as error:
            yield Message(f"{candidate.name} is passed over: {error}", "warning")
            continue
        queue = yield from find_doubts(model, image, labels, device, should_stop)
        # Where all that was found is annotated, nothing is left to look at; elsewhere nothing found is doubtful.
        is_done = not queue.doubts and bool(labels.any())
        yield Rated(candidate, 0.0 if is_done else image_doubt(queue.doubts), queue)


def bytes_of(queue: ReviewQueue) -> int:
    """Memory that a queue holds: its maps and labels."""
    maps, labels = queue.segmentation.maps, queue.segmentation.labels
    return int(maps.offsets.nbytes + maps.margins.nbytes + maps.seed_map.nbytes + labels.nbytes)
