"""Objects that were accepted in a part of a large image, put into the labels of its store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.ngff import names_of_labels
from embedseg_napari.core.stores.labels import create_labels, labels_place, open_labels, remove_labels
from embedseg_napari.core.stores.parts import WrittenPart, change_part, with_objects
from embedseg_napari.core.wording import shape_words
from embedseg_napari.jobs.large.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.files.lazy_image import LazyImage

BLOCK = {2: (1024, 1024), 3: (64, 256, 256)}
"""Pixels of a block per axis (z, y, x) of labels that are made for this."""


def require_complete(folder: Path) -> None:
    """Refuse labels that get other numbers yet.

    Raises
    ------
    DataError
        If a run over the image is not through.
    """
    if Target(folder, None, folder).is_begun:
        raise DataError(
            f"{folder.name}: a run over the image is not through, and its end would overwrite what you change; press "
            "Segment and let it end first."
        )


def write_accepted(
    image: Path,
    name: str,
    start: tuple[int, ...],
    labels: NDArray[Any],
    ids: Collection[int],
    should_stop: Callable[[], bool],
) -> Generator[tuple[int, int], None, WrittenPart | None]:
    """Put objects into labels of an image's store, which are made where there are none of that name.

    Parameters
    ----------
    image : Path
        Group of the image, an OME-Zarr.
    name : str
        Of the labels.
    start : tuple of int
        First pixel of the part, T(Z)YX.
    labels : ndarray, shape ((Z,) Y, X)
        The annotation of the part.
    ids : collection of int
        Objects of it that are wanted.
    should_stop : callable
        Looked at while the largest number is looked for; nothing is written then.

    Raises
    ------
    DataError
        If there are none, or the store cannot be read or written.
    """
    if not ids:
        raise DataError("No object is accepted yet; accept some first.")
    if not np.isin(labels, list(ids)).any():
        raise DataError("Nothing is left of the accepted objects.")
    whole = open_image(image)
    is_new = name not in names_of_labels(whole.path)
    if is_new:
        space = sum(letter in "ZYX" for letter in whole.axes)
        create_labels(whole.path, whole, name=name, block=BLOCK[space])
    written = None
    try:
        written = yield from _write(whole, name, start, labels, ids, should_stop)
    finally:
        if is_new and written is None:
            remove_labels(whole.path, name)
    return written


def _write(
    whole: LazyImage,
    name: str,
    start: tuple[int, ...],
    labels: NDArray[Any],
    ids: Collection[int],
    should_stop: Callable[[], bool],
) -> Generator[tuple[int, int], None, WrittenPart | None]:
    store = open_labels(labels_place(whole.path, name))
    require_complete(store.folder)
    own = open_image(store.folder)
    # Where the image was read, axes of one pixel may have been left out or not.
    read = [ordered(result_axes(axes)) for axes in (whole.axes, whole.stored_axes)]
    letters = next((one for one in read if len(one) == len(start)), None)
    if letters is None:
        raise DataError(
            f"{whole.path}: has other axes than the image that the part was cut out of, and nothing was written; open "
            "it, and annotate the part anew."
        )
    at = dict(zip(letters, start, strict=True))
    sizes = dict(zip("ZYX"[-labels.ndim :], labels.shape, strict=True))
    first = [at.get(letter, 0) for letter in own.stored_axes]
    shape = [sizes.get(letter, 1) for letter in own.stored_axes]
    array = store.array()
    if any(a + n > whole_n for a, n, whole_n in zip(first, shape, array.shape, strict=True)):
        raise DataError(f"{store.folder}: has {shape_words(array.shape)} pixels, in which the part does not lie.")
    before = np.asarray(array[tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))])
    after = with_objects(before, labels.reshape(shape), ids)
    for event in change_part(store, first, before, after, should_stop):
        if isinstance(event, WrittenPart):
            return event
        yield event
    return None
