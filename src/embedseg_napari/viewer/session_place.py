"""What worker threads write into a session: snapshots of the annotation, and rounds of training. Knows no layer."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.annotation.session import AnnotationSession, Round
from embedseg_napari.core.data.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class Snapshot:
    """The annotation at one moment; shares no memory with the layers."""

    labels: NDArray[np.int32]
    """((Z,) Y, X)."""
    regions: NDArray[np.bool_] | None
    accepted_ids: frozenset[int] = frozenset()
    """Objects that are accepted and protected."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is annotated."""
        return self.regions is None and not self.labels.any()

    def is_same(self, other: Snapshot | None) -> bool:
        """Whether nothing was changed in between."""
        if other is None or self.accepted_ids != other.accepted_ids or not np.array_equal(self.labels, other.labels):
            return False
        if self.regions is None or other.regions is None:
            return self.regions is other.regions
        return np.array_equal(self.regions, other.regions)


@dataclass(frozen=True)
class NewImage:
    """The image a session is begun with."""

    name: str
    array: Any
    axes: str
    spacing: tuple[float, ...] | None
    """(z, y, x)."""
    unit: str | None
    path: Path | None

    def begin(self, folder: Path) -> AnnotationSession:
        """Make the session; the image is remembered by its file where that holds the same pixels.

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
        session = AnnotationSession.create(folder)
        session.add_image(self.name, source, self.axes, self.spacing, self.unit)
        return session


class SessionPlace:
    """A session that begins with the first thing that is written into it; threads wait for one another.

    Parameters
    ----------
    folder : Path
        Of the session.
    new : NewImage, optional
        What it begins with; needed where there is no session yet.
    session : AnnotationSession, optional
        One that is open already.
    """

    def __init__(self, folder: Path, new: NewImage | None = None, session: AnnotationSession | None = None) -> None:
        self.folder, self.new, self.session = folder, new, session
        self._lock = threading.RLock()
        self._is_closed = False

    @property
    def rounds(self) -> list[Round]:
        """Rounds of training, oldest first."""
        return [] if self.session is None else self.session.rounds

    def save(self, snapshot: Snapshot) -> bool:
        """Write the annotation; False if the session was closed meanwhile.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        with self._lock:
            if self._is_closed:
                return False
            if self.session is None:
                assert self.new is not None
                self.session = self.new.begin(self.folder)
            self.session.save_annotation(
                self.session.image_names[0], snapshot.labels, snapshot.regions, snapshot.accepted_ids
            )
            return True

    def add_round(self, snapshot: Snapshot, seconds: float, model: Path) -> Round | None:
        """Write a round of training with what it learned from; None if the session was closed meanwhile.

        Raises
        ------
        DataError, ModelError
            If it cannot be written.
        """
        with self._lock:
            if not self.save(snapshot):
                return None
            assert self.session is not None
            return self.session.add_round(Round(seconds=seconds), model)

    def close(self) -> None:
        """Let others open the session."""
        with self._lock:
            self._is_closed = True
            if self.session is not None:
                self.session.close()
