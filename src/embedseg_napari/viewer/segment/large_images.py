"""Large images in the Segment panel: blocks instead of the whole, and a part in view to try thresholds on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from embedseg_napari.core.axes import ordered, parse_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import shape_words
from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.jobs.large.view import segment_part
from embedseg_napari.viewer.camera import looked_at
from embedseg_napari.viewer.large.place_box import PlaceBox
from embedseg_napari.viewer.large.runs import BlockRuns
from embedseg_napari.viewer.segment.regions import VIEW, WHOLE, Selection
from embedseg_napari.viewer.widgets.boxes import button

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari.viewer import Viewer

    from embedseg_napari.core.events import Message
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.result_layers import Frame
    from embedseg_napari.viewer.segment.image_input import ImageInput
    from embedseg_napari.viewer.widgets.run_controls import RunControls

MOST_IN_VIEW = {2: (2048, 2048), 3: (64, 512, 512)}
"""Pixels per axis (z, y, x) of a part that is tried out: with its maps it takes about half a gigabyte."""


class LargeImages(QWidget):
    """Rows for an image that is segmented in blocks.

    Parameters
    ----------
    viewer : napari viewer
        Where it is shown.
    image : ImageInput
        What is segmented.
    controls : RunControls
        Of the panel.
    say : callable
        Shows a message of a run.
    """

    view_wanted = Signal()
    """The part in view shall be segmented."""

    def __init__(
        self, viewer: Viewer, image: ImageInput, controls: RunControls, say: Callable[[Message], None]
    ) -> None:
        super().__init__()
        self.viewer, self.image = viewer, image
        self.place = PlaceBox()
        self.runs = BlockRuns(viewer, controls, self.place, say, self)
        self.view_button = button(
            "Try on the current view",
            "Segment what is in view as an ordinary layer, on which the sliders act; nothing is written.",
            self.view_wanted.emit,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.place)
        layout.addWidget(self.view_button)
        self.place.changed.connect(self._show)
        image.changed.connect(self.follow)
        self.follow()

    @property
    def in_blocks(self) -> bool:
        """Whether the chosen image is segmented in blocks, all of it or a part."""
        return self.place.in_blocks

    @property
    def is_whole(self) -> bool:
        """Whether all of the image is chosen."""
        return self.image.region.currentText() == WHOLE

    def follow(self) -> None:
        """Be about the image that is chosen."""
        layer, axes = self.image.layer, self._axes()
        self.place.take(layer if axes else None, axes, is_whole=self.is_whole)
        self._show()

    def problem(self) -> tuple[QWidget, str] | None:
        """The field that is wrong, and why."""
        return self.place.problem() if self.is_whole else None

    def start(self, model: Path, device: str, changes: dict[str, Any]) -> None:
        """Segment all of the image."""
        source = self.place.source
        assert source is not None
        # Also where it is smaller than an object.
        self.image.bounds()
        self.runs.start(source, model, device, changes, self.image.wanted_channel())

    def part(
        self, model: Path, device: str, changes: dict[str, Any]
    ) -> tuple[Selection, Callable[[Callable[[], bool]], Generator[Any, None, Segmentation]], str]:
        """The part that is in view or in the rectangle, as it would be found in blocks.

        Returns
        -------
        Selection
            Where it lies.
        callable
            Runs over it.
        str
            What to say of it; may be empty.

        Raises
        ------
        DataError
            If there is nothing in the region.
        """
        source = self.place.source
        assert source is not None
        # The row is there for the whole only.
        level, space = self.place.resolution() if self.is_whole else 0, source.space
        factors = dict(zip(source.axes, source.factors(level), strict=True))
        at = dict(zip(source.axes, looked_at(self.viewer, source.layer), strict=False))
        bounds, sizes = self._bounds(), dict(zip(source.axes, source.levels[level], strict=True))
        start, stop, is_cut = [], [], False
        for letter, most in zip(space, MOST_IN_VIEW[len(space)], strict=True):
            factor = factors[letter]
            low, high = max(0, int(bounds[letter][0] / factor)) // 8 * 8, -int(-bounds[letter][1] // factor)
            if high - low > most:
                is_cut = True
                # Planes are those around the one that is looked at, and the middle of the view is where the camera is.
                middle = round(at[letter] / factor)
                low = max(low, min(middle - most // 2, high - most)) // 8 * 8
                high = low + most
            start.append(low)
            stop.append(min(high, sizes[letter]))
        # A rectangle may have been drawn on another frame than the one that is looked at.
        frame = min(max(round(at["T"]), bounds["T"][0]), bounds["T"][1] - 1) if "T" in at else 0
        letters = "".join(letter for letter in ordered(source.axes) if letter == "C" or letter in space)
        whole = source.followed_frame(level)

        def place() -> Frame:
            frame = whole()
            frame = frame.without("T") if "T" in frame.axes else frame
            frame = frame if "Z" in space else frame.flat()
            return frame.at(_along(frame.axes, space, start))

        name = f"{source.layer.name} view"
        selection = Selection(
            source.layer, None, letters, self.image.wanted_channel(), place, tuple(start), None, VIEW, name,
            stands_alone=True, at_frame=frame if "T" in source.axes else None,
        )  # fmt: skip
        job = LargeJob(None, model, device, changes, channel=selection.channel, level=level)

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, Segmentation]:
            found = source.job(job)
            return (yield from segment_part(found, tuple(start), tuple(stop), frame, should_stop))

        size = shape_words([b - a for a, b in zip(start, stop, strict=True)])
        words = [f"Only the middle of it, {size} pixels, is segmented."] if is_cut else []
        if self.is_whole:
            words.append("Segment takes the thresholds that you set on it.")
        return selection, run, " ".join(words)

    def _bounds(self) -> dict[str, tuple[int, int]]:
        """What is in view, or in the rectangle."""
        if not self.is_whole:
            return self.image.bounds()[2]
        with self.image.looking_at_the_view():
            return self.image.bounds()[2]

    def _axes(self) -> str:
        """Axes of the layer's array as the panel has them; empty where they do not fit."""
        layer = self.image.layer
        if layer is None:
            return ""
        try:
            axes = parse_axes(self.image.axes.text())
        except DataError:
            return ""
        shape = (layer.data[0] if layer.multiscale else layer.data).shape
        return axes if len(axes) == len(shape) and (not layer.rgb or axes[-1] == "C") else ""

    def _show(self) -> None:
        is_offered = self.in_blocks and self.is_whole
        self.view_button.setVisible(is_offered)
        self.setVisible(self.place.source is not None and self.is_whole)


def _along(axes: str, space: str, start: list[int]) -> tuple[int, ...]:
    """A pixel of the spatial axes that are segmented, with all those of a frame, T(Z)YX."""
    known = dict(zip(space, start, strict=True))
    return tuple(known.get(letter, 0) for letter in ordered(axes.replace("C", "")))
