"""The result of a prediction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.axes import ordered, parse_axes, reorder
from embedseg_napari.core.clustering.clustering import cluster_by
from embedseg_napari.core.clustering.whole_objects import whole_objects
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.machine import fits_machine
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.settings import require_functions
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.clustering.whole_objects import WholeObject
    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.maps import ForegroundMaps


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Objects of an image, or of every frame of a time-lapse.

    Parameters
    ----------
    labels : ndarray, shape ((T,) (Z,) Y, X), int32
        0 is background; objects are 1..n, in a time-lapse counted on from frame to frame.
    centers : ndarray, shape (n, ndim), float32
        Where each object's seed points, in pixels (z, y, x); row i belongs to label i + 1. In a time-lapse
        (n, 1 + ndim), the frame first, all frames one after the other.
    scores : ndarray, shape (n,), float32
        Seediness at the seed, 0 to 1.
    settings : PredictionConfig
        What the objects were collected with.
    frames : tuple of Segmentation
        In a time-lapse its frames, each by itself with objects from 1; empty otherwise.
    kept_maps : EmbeddingMaps, optional
        The maps, if they were kept; read them as `maps`. Their axes are (z, y, x) whatever those of the image.
    axes : str
        Axes of `labels` and of the columns of `centers`: those of the image without its channels, in its order;
        empty where that is (T)(Z)YX.
    n_left_out : int
        Objects that were found and are not among these, being larger than the settings allow or at the border.
    seeds : ndarray, shape (n,), int64, optional
        Flat index in the maps of the pixel that each object started from; None where that is not known.
    n_bright : int
        How many objects did not start faintly; the first ones.
    """

    labels: NDArray[np.int32]
    centers: NDArray[np.float32]
    scores: NDArray[np.float32]
    settings: PredictionConfig = field(repr=False)
    frames: tuple[Segmentation, ...] = field(default=(), repr=False)
    kept_maps: EmbeddingMaps | None = field(default=None, repr=False)
    axes: str = ""
    n_left_out: int = 0
    seeds: NDArray[np.int64] | None = field(default=None, repr=False)
    n_bright: int = field(default=0, repr=False)

    @property
    def label_axes(self) -> str:
        """One letter per axis of `labels`: `axes`, or those of a result in its usual order."""
        return self.axes or ("T" if self.frames else "") + "ZYX"[-(self.labels.ndim - bool(self.frames)) :]

    def __repr__(self) -> str:
        return (
            f"Segmentation({count(len(self.scores), 'object')}, labels {shape_words(self.labels.shape)} "
            f"{self.label_axes})"
        )

    @classmethod
    def collect(
        cls,
        maps: EmbeddingMaps | ForegroundMaps,
        settings: PredictionConfig,
        should_stop: Callable[[], bool] | None = None,
        *,
        keep_maps: bool = True,
    ) -> Segmentation:
        """Collect the objects of one image's maps.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        """
        found = cluster_by(maps, settings, should_stop)
        return cls(
            found.labels,
            found.centers,
            found.scores,
            settings,
            kept_maps=maps if keep_maps and isinstance(maps, EmbeddingMaps) else None,
            n_left_out=found.n_left_out,
            seeds=found.seeds,
            n_bright=found.n_bright,
        )

    @classmethod
    def stack(cls, frames: Sequence[Segmentation]) -> Segmentation:
        """Put the frames of a time-lapse together; at least one."""
        labels = np.stack([frame.labels for frame in frames])
        before = np.cumsum([0, *(len(frame.scores) for frame in frames)])
        for frame, n in zip(labels, before[:-1], strict=True):
            np.add(frame, n, out=frame, where=frame > 0, casting="same_kind")
        return cls(
            labels,
            np.concatenate([np.insert(frame.centers, 0, t, axis=1) for t, frame in enumerate(frames)]),
            np.concatenate([frame.scores for frame in frames]),
            frames[0].settings,
            tuple(frames),
            n_left_out=sum(frame.n_left_out for frame in frames),
        )

    def turned(self, axes: str) -> Segmentation:
        """Lay labels and centres out in another order of the axes, such as ``"XY"`` or ``"ZTYX"``; frames likewise.

        Raises
        ------
        DataError
            If these are not the letters of its own axes.
        """
        axes = parse_axes(axes)
        now = self.axes or ordered(axes)
        if sorted(axes) != sorted(now) or len(axes) != self.labels.ndim:
            own = self.axes or f"{self.labels.ndim} axes"
            raise DataError(f"Axes {axes!r} do not fit a result with {own}; give its own letters in another order.")
        columns = [now.index(letter) for letter in axes]
        return replace(
            self,
            labels=reorder(self.labels, now, axes),
            centers=self.centers[:, columns],
            frames=tuple(frame.turned(axes.replace("T", "")) for frame in self.frames),
            axes=axes,
        )

    def locate(self, label: int) -> tuple[int, int]:
        """Frame that an object of a time-lapse is in, and its number among the frame's own."""
        ends = np.cumsum([len(frame.scores) for frame in self.frames])
        frame = int(np.searchsorted(ends, label))
        return frame, label - int(ends[frame]) + len(self.frames[frame].scores)

    @property
    def maps(self) -> EmbeddingMaps:
        """Offsets, margins and seed map.

        Raises
        ------
        SettingsError
            For a time-lapse, whose frames have their own, and if they were not kept.
        """
        if self.frames:
            raise SettingsError("A time-lapse has maps for each frame: use .frames[t].maps.")
        if self.kept_maps is None:
            raise SettingsError("The maps of this segmentation were not kept; predict again with keep_maps=True.")
        return self.kept_maps

    def objects(self, should_stop: Callable[[], bool] | None = None) -> Iterator[WholeObject]:
        """The objects each by itself: box and mask, in the order of their labels.

        Where two cross, both have the pixels. Axes of boxes and masks are (z, y, x), whatever those of the image.

        Raises
        ------
        SettingsError
            For a time-lapse, whose frames have their own, and if the maps were not kept.
        Stopped
            If `should_stop` returned True.
        """
        maps = self.maps
        if self.seeds is None:
            raise SettingsError("These objects were put together from several parts; predict the image as a whole.")
        labels = reorder(self.labels, self.axes, ordered(self.axes)) if self.axes else self.labels
        yield from whole_objects(labels, self.seeds, self.n_bright, maps, self.settings, should_stop)

    @property
    def planes(self) -> NDArray[np.bool_]:
        """The objects as planes, shape (n, (Z,) Y, X), before a later one was written over them.

        Plane i is label i + 1, with the pixels too that it shares with others.

        Raises
        ------
        SettingsError
            As :meth:`objects`, and if they take more than a quarter of the machine's memory.
        """
        needed = len(self.scores) * self.labels.size
        if not fits_machine(4 * needed):
            raise SettingsError(
                f"Planes of {count(len(self.scores), 'object')} take {needed / 1e9:.1f} GB; take them one by one from "
                "objects()."
            )
        own = ordered(self.axes) if self.axes else ""
        shape = [self.labels.shape[self.axes.index(letter)] for letter in own] if own else self.labels.shape
        planes = np.zeros((len(self.scores), *shape), bool)
        for plane, one in zip(planes, self.objects(), strict=True):
            plane[one.box] = one.mask
        return reorder(planes, "C" + own, "C" + self.axes) if own else planes

    def recluster(
        self,
        seed_threshold: float | None = None,
        foreground_threshold: float | None = None,
        min_object_size: int | None = None,
        *,
        seeds: str | None = None,
        faint_seeds: float | None = None,
        margin_scale: float | None = None,
        max_object_size: int | None = None,
        drop_border_objects: bool | None = None,
        fill_holes: bool | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Segmentation:
        """Collect the objects anew with other thresholds, without running the network; what is not given stays.

        Parameters
        ----------
        seed_threshold : float, optional
            Lowest seediness at which an object may start, 0 to 1.
        foreground_threshold : float, optional
            Pixels with a seediness above this are foreground, 0 to 1.
        min_object_size : int, optional
            Objects need more pixels than this.
        seeds : {"greedy", "local_maxima"}, optional
            Which pixels may start an object.
        faint_seeds : float, optional
            How far below the seed threshold large objects that overlap no other may start, 0 to 0.5.
        margin_scale : float, optional
            Factor of the margins, 0.5 to 3: above 1 objects collect pixels from farther away.
        max_object_size : int, optional
            Objects of more pixels are dropped; 0 sets no limit.
        drop_border_objects : bool, optional
            Whether objects that touch the border of the image are dropped.
        fill_holes : bool, optional
            Whether background that an object encloses becomes part of it.
        should_stop : callable, optional
            Looked at several times a second.

        Raises
        ------
        SettingsError
            If a value is out of range or the maps were not kept.
        Stopped
            If `should_stop` returned True.
        """
        require_functions(should_stop=should_stop)
        given = {
            "seed_threshold": seed_threshold,
            "foreground_threshold": foreground_threshold,
            "min_object_size": min_object_size,
            "seeds": seeds,
            "faint_seeds": faint_seeds,
            "margin_scale": margin_scale,
            "max_object_size": max_object_size,
            "drop_border_objects": drop_border_objects,
            "fill_holes": fill_holes,
        }
        settings = self.settings.changed(given)
        if self.frames:
            again = self.stack([self.collect(frame.maps, settings, should_stop) for frame in self.frames])
        else:
            again = self.collect(self.maps, settings, should_stop)
        return again.turned(self.axes) if self.axes else again
