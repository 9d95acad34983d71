"""Keeps the annotation of the chosen image on the disk while it is painted."""

from __future__ import annotations

import atexit
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import platformdirs
from qtpy.QtCore import QObject, QTimer, Signal

from embedseg_napari.core.annotation.session import AnnotationSession, list_sessions
from embedseg_napari.core.annotation.session_folder import STATE
from embedseg_napari.core.annotation.session_state import from_json
from embedseg_napari.core.errors import DataError
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.session_place import NewImage, SessionPlace, Snapshot
from embedseg_napari.viewer.worker import report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.core.annotation.session import Annotation
    from embedseg_napari.core.annotation.session_state import SessionState
    from embedseg_napari.viewer.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.worker import BackgroundRun

SAVE_MILLISECONDS = 10_000
"""Between two looks; at most so much painting is lost when the process is killed, and the time of one writing."""


class SessionKeeper(QObject):
    """Writes the annotation every few seconds if it changed; the session begins with the first stroke.

    Parameters
    ----------
    layers : AnnotationLayers
        What is kept.
    """

    saved = Signal(object)
    """The `Snapshot` that is on the disk now."""

    def __init__(self, layers: AnnotationLayers) -> None:
        super().__init__()
        self.layers = layers
        self.folder = sessions_folder()
        self.place: SessionPlace | None = None
        self.last: Snapshot | None = None
        """What is on the disk."""
        self.writing: BackgroundRun | None = None
        self._is_dirty = False
        self.timer = QTimer(self)
        self.timer.setInterval(SAVE_MILLISECONDS)
        self.timer.timeout.connect(self.save)
        layers.changed.connect(self._note)
        layers.leaving.connect(self._leave)
        _keepers.add(self)

    def _note(self) -> None:
        self._is_dirty = True
        if not self.timer.isActive():
            self.timer.start()

    def _leave(self) -> None:
        self.close()

    def snapshot(self) -> Snapshot | None:
        """Copy the annotation, in the GUI's thread; None where there is none."""
        if self.layers.labels is None:
            return None
        layers = self.layers
        return Snapshot(layers.array().astype(np.int32, copy=True), layers.region_mask(), layers.accepted)

    def current_place(self) -> SessionPlace:
        """Where the chosen image's annotation is kept; nothing is on the disk before something is written."""
        if self.place is None:
            image = self.layers.image
            assert image is not None
            spacing, unit = self.layers.spacing()
            path = image.source.path
            new = NewImage(
                image.name, array_of(image), self.layers.axes, spacing, unit, None if path is None else Path(path)
            )
            self.place = SessionPlace(self._free_folder(image.name), new)
        return self.place

    def save(self) -> None:
        """Write in a thread what changed since the last time."""
        if not self._is_dirty or (self.writing is not None and self.writing.is_active):
            return
        self._is_dirty = False
        snapshot = self._changed()
        if snapshot is None:
            return
        place = self.current_place()

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, bool]:
            yield from ()
            return place.save(snapshot)

        def take(is_saved: bool) -> None:
            if is_saved and place is self.place:
                self.last = snapshot
                self.saved.emit(snapshot)

        self.writing = run_in_background(run, on_result=take, on_error=self._on_error)

    def save_now(self) -> None:
        """Write here and now what is not written yet."""
        self.timer.stop()
        snapshot = self._changed()
        if snapshot is None:
            return
        try:
            self.current_place().save(snapshot)
            self.last = snapshot
        except DataError as error:
            report_error(error)

    def close(self, keep_open: bool = False) -> SessionPlace | None:
        """Write now what is not written yet, and let others open the session.

        Parameters
        ----------
        keep_open : bool
            Leave that to the caller, who gets the session.
        """
        self.save_now()
        place = self.place
        if place is not None and not keep_open:
            place.close()
        self.place, self.last, self._is_dirty = None, None, False
        return place

    def disconnect_layers(self) -> None:
        """Follow the annotation no longer."""
        self.layers.changed.disconnect(self._note)
        self.layers.leaving.disconnect(self._leave)
        _keepers.discard(self)

    def _changed(self) -> Snapshot | None:
        """The annotation if it is other than on the disk."""
        snapshot = self.snapshot()
        if snapshot is None or snapshot.is_same(self.last) or (snapshot.is_empty and self.place is None):
            return None
        return snapshot

    def _on_error(self, error: Exception) -> None:
        # What was not written is tried again.
        self._is_dirty = True
        report_error(error)

    def _free_folder(self, name: str) -> Path:
        base = re.sub(r"[^\w.-]+", "_", name).strip("._") or "session"
        folder, number = self.folder / base, 2
        while folder.exists():
            folder, number = self.folder / f"{base}_{number}", number + 1
        return folder

    # Going on with an earlier session

    def resume(self, folder: Path) -> Annotation:
        """Open a session where it was left; the one that was open is saved and closed.

        Raises
        ------
        DataError
            If it cannot be opened or read.
        """
        self.close()
        session = AnnotationSession.open(folder)
        try:
            if not session.image_names:
                raise DataError(f"{folder}: this session has no image.")
            annotation = session.load_annotation(session.image_names[0])
        except DataError:
            session.close()
            raise
        self.place = SessionPlace(folder, session=session)
        self.last = Snapshot(annotation.labels, annotation.regions, annotation.accepted_ids)
        return annotation

    def matching(self, name: str, shape: tuple[int, ...]) -> list[Path]:
        """Sessions of an image of this name and shape ((Z,) Y, X), the one saved last first."""
        found = []
        for folder in list_sessions(self.folder):
            state = read_state(folder)
            if state is not None and any((one.name, one.spatial_shape) == (name, shape) for one in state.images):
                found.append(folder)
        return found


_keepers: WeakSet[SessionKeeper] = WeakSet()


@atexit.register
def save_all() -> None:
    """Write what is not written yet: Python may end before Qt says a word, for instance at the end of a script."""
    for keeper in tuple(_keepers):
        keeper.save_now()


def read_state(folder: Path) -> SessionState | None:
    """What a session folder says about itself, without opening it; None where it cannot be read."""
    try:
        return from_json(folder / STATE, (folder / STATE).read_text(encoding="utf-8"))
    except (DataError, OSError, UnicodeDecodeError):
        return None


def sessions_folder() -> Path:
    """Where sessions are kept."""
    return Path(platformdirs.user_data_dir("embedseg-napari", appauthor=False)) / "sessions"
