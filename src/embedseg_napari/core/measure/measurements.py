"""The table of an image's objects: each column with its unit in its name, as scikit-image calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import check_spacing, guess_axes, ordered, parse_axes, reorder, result_axes, spatial_axes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import DataError, SettingsError, Stopped
from embedseg_napari.core.files.named_axes import described
from embedseg_napari.core.files.units import micrometres, normalize_unit
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.measure.blocks import Blocks, as_array, is_lazy
from embedseg_napari.core.measure.outlined import FURTHER, outlined
from embedseg_napari.core.measure.sums import Tally
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.measure.sums import Sums

Table = dict[str, Any]
"""Columns by name, one value per object."""


@dataclass(frozen=True, slots=True)
class PartMeasured:
    """One more part is measured: a frame, or a block of what is read in blocks."""

    done: int
    n_parts: int


def measure(
    labels: Any,
    image: Any = None,
    axes: str | None = None,
    *,
    image_axes: str | None = None,
    spacing: Sequence[float] | None = None,
    unit: str | None = "um",
    columns: Sequence[str] = (),
    should_stop: Callable[[], bool] = never,
) -> Table:
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : Segmentation or array of int, shape ((T,) (Z,) Y, X)
        Objects, 0 is background. A `Segmentation` brings its scores, and the margins of its objects if it has kept its
        maps. What is not in memory, such as an array of Zarr or Dask, is read block by block.
    image : array, optional
        Whose brightness is measured, one column for each channel; it may be lazy, too.
    axes : str, optional
        Axes of `labels`, such as ``"TYX"``; without them three axes are ``"ZYX"`` and four ``"TZYX"``; arrays of
        xarray name their own, and their coordinates are the pixel size.
    image_axes : str, optional
        Axes of `image`; without them those of the labels, behind one of channels if it has one more.
    spacing : sequence of float, optional
        Size of a pixel per spatial axis (z, y, x). Without it everything is in pixels.
    unit : str, optional
        Unit of `spacing`. Lengths are given in micrometres. Where it is None, ``spacing`` only says how much longer a
        pixel is along one axis than along x.
    columns : sequence of str
        ``"solidity"``, ``"surface"``: what takes minutes for many objects, beside the other columns.
    should_stop : callable
        Looked at between frames and blocks, and between objects where that takes long.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        A row for each object of each frame, in ascending order; ``pandas.DataFrame`` takes it. The page *Measure* of
        the documentation lists the columns.

    Raises
    ------
    DataError
        If the labels are none, or image, axes or spacing do not fit them.
    SettingsError
        If a column is unknown.
    Stopped
        If `should_stop` returned True.
    """
    run = measuring(
        labels, image, axes, image_axes=image_axes, spacing=spacing, unit=unit, columns=columns, should_stop=should_stop
    )
    return drain(run)


