"""Tracks as layers: lines with their graph, and labels in which an object keeps its number and colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.units import in_micrometres
from embedseg_napari.core.tracking.run import tracking
from embedseg_napari.core.tracking.tracks import TrackedLabels
from embedseg_napari.jobs.label_files import sized_like
from embedseg_napari.jobs.training_pairs import FRAMES
from embedseg_napari.viewer.camera import go_to, screen_pixels
from embedseg_napari.viewer.labelled_images import found_within, labelled_part, labels_picture, without_channel
from embedseg_napari.viewer.layers import FOUND, LINES, RESULT, TRACKED, named_axes, object_axis, of_image
from embedseg_napari.viewer.result_layers import THROUGH, add_beside, is_shown, layer_frame
from embedseg_napari.viewer.stage import stage_of
from embedseg_napari.viewer.track.kept_links import kept_links

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari.layers import Image, Labels, Points
    from napari.layers import Tracks as TracksLayer
    from napari.viewer import Viewer

    from embedseg_napari.core.exchange.planes import Within
    from embedseg_napari.core.files.picture import Picture
    from embedseg_napari.core.tracking.run import FrameLinked
    from embedseg_napari.core.tracking.tracks import Tracks
    from embedseg_napari.viewer.result_layers import Frame

CHOSEN = "embedseg-chosen"
"""What the metadata of the layer of chosen objects say."""
RING, AROUND = 24, 1.6
"""Least pixels of the screen across the ring that marks an object, and how much wider than the object it is."""
LINE = 0.08
"""Width of its line, as a part of that: the object stays in sight."""
MOST_AXES = 4
"""Of layers over which napari draws lines."""
COLORS = ("#ffd54f", "#4fc3f7")
"""Of the object that was chosen first, and of the other one."""


def movie_of(labels: Labels, image: Image | None) -> tuple[Picture, Picture | None]:
    """The labels of a layer as a time-lapse, and their image, which may tell their pixel size; no pixel is read.

    Raises
    ------
    DataError
        If time is not the first axis, or the axes do not fit.
    """
    if object_axis(labels.axis_labels) is not None:
        raise DataError(f"{labels.name}: has planes of one object each; choose labels whose planes are frames.")
    picture = labels_picture(labels, 3 if labels.ndim == 4 else 2)
    if not picture.axes.startswith("T"):
        raise DataError(
            f"{labels.name}: has the axes {picture.axes}, and time must be the first; choose the labels of a "
            "time-lapse, or name the first axis t (right click on the dimension sliders)."
        )
    if picture.array.ndim < labels.ndim and not isinstance(picture.array, np.ndarray):
        raise DataError(
            f"{labels.name}: labels of a large image with channels are tracked by embedseg track; give it their file."
        )
    if image is None:
        return picture, None
    shown = labelled_part(image, labels, FRAMES)
    # As embedseg track does.
    return sized_like(picture, shown), shown


def link_layer(
    picture: Picture, image: Picture | None, settings: dict[str, Any], should_stop: Callable[[], bool]
) -> Generator[FrameLinked, None, tuple[Tracks, Any]]:
    """Link the objects; returns the tracks and the labels with their numbers, in memory if the given ones are."""
    # As on the command line, which gets the same largest step.
    spacing, unit = in_micrometres(picture.spacing, picture.unit)
    tracks = yield from tracking(
        picture.array,
        None if image is None else image.array,
        picture.axes,
        image_axes=None if image is None else image.axes,
        spacing=spacing,
        unit=unit,
        should_stop=should_stop,
        **settings,
    )
    tracked = TrackedLabels(picture.array, tracks)
    return tracks, tracked[...] if isinstance(picture.array, np.ndarray) else tracked


class TrackLayers:
    """The layers of one tracking, made once and then updated.

    Parameters
    ----------
    viewer : Viewer
        Where they are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.labels: Labels | None = None
        self.lines: TracksLayer | None = None
        self.marks: Points | None = None
        self.source: Labels | None = None
        self.tracks: Tracks | None = None
        self._tracked: Any = None
        """Numbers of the tracks, T(Z)YX in the order of the layer."""
        self._frame: Frame | None = None

    @property
    def within(self) -> Within | None:
        """Where what was tracked lies in the time-lapse that it is a part of."""
        return None if self.source is None else found_within(self.source, self.viewer.layers)

    def show(self, source: Labels, tracks: Tracks, tracked: Any) -> None:
        """Show new tracks of a layer instead of it."""
        self.remove()
        # Those that a closed panel has left, too.
        for layer in kept_links(source).take_shown():
            if is_shown(self.viewer, layer):
                self.viewer.layers.remove(layer)
        self.source, self.tracks, self._tracked = source, tracks, tracked
        # What was linked has frames, which the layer may not have said.
        self._frame = layer_frame(source, named_axes(source.axis_labels, source.ndim) or tracks.axes).named()
        place, axes = self._frame.options(), self._frame.axes
        image = of_image(source)
        options = {"metadata": {RESULT: FOUND, TRACKED: True, **image}, **place}
        self.labels = add_beside(
            self.viewer,
            self.viewer.add_labels,
            np.expand_dims(tracked, axes.index("C")) if "C" in axes else tracked,
            f"{source.name} tracked",
            {**options, "opacity": source.opacity},
        )
        # What is painted here would be lost; pixels are corrected in the layer that was tracked.
        self.labels.editable = False
        if source.ndim <= MOST_AXES:
            self.lines = add_beside(
                self.viewer,
                self.viewer.add_tracks,
                self._lines(tracks),
                f"{source.name} tracks",
                {**options, "metadata": {RESULT: LINES, **image}, "graph": tracks.graph(), "tail_length": 10},
            )
        kept_links(source).take_shown((self.labels, self.lines))
        self.marks = add_beside(
            self.viewer,
            self.viewer.add_points,
            np.zeros((0, source.ndim)),
            "chosen objects",
            {
                **place,
                "metadata": {RESULT: CHOSEN},
                "blending": THROUGH,
                "symbol": "disc",
                "face_color": "transparent",
                "border_width": LINE,
                "ndim": source.ndim,
            },
        )
        stage_of(self.viewer).set_visible(source, False)
        self.viewer.layers.selection.active = self.labels

    def update(self, tracks: Tracks) -> None:
        """Show corrected tracks; frames in which no number changed are left alone."""
        assert self.tracks is not None
        assert self.source is not None
        assert self.labels is not None
        data = self._tracked
        if isinstance(data, np.ndarray):
            changed = np.unique(tracks.frame[self.tracks.track != tracks.track]).tolist()
            # All of them, before any is shown.
            linked = without_channel(self.source)[0]
            frames = {t: tracks.relabel(np.asarray(linked[t]), t) for t in changed}
            for t, frame in frames.items():
                data[t] = frame
        else:
            data.tracks = tracks
        self.tracks = tracks
        self.labels.refresh()
        # Napari does not see what changes in place; a sample or measurements of these labels are out of date.
        self.labels.events.data(value=self.labels.data)
        if is_shown(self.viewer, self.lines):
            assert self.lines is not None
            # A graph of tracks that are no longer there would be refused.
            self.lines.graph = {}
            self.lines.data = self._lines(tracks)
            self.lines.graph = tracks.graph()

    def mark(self, rows: Sequence[int]) -> None:
        """Mark the chosen objects."""
        if self.tracks is None or not is_shown(self.viewer, self.marks):
            return
        assert self.marks is not None
        self.marks.data = self._places(self.tracks)[list(rows)]
        if rows:
            # Around an object, and to be seen however small that is on the screen.
            least = screen_pixels(self.viewer, self.marks, RING)
            self.marks.size = np.maximum(AROUND * self._widths(rows), least)
            self.marks.border_color = list(COLORS[: len(rows)])
            # What was added takes the colour and width of points before.
            self.marks.face_color, self.marks.border_width = "transparent", LINE

    def _widths(self, rows: Sequence[int]) -> np.ndarray:
        """Pixels across objects, if they were squares or cubes."""
        assert self.tracks is not None
        is_flat = dict(zip(self.tracks.axes, self.tracks.shape, strict=True)).get("Z") == 1
        widths: np.ndarray = self.tracks.size[list(rows)] ** (1 / (self.tracks.centroid.shape[1] - is_flat))
        return widths

    def show_marks(self, is_shown_now: bool) -> None:
        """Show or hide what marks the chosen objects."""
        if is_shown(self.viewer, self.marks):
            assert self.marks is not None
            self.marks.visible = is_shown_now

    def step_back(self) -> None:
        """Hide tracks of objects that were found anew, which would be taken for what was found."""
        for layer in (self.labels, self.lines, self.marks):
            if layer is not None and is_shown(self.viewer, layer):
                stage_of(self.viewer).set_visible(layer, False)
        if self.source is not None:
            stage_of(self.viewer).set_visible(self.source, True)

    def go_to(self, row: int) -> None:
        """Bring an object into view."""
        if self.tracks is not None and self.labels is not None:
            middle = self._places(self.tracks)[row]
            # A box around a ball of its size.
            radius = np.append(0, np.full(len(middle) - 1, self._widths([row])[0] / 2))
            go_to(self.viewer, self.labels, middle, middle - radius, middle + radius)

    def remove(self) -> None:
        """Take the layers away, and show the labels that were tracked."""
        layers, source = (self.labels, self.lines), self.source
        # Whoever hears that they go shall not take it for the user's wish.
        self.forget()
        for layer in layers:
            if layer is not None and is_shown(self.viewer, layer):
                self.viewer.layers.remove(layer)
        if source is not None and is_shown(self.viewer, source):
            stage_of(self.viewer).set_visible(source, True)

    def forget(self) -> None:
        """Leave the layers to the user, without marks; they are updated no more."""
        marks = self.marks
        self.labels = self.lines = self.marks = self.source = self.tracks = self._tracked = None
        if marks is not None and is_shown(self.viewer, marks):
            self.viewer.layers.remove(marks)

    def _places(self, tracks: Tracks) -> np.ndarray:
        """Where objects lie, in pixels of the layer."""
        assert self._frame is not None
        return self._frame.coordinates(np.concatenate([tracks.frame[:, None], tracks.centroid], axis=1))

    def _lines(self, tracks: Tracks) -> np.ndarray:
        """The rows of a Tracks layer."""
        order = np.lexsort((tracks.frame, tracks.track))
        return np.concatenate([tracks.track[:, None], self._places(tracks)], axis=1)[order]
