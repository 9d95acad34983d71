"""Segmenting an image in blocks from a Python script or a notebook."""

from __future__ import annotations

import operator
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.bar import with_bar
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.scripts import speaking_python, tell
from embedseg_napari.core.settings import require_functions, shown
from embedseg_napari.jobs.large.plan import DEFAULT_NAME, LargeJob
from embedseg_napari.jobs.large.run import predict_large as run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from embedseg_napari.core.model.model import Model
    from embedseg_napari.jobs.large.run import LargeResult


def predict_large(
    image: str | Path,
    model: str | Path | Model,
    *,
    output: str | Path | None = None,
    name: str = DEFAULT_NAME,
    table: str | Path | None = None,
    overwrite: bool = False,
    level: int = 0,
    region: Sequence[tuple[int, int]] | None = None,
    axes: str | None = None,
    channel: int | str = "all",
    block: int | Sequence[int] | None = None,
    halo: str | int | Sequence[int] = "auto",
    workers: int = 1,
    scheduler: str | None = None,
    part: tuple[int, int] | None = None,
    finish: bool = False,
    skip_background: bool = True,
    device: str = "auto",
    on_event: Callable[[Any], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    progress: bool = True,
    **settings: Any,
) -> LargeResult:
    """Segment an image larger than memory, block by block; called again, it goes on where it was stopped.

    For U-Nets in float32 the labels are those of one pass over the whole image, pixel for pixel.

    Parameters
    ----------
    image : path
        An OME-Zarr, or a TIFF.
    model : str, path or Model
        A name or a file; a Model must be as in the file that it was loaded from or saved to.
    output : path, optional
        New OME-Zarr for the labels; by default they go into the image's own, as ``labels/NAME``.
    name : str
        Of the labels in the image's own store.
    table : path, optional
        ``.csv`` or ``.parquet`` for the objects: label, score, size, centre and bounding box in pixels and physical
        units; by default a CSV beside the store.
    overwrite : bool
        Whether to start anew, and labels of that name may be replaced.
    level : int
        Resolution of the image, 0 is the full one.
    region : sequence of (int, int), optional
        First pixel and one past the last per spatial axis ((z,) y, x).
    axes : str, optional
        One letter per axis as stored, where the file does not say or says wrong.
    channel : int, "mean" or "all"
        What of its channels is seen.
    block : int or sequence of int, optional
        Pixels of a block per axis (z, y, x), multiples of 8.
    halo : "auto", "exact", int or sequence of int
        Pixels around a tile that the network sees, too.
    workers : int
        Processes; more than one needs the extra ``cluster``. A script then needs ``if __name__ == "__main__":``.
    scheduler : str, optional
        Address of a scheduler of Dask, or the file it wrote.
    part : (int, int), optional
        Which of how many parts to do, counted from 1.
    finish : bool
        Only write labels and table of blocks that parts have done.
    skip_background : bool
        Whether blocks of nothing but background are skipped.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``; by default that of a Model.
    on_event : callable, optional
        Called with every event; without it, messages that warn become an EmbedSegWarning.
    should_stop : callable, optional
        Looked at between tiles and blocks; what is done stays.
    progress : bool
        Whether a terminal or a notebook shows a bar.
    **settings
        As of :meth:`Model.predict`, such as ``seed_threshold=0.8``; by default those stored with the model.

    Returns
    -------
    LargeResult
        Where labels and table are, number of objects, and the report on seams.

    Raises
    ------
    EmbedSegError
        If image, model, settings or place do not fit.
    """
    require_functions(on_event=on_event, should_stop=should_stop)
    with speaking_python(), with_bar(progress, tell if on_event is None else on_event) as listener:
        source, device = _file_of(model, device)
        job = LargeJob(
            image,
            source,
            device,
            settings,
            axes,
            channel,  # type: ignore[arg-type]
            level,
            None if region is None else tuple((int(low), int(high)) for low, high in region),
            None if output is None else Path(output),
            name,
            None if table is None else Path(table),
            overwrite,
            _block(block),
            halo if isinstance(halo, str) else _whole_numbers(halo, "halo"),  # type: ignore[arg-type]
            workers,
            scheduler,
            part,
            finish,
            skip_background,
        )
        return drain(run(job, should_stop or never), listener)


def _file_of(model: str | Path | Model, device: str) -> tuple[str | Path, str]:
    """The file of a model, from which workers load it, and where it runs.

    Raises
    ------
    SettingsError
        If a Model has none, or is not as in its file.
    """
    from embedseg_napari.core.device import name_of
    from embedseg_napari.jobs.segment import cached_model

    if isinstance(model, str | Path):
        return model, device
    if model.path is None:
        raise SettingsError(f"{shown(model)} has no file that workers could load; save it first: model.save(...).")
    device = name_of(model.device) if device == "auto" else device
    if not _is_like(model, cached_model(model.path, device)):
        raise SettingsError(
            f"{shown(model)} is not as in its file {model.path}, which workers load; save it first: model.save(...), "
            "or give the file."
        )
    return model.path, device


def _is_like(model: Model, stored: Model) -> bool:
    """Whether a model gives the labels of its file: all that decides on them is the same, as the file holds it."""
    from embedseg_napari.core.model.fingerprint import geometry_of

    settings = {"prediction", "object_sizes", "calibration"}
    own, kept = (
        (geometry_of(one.config), one.config.model_dump(mode="json", include=settings)) for one in (model, stored)
    )
    weights, read = model.network.state_dict(), stored.network.state_dict()
    return own == kept and weights.keys() == read.keys() and all(_holds(read[name], weights[name]) for name in read)


def _holds(read: Tensor, value: Tensor) -> bool:
    """Whether what was read from a file are these weights, which it may have stored in half precision."""
    as_stored = (value, value.half()) if value.is_floating_point() else (value,)
    array = read.cpu().numpy()
    return any(np.array_equal(array, one.cpu().numpy(), equal_nan=True) for one in as_stored)


def _block(given: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    """Sides of a block; one number stays one, for it is known again by that."""
    if given is None:
        return None
    sides = _whole_numbers(given, "block")
    return sides[0] if isinstance(given, Integral) else sides


def _whole_numbers(given: int | Sequence[int], name: str) -> tuple[int, ...]:
    """One number of pixels, or several, also those of NumPy.

    Raises
    ------
    SettingsError
        If it is anything else.
    """
    sides: Any = [given] if isinstance(given, Integral) else given
    try:
        return tuple(operator.index(side) for side in sides)
    except TypeError as error:
        raise SettingsError(f"{name} takes whole numbers of pixels, not {shown(given)}.") from error
