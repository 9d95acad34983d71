"""What is shown of a session: its images one at a time, each with its annotation."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_info

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.units import MICROMETRE, in_micrometres
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.camera import go_to, show_whole
from embedseg_napari.viewer.label.autosave import count_all
from embedseg_napari.viewer.label.handed_on import begin_anew
from embedseg_napari.viewer.label.image_layer import show_image
from embedseg_napari.viewer.label.sight import Sight
from embedseg_napari.viewer.label.time_points import mark_frame, take_frame, time_axis
from embedseg_napari.viewer.layers import ANNOTATION, picture_of, unknown_axis
from embedseg_napari.viewer.widgets.boxes import short
from embedseg_napari.viewer.widgets.pixel_size import lacks_size, resize

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.core.session.session import AnnotationSession
    from embedseg_napari.viewer.label.annotate_box import AnnotationBox
    from embedseg_napari.viewer.label.autosave import Autosave


@dataclass
class SessionNavigator:
    """Brings images and annotations of the session before the user, and takes those of a closed one away.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    box : AnnotationBox
        Chooses the image in front.
    autosave : Autosave
        Has the session.
    """

    viewer: Viewer
    box: AnnotationBox
    autosave: Autosave
    sight: Sight = field(init=False)
    """What is seen of the viewer meanwhile."""

    def __post_init__(self) -> None:
        self.sight = Sight(self.viewer, self.box, self.autosave)

    def take_time_point(self) -> None:
        """Of a time-lapse, choose the frame in view."""
        layer = self.box.image.layer()
        if isinstance(layer, Image) and time_axis(layer) is not None:
            self.box.image.choose(take_frame(self.viewer, layer))

    def doubt_about_session(self) -> str:
        """Why the image in front may not belong to the session that is open; empty where it does, or none is open."""
        session, layers = self.autosave.session, self.box.layers
        if session is None or layers.image is None or not session.images or self.autosave.is_kept():
            return ""
        image, name = short(layers.image.name), short(session.folder.name)
        if self.autosave.is_other_kind():
            return (
                f"{image} is {kind_words(layers.kind)}, but session {name} holds {kind_words(session.images[0].kind)}."
            )
        if self.has_other_pixels(layers.picture):
            return f"{image} has other pixel sizes than the images of session {name}."
        if all(self.layer_of(one) is None for one in session.image_names):
            return f"Session {name} is open, but none of its images is any more. Does {image} belong to it?"
        return ""

    def has_other_pixels(self, picture: Picture) -> bool:
        """Whether an image has another pixel size than all images of the session."""
        images = () if self.autosave.session is None else self.autosave.session.images
        return bool(images) and all(one.has_other_pixels(picture.spacing, picture.unit) for one in images)

    def annotate(self) -> None:
        """Make the annotation of the chosen image, or bring back the one that is kept.

        The image joins the session that is open if it is of its kind, else that is closed.

        Raises
        ------
        EmbedSegError
            If something cannot be read or written.
        """
        if self.box.layers.image is None:
            return
        if self.autosave.is_other_kind():
            self.close()
        self._show()

    def close(self) -> None:
        """Save and close the session; its annotation layers leave the viewer, a new one begins with the next stroke.

        Raises
        ------
        DataError
            If it cannot be saved; all is then as before.
        """
        begin_anew(self.autosave)
        session, names = self.autosave.session, set(self.autosave.names)
        if not self.autosave.close():
            raise DataError("The session stays open, because what is painted cannot be saved.")
        if session is not None and session.is_begun:
            self._remove(names)
            show_info(f"Saved and closed: {short(session.folder.name)}.")

    def begin_new(self) -> None:
        """As :meth:`close`; where the folder of the session is gone, what is annotated stays and begins the new one.

        Raises
        ------
        DataError
            If it cannot be saved.
        """
        if not begin_anew(self.autosave):
            self.close()

    def _remove(self, images: set[str]) -> None:
        """Take annotation layers away, by the `unique_id` of their images."""
        for layer in [layer for layer in self.viewer.layers if layer.metadata.get(ANNOTATION) in images]:
            self.viewer.layers.remove(layer)

    def resume(self, folder: Path) -> Path | None:
        """Go on with a session: the chosen image comes to the front if it is of it, else the first.

        Returns
        -------
        Path or None
            Model of the last round.

        Raises
        ------
        EmbedSegError
            If something cannot be read.
        """
        layers, front = self.box.layers, self.box.layers.image
        if self.autosave.session is None or self.autosave.session.folder != folder:
            begin_anew(self.autosave)
            names = set(self.autosave.names)
            opened = self.autosave.open(folder)
            self._remove(names if front is None else {*names, str(front.unique_id)})
            self.autosave.use(*opened)
        session = self._session()
        # One whose annotation can be read, if there is one.
        name = next(iter(self.autosave.counts), session.image_names[0])
        if front is not None and layers.frame is not None and self.autosave.is_image(front.name):
            name = self.autosave.names[str(front.unique_id)] = front.name
        self.go_to(name)
        return session.latest_model()

    def _session(self) -> AnnotationSession:
        if self.autosave.session is None:
            raise DataError("There is no session yet; paint something first.")
        return self.autosave.session

    def _saved_session(self) -> AnnotationSession:
        """The session, in which all that is painted now was saved."""
        session = self._session()
        if not self.autosave.save_now():
            raise DataError("All stays as it is, because what is painted cannot be saved.")
        return session

    def restore(self, number: int) -> Path:
        """Bring back the annotations of a round in all images; what is painted now is saved before.

        Returns
        -------
        Path
            The round's model.

        Raises
        ------
        EmbedSegError
            If something cannot be read or written.
        """
        session = self._saved_session()
        model = session.restore_round(number)
        self._show_anew(session)
        return model

    def undo_restore(self) -> Path | None:
        """Bring back the annotations that going back to a round replaced.

        Returns
        -------
        Path or None
            Model of the latest round.

        Raises
        ------
        EmbedSegError
            If something cannot be read or written.
        """
        session = self._saved_session()
        session.undo_restore()
        self._show_anew(session)
        return session.latest_model()

    def _show_anew(self, session: AnnotationSession) -> None:
        """Show the session's annotations as they are on the disk."""
        # Those of other images come anew when they are gone to.
        self._remove(set(self.autosave.names) - {self.front_key()})
        self.autosave.use(session, count_all(session))
        if self.autosave.is_kept():
            self._fill()

    def axes_like(self, layer: Image) -> str:
        """Axes of the session's images with as many axes that came from the same folder; empty where there are none."""
        session, n = self.autosave.session, layer.ndim
        folder = _folder(layer.source.path)
        for other in self.viewer.layers:
            is_ours = str(other.unique_id) in self.autosave.names and isinstance(other, Image) and not other.rgb
            if is_ours and other.ndim == n and _folder(other.source.path) == folder and unknown_axis(other) is None:
                return picture_of(other).axes
        for image in () if session is None else session.images:
            if len(image.axes) == n and _folder(image.source.path if image.source else None) == folder:
                return image.axes
        return ""

    def layer_of(self, name: str) -> Any:
        """Layer of an image of the session, or None where it is not open."""
        return next((one for one in self.viewer.layers if self.autosave.names.get(str(one.unique_id)) == name), None)

    def go_to(self, name: str) -> None:
        """Bring an image of the session to the front with its annotation; it is opened if it is not.

        Raises
        ------
        EmbedSegError
            If it cannot be read.
        """
        layer = self.layer_of(name) or self._opened_by_user(name)
        is_open = layer is not None
        self.go_to_layer(layer if is_open else self._open(name))
        if not is_open:
            show_whole(self.viewer, self.layer_of(name))

    def _opened_by_user(self, name: str) -> Any:
        """The layer of an image of the session that was not yet in front since the session is open, or None."""
        for layer in self.viewer.layers:
            if isinstance(layer, Image) and layer.name == name and str(layer.unique_id) not in self.autosave.names:
                # What its axes are may not be known yet.
                with suppress(DataError):
                    if self.autosave.is_image(name, layer):
                        self.autosave.names[str(layer.unique_id)] = name
                        return layer
        return None

    def go_to_layer(self, layer: Any) -> None:
        """Bring an image to the front, ready to be painted on.

        Raises
        ------
        EmbedSegError
            If it cannot be annotated.
        """
        self.box.image.choose(layer)
        layers = self.box.layers
        if layers.image != layer or self.box.fault:
            raise DataError(self.box.fault or f"{layer.name} is not one of the images that can be annotated.")
        is_new = layers.labels is None and not self.autosave.is_kept()
        self.annotate()
        assert layers.frame is not None
        if is_new:
            # Nobody knows it yet: all of it is shown.
            show_whole(self.viewer, layer)
        size = layers.frame.coordinates(np.asarray([layers.shape], float))[0]
        go_to(self.viewer, layers.labels, (size // 2).tolist(), np.zeros(len(size)).tolist(), size.tolist())

    def _open(self, name: str) -> Any:
        picture = self.autosave.pictures.get(name) or self._session().load_image(name)
        is_file = self.autosave.holds(name) and self._session().image(name).source is not None
        layer = show_image(self.viewer, name, picture, is_file=is_file)
        self.autosave.names[str(layer.unique_id)] = name
        mark_frame(self.viewer, name)
        return layer

    def _show(self) -> None:
        """Make the annotation of the image in front if it is not there."""
        layers = self.box.layers
        assert layers.image is not None
        if layers.labels is None and self.autosave.is_kept():
            name, front = self.autosave.name(), str(layers.image.unique_id)
            before = {key for key, known in self.autosave.names.items() if known == name and key != front}
            for layer in self.viewer.layers:
                if layer.metadata.get(ANNOTATION) in before:
                    # The image was removed and came again, its annotation stayed.
                    layer.metadata[ANNOTATION] = front
            self._take_size()
            layers.watch(layers.image)
            if layers.labels is None:
                self._fill()
        if layers.labels is None:
            layers.make()
        self.arrive()

    def _take_size(self) -> None:
        """Give the image in front the size of its voxels that was typed when it was annotated."""
        image, axes, name = self.box.layers.image, self.box.layers.axes, self.autosave.name()
        if not self.autosave.holds(name):
            return
        known = self._session().image(name)
        spacing, unit = in_micrometres(known.spacing, known.unit)
        if image is not None and spacing is not None and unit == MICROMETRE and lacks_size(image, axes):
            resize(self.viewer, image, axes, spacing)

    def _fill(self) -> None:
        """Show what the session keeps of the image in front."""
        name = self.autosave.name()
        unsaved = self.autosave.unsaved.get(name)
        annotation = self._session().load_annotation(name) if unsaved is None else unsaved.annotation
        self.box.layers.show(annotation)
        self.autosave.saved_revision = annotation.revision

    def arrive(self) -> None:
        """Select what belongs to the image in front, and if it is annotated hide the session's others."""
        self.sight.clear()

    def follow_selection(self) -> None:
        """Bring the image to the front whose annotation was selected: nobody paints on what is not in front.

        As long as nothing is annotated, the image that is selected is the one.
        """
        active = self.viewer.layers.selection.active
        if isinstance(active, Image) and self.box.layers.labels is None and not self._is_begun():
            self.box.image.choose(active)
        if active is None or ANNOTATION not in active.metadata:
            return
        for layer in self.viewer.layers:
            if str(layer.unique_id) == active.metadata[ANNOTATION] and layer != self.box.layers.image:
                self.box.image.choose(layer)
                return

    def _is_begun(self) -> bool:
        """Whether some image of the viewer is being annotated."""
        return any(ANNOTATION in layer.metadata for layer in self.viewer.layers)

    def elsewhere(self) -> tuple[int, int, int]:
        """Annotated images of the session that are not in front, their objects and background pixels."""
        autosave = self.autosave
        if autosave.session is None or autosave.is_other_kind():
            return 0, 0, 0
        front = autosave.name() if self.box.layers.labels is not None and autosave.is_kept() else None
        counts = [one for name, one in autosave.counts.items() if name != front and one.labelled_pixels]
        return len(counts), sum(one.n_objects for one in counts), sum(one.background_pixels for one in counts)

    def front_key(self) -> str:
        """Tells the image in front from other candidates."""
        image = self.box.layers.image
        return "" if image is None else str(image.unique_id)

    def go_on_to(self, target: Any) -> None:
        """Bring a candidate's target to the front: an image of the session by its name, a layer, or a frame of one.

        Raises
        ------
        EmbedSegError
            If it cannot be read or annotated.
        """
        if isinstance(target, str):
            self.go_to(target)
        else:
            self.go_to_layer(take_frame(self.viewer, *target) if isinstance(target, tuple) else target)


def _folder(path: str | None) -> Path | None:
    return None if path is None else Path(path).parent


def kind_words(kind: tuple[int, int]) -> str:
    """Number of spatial dimensions and of channels in words."""
    return f"{kind[0]}D with {count(kind[1], 'channel')}"