def measuring(
    labels: Any,
    image: Any = None,
    axes: str | None = None,
    *,
    image_axes: str | None = None,
    spacing: Sequence[float] | None = None,
    unit: str | None = "um",
    columns: Sequence[str] = (),
    start: Mapping[str, int] | None = None,
    should_stop: Callable[[], bool] = never,
) -> Generator[PartMeasured, None, Table]:
    """:func:`measure`, part by part.

    Of labels that are a part of an image, `start` is their first frame and pixel there, by the letters of its axes:
    frames and places count from those of the image.
    """
    first = {} if start is None else start
    unknown = [name for name in columns if name not in FURTHER]
    if unknown:
        raise SettingsError(f"There is no column {unknown[0]!r} to add; choose from {' and '.join(FURTHER)}.")
    labels, axes, spacing, unit = described(labels, axes, spacing, unit)
    found = labels if isinstance(labels, Segmentation) else None
    array = as_array(labels.labels if found is not None else labels)
    # What is lazy is looked at when it is read; its type is known before.
    require_kept_ids(np.zeros(0, array.dtype) if is_lazy(array) else array, "The label image")
    own = parse_axes(axes or ("" if found is None else found.label_axes) or _guess(array.shape))
    if "C" in own or len(own) != len(array.shape):
        raise DataError(
            f"Axes {own!r} do not fit labels of shape {shape_words(array.shape)}; give one letter for each axis, "
            "such as TYX, and none for channels."
        )
    image, image_axes, spacing, unit = described(image, image_axes, spacing, unit, labels_axes=own)
    blocks = Blocks(array, own)
    if image is not None:
        image = as_array(image)
        blocks = Blocks(array, own, image, image_axes_for(image, image_axes, own, array.shape))
    scale = None if spacing is None else check_spacing(spacing, spatial_axes(own))
    tables, done = [], 0
    n_parts = blocks.n_frames * blocks.n_blocks
    for t in range(blocks.n_frames):
        tally = Tally(len(blocks.shape), blocks.n_channels)
        for box in blocks.boxes():
            if should_stop():
                raise Stopped("The measurement was stopped.")
            shape = [side.stop - side.start for side in box]
            part = blocks.read(t, box, beyond=1)
            tally.add(part, [side.start for side in box], shape, blocks.read_channels(t, box))
            done += 1
            yield PartMeasured(done, n_parts)
        corner = np.array([first.get(letter, 0) for letter in "ZYX"[-len(blocks.shape) :]])
        table = _of_frame(blocks, t, tally.sums(), scale, unit, columns, corner, should_stop)
        if "T" in own:
            table = {"frame": np.full(len(table["label"]), t + first.get("T", 0)), **table}
        tables.append(table)
    whole = tables[0] if len(tables) == 1 else _joined(tables)
    return whole if found is None else _with_model(whole, found)


def without_brightness(table: Table) -> int:
    """Objects whose brightness is no number in a channel, since some of their pixels are none."""
    means = [values for name, values in table.items() if name.startswith("intensity_mean_")]
    return int((~np.isfinite(means)).any(0).sum()) if means else 0


def brightness_words(n: int) -> str:
    """What to say of them."""
    return f"{count(n, 'object')} of no known brightness: the image has pixels there that are no numbers."


def _joined(tables: Sequence[Table]) -> Table:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _guess(shape: tuple[int, ...]) -> str:
    return "TZYX" if len(shape) == 4 else guess_axes(shape, min(len(shape), 3))


def axes_beside(image: Sequence[int], labels_axes: str, labels: Sequence[int]) -> str:
    """The axes of an image that names none, by its shape, and the axes and the shape of its labels."""
    if len(image) != len(labels_axes) + 1:
        return labels_axes
    # Colours come last.
    if tuple(image[:-1]) == tuple(labels):
        return labels_axes + "C"
    return f"{labels_axes[0]}C{labels_axes[1:]}" if "T" in labels_axes else "C" + ordered(labels_axes)


def image_axes_for(image: Any, axes: str | None, labels_axes: str, shape: Sequence[int]) -> str:
    """The axes of an image that belongs to labels."""
    n, order = len(image.shape), ordered(labels_axes)
    axes = parse_axes(axes or axes_beside(image.shape, labels_axes, shape))
    if sorted(result_axes(axes)) != sorted(order) or len(axes) != n:
        raise DataError(
            f"The image has the axes {axes} (shape {shape_words(image.shape)}), the labels have {labels_axes}; "
            "choose the image that the labels were made of, or name the axes of both."
        )
    if np.dtype(image.dtype).kind not in "buif":
        raise DataError(f"The image holds {image.dtype} values; brightness is measured in real numbers.")
    if 0 in [size for size, letter in zip(image.shape, axes, strict=True) if letter == "C"]:
        raise DataError("The image has no channels; leave it out, or choose another one.")
    own, wanted = (
        [sizes[axis.index(letter)] for letter in order] for sizes, axis in ((image.shape, axes), (shape, labels_axes))
    )
    if own != wanted:
        raise DataError(
            f"The image has {shape_words(own)} pixels ({order}), the labels have {shape_words(wanted)}; "
            "choose the image that the labels were made of."
        )
    return axes


