"""Which images may be annotated next: the session's others, open ones like them, and frames of open time-lapses."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.review.next_image import Candidate
from embedseg_napari.core.session.images import to_frame
from embedseg_napari.core.session.state import kind_of
from embedseg_napari.viewer.label.time_points import frame_name, frame_picture, is_taken, spread
from embedseg_napari.viewer.large.annotated_part import is_large
from embedseg_napari.viewer.layers import picture_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from napari.layers import Image

    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.core.session.session import AnnotationSession
    from embedseg_napari.viewer.label.navigator import SessionNavigator

MOST_FRAMES = 8
"""Of a time-lapse so many frames are looked at."""


def candidates(navigator: SessionNavigator, seen: Collection[str] = ()) -> list[Candidate]:
    """Images that may be the next: the session's others, and open ones of its kind that are not in it.

    Of an open time-lapse they are a few frames far from each other; those that were gone to make room for others.

    Parameters
    ----------
    navigator : SessionNavigator
        Knows session and viewer.
    seen : collection of str
        Keys of candidates that were gone to.
    """
    autosave, box = navigator.autosave, navigator.box
    session = autosave.session
    # All of a movie is of no kind.
    kind = box.layers.kind if session is None or box.layers.axes else session.kind
    found: list[Candidate] = []
    in_session: Collection[str] = ()
    if session is not None and not autosave.is_other_kind():
        in_session = session.image_names
        for name in in_session:
            layer, known = navigator.layer_of(name), autosave.pictures.get(name)
            key = f"{session.folder} {name}" if layer is None else str(layer.unique_id)
            found.append(Candidate(key, name, name, partial(_read_kept, session, name, known)))
    for layer in box.image.layers:
        if autosave.names.get(str(layer.unique_id)) in in_session:
            continue
        box.name_like_session(layer)
        try:
            picture = picture_of(layer)
        except DataError:
            # What cannot be annotated is no candidate; the panel says why when it is chosen.
            continue
        # Large ones are annotated in parts.
        if is_large(layer) or navigator.has_other_pixels(picture):
            continue
        if "T" in picture.axes:
            if _kind_of_frames(picture) == kind:
                found += islice(_frames(navigator, layer, picture, {*in_session, *seen}), MOST_FRAMES)
        elif kind_of(picture.axes, picture.array.shape) == kind:
            found.append(Candidate(str(layer.unique_id), layer.name, layer, partial(_read_new, picture)))
    return [one for one in found if one.key != navigator.front_key()]


def _kind_of_frames(movie: Picture) -> tuple[int, int]:
    axis, shape = movie.axes.index("T"), movie.array.shape
    return kind_of(movie.axes.replace("T", ""), shape[:axis] + shape[axis + 1 :])


def _frames(
    navigator: SessionNavigator, layer: Image, movie: Picture, left_out: Collection[str]
) -> Iterator[Candidate]:
    """Frames of a time-lapse that are no images of their own yet, the first ones far from each other."""
    axis = movie.axes.index("T")
    for number in spread(movie.array.shape[axis]):
        name, key = frame_name(layer, number), f"{layer.unique_id} {number}"
        if name not in left_out and key not in left_out and not is_taken(navigator.viewer, layer, number):
            yield Candidate(key, name, (layer, number), partial(_read_new, frame_picture(layer, number)))


def _read_kept(session: AnnotationSession, name: str, known: Picture | None) -> tuple[np.ndarray, np.ndarray]:
    return to_frame(known or session.load_image(name)), session.load_annotation(name).labels


def _read_new(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    frame = to_frame(picture)
    return frame, np.zeros(frame.shape[1:], np.int32)
