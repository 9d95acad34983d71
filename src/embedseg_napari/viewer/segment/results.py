"""The layers of segmentations: labels, seed map and centres, kept up to date while thresholds move."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.inference.added_region import Placed, add_region, edited
from embedseg_napari.jobs.object_table import object_table
from embedseg_napari.viewer import provenance
from embedseg_napari.viewer.layers import EDITED
from embedseg_napari.viewer.result_layers import CENTERS, is_shown, show_image, show_labels, show_points
from embedseg_napari.viewer.segment.regions import WHOLE
from embedseg_napari.viewer.segment.result_arrays import in_micrometres, pasted, point_size, seed_map_of
from embedseg_napari.viewer.stage import stage_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from napari.layers import Image, Labels, Layer, Points
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.result_layers import Frame
    from embedseg_napari.viewer.segment.regions import Selection

RESIZED = 2
"""Centres that are more than so many times too large or too small for the objects of another result take its size."""


class Result:
    """What is shown of one image: the objects of the last run, and those found before around its region.

    Parameters
    ----------
    selection : Selection
        What was segmented last.
    segmentation : Segmentation
        What was found there.
    model_path : Path
        File of the model that found it.
    before : Placed, optional
        Objects found before, to which those of a region are added.
    """

    def __init__(
        self, selection: Selection, segmentation: Segmentation, model_path: Path, before: Placed | None = None
    ) -> None:
        self.selection, self.segmentation, self.model_path = selection, segmentation, model_path
        self.before = before
        self.shown = Placed(segmentation, selection.start)
        """What the labels layer shows, unless it was edited."""
        self.seeds: tuple[NDArray[np.float32], tuple[int, ...]] | None = None
        """Seed map that is shown, and its first pixel in the image."""
        self.labels: Labels | None = None
        self.seed_map: Image | None = None
        self.centers: Points | None = None
        self.whole: list[tuple[Labels, NDArray[Any]]] = []
        """Layers in which its objects are whole where they cross, and what is shown there, (Z)YX."""
        self.kept: Labels | None = None
        """The layer that it left alone because that was edited."""
        self.instead_of: Result | None = None
        """What was shown before, where this found nothing at first: it can be shown again."""
        self.is_doubted = False
        """Whether advice spoke against it."""
        self.shows_centers = True
        """Whether the user sees them, also while there are none."""
        self.values = segmentation.settings.clustering
        """Thresholds that were asked for last."""
        self.history = [self.values]
        """Thresholds at which the sliders came to rest, the latest last."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.labels.name if self.labels is not None else f"{self.selection.name} labels"

    @property
    def axes(self) -> str:
        """Axes of the labels, (T)(Z)YX."""
        return axes_of(self.selection)

    def frame(self, start: Sequence[int]) -> Frame:
        """Where a part of the image that begins at a pixel lies in the viewer now."""
        return self.selection.frame().at(np.subtract(start, self.selection.start).tolist())

    def has_maps(self) -> bool:
        """Whether the objects can be collected anew."""
        frames = self.segmentation.frames or (self.segmentation,)
        return all(part.kept_maps is not None for part in frames)

    def has_edits(self) -> bool:
        """Whether the labels are no longer what was found."""
        # However they were changed: not every way announces itself.
        if self.labels is None:
            return False
        found = self.frame(self.shown.start).array(self.shown.segmentation.labels)
        return not np.array_equal(self.labels.data, found)

    def now(self) -> Placed:
        """What the labels layer shows, with its edits."""
        if self.labels is None or not self.has_edits():
            return self.shown
        now = np.asarray(self.labels.data)
        found = self.frame(self.shown.start).array(self.shown.segmentation.labels)
        if now.shape != found.shape or now.dtype.kind not in "iu":
            return self.shown
        return edited(self.shown, self.frame(self.shown.start).result(now))

    def number_in_region(self, label: int) -> int:
        """Number of an object of the labels layer among those of the last run; 0 if it was found before."""
        if not 1 <= label <= len(self.shown.segmentation.scores):
            return 0
        return label if self.shown.sources is None else int(self.shown.sources[label - 1])


