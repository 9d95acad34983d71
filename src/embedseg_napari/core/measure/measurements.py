"""The table of an image's objects: each column with its unit in its name, as scikit-image calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import check_spacing, guess_axes, ordered, parse_axes, reorder, result_axes, spatial_axes
from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.errors import DataError, SettingsError, Stopped
from embedseg_napari.core.files.units import micrometres, normalize_unit
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.measure.outlined import FURTHER, outlined
from embedseg_napari.core.measure.sums import brightness_of, sums_of, touching
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.measure.sums import Sums

Table = dict[str, Any]
"""Columns by name, one value per object."""


@dataclass(frozen=True, slots=True)
class FrameMeasured:
    """One more frame (the whole image, if there is no time axis) is measured."""

    done: int
    n_frames: int
    n_objects: int


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
    labels : Segmentation or ndarray of int, shape ((T,) (Z,) Y, X)
        Objects, 0 is background. A `Segmentation` brings its scores, and the margins of its objects if it has kept its
        maps.
    image : array, optional
        Whose brightness is measured, one column for each channel; it may be lazy.
    axes : str, optional
        Axes of `labels`, such as ``"TYX"``; without them three axes are ``"ZYX"`` and four ``"TZYX"``.
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
        Looked at between frames, and between objects where that takes long.

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
    should_stop: Callable[[], bool] = never,
) -> Generator[FrameMeasured, None, Table]:
    """:func:`measure`, frame by frame."""
    unknown = [name for name in columns if name not in FURTHER]
    if unknown:
        raise SettingsError(f"There is no column {unknown[0]!r} to add; choose from {' and '.join(FURTHER)}.")
    found = labels if isinstance(labels, Segmentation) else None
    array = np.asarray(labels.labels if found is not None else labels)
    require_kept_ids(array, "The label image")
    if array.dtype == bool:
        array = array.view(np.uint8)
    own = parse_axes(axes or ("" if found is None else found.label_axes) or _guess(array.shape))
    if "C" in own or len(own) != array.ndim:
        raise DataError(
            f"Axes {own!r} do not fit labels of shape {shape_words(array.shape)}; give one letter for each axis, "
            "such as TYX, and none for channels."
        )
    order = ordered(own)
    array = reorder(array, own, order)
    channels = None if image is None else _channels(image, image_axes, order, own, array.shape)
    space = spatial_axes(own)
    scale = None if spacing is None else check_spacing(spacing, space)
    frames = list(array) if "T" in own else [array]
    tables = []
    for t, frame in enumerate(frames):
        if should_stop():
            raise Stopped("The measurement was stopped.")
        parts = () if channels is None else tuple(channel[t] if "T" in own else channel for channel in channels)
        table = _of_frame(frame, parts, scale, unit, columns, should_stop)
        if "T" in own:
            table = {"frame": np.full(len(table["label"]), t), **table}
        tables.append(table)
        yield FrameMeasured(t + 1, len(frames), len(table["label"]))
    whole = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return whole if found is None else _with_model(whole, found)


def _guess(shape: tuple[int, ...]) -> str:
    return "TZYX" if len(shape) == 4 else guess_axes(shape, min(len(shape), 3))


def _channels(image: Any, axes: str | None, order: str, labels_axes: str, shape: tuple[int, ...]) -> list[Any]:
    """The channels of an image, each in the order of the labels."""
    n = len(image.shape)
    if axes is None:
        if n == len(labels_axes) + 1:
            # Colours come last.
            last = tuple(image.shape[:-1]) == tuple(shape)
            axes = labels_axes + "C" if last else f"{labels_axes[0]}C{labels_axes[1:]}" if "T" in order else "C" + order
        else:
            axes = labels_axes
    axes = parse_axes(axes)
    if sorted(result_axes(axes)) != sorted(order) or len(axes) != n:
        raise DataError(
            f"The image has the axes {axes} (shape {shape_words(image.shape)}), the labels have {labels_axes}; "
            "choose the image that the labels were made of, or name the axes of both."
        )
    if np.dtype(image.dtype).kind not in "buif":
        raise DataError(f"The image holds {image.dtype} values; brightness is measured in real numbers.")
    turned = reorder(image, axes, "C" * ("C" in axes) + order)
    channels = list(turned) if "C" in axes else [turned]
    if not channels:
        raise DataError("The image has no channels; leave it out, or choose another one.")
    if tuple(channels[0].shape) != tuple(shape):
        raise DataError(
            f"The image has {shape_words(channels[0].shape)} pixels ({order}), the labels have {shape_words(shape)}; "
            "choose the image that the labels were made of."
        )
    return channels


def _of_frame(
    labels: NDArray[Any],
    channels: Sequence[Any],
    spacing: tuple[float, ...] | None,
    unit: str | None,
    columns: Sequence[str],
    should_stop: Callable[[], bool],
) -> Table:
    space = "ZYX"[-labels.ndim :]
    sums = sums_of(labels)
    factor = micrometres(normalize_unit(unit)) if spacing is not None else None
    length = "px" if factor is None else "um"
    # Without a unit one pixel along x is the measure.
    step = np.ones(labels.ndim) if spacing is None else np.asarray(spacing) * (factor or 1 / spacing[-1])
    kind, power = ("area", 2) if labels.ndim == 2 else ("volume", 3)
    size = sums.sizes * float(np.prod(step))
    table: Table = {"label": sums.ids, "num_pixels": sums.sizes}
    table[f"{kind}_{length}{power if length == 'um' else ''}"] = size
    for i, letter in enumerate(space.lower()):
        # A place in pixels is an index, whatever the shape of a pixel.
        table[f"centroid_{letter}_{length}"] = sums.centroids[:, i] * (step[i] if length == "um" else 1)
    for i, letter in enumerate(space.lower()):
        table[f"bbox_min_{letter}_px"], table[f"bbox_max_{letter}_px"] = sums.lower[:, i], sums.upper[:, i]
    table |= _shape(sums, step, size, length)
    table["touches_border"] = ((sums.lower == 0) | (sums.upper == labels.shape)).any(1)
    table["touching_neighbours"] = touching(labels, sums.ids)
    for number, channel in enumerate(channels):
        values = brightness_of(labels, channel, sums.ids)
        table[f"intensity_mean_{number}"] = values.total / np.maximum(sums.sizes, 1)
        table[f"intensity_max_{number}"] = values.largest
        table[f"intensity_integrated_{number}"] = values.total
    if columns:
        table |= outlined(labels, sums, step, length, columns, should_stop)
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
    margins = _margins(found)
    if margins is not None:
        known["margin_px"] = margins[row]
    return with_columns(table, known)


def with_columns(table: Table, columns: Table) -> Table:
    """A table with further columns behind its numbers of objects."""
    names = list(table)
    at = names.index("label") + 1
    return {name: table[name] for name in names[:at]} | columns | {name: table[name] for name in names[at:]}


def _margins(found: Segmentation) -> NDArray[np.float64] | None:
    """Mean margin (n,) of each object's pixels over them and the axes, in pixels; None without maps."""
    parts = []
    for part in found.frames or (found,):
        if part.kept_maps is None:
            return None
        n, space = len(part.scores), part.axes or "ZYX"[-part.labels.ndim :]
        labels = reorder(part.labels, space, ordered(space))
        ids = np.arange(1, n + 1)
        total = sum(brightness_of(labels, axis, ids).total for axis in part.kept_maps.margins)
        parts.append(total / np.maximum(np.bincount(labels.ravel(), minlength=n + 1)[1:], 1) / part.kept_maps.ndim)
    return np.concatenate(parts)
