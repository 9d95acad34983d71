"""Showing what a session holds: a session to go on with, or a round to go back to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from embedseg_napari.core.annotation.session import AnnotationSession
    from embedseg_napari.viewer.annotation_box import AnnotationBox
    from embedseg_napari.viewer.session_keeper import SessionKeeper


def show_session(viewer: Viewer, box: AnnotationBox, keeper: SessionKeeper, folder: Path) -> Path | None:
    """Go on with a session; its image is opened if it is not chosen.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    box : AnnotationBox
        Chooses the image.
    keeper : SessionKeeper
        Keeps the session from now on.
    folder : Path
        Of the session.

    Returns
    -------
    Path or None
        Model of the last round.

    Raises
    ------
    EmbedSegError
        If something cannot be read.
    """
    layers = box.layers
    annotation, session = keeper.resume(folder), _session(keeper)
    entry = session.image(session.image_names[0])
    if layers.image is None or layers.image.name != entry.name or layers.shape != entry.spatial_shape:
        picture = session.load_image(entry.name)
        channel, n = [1.0] * ("C" in entry.axes), len(entry.spatial_shape)
        image = viewer.add_image(
            picture.array,
            name=entry.name,
            axis_labels=tuple(entry.axes.lower()),
            scale=None if entry.spacing is None else [*channel, *entry.spacing],
            units=None if entry.unit is None else ["pixel"] * len(channel) + [entry.unit] * n,
        )
        # Choosing another image closes the session: take it up again.
        box.image.choose(image)
        annotation, session = keeper.resume(folder), _session(keeper)
    layers.make(annotation.labels, annotation.accepted_ids)
    layers.show_regions(annotation.regions)
    layers.new_object()
    return session.model_path(session.rounds[-1].number) if session.rounds else None


def restore_round(box: AnnotationBox, keeper: SessionKeeper, number: int) -> Path:
    """Bring back the annotation of a round; what is painted now is saved before.

    Returns
    -------
    Path
        The round's model.

    Raises
    ------
    EmbedSegError
        If something cannot be read or written.
    """
    session, snapshot = _session(keeper), keeper.snapshot()
    if snapshot is not None:
        keeper.current_place().save(snapshot)
    model = session.model_path(number)
    session.restore_round(number)
    annotation = session.load_annotation(session.image_names[0])
    box.layers.make(annotation.labels, annotation.accepted_ids)
    box.layers.show_regions(annotation.regions)
    box.layers.new_object()
    return model


def _session(keeper: SessionKeeper) -> AnnotationSession:
    session = keeper.current_place().session
    if session is None:
        raise DataError("There is no session yet; paint something first.")
    return session
