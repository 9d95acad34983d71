"""Keeps annotations on the disk while they are painted."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, WeakValueDictionary

import platformdirs
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.picture import same_pixels
from embedseg_napari.core.session.folder import list_sessions, read_state
from embedseg_napari.core.session.images import ImageChanged, may_hold, to_frame
from embedseg_napari.core.session.session import AnnotatedImage, AnnotationSession
from embedseg_napari.core.session.state import kind_of, spatial_shape
from embedseg_napari.viewer.layers import picture_of
from embedseg_napari.viewer.worker import report_error, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from napari.layers import Image

    from embedseg_napari.core.annotation.states import AnnotationCounts
    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.worker import BackgroundRun

SAVE_MILLISECONDS = 10_000
"""From a stroke to its writing; at most so much painting is lost when the process is killed, and what writing takes."""


class Autosave(QObject):
    """Writes the annotation in front a few seconds after it changed, and knows which layers a session's images are in.

    The session begins with the first stroke. Annotations that are not in front were saved when they were left.

    Parameters
    ----------
    layers : AnnotationLayers
        The annotation in front.
    """

    saved = Signal(object)
    """The `Annotation` that is on the disk now."""
    failed = Signal()
    """It was said why something cannot be written."""
    round_ended = Signal()
    """A training has written all that it had to write into the session, maybe one of a panel that was closed."""

    def __init__(self, layers: AnnotationLayers) -> None:
        super().__init__()
        self.layers = layers
        self.folder = sessions_folder()
        self.session: AnnotationSession | None = None
        self.saved_revision = 0
        """Of the annotation in front when it was written last, or read from the disk."""
        self.names: dict[str, str] = {}
        """By an image layer's `unique_id`: its name in the session. Layers may be renamed or removed."""
        self.pictures: dict[str, Picture] = {}
        """By name: images of the session that are open, or were."""
        self.counts: dict[str, AnnotationCounts] = {}
        """By name: what was annotated when it was read or left."""
        self.unsaved: dict[str, AnnotatedImage] = {}
        """By name: what could not be written; the layers it was read from may be gone."""
        self.writing: BackgroundRun | None = None
        self._told = ""
        """Why something could not be written, as it was said last; empty once something was written."""
        self.save_soon = qthrottled(self.save, timeout=SAVE_MILLISECONDS, leading=False, parent=self)
        layers.changed.connect(self.save_soon)
        layers.leaving.connect(self._leave)
        open_autosaves.add(self)

    def _leave(self) -> None:
        """Another image is about to be in front, or none: write now what is not written yet."""
        self.save_now()
        annotation = self.layers.annotation()
        if annotation is not None and self.is_kept():
            self.counts[self.name()] = annotation.counts()
        if self.session is not None and self.session.is_unused and not self.unsaved:
            # Nothing was painted: a session is named after the first image of which something is.
            self.end()

    def annotated(self, *, check: bool = False) -> AnnotatedImage | None:
        """The image in front with its annotation, for its session; None if there is nothing to keep.

        Parameters
        ----------
        check : bool
            As for `AnnotationLayers.annotation`.
        """
        annotation = self.layers.annotation(check=check)
        if annotation is None or (annotation.is_empty and not self.is_kept()):
            return None
        self.current_session()
        name = self.name()
        now = self.layers.picture
        picture = self.pictures.setdefault(name, now)
        if picture.spacing is None and now.spacing is not None:
            # Typed since.
            picture = self.pictures[name] = replace(picture, spacing=now.spacing, unit=now.unit)
        return AnnotatedImage(name, picture, annotation)

    def is_other_kind(self) -> bool:
        """Whether the image in front cannot join the session that is open."""
        # Of what kind the frames of a movie are is not known before one is in front.
        kind = self.session.kind if self.session is not None and self.layers.axes else None
        return kind not in (None, self.layers.kind)

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
        taken = {*self.names.values(), *self.unsaved, *(self.session.image_names if self.session else ())}
        return _free(name, taken.__contains__, "{} ({})")

    def is_image(self, name: str, layer: Image | None = None) -> bool:
        """Whether an image, or else the one in front, is that of this name in the session, as far as can be known."""
        if self.session is None or not self.holds(name):
            return False
        entry, image = self.session.image(name), self.layers.image if layer is None else layer
        picture = self.layers.picture if layer is None else picture_of(layer)
        of_axes = picture.axes, picture.array.shape
        if (entry.spatial_shape, entry.kind) != (spatial_shape(*of_axes), kind_of(*of_axes)):
            return False
        try:
            known = self.pictures.get(name) or self.session.load_image(name)
        except ImageChanged:
            return False
        except DataError:
            # Its file is gone; name and shape agree.
            return image is None or may_hold(image.source.path, entry)
        return same_pixels(to_frame(known), to_frame(picture))

    def holds(self, name: str) -> bool:
        """Whether an image is in the session by now."""
        return self.session is not None and name in self.session.image_names

    def is_kept(self) -> bool:
        """Whether the image in front is in the session, or is to be as soon as it can be written."""
        if self.session is None or self.layers.image is None:
            return False
        return self.holds(self.name()) or self.name() in self.unsaved

    def current_session(self) -> AnnotationSession:
        """The session of the image in front; nothing is on the disk before something is written."""
        if self.is_other_kind():
            self._write(self.unsaved)
            self.end()
        self._pass_over_taken()
        if self.session is None:
            image = self.layers.image
            assert image is not None
            base = re.sub(r"[^\w.-]+", "_", image.name).strip("._") or "session"
            self.session = self.new_session(base)
        return self.session

    def _pass_over_taken(self) -> None:
        """Let a session that could not begin yet have another folder where something came into its own.

        A name looks free while the disk is away that has one of that name.
        """
        if self.session is not None and self.session.is_taken:
            self.session = self.new_session(self.session.folder.name)

    def new_session(self, name: str, but: Path | None = None) -> AnnotationSession:
        """A session in a folder of its own, called so as far as that is free, and not in one that is gone."""

        def is_taken(free: str) -> bool:
            folder = self.folder / free
            # A training may still write into one whose folder is gone.
            closing = _closing.get(folder)
            return os.path.exists(folder) or folder == but or (closing is not None and closing.is_waiting)

        return AnnotationSession(self.folder / _free(name, is_taken, "{}_{}"))

    def save(self) -> None:
        """Write in a thread what changed since the last time."""
        if self.writing is not None and self.writing.is_active:
            self.save_soon()
            return
        if self.unsaved:
            self.save_now(again=False)
            return
        image = self._changed()
        if image is None:
            return
        session = self.current_session()

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, bool]:
            yield from ()
            return session.save_annotation(image.name, image.annotation, image.picture)

        def take(is_saved: bool) -> None:
            if is_saved and session is self.session:
                self.saved_revision, self._told = image.annotation.revision, ""
                self.saved.emit(image.annotation)

        self.writing = run_in_background(run, on_result=take, on_error=self._on_error)

    def save_now(self, *, again: bool = True) -> bool:
        """Write here and now what is not written yet, of all images; False if something cannot be written.

        Parameters
        ----------
        again : bool
            Say why not, also where that was the last thing to be said.
        """
        self.save_soon.cancel()
        image = self._changed(check=True)
        return self._write(self.unsaved if image is None else {**self.unsaved, image.name: image}, again=again)

    @property
    def is_behind(self) -> bool:
        """Whether something is not written yet."""
        return bool(self.unsaved) or self._changed(check=True) is not None

    def save_left(self) -> bool:
        """Try again to write what could not be written, if there is something; False if it cannot be written."""
        return not self.unsaved or self.save_now()

    def _write(self, images: Mapping[str, AnnotatedImage], *, again: bool = True) -> bool:
        """Write annotations, by the names of their images; what cannot be written is kept, and tried again."""
        self._pass_over_taken()
        is_saved = True
        for name, image in tuple(images.items()):
            try:
                assert self.session is not None
                is_newest = self.session.save_annotation(name, image.annotation, image.picture)
            except DataError as error:
                if is_saved:
                    self.tell(error, again=again)
                self.unsaved[name], is_saved = image, False
                self.save_soon()
                continue
            self.unsaved.pop(name, None)
            self._told = ""
            if is_newest and image.annotation is self.layers.annotation():
                self.saved_revision = image.annotation.revision
            self.saved.emit(image.annotation)
        return is_saved

    def close(self) -> bool:
        """Write now what is not written yet, and let others open the session; False if it cannot be written.

        What is in front is then on the disk: no other session begins with it unless it changes.
        """
        # Where its folder is gone, what was saved earlier is saved no longer.
        is_saved = self.save_now() and not (self.session is not None and self.session.is_lost)
        if is_saved:
            self.end()
        return is_saved

    def end(self) -> None:
        """Let others open the session, and forget it."""
        if self.session is not None:
            let_go(self.session)
        self.session = None
        for known in (self.names, self.pictures, self.counts, self.unsaved):
            known.clear()

    def disconnect_layers(self) -> None:
        """Follow the annotation no longer."""
        self.save_soon.cancel()
        self.layers.changed.disconnect(self.save_soon)
        self.layers.leaving.disconnect(self._leave)
        open_autosaves.discard(self)

    def _changed(self, *, check: bool = False) -> AnnotatedImage | None:
        """The image in front if its annotation is other than on the disk."""
        annotation = self.layers.annotation(check=check)
        return None if annotation is None or annotation.revision == self.saved_revision else self.annotated()

    def _on_error(self, error: Exception) -> None:
        # What was not written is tried again.
        self.save_soon()
        self.tell(error, again=False)

    def tell(self, error: Exception, *, again: bool) -> None:
        """Say why something cannot be written; unless `again`, not where that was the last thing to be said."""
        if again or str(error) != self._told:
            report_error(error)
        self._told = str(error)
        self.failed.emit()

    # Going on with an earlier session

    def open(self, folder: Path) -> tuple[AnnotationSession, dict[str, AnnotationCounts]]:
        """Open a session where it was left, for :meth:`use`; the one that was open is saved and closed.

        Raises
        ------
        DataError
            If it cannot be opened or read, or the other cannot be saved; that is then still open.
        """
        session = open_session(folder)
        try:
            if not session.images:
                raise DataError(f"{folder}: this session holds no images.")
            counts = count_all(session)
            if not self.close():
                raise DataError(f"{folder}: was not opened, because what is painted now cannot be saved.")
        except DataError:
            session.close()
            raise
        return session, counts

    def use(self, session: AnnotationSession, counts: dict[str, AnnotationCounts]) -> None:
        """Write into a session from now on; its annotations are others than before."""
        self.session, self.counts = session, counts

    def matching(self, is_name: Callable[[str], bool], shape: tuple[int, ...]) -> list[Path]:
        """Closed sessions of an image of such a name and this shape ((Z,) Y, X), the one saved last first."""
        found = []
        for folder in list_sessions(self.folder):
            state = None if self.session is not None and self.session.folder == folder else read_state(folder)
            if state is not None and any(is_name(one.name) and one.spatial_shape == shape for one in state.images):
                found.append(folder)
        return found