def _of_frame(
    blocks: Blocks,
    frame: int,
    sums: Sums,
    spacing: tuple[float, ...] | None,
    unit: str | None,
    columns: Sequence[str],
    corner: NDArray[np.int64],
    should_stop: Callable[[], bool],
) -> Table:
    ndim = len(blocks.shape)
    space = "ZYX"[-ndim:]
    factor = micrometres(normalize_unit(unit)) if spacing is not None else None
    length = "px" if factor is None else "um"
    # Without a unit one pixel along x is the measure.
    step = np.ones(ndim) if spacing is None else np.asarray(spacing) * (factor or 1 / spacing[-1])
    kind, power = ("area", 2) if ndim == 2 else ("volume", 3)
    size = sums.sizes * float(np.prod(step))
    table: Table = {"label": sums.ids, "num_pixels": sums.sizes}
    table[f"{kind}_{length}{power if length == 'um' else ''}"] = size
    for i, letter in enumerate(space.lower()):
        # A place in pixels is an index, whatever the shape of a pixel.
        table[f"centroid_{letter}_{length}"] = (sums.centroids[:, i] + corner[i]) * (step[i] if length == "um" else 1)
    lower, upper = sums.lower + corner, sums.upper + corner
    for i, letter in enumerate(space.lower()):
        table[f"bbox_min_{letter}_px"], table[f"bbox_max_{letter}_px"] = lower[:, i], upper[:, i]
    table |= _shape(sums, step, size, length)
    ends = np.array(blocks.shape)
    # An axis of one pixel has no border.
    table["touches_border"] = (((sums.lower == 0) | (sums.upper == ends)) & (ends > 1)).any(1)
    table["touching_neighbours"] = sums.neighbours
    for number in range(blocks.n_channels):
        total = sums.totals[:, number]
        table[f"intensity_mean_{number}"] = total / np.maximum(sums.sizes, 1)
        table[f"intensity_max_{number}"] = sums.largest[:, number]
        table[f"intensity_integrated_{number}"] = total
    if columns:
        table |= outlined(blocks, frame, sums, step, length, columns, should_stop)
    return table


def _shape(sums: Sums, step: NDArray[np.float64], size: NDArray[Any], length: str) -> Table:
    """Axes of the ellipse or ellipsoid with the same second moments, and what follows from them."""
    ndim = len(step)
    variances = np.linalg.eigvalsh(sums.covariances * np.outer(step, step)) if len(sums.ids) else np.zeros((0, ndim))
    variances = np.maximum(variances, 0)
    full = 16 if ndim == 2 else 20
    shape: Table = {
        f"axis_major_length_{length}": np.sqrt(full * variances[:, -1]),
        f"axis_minor_length_{length}": np.sqrt(full * variances[:, 0]),
    }
    if ndim == 2:
        ratio = variances[:, 0] / np.where(variances[:, 1] > 0, variances[:, 1], 1)
        shape["eccentricity"] = np.where(variances[:, 1] > 0, np.sqrt(1 - ratio), 0.0)
    shape[f"equivalent_diameter_area_{length}"] = (2 * ndim * size / np.pi) ** (1 / ndim)
    return shape


def _with_model(table: Table, found: Segmentation) -> Table:
    """What the model knows of each object, behind its number."""
    row = table["label"] - 1
    known: Table = {"score": np.asarray(found.scores, float)[row]}
    margins = margins_of(found)
    if margins is not None:
        known["margin_px"] = margins[row]
    return with_columns(table, known)


def with_columns(table: Table, columns: Table) -> Table:
    """A table with further columns behind its numbers of objects."""
    names = list(table)
    at = names.index("label") + 1
    return {name: table[name] for name in names[:at]} | columns | {name: table[name] for name in names[at:]}


def margins_of(found: Segmentation) -> NDArray[np.float64] | None:
    """Mean margin (n,) of each object's pixels over them and the axes, in pixels; None without maps."""
    parts = []
    for part in found.frames or (found,):
        if part.kept_maps is None:
            return None
        space = part.axes or "ZYX"[-part.labels.ndim :]
        labels = reorder(part.labels, space, ordered(space))
        tally = Tally(labels.ndim, part.kept_maps.ndim, has_neighbours=False)
        tally.add(labels, (0,) * labels.ndim, labels.shape, list(part.kept_maps.margins))
        sums, margins = tally.sums(), np.zeros(len(part.scores))
        margins[sums.ids - 1] = sums.totals.mean(1) / sums.sizes
        parts.append(margins)
    return np.concatenate(parts)
