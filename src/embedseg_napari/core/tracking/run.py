"""Linking the objects of a time-lapse, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from embedseg_napari.core.axes import check_spacing, parse_axes, spatial_axes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import DataError, SettingsError, Stopped
from embedseg_napari.core.files.named_axes import described
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.measure.blocks import Blocks, as_array, is_lazy
from embedseg_napari.core.measure.measurements import image_axes_for
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.scripts import speaking_python
from embedseg_napari.core.tracking.by_trackastra import load_trackastra, parents_by
from embedseg_napari.core.tracking.linking import Linker
from embedseg_napari.core.tracking.objects import objects_of
from embedseg_napari.core.tracking.tracks import Tracks, numbered, without_flicker
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

LEAST = 3
"""Frames that a daughter is seen at least; what is gone earlier was split by mistake."""
MAX_GAP = 2


@dataclass(frozen=True, slots=True)
class FrameLinked:
    """The objects of one more frame are linked with those before."""

    done: int
    n_parts: int
    """Frames in all."""
    n_objects: int


def track(
    labels: Any,
    image: Any = None,
    axes: str | None = None,
    *,
    image_axes: str | None = None,
    spacing: Sequence[float] | None = None,
    unit: str | None = "um",
    max_distance: float | None = None,
    max_gap: int = MAX_GAP,
    divisions: bool = True,
    trackastra: str | Path | None = None,
    should_stop: Callable[[], bool] = never,
) -> Tracks:
    """Link the objects of a time-lapse into tracks, with divisions.

    Numbers of objects need not mean anything from frame to frame. What moves together, as where the stage drifts, is
    followed. Frames are read one after another, so that arrays on the disk (Zarr, Dask) may be larger than memory.

    Parameters
    ----------
    labels : Segmentation or array of int, shape (T, (Z,) Y, X)
        Objects, 0 is background.
    image : array, optional
        The image, of the same size and perhaps with channels: its mean brightness is kept for each object.
    axes : str, optional
        Axes of `labels`; without them three axes are ``"TYX"`` and four ``"TZYX"``; arrays of xarray name
        their own, and their coordinates are the pixel size.
    image_axes : str, optional
        Axes of `image`, where they are not those of the labels with or without channels.
    spacing : sequence of float, optional
        Size of a pixel (z, y, x): distances are measured in it.
    unit : str, optional
        Its unit.
    max_distance : float, optional
        How far an object moves from frame to frame at most, in units of `spacing`, else in pixels. By default three
        times its radius; objects that overlap are always looked at.
    max_gap : int
        Frames in which an object may be missing.
    divisions : bool
        Whether objects divide.
    trackastra : str or path, optional
        Model of the program trackastra that links the objects in place of this one, where it is installed: a name or a
        folder. It needs the image, and memory for all frames; `max_gap` counts for nothing then.
    should_stop : callable, optional
        Asked before each frame.

    Returns
    -------
    Tracks
        Objects, their tracks and mothers.

    Raises
    ------
    DataError
        If there is no time axis, fewer than two frames, no object, or image, axes or spacing do not fit.
    SettingsError
        If a number makes no sense.
    Stopped
        If `should_stop` returned True.
    """
    with speaking_python():
        return drain(
            tracking(
                labels,
                image,
                axes,
                image_axes=image_axes,
                spacing=spacing,
                unit=unit,
                max_distance=max_distance,
                max_gap=max_gap,
                divisions=divisions,
                trackastra=trackastra,
                should_stop=should_stop,
            )
        )


def tracking(
    labels: Any,
    image: Any = None,
    axes: str | None = None,
    *,
    image_axes: str | None = None,
    spacing: Sequence[float] | None = None,
    unit: str | None = "um",
    max_distance: float | None = None,
    max_gap: int = MAX_GAP,
    divisions: bool = True,
    trackastra: str | Path | None = None,
    should_stop: Callable[[], bool] = never,
) -> Generator[FrameLinked, None, Tracks]:
    """:func:`track`, frame by frame."""
    if max_distance is not None and not 0 < max_distance < float("inf"):
        raise SettingsError(f"max_distance {max_distance}: how far an object moves is a positive number.")
    if max_gap < 0:
        raise SettingsError(f"max_gap {max_gap}: frames in which an object may be missing are 0 or more.")
    labels, axes, spacing, unit = described(labels, axes, spacing, unit)
    found = labels if isinstance(labels, Segmentation) else None
    array = as_array(labels.labels if found is not None else labels)
    require_kept_ids(np.zeros(0, array.dtype) if is_lazy(array) else array, "The label image")
    guessed = {3: "TYX", 4: "TZYX"}.get(len(array.shape), "YX")
    own = parse_axes(axes or ("" if found is None else found.label_axes) or guessed)
    _require_frames(own, tuple(array.shape))
    image, image_axes, spacing, unit = described(image, image_axes, spacing, unit, labels_axes=own)
    blocks = Blocks(array, own)
    if image is not None:
        image = as_array(image)
        blocks = Blocks(array, own, image, image_axes_for(image, image_axes, own, array.shape))
    scale = None if spacing is None else check_spacing(spacing, spatial_axes(own))
    if trackastra is not None and image is None:
        raise DataError("trackastra looks at the image, too: give it (--image).")
    other = None if trackastra is None else load_trackastra(trackastra)
    pixels: list[tuple[np.ndarray, np.ndarray]] = []
    box = tuple(slice(0, n) for n in blocks.shape)
    # Objects in a depth of one plane are discs, not balls.
    sides = blocks.shape[-2:] if blocks.shape[0] == 1 else blocks.shape
    linker = Linker(np.array(scale or (1.0,) * len(box))[-len(sides) :], max_distance, max_gap, divisions)
    seen, parents, n_masks = [], [], 0
    for t in range(blocks.n_frames):
        if should_stop():
            raise Stopped("The tracking was stopped.")
        frame = blocks.read(t, box).reshape(sides)
        channels = [one.reshape(sides) for one in blocks.read_channels(t, box)]
        seen.append(objects_of(frame, channels))
        n_masks += len(seen[-1].ids) == 1 and ndimage.label(frame)[1] > 1
        if other is None:
            parents.append(linker.add(frame, seen[-1]))
        else:
            pixels.append((frame, np.asarray(np.mean(channels, axis=0), np.float32)))
        yield FrameLinked(t + 1, blocks.n_frames, len(seen[-1].ids))
    frames = np.repeat(np.arange(len(seen)), [len(one.ids) for one in seen])
    if not len(frames):
        raise DataError("The time-lapse holds no objects; all its pixels are 0.")
    if 2 * n_masks > len(seen):
        raise DataError(
            "In most frames one number has several pieces, as in a mask of all objects; give labels, where each object "
            "has a number of its own."
        )
    sizes = np.concatenate([one.sizes for one in seen])
    label = np.concatenate([one.ids for one in seen])
    if other is None:
        linked = without_flicker(np.concatenate(parents), frames, sizes, len(seen), LEAST)
    else:
        linked = parents_by(
            other,
            np.stack([one for one, _ in pixels]),
            np.stack([brightness for _, brightness in pixels]),
            frames,
            label,
            max_distance=None if max_distance is None else max_distance / (scale or (1.0,))[-1],
            divisions=divisions,
            should_stop=should_stop,
        )
    return Tracks(
        own,
        tuple(int(n) for n in array.shape),
        frames,
        label,
        np.pad(np.concatenate([one.centroids for one in seen]), ((0, 0), (len(box) - len(sides), 0))),
        sizes,
        np.concatenate([one.brightness for one in seen]),
        linked,
        numbered(linked),
        scale,
        None if scale is None else unit,
    )


def _require_frames(axes: str, shape: tuple[int, ...]) -> None:
    if "C" in axes or len(axes) != len(shape):
        raise DataError(
            f"Axes {axes!r} do not fit labels of shape {shape_words(shape)}; give one letter for each axis, such as "
            "TYX, and none for channels."
        )
    if "T" not in axes:
        raise DataError(
            f"Labels of shape {shape_words(shape)} with axes {axes} have no time axis, or are one frame; "
            "give the whole time-lapse, or name its axes, such as TYX (--axes TYX)."
        )
    if shape[axes.index("T")] < 2:
        raise DataError("One frame has nothing to link; give the labels of the whole time-lapse.")