open_autosaves: WeakSet[Autosave] = WeakSet()
"""Those of panels that are open."""
_closing: WeakValueDictionary[Path, AnnotationSession] = WeakValueDictionary()
"""By folder: sessions that were closed, but are open as long as a training has a round to write into them."""


def retained(session: AnnotationSession) -> Callable[[], None]:
    """Keep a session open for a training; what is returned lets go of it, and tells the panel that goes on with it."""
    session.retain()

    def let_go() -> None:
        session.release()
        for autosave in tuple(open_autosaves):
            if autosave.session is session:
                autosave.round_ended.emit()

    return let_go


def let_go(session: AnnotationSession) -> None:
    """Close a session, as soon as no training has a round to write into it."""
    _closing[session.folder] = session
    session.close()


def open_session(folder: Path) -> AnnotationSession:
    """Open a session; one that was closed, but into which a training still writes, goes on."""
    session = _closing.get(folder)
    return session if session is not None and session.reopen() else AnnotationSession.open(folder)


def count_all(session: AnnotationSession) -> dict[str, AnnotationCounts]:
    """How much is annotated in each image of a session; of those whose annotation cannot be read it is told."""
    counts = {}
    for name in session.image_names:
        try:
            counts[name] = session.load_annotation(name).counts()
        except DataError as error:
            show_warning(str(error))
    return counts


def sessions_folder() -> Path:
    """Where sessions are kept."""
    return Path(platformdirs.user_data_dir("embedseg-napari", appauthor=False)) / "sessions"


def _free(name: str, is_taken: Callable[[str], bool], numbered: str) -> str:
    """A name, with a number from 2 on where it is taken."""
    free, number = name, 2
    while is_taken(free):
        free, number = numbered.format(name, number), number + 1
    return free
