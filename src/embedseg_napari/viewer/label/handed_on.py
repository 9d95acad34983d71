"""Annotations that outlive what kept them: their panel was closed, or the folder of their session is gone."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_warning

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.session.folder import STATE
from embedseg_napari.viewer.file_metadata import axis_labels
from embedseg_napari.viewer.label.autosave import count_all, let_go, open_autosaves, open_session
from embedseg_napari.viewer.layers import ANNOTATION
from embedseg_napari.viewer.widgets.boxes import short

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.layers import Layer

    from embedseg_napari.viewer.label.autosave import Autosave

SESSION = "embedseg-session"
"""Key in the metadata of annotation layers whose panel was closed: folder of the session, name of their image in it."""


@atexit.register
def save_all() -> None:
    """Write what is not written yet: Python may end before Qt says a word, for instance at the end of a script."""
    for autosave in tuple(open_autosaves):
        # A session that was deleted when all was in it stays deleted.
        if not (autosave.is_behind and _leave_lost(autosave)):
            autosave.save_now()


def hand_on(autosave: Autosave, *, is_viewer_open: bool) -> None:
    """Save and close the session; its annotation layers tell the panel that is opened next which it is."""
    # As in `save_all`, where no panel can be opened next.
    if not ((is_viewer_open or autosave.is_behind) and begin_anew(autosave)):
        autosave.save_now()
    session = autosave.session
    for layer in autosave.layers.viewer.layers:
        name = autosave.names.get(layer.metadata.get(ANNOTATION, ""), "")
        if session is not None and autosave.holds(name):
            layer.metadata[SESSION] = str(session.folder), name
    autosave.end()


def take_up(autosave: Autosave) -> Path | None:
    """Go on with the session of the annotation layers that a closed panel has left in the viewer.

    Where its folder is gone they begin another one.

    Returns
    -------
    Path or None
        Model of its last round.

    Raises
    ------
    DataError
        If it cannot be opened or read, or cannot be reached now; the panel that is opened next tries again.
    """
    marks = {one: one.metadata[SESSION] for one in autosave.layers.viewer.layers if SESSION in one.metadata}
    if not marks:
        return None
    there = [place for place, _ in marks.values() if _is_there(place)]
    folder = there[-1] if there else None
    session = None if folder is None else open_session(Path(folder))
    is_lost = session is None
    if session is None:
        place, _ = next(iter(marks.values()))
        if not os.path.isdir(Path(place).parent):
            raise DataError(f"{place}: holds no session; there is no folder {Path(place).parent} now.")
        session = autosave.new_session(Path(place).name, but=Path(place))
        session.begin()
    autosave.use(session, count_all(session))
    keys = set()
    for layer, (place, name) in marks.items():
        del layer.metadata[SESSION]
        if is_lost:
            keys.add(layer.metadata[ANNOTATION])
        elif place == folder:
            autosave.names[layer.metadata[ANNOTATION]] = name
    _look_at_all(autosave, keys | autosave.names.keys())
    if is_lost:
        name = short(Path(place).name)
        show_warning(f"The folder of session {name} is gone; what is annotated begins another session.")
        autosave.save_now()
    return session.latest_model()


def _is_there(folder: str) -> bool:
    return os.path.isfile(Path(folder) / STATE)


def begin_anew(autosave: Autosave) -> bool:
    """Let all that is annotated in the viewer begin another session where the folder of the open one is gone.

    Returns
    -------
    bool
        False where that is not so, or nothing can be written; the session then stays open, for its disk may only be
        away for a moment, and what is painted is kept and tried again.
    """
    lost = autosave.session
    if lost is None or not _leave_lost(autosave):
        return False
    _look_at_all(autosave, autosave.names.keys())
    _keep_what_is_nowhere(autosave)
    if autosave.session is not None:
        before, now = short(lost.folder.name), short(autosave.session.folder.name)
        show_warning(f"The folder of session {before} is gone; what is annotated is saved in {now} now.")
    return True


def write_all(autosave: Autosave, *, with_front: bool = True) -> bool:
    """Write what is annotated for who reads it from the session, in another one where the folder of this one is gone.

    Parameters
    ----------
    autosave : Autosave
        Whose session.
    with_front : bool
        Also the annotation in front; else what could not be written before.

    Returns
    -------
    bool
        False if something cannot be written.
    """
    begin_anew(autosave)
    return autosave.save_now() if with_front else autosave.save_left()


def _leave_lost(autosave: Autosave) -> bool:
    """As :func:`begin_anew`, of the annotation in front and what could not be written; True once another has begun."""
    lost = autosave.session
    if lost is None or not lost.is_lost:
        return False
    new = autosave.new_session(lost.folder.name, but=lost.folder)
    try:
        new.begin()
    except DataError as error:
        # Said once, however often it is tried.
        autosave.tell(error, again=False)
        return False
    let_go(lost)
    autosave.use(new, {})
    autosave.saved_revision = 0
    # What cannot be written now is kept, and tried again.
    autosave.save_now()
    return True


def _look_at_all(autosave: Autosave, keys: Collection[str]) -> None:
    """Compare the session with what is in the viewer, which may have been painted on while it was not written to.

    Each image, by its `unique_id`, comes to the front for a moment; what is new is saved when it is left.
    """
    layers, front = autosave.layers, autosave.layers.image
    others = [one for one in layers.viewer.layers if str(one.unique_id) in keys and one != front]
    for image in (*others, *_stand_ins(autosave), front):
        # Of what cannot be read it was told.
        with suppress(DataError):
            layers.watch(image)
            if autosave.session is not None and layers.labels is not None and autosave.is_kept():
                known = autosave.session.load_annotation(autosave.name())
                layers.compare_with(known)
                autosave.saved_revision = known.revision


def _without_image(autosave: Autosave) -> dict[str, list[Layer]]:
    """Annotation layers of the session that stayed when the layer of their image was closed, by its `unique_id`."""
    found: dict[str, list[Layer]] = {}
    for layer in autosave.layers.viewer.layers:
        if layer.metadata.get(ANNOTATION) in autosave.names:
            found.setdefault(layer.metadata[ANNOTATION], []).append(layer)
    shown = {str(layer.unique_id) for layer in autosave.layers.viewer.layers}
    return {key: layers for key, layers in found.items() if key not in shown}


def _stand_ins(autosave: Autosave) -> list[Image]:
    """Images whose layers were closed, once more, as far as they are known; their annotation layers belong to them."""
    images = []
    for key, layers in _without_image(autosave).items():
        name = autosave.names[key]
        picture = autosave.pictures.get(name)
        if picture is None:
            continue
        # In the order of the layer that was closed, to which that of the labels belongs. No pixel is read.
        axes, is_rgb = picture.axes, picture.is_colour and picture.axes.endswith("C")
        labels = axis_labels(axes.removesuffix("C") if is_rgb else axes)
        image = Image(picture.array, name=name, rgb=is_rgb, axis_labels=labels, contrast_limits=(0, 1))
        autosave.names[str(image.unique_id)] = autosave.names.pop(key)
        for layer in layers:
            layer.metadata[ANNOTATION] = str(image.unique_id)
        images.append(image)
    return images


def _keep_what_is_nowhere(autosave: Autosave) -> None:
    """Forget images that the session could not take: what is annotated in them then stays when it is closed."""
    is_kept = {key: autosave.holds(name) or name in autosave.unsaved for key, name in autosave.names.items()}
    left = [short(autosave.names[key]) for key in _without_image(autosave) if not is_kept[key]]
    for key in [key for key in is_kept if not is_kept[key]]:
        del autosave.names[key]
    if left:
        show_warning(f"The annotation of {', '.join(left)} is in the viewer only: its image was closed.")