class ResultLayers:
    """The results of a panel; one of them is chosen, and sliders act on it.

    Parameters
    ----------
    viewer : Viewer
        Where they are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.chosen: Result | None = None
        self._results: list[Result] = []

    # The chosen one

    @property
    def selection(self) -> Selection | None:
        """What was segmented."""
        return None if self.chosen is None else self.chosen.selection

    @property
    def segmentation(self) -> Segmentation | None:
        """What was found there in the last run."""
        return None if self.chosen is None else self.chosen.segmentation

    @property
    def labels(self) -> Labels | None:
        """The layer of its objects."""
        return None if self.chosen is None else self.chosen.labels

    def has_maps(self) -> bool:
        """Whether its objects can be collected anew."""
        return self.chosen is not None and self.chosen.has_maps()

    # All of them

    @property
    def all(self) -> tuple[Result, ...]:
        """The latest last; one for each layer of edited labels, too."""
        return tuple(self._results)

    def of(self, layer: Layer | None) -> Result | None:
        """The result that a layer belongs to."""
        # Equal, not the same: plugins get a proxy of each layer.
        for result in self._results:
            whole = (one for one, _ in result.whole)
            if layer is not None and layer in (result.labels, result.seed_map, result.centers, *whole):
                return result
        return None

    def of_image(self, image: Layer | None) -> Result | None:
        """The latest result of an image layer."""
        return next((result for result in reversed(self._results) if result.selection.layer == image), None)

    def show_steps(
        self, selection: Selection, segmentation: Segmentation, model_path: Path
    ) -> Generator[None, None, Result | None]:
        """Show a new segmentation and choose it, a layer at a time; returns the result, or None if it is gone already.

        Layers of an earlier one of the same image are updated; where only a region was segmented, its objects are added
        to them. Edited labels are left alone.
        """
        earlier = self.of_image(selection.layer)
        before = None
        is_added = selection.region != WHOLE and not selection.stands_alone
        if earlier is not None and is_added and earlier.axes == axes_of(selection):
            known = earlier.now()
            before = None if Placed(segmentation, selection.start).covers(known) else known
        result = Result(selection, segmentation, model_path, before)
        seeds = None if earlier is None or before is None else earlier.seeds
        is_there = yield from self._put_steps(result, earlier, seeds)
        if earlier is not None and earlier not in self._results and not _shows_any(result):
            is_like = earlier.selection.stands_alone == selection.stands_alone
            result.instead_of = earlier if is_like and _shows_any(earlier) else earlier.instead_of
        return result if is_there else None

    def bring_back(self, empty: Result) -> Result:
        """Show again what a result that found nothing was shown instead of, and choose that; returns it."""
        # Only once: the other one stays where it was painted on.
        earlier, empty.instead_of = empty.instead_of, None
        assert earlier is not None
        is_active = self.viewer.layers.selection.active == empty.labels
        # The layers that it had are those of the other one now.
        earlier.labels = earlier.seed_map = earlier.centers = None
        for _ in self._put_steps(earlier, empty, earlier.seeds):
            pass
        if is_active:
            # What was painted on is hidden now.
            self.viewer.layers.selection.active = earlier.labels
        return earlier

    def _put_steps(
        self, result: Result, earlier: Result | None, seeds: tuple[NDArray[np.float32], tuple[int, ...]] | None
    ) -> Generator[None, None, bool]:
        """Show a result and choose it, in place of an earlier one, if there is one; whether it is still there.

        `seeds` is a seed map that is known already, and its first pixel.
        """
        if earlier is not None:
            result.whole, earlier.whole = earlier.whole, []
            if earlier.has_edits():
                _keep(earlier, result)
                if earlier.centers is not None:
                    earlier.centers.visible = False
            else:
                self._results.remove(earlier)
                if earlier.selection.stands_alone == result.selection.stands_alone:
                    result.labels, result.seed_map, result.centers = earlier.labels, earlier.seed_map, earlier.centers
                elif earlier.selection.stands_alone:
                    # A part that was tried out would lie over what is found now.
                    for layer in (earlier.labels, earlier.seed_map, earlier.centers):
                        if layer is not None and is_shown(self.viewer, layer):
                            stage_of(self.viewer).set_visible(layer, False)
        self._results.append(result)
        self.chosen = result
        self._show_seeds(result, seeds)
        yield
        if result not in self._results:
            return False
        for _ in self._object_steps(result, result.segmentation):
            yield
            if result not in self._results:
                return False
        self.finish_update(result)
        return True

    def update(self, result: Result, segmentation: Segmentation) -> None:
        """Show other objects of a result, as fast as a slider moves; their table follows in :meth:`finish_update`."""
        is_active = self.viewer.layers.selection.active == result.labels
        has_edits = result.has_edits()
        if has_edits:
            # Whoever selects them again finds their own thresholds.
            edited = copy(result)
            edited.history = list(result.history)
            edited.centers, edited.whole, edited.instead_of = None, [], None
            _keep(edited, result)
            self._results.remove(result)
            for other in self._results:
                if other.selection.layer == result.selection.layer:
                    # Those that took the place of edited labels that were gone back to since.
                    for layer in filter(None, (other.labels, other.centers)):
                        layer.visible = False
            self._results += [edited, result]
            result.labels = None
        self._show_objects(result, segmentation)
        layers = self.viewer.layers
        if has_edits and result.centers is not None and is_shown(self.viewer, result.centers):
            # Centres lie over their labels.
            layers.move(layers.index(result.centers), len(layers))
        if has_edits and is_active:
            layers.selection.active = result.labels

    def finish_update(self, result: Result) -> None:
        """Give the labels their table, and take centres away that are none: nobody misses that while a slider moves."""
        centers = result.centers
        if centers is not None and is_shown(self.viewer, centers) and not len(centers.data):
            result.shows_centers = bool(centers.visible)
            self.viewer.layers.remove(centers)
        if not is_shown(self.viewer, result.labels):
            return
        assert result.labels is not None
        table = object_table(result.shown.segmentation, result.axes, result.shown.start)
        # napari finds the row of a label by this name.
        result.labels.features = {"index": table.pop("label"), **table}

    def forget(self, layer: Layer) -> list[Result]:
        """Let go of the maps when an image or its labels were removed; the results that are gone.

        Edited labels that gave way to those that were removed are seen again.
        """
        gone = [result for result in self._results if layer in (result.selection.layer, result.labels)]
        self._results = [result for result in self._results if result not in gone]
        for result in gone:
            edited = self.of(result.kept)
            if edited is not None and edited.labels is not None:
                stage_of(self.viewer).set_visible(edited.labels, True)
                if edited.centers is None and is_shown(self.viewer, result.centers):
                    edited.centers = result.centers
                    self._show_centers(edited)
        if self.chosen in gone:
            self.chosen = None
        return gone

    def _show_seeds(self, result: Result, known: tuple[NDArray[np.float32], tuple[int, ...]] | None) -> None:
        seed_map = seed_map_of(result.segmentation)
        if seed_map is None:
            # That of an earlier run would be taken for this one's.
            if is_shown(self.viewer, result.seed_map):
                self.viewer.layers.remove(result.seed_map)
            result.seed_map = None
            return
        start = result.selection.start
        result.seeds = (seed_map, start) if known is None else pasted(known, (seed_map, start))
        result.seed_map = show_image(
            self.viewer,
            f"{result.selection.name} seed map",
            result.seeds[0],
            frame=result.frame(result.seeds[1]),
            into=result.seed_map,
            colormap="magma",
            contrast_limits=(0, 1),
            visible=False,
        )
        result.seed_map.metadata.update(result.selection.found_in())

    def _show_objects(self, result: Result, segmentation: Segmentation) -> None:
        for _ in self._object_steps(result, segmentation):
            pass

    def _object_steps(self, result: Result, segmentation: Segmentation) -> Iterator[None]:
        part = Placed(segmentation, result.selection.start)
        shown = part if result.before is None else add_region(result.before, part)
        result.segmentation, result.shown = segmentation, shown
        frame, objects, name = result.frame(shown.start), shown.segmentation, result.selection.name
        # A copy: what is painted on the layer is told by comparing the two.
        labels = objects.labels.copy()
        result.labels = show_labels(self.viewer, f"{name} labels", labels, frame=frame, into=result.labels)
        result.labels.metadata.update(result.selection.found_in())
        yield
        self._show_centers(result)
        # Let other panels find what is known of the objects, the maps behind them, and the model they came from.
        placed = () if result.before is None else (result.before, part, shown)
        parts = tuple(replace(one, start=tuple(np.subtract(one.start, shown.start).tolist())) for one in placed)
        provenance.remember(result.labels, objects, result.model_path, parts)

    def _show_centers(self, result: Result) -> None:
        shown = result.shown
        frame, objects, name = result.frame(shown.start), shown.segmentation, result.selection.name
        # Objects that the border cuts may have their centre beyond it.
        centers = np.asarray(objects.centers, float).reshape(-1, len(result.axes))
        centers = np.clip(centers, 0, np.asarray(objects.labels.shape) - 1)
        if len(centers) or is_shown(self.viewer, result.centers):
            size = point_size(objects)
            result.centers = show_points(
                self.viewer,
                f"{name} centres",
                centers,
                frame=frame,
                features={
                    "score": np.asarray(objects.scores, float),
                    **in_micrometres(centers + shown.start, result.axes, frame),
                },
                into=result.centers,
                size=size,
                visible=result.shows_centers,
                **CENTERS,
            )
            result.centers.metadata.update(result.selection.found_in())
            if len(centers) and not 1 / RESIZED < np.median(result.centers.size) / size < RESIZED:
                result.centers.size = result.centers.current_size = size


def _shows_any(result: Result) -> bool:
    """Whether objects were found."""
    return len(result.shown.segmentation.scores) > 0


def _keep(edited: Result, by: Result) -> None:
    """Leave labels alone that were edited, hidden below those that come instead; what was asked for is for these."""
    by.kept = edited.labels
    edited.values = edited.segmentation.settings.clustering
    if edited.history[-1] != edited.values:
        edited.history.append(edited.values)
    if edited.labels is not None:
        edited.labels.metadata[EDITED] = True
        edited.labels.visible = False


def axes_of(selection: Selection) -> str:
    """Axes of the labels of a selection, (T)(Z)YX."""
    return "".join(letter for letter in "TZYX" if letter in selection.axes)
