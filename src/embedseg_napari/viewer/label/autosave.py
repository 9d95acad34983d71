"""Keeps annotations on the disk while they are painted."""

from __future__ import annotations

import atexit
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import platformdirs
from qtpy.QtCore import QObject, QTimer, Signal

from embedseg_napari.core.annotation.states import count_states
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.session.files import Annotation
from embedseg_napari.core.session.folder import STATE, list_sessions
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.core.session.state import from_json
from embedseg_napari.core.session.writer import ImageAtHand, Painted, SessionWriter
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.worker import report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.core.annotation.states import AnnotationCounts
    from embedseg_napari.core.session.state import SessionState
    from embedseg_napari.viewer.label.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.worker import BackgroundRun

SAVE_MILLISECONDS = 10_000
"""Between two looks; at most so much painting is lost when the process is killed, and the time of one writing."""


class Autosave(QObject):
    """Writes the annotation in front every few seconds if it changed, and knows which layers a session's images are in.

    The session begins with the first stroke. Annotations that are not in front were saved when they were left.

    Parameters
    ----------
    layers : AnnotationLayers
        The annotation in front.
    """

    saved = Signal(object)
    """The `Annotation` that is on the disk now."""

    def __init__(self, layers: AnnotationLayers) -> None:
        super().__init__()
        self.layers = layers
        self.folder = sessions_folder()
        self.writer: SessionWriter | None = None
        self.last: Annotation | None = None
        """What is on the disk of the annotation in front; None where that is not known."""
        self.names: dict[str, str] = {}
        """By an image layer's `unique_id`: its name in the session. Layers may be renamed or removed."""
        self.images: dict[str, ImageAtHand] = {}
        """By name: images of the session that are open, or were."""
        self.counts: dict[str, AnnotationCounts] = {}
        """By name: what was annotated when it was read or left."""
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
        """Another image is about to be in front, or none: write now what is not written yet."""
        self.save_now()
        annotation = self.annotation()
        if annotation is not None and self.is_kept():
            self.counts[self.name()] = count_states(annotation.labels, annotation.regions)
        self.last, self._is_dirty = None, False
        if self.writer is not None and self.writer.is_unused:
            # Nothing was painted: a session is named after the first image of which something is.
            self.end()

    def annotation(self) -> Annotation | None:
        """Copy the annotation in front, in the GUI's thread; None where there is none."""
        if self.layers.labels is None:
            return None
        layers = self.layers
        return Annotation(layers.array().astype(np.int32, copy=True), layers.region_mask(), layers.accepted)

    def painted(self) -> Painted | None:
        """The annotation in front with its image, for its session; None where there is none."""
        annotation = self.annotation()
        if annotation is None:
            return None
        self.current_writer()
        return Painted(self._at_hand(), annotation)

    def kind(self) -> tuple[int, int]:
        """Spatial dimensions and channels of the image in front."""
        return self.layers.ndim, self.layers.n_channels

    def is_other_kind(self) -> bool:
        """Whether the image in front cannot join the session that is open."""
        return self.writer is not None and self.writer.kind not in (None, self.kind())

    def name(self) -> str:
        """Name of the image in front in the session, which stays when the layer is renamed."""
        image = self.layers.image
        assert image is not None
        key = str(image.unique_id)
        if key not in self.names:
            self.names[key] = self._find_name(image.name)
        return self.names[key]

    def _find_name(self, name: str) -> str:
        """The name of an image whose layer was removed and came again; else a free one."""
        shown = {self.names.get(str(layer.unique_id)) for layer in self.layers.viewer.layers}
        if name not in shown and self.is_image(name):
            return name
        taken = {*self.names.values(), *(image.name for image in (self.writer.images if self.writer else ()))}
        free, number = name, 2
        while free in taken:
            free, number = f"{name} ({number})", number + 1
        return free

    def is_image(self, name: str) -> bool:
        """Whether the image in front is the one of this name in the session, as far as can be known."""
        if self.writer is None or self.writer.session is None or not self.writer.holds(name):
            return False
        entry = self.writer.session.image(name)
        if (entry.spatial_shape, self.writer.kind) != (self.layers.shape, self.kind()):
            return False
        try:
            known = self.images.get(name) or self.writer.at_hand(name)
        except DataError:
            # Its file is gone; name and shape agree.
            return True
        return np.array_equal(known.frame(), self.layers.frame_array())

    def _at_hand(self) -> ImageAtHand:
        image, name = self.layers.image, self.name()
        assert image is not None
        if name not in self.images:
            spacing, unit = self.layers.spacing()
            path = image.source.path
            self.images[name] = ImageAtHand(
                name, array_of(image), self.layers.axes, spacing, unit, None if path is None else Path(path)
            )
        return self.images[name]

    def is_kept(self) -> bool:
        """Whether the image in front is in the session."""
        return self.layers.image is not None and self.writer is not None and self.writer.holds(self.name())

    def current_writer(self) -> SessionWriter:
        """The session of the image in front; nothing is on the disk before something is written."""
        if self.is_other_kind():
            self.end()
        if self.writer is None:
            image = self.layers.image
            assert image is not None
            self.writer = SessionWriter(self._free_folder(image.name))
        return self.writer

    def save(self) -> None:
        """Write in a thread what changed since the last time."""
        if not self._is_dirty or (self.writing is not None and self.writing.is_active):
            return
        self._is_dirty = False
        painted = self._changed()
        if painted is None:
            return
        writer = self.current_writer()

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, bool]:
            yield from ()
            return writer.save(painted)

        def take(is_saved: bool) -> None:
            if is_saved and writer is self.writer and self.layers.labels is not None:
                if self.name() == painted.image.name:
                    self.last = painted.annotation
                self.saved.emit(painted.annotation)

        self.writing = run_in_background(run, on_result=take, on_error=self._on_error)

    def save_now(self) -> bool:
        """Write here and now what is not written yet; False if it cannot be written."""
        self.timer.stop()
        painted = self._changed()
        try:
            if painted is not None and self.current_writer().save(painted):
                self.last = painted.annotation
        except DataError as error:
            report_error(error)
            return False
        return True

    def close(self) -> bool:
        """Write now what is not written yet, and let others open the session; False if it cannot be written."""
        if not self.save_now():
            return False
        last = self.last
        self.end()
        # What is in front still is on the disk; no other session begins with it unless it changes.
        self.last = last
        return True

    def end(self) -> None:
        """Let others open the session, and forget it."""
        if self.writer is not None:
            self.writer.close()
        self.writer, self.last, self._is_dirty = None, None, False
        for known in (self.names, self.images, self.counts):
            known.clear()

    def disconnect_layers(self) -> None:
        """Follow the annotation no longer."""
        self.layers.changed.disconnect(self._note)
        self.layers.leaving.disconnect(self._leave)
        _keepers.discard(self)

    def _changed(self) -> Painted | None:
        """The annotation in front if it is other than on the disk."""
        annotation = self.annotation()
        if annotation is None or annotation.is_same(self.last) or (annotation.is_empty and not self.is_kept()):
            return None
        self.current_writer()
        return Painted(self._at_hand(), annotation)

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

    def open(self, folder: Path) -> tuple[SessionWriter, dict[str, AnnotationCounts]]:
        """Open a session where it was left, for :meth:`take_up`; the one that was open is saved and closed.

        Raises
        ------
        DataError
            If it cannot be opened or read, or the other cannot be saved; that is then still open.
        """
        session = AnnotationSession.open(folder)
        try:
            if not session.image_names:
                raise DataError(f"{folder}: this session has no image.")
            counts = count_all(session)
            if not self.close():
                raise DataError(f"{folder}: is not opened, for what is painted now cannot be saved.")
        except DataError:
            session.close()
            raise
        return SessionWriter(folder, session), counts

    def take(self, writer: SessionWriter, counts: dict[str, AnnotationCounts]) -> None:
        """Write into a session from now on."""
        self.writer, self.counts, self.last = writer, counts, None

    def restored(self) -> None:
        """The annotations of the session are others than before."""
        assert self.writer is not None
        assert self.writer.session is not None
        self.last, self.counts = None, count_all(self.writer.session)

    def matching(self, name: str, shape: tuple[int, ...]) -> list[Path]:
        """Closed sessions of an image of this name and shape ((Z,) Y, X), the one saved last first."""
        found = []
        for folder in list_sessions(self.folder):
            state = None if self.writer is not None and self.writer.folder == folder else read_state(folder)
            if state is not None and any((one.name, one.spatial_shape) == (name, shape) for one in state.images):
                found.append(folder)
        return found


def count_all(session: AnnotationSession) -> dict[str, AnnotationCounts]:
    """How much is annotated in each image of a session.

    Raises
    ------
    DataError
        If an annotation cannot be read.
    """
    annotations = {name: session.load_annotation(name) for name in session.image_names}
    return {name: count_states(one.labels, one.regions) for name, one in annotations.items()}


_keepers: WeakSet[Autosave] = WeakSet()


@atexit.register
def save_all() -> None:
    """Write what is not written yet: Python may end before Qt says a word, for instance at the end of a script."""
    for autosave in tuple(_keepers):
        autosave.save_now()


def read_state(folder: Path) -> SessionState | None:
    """What a session folder says about itself, without opening it; None where it cannot be read."""
    try:
        return from_json(folder / STATE, (folder / STATE).read_text(encoding="utf-8"))
    except (DataError, OSError, UnicodeDecodeError):
        return None


def sessions_folder() -> Path:
    """Where sessions are kept."""
    return Path(platformdirs.user_data_dir("embedseg-napari", appauthor=False)) / "sessions"
