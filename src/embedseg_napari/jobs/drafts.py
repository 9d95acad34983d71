"""Labels of another program, or of a layer, as drafts to review in Label & Train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.events import Message
from embedseg_napari.core.exchange.export import ANNOTATIONS, import_labels
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.review.drafts import draft_labels, draft_queue
from embedseg_napari.core.runs import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.core.review.queue import ReviewQueue


@dataclass(frozen=True, slots=True, eq=False)
class DraftRequest:
    """Whose labels are to be reviewed, and on which image."""

    labels: Path | Any
    """A label image of any format that is read, ROIs of ImageJ, GeoJSON, COCO; or an array."""
    name: str
    """What the labels are called in sentences."""
    image: np.ndarray
    """C(Z)YX."""
    image_name: str
    """Without ending, for COCO files of several images."""
    annotation: np.ndarray
    """((Z,) Y, X), a copy; what is annotated is left out."""
    axes: str = ""
    """Of an array, where they are not those of the image."""
    frame: int | None = None
    """Number of the image in the time-lapse that it is a frame of."""
    model: Path | None = None
    """What it finds makes drafts more or less doubtful."""
    device: str = "auto"


def find_drafts(request: DraftRequest, should_stop: Callable[[], bool]) -> Generator[Any, None, ReviewQueue]:
    """Read labels and rank them by doubt; a run for a worker thread.

    Raises
    ------
    EmbedSegError
        If the labels cannot be read or do not fit the image, or the model fails; Stopped if `should_stop` returned
        True.
    """
    shape = request.image.shape[1:]
    array, axes = yield from _read(request, shape)
    labels, note = draft_labels(array, axes, shape, request.name, request.frame)
    if note:
        yield Message(note)
    found = None
    if request.model is not None:
        from embedseg_napari.core.inference.predictor import Predictor
        from embedseg_napari.core.model.channels import seeing_channels
        from embedseg_napari.core.model.model import load_model

        model = seeing_channels(load_model(request.model, request.device), len(request.image))
        predictor = Predictor(model, model.config.prediction)
        # What is said of a segmentation that nobody sees, as of its scale, says nothing of drafts.
        found = drain(predictor.run(request.image, model.config.axes, should_stop)).labels
    return draft_queue(labels, request.annotation, found)


def _read(request: DraftRequest, shape: tuple[int, ...]) -> Generator[Message, None, tuple[np.ndarray, str]]:
    """The labels as they are, and their axes."""
    path = request.labels
    if not isinstance(path, Path):
        return np.asarray(path), request.axes
    said: list[str] = []
    if path.suffix.lower() in ANNOTATIONS:
        axes = "ZYX"[-len(shape) :]
        array: np.ndarray = import_labels(path, shape, axes, image=request.image_name, say=said.append)
    else:
        picture = read_image(path, labels=True, say=said.append)
        array, axes = np.asarray(picture.array), picture.axes
    for text in said:
        yield Message(text, "warning")
    return array, axes
