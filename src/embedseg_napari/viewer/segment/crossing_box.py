"""Objects that cross others, shown whole: in as few Labels layers as cut none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from embedseg_napari.core.clustering.crossing import crossings, painted
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.layers import EDITED, WHOLE_OF
from embedseg_napari.viewer.result_layers import is_shown, show_labels
from embedseg_napari.viewer.widgets.boxes import Sentence, button
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Labels
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.viewer.segment.results import Result, ResultLayers
    from embedseg_napari.viewer.worker import BackgroundRun

    Found = tuple[int, int, list[NDArray[Any]]]
    """How many objects cross others, how many there are, and their label images if these are wanted."""

UNASKED = 1 << 25
"""Pixels up to which crossing objects are looked for by itself: in more, it takes seconds and gigabytes."""


class CrossingBox(QWidget):
    """A button and a sentence; hidden where no objects of the chosen result cross.

    Parameters
    ----------
    viewer : Viewer
        Where they are shown.
    results : ResultLayers
        One of them is chosen.
    doubts : callable
        Whether what was found is hardly objects, or that is still being checked: then nothing is offered.
    """

    def __init__(self, viewer: Viewer, results: ResultLayers, doubts: Callable[[Result], bool]) -> None:
        super().__init__()
        self.viewer, self.results, self._doubts = viewer, results, doubts
        self.button = button(
            "",
            "Where objects cross, labels give the pixels to one of them. This shows each with all its pixels, in as "
            "few layers as it takes.",
            self.show_whole,
        )
        self.said = Sentence()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.said)
        self._run: BackgroundRun | None = None
        self._n_crossing: int | None = 0
        """Of the chosen result; None where that was not looked for."""
        self._comes_back = False
        """Whether layers were hidden while sliders move."""
        viewer.layers.events.removed.connect(self.show_state)
        self.show_state()

    @property
    def is_busy(self) -> bool:
        """Whether objects are being looked at."""
        return self._run is not None

    def look(self) -> None:
        """Find out how many objects of the chosen result cross; where they are shown whole, show those of now."""
        self._begin(is_wanted=bool(self._shown()))

    def show_whole(self) -> None:
        """Show the objects of the chosen result whole."""
        self.said.say("Looking for objects that cross…")
        self._begin(is_wanted=True)

    def follow_slider(self, result: Result) -> None:
        """Show the labels alone while sliders move; the whole objects follow when these come to rest."""
        self._stop()
        if result is not self.results.chosen:
            return
        for layer in self._shown():
            self._comes_back = self._comes_back or bool(layer.visible)
            layer.visible = False
        if self._comes_back and result.labels is not None:
            result.labels.visible = True

    def _shown(self) -> list[Labels]:
        chosen = self.results.chosen
        return [] if chosen is None else [layer for layer, _ in chosen.whole if is_shown(self.viewer, layer)]

    def _begin(self, *, is_wanted: bool) -> None:
        self._stop()
        result = self.results.chosen
        if result is None or not _can_be_whole(result):
            self._n_crossing = 0
            self.said.clear()
            if result is not None and self._shown():
                self._show(result, [])
                self.said.say("The whole objects are gone: what they come from is not at hand for this result.")
            self.show_state()
            return
        segmentation = result.segmentation
        if segmentation.labels.size > UNASKED and not is_wanted:
            self._n_crossing = None
            self.show_state()
            return

        def run(should_stop: Callable[[], bool]) -> Generator[None, None, Found]:
            yield None
            objects = list(segmentation.objects(should_stop))
            found = crossings(objects, should_stop)
            groups = found.groups() if is_wanted else []
            shape = segmentation.maps.seed_map.shape
            return found.n_crossing, len(objects), [painted(objects, members, shape) for members in groups]

        def take(found: Found) -> None:
            if self.results.chosen is result and result.segmentation is segmentation:
                self._take(result, found, is_wanted)

        self._run = run_in_background(run, on_result=take, on_finished=self._end)
        self.show_state()

    def _take(self, result: Result, found: Found, is_wanted: bool) -> None:
        self._n_crossing, n_objects, groups = found
        self.said.clear()
        if not is_wanted:
            return
        self._show(result, groups if len(groups) > 1 else [])
        if len(groups) < 2:
            self.said.say(
                "No objects share pixels now: the labels show them whole." if n_objects else "There are no objects now."
            )
            return
        text = f"{count(n_objects, 'object')} in {len(groups)} layers; none is cut. The labels are hidden."
        if result.has_edits():
            text += " They are shown as they were found, without what was changed by hand."
        self.said.say(text)

    def _show(self, result: Result, groups: list[NDArray[Any]]) -> None:
        """Show label images in the layers of earlier ones; those that were painted on are left alone."""
        earlier, result.whole = result.whole, []
        frame = result.frame(result.selection.start)
        free = []
        for layer, shown in earlier:
            if not is_shown(self.viewer, layer):
                continue
            if np.array_equal(layer.data, frame.array(shown)):
                free.append(layer)
            else:
                layer.metadata[EDITED] = True
                layer.metadata.pop(WHOLE_OF, None)
                layer.visible = False
        for number, group in enumerate(groups, 1):
            into = free.pop(0) if free else None
            # A copy: what is painted on the layer is told by comparing the two.
            name = f"{result.selection.name} whole objects {number}"
            layer = show_labels(self.viewer, name, group.copy(), frame=frame, into=into)
            if into is None or self._comes_back:
                layer.visible = True
            layer.metadata[WHOLE_OF] = "" if result.labels is None else str(result.labels.unique_id)
            layer.metadata.update(result.selection.found_in())
            result.whole.append((layer, group))
        for layer in free:
            self.viewer.layers.remove(layer)
        if groups and result.centers is not None and is_shown(self.viewer, result.centers):
            # Centres lie over what they are the centres of.
            self.viewer.layers.move(self.viewer.layers.index(result.centers), len(self.viewer.layers))
        if result.labels is not None and is_shown(self.viewer, result.labels):
            # Under them it would show the same objects cut.
            if not groups:
                result.labels.visible = True
            elif any(layer.visible for layer, _ in result.whole):
                result.labels.visible = False
        self._comes_back = False

    def _end(self) -> None:
        self._run = None
        self.show_state()

    def _stop(self) -> None:
        if self._run is not None:
            self._run.detach()
            self._run = None

    def _is_doubted(self) -> bool:
        return self.results.chosen is not None and self._doubts(self.results.chosen)

    def show_state(self, *_: object) -> None:
        """Offer what there is to show."""
        n = self._n_crossing
        words = "Show objects that cross whole"
        if n:
            words = f"{count(n, 'object')} {'cross' if n > 1 else 'crosses'} others: show them whole"
        self.button.setText(words)
        is_offered = n != 0 and not self._shown() and not self._is_doubted()
        self.button.setVisible(is_offered)
        self.button.setEnabled(not self.is_busy)
        if not self._shown() and not self.is_busy and is_offered:
            self.said.clear()
        self.said.setVisible(bool(self.said.text()))
        self.setVisible(is_offered or bool(self.said.text()))

    def close_down(self) -> None:
        """Look for nothing any more."""
        self._stop()
        self.viewer.layers.events.removed.disconnect(self.show_state)


def _can_be_whole(result: Result) -> bool:
    """Whether a result is what one run found in one image; the maps behind others are not at hand."""
    found = result.segmentation
    return not found.frames and result.before is None and found.seeds is not None and result.has_maps()
