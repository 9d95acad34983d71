"""What worker threads write into a session and read from it: annotations, and rounds of training. Knows no layer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.annotation.states import count_states, to_example
from embedseg_napari.core.axes import spatial_axes, to_frames
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.session.session import AnnotationSession

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.session.files import Annotation
    from embedseg_napari.core.session.state import Round, SessionImage

TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class ImageAtHand:
    """An image whose pixels need not be read from the session, under its name there."""

    name: str
    array: Any
    axes: str
    spacing: tuple[float, ...] | None
    """(z, y, x)."""
    unit: str | None
    path: Path | None

    @property
    def kind(self) -> tuple[int, int]:
        """Spatial dimensions and channels; images of a session agree in them."""
        return _kind(self.axes, tuple(self.array.shape))

    def frame(self) -> np.ndarray:
        """The pixels C(Z)YX."""
        array: np.ndarray = to_frames(np.asarray(self.array), self.axes)[0]
        return array

    def example(self, annotation: Annotation, frame: np.ndarray | None = None) -> Example:
        """What training learns from; `frame` are the pixels C(Z)YX where they were made before."""
        array = self.frame() if frame is None else frame
        return to_example(self.name, array, annotation.labels, annotation.regions, self.spacing, self.unit)

    def add_to(self, session: AnnotationSession) -> None:
        """Add the image; it is remembered by its file where that holds the same pixels.

        Raises
        ------
        DataError
            If something cannot be read or written.
        """
        array = np.asarray(self.array)
        source: np.ndarray | Path = array
        if self.path is not None and self.path.suffix.lower() in TIFF and self.path.is_file():
            picture = read_image(self.path, self.axes)
            if picture.array.shape == array.shape and np.array_equal(picture.array, array):
                source = self.path
        session.add_image(self.name, source, self.axes, self.spacing, self.unit)


@dataclass(frozen=True)
class Painted:
    """The annotation of one image at one moment."""

    image: ImageAtHand
    annotation: Annotation
    moment: int = field(default_factory=time.monotonic_ns)
    """When it was taken: an older one is never written over a newer one."""


@dataclass(frozen=True)
class Material:
    """What a training can learn from a session."""

    examples: list[Example]
    learned: dict[str, Annotation]
    """What the examples were made of."""
    faults: list[str]
    """Why images are left out."""


class SessionWriter:
    """A session that begins with the first thing that is written into it; threads wait for one another.

    Parameters
    ----------
    folder : Path
        Of the session.
    session : AnnotationSession, optional
        One that is open already.
    """

    def __init__(self, folder: Path, session: AnnotationSession | None = None) -> None:
        self.folder, self.session = folder, session
        self._lock = threading.RLock()
        self._is_closed = self._is_unwanted = False
        self._holders = 0
        self._latest: dict[str, int] = {}
        self._restored = 0

    @property
    def rounds(self) -> list[Round]:
        """Rounds of training, oldest first."""
        return [] if self.session is None else self.session.rounds

    @property
    def images(self) -> list[SessionImage]:
        """Images that are in the session by now."""
        session = self.session
        return [] if session is None else [session.image(name) for name in session.image_names]

    @property
    def kind(self) -> tuple[int, int] | None:
        """Spatial dimensions and channels of its images; None before there is one."""
        images = self.images
        return _kind(images[0].axes, images[0].shape) if images else None

    @property
    def is_unused(self) -> bool:
        """Whether nothing was written, and no training is about to."""
        return self.session is None and not self._holders

    def holds(self, name: str) -> bool:
        """Whether an image is in the session by now."""
        return self.session is not None and name in self.session.image_names

    def save(self, painted: Painted) -> bool:
        """Write an annotation; False if the session was closed, or a newer one written meanwhile.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        with self._lock:
            name = painted.image.name
            if self._is_closed or painted.moment < max(self._latest.get(name, 0), self._restored):
                return False
            if self.session is None:
                self.session = AnnotationSession.create(self.folder)
            if name not in self.session.image_names:
                painted.image.add_to(self.session)
            self._write(name, painted.annotation)
            self._latest[name] = painted.moment
            return True

    def read(self, at_hand: Mapping[str, ImageAtHand]) -> Material:
        """Every annotated image, for a training.

        Parameters
        ----------
        at_hand : mapping
            Images that are not to be read from the disk, by their names.

        Raises
        ------
        DataError
            If an annotation cannot be read. An image that cannot is left out.
        """
        found = Material([], {}, [])
        for image in self.images:
            assert self.session is not None
            annotation = self.session.load_annotation(image.name)
            if annotation.is_empty:
                continue
            try:
                known = at_hand.get(image.name) or self.at_hand(image.name)
            except DataError as error:
                found.faults.append(f"{error} This round learns nothing from it.")
                continue
            found.examples.append(known.example(annotation))
            found.learned[image.name] = annotation
        return found

    def at_hand(self, name: str) -> ImageAtHand:
        """Read an image of the session.

        Raises
        ------
        DataError
            If it is missing or was changed.
        """
        assert self.session is not None
        picture = self.session.load_image(name)
        return ImageAtHand(name, picture.array, picture.axes, picture.spacing, picture.unit, picture.path)

    def add_round(
        self, learned: Mapping[str, Annotation], at_hand: Mapping[str, ImageAtHand], round_: Round, model: Path
    ) -> Round | None:
        """Write a round of training with what it learned from; None if the session was closed meanwhile.

        What was painted since the training read it last stays the current annotation.

        Parameters
        ----------
        learned : mapping
            Annotations by image.
        at_hand : mapping
            Of images that may not be in the session yet.
        round_ : Round
            Without counts.
        model : Path
            Its file.

        Raises
        ------
        DataError, ModelError
            If it cannot be written.
        """
        with self._lock:
            if self._is_closed or self.session is None:
                return None
            counts = {name: count_states(one.labels, one.regions) for name, one in learned.items()}
            newer = {}
            try:
                for name, annotation in learned.items():
                    if name not in self.session.image_names:
                        at_hand[name].add_to(self.session)
                        self._write(name, annotation)
                    now = self.session.load_annotation(name)
                    if not now.is_same(annotation):
                        newer[name] = now
                        self._write(name, annotation)
                return self.session.add_round(round_.model_copy(update={"counts": counts}), model)
            finally:
                for name, annotation in newer.items():
                    self._write(name, annotation)

    def restore(self, number: int) -> Path:
        """Set the annotations of all images back to those of a round.

        Returns
        -------
        Path
            The round's model.

        Raises
        ------
        DataError
            If something cannot be read or written; all is then as before.
        """
        with self._lock:
            if self.session is None:
                raise DataError("There is no session yet; paint something first.")
            model = self.session.model_path(number)
            self.session.restore_round(number)
            # What a thread is about to write belongs to the time before.
            self._restored = time.monotonic_ns()
            return model

    @property
    def can_undo_restore(self) -> bool:
        """Whether annotations were set back to those of a round."""
        return self.session is not None and self.session.can_undo_restore

    def undo_restore(self) -> Path | None:
        """Bring back the annotations that `restore` replaced last; what was painted since is dropped.

        Returns
        -------
        Path or None
            Model of the latest round.

        Raises
        ------
        DataError
            If nothing was set back, or something cannot be read or written.
        """
        with self._lock:
            if self.session is None:
                raise DataError("There is no session yet; paint something first.")
            self.session.undo_restore()
            self._restored = time.monotonic_ns()
            rounds = self.session.rounds
            return self.session.model_path(rounds[-1].number) if rounds else None

    def hold(self) -> None:
        """Keep the session open until :meth:`release`, for a training that writes a round at its end."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        """The opposite of :meth:`hold`."""
        with self._lock:
            self._holders -= 1
            if self._is_unwanted:
                self.close()

    def close(self) -> None:
        """Let others open the session, as soon as nobody holds it."""
        with self._lock:
            self._is_unwanted = True
            if self._holders:
                return
            self._is_closed = True
            if self.session is not None:
                self.session.close()

    def _write(self, name: str, annotation: Annotation) -> None:
        assert self.session is not None
        self.session.save_annotation(name, annotation.labels, annotation.regions, annotation.accepted_ids)


def _kind(axes: str, shape: tuple[int, ...]) -> tuple[int, int]:
    return len(spatial_axes(axes)), shape[axes.index("C")] if "C" in axes else 1
