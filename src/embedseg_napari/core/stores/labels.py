"""Label images as OME-Zarr, made empty and written block by block, by many processes without locks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import SPATIAL, ordered, result_axes
from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.files.atomic import alone, write_text
from embedseg_napari.core.files.documents import parse_json, read_text
from embedseg_napari.core.files.leftovers import sweep_now_and_then, temporary_name
from embedseg_napari.core.files.ngff import find_group, names_of_labels
from embedseg_napari.core.files.zarr_image import check_array, is_store, open_zarr
from embedseg_napari.core.stores.description import group_attributes, label_attributes, seen_from
from embedseg_napari.core.stores.levels import Pyramid, factors_of, pyramid_like, pyramid_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr

    from embedseg_napari.core.files.lazy_image import LazyImage
    from embedseg_napari.core.files.ngff import ImageGroup

LABELS = "labels"
NAME = re.compile(r"[^\W_.][\w.-]*")
CHUNK = {2: 256, 3: 64}
"""Pixels of a chunk along an axis at most, by the number of spatial axes: what a viewer reads at once."""
SMALLEST_CHUNK = 32
DTYPE = "uint32"


@dataclass(frozen=True, slots=True)
class LabelStore:
    """A label image on the disk.

    Blocks may be written by many processes at the same time without locks, as long as no two of them write to the same
    block. What was not written is background. It can be sent to another process.
    """

    folder: Path
    """The group of the label image."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the resolutions, the full one first."""
        return self._group().levels

    @property
    def axes(self) -> str:
        """One letter per axis of each level."""
        return self._group().axes

    @property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """Pixels of the full resolution that one of each level stands for, per axis.

        Raises
        ------
        DataError
            If a level is missing, or not smaller by whole numbers.
        """
        group = self._group()
        factors = factors_of([self.array(level).shape for level in range(len(group.levels))], group.scales)
        if factors is None:
            raise DataError(
                f"{self.folder}: its smaller resolutions are not smaller by whole numbers, and a part of it cannot be "
                "changed; make them anew in the program that wrote them, or copy its full resolution to a new store."
            )
        return tuple(factors)

    def array(self, level: int = 0) -> zarr.Array[Any]:
        """The array of a level, to be written and read by slices.

        Raises
        ------
        DataError
            If it is missing or damaged.
        """
        import zarr

        folder = self.folder / self.levels[level]
        try:
            array = zarr.open_array(store=str(folder), mode="r+")
        except Exception as error:
            # Errors of many types, from Zarr, its codecs and the system.
            raise DataError(f"{folder}: cannot be opened ({error}).") from error
        check_array(folder, array)
        return array

    def block(self, level: int = 0) -> tuple[int, ...]:
        """Pixels of a block along each axis: what lies in files that hold nothing else."""
        array = self.array(level)
        if array.shards is not None:
            return tuple(array.shards)
        return tuple(array.attrs.get("block", array.chunks))  # type: ignore[arg-type]

    def write(self, key: tuple[slice, ...], labels: np.ndarray, level: int = 0) -> None:
        """Write labels, which are 0 or more, to a part of a level; a block is there as a whole or not at all (0.5).

        Raises
        ------
        DataError
            If the disk is full, the place cannot be written, or an id needs more than 32 bits, or than the array has,
            which may be another program's.
        """
        array, largest = self.array(level), int(labels.max(initial=0))
        most = largest_in(array.dtype)
        if largest > most:
            raise DataError(f"{self.folder}: ids up to {largest} cannot be stored; the largest is {most}.")
        try:
            array[key] = labels.astype(array.dtype, copy=False)
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written ({error.strerror or error}).") from error

    def image(self, level: int = 0) -> LazyImage:
        """The labels, to be read in parts."""
        return open_zarr(self.folder, level)

    def _group(self) -> ImageGroup:
        group = find_group(self.folder)
        if group is None:
            raise DataError(f"{self.folder}: is no label image that can be written to.")
        return group


def largest_in(kind: np.dtype[Any]) -> int:
    """The largest id that an array of a type can hold, within 32 bits; 0 for what is no type of ids."""
    return min(int(np.iinfo(kind).max), int(np.iinfo(DTYPE).max)) if kind.kind in "iu" else 0


def labels_place(store: Path, name: str) -> Path:
    """Where the labels of a name lie in the store of an image."""
    return store / LABELS / name


def require_name(name: str) -> None:
    """Refuse a name that labels in a store cannot have.

    Raises
    ------
    DataError
        Saying which can.
    """
    if NAME.fullmatch(name) is None:
        raise DataError(f"{name!r} is no name for labels; use letters, digits, points, hyphens and underscores.")


def require_replaceable(path: Path) -> None:
    """Refuse to take the place of anything but a label image: the store of an image is more than its labels.

    Raises
    ------
    AlreadyExists
        If something else is there.
    """
    if not os.path.lexists(path):
        return
    if is_store(path):
        group = find_group(path)
        if group is not None and group.folder == path and group.is_labels and not names_of_labels(path):
            return
        what = "is a store that holds more than a label image"
    else:
        what = "is no Zarr store"
    raise AlreadyExists(f"{path}: {what}, and is not replaced; choose another name.")


def table_place(store: Path, name: str | None = None) -> Path:
    """Where the table of the objects lies: beside the store of an image, by the name of the labels in it.

    Without a name, beside a store that is the label image itself.
    """
    stem = store.name.removesuffix(".zarr").removesuffix(".ome")
    return store.with_name(f"{stem}.csv" if name is None else f"{stem}.{name}.csv")


def create_labels(
    place: Path,
    like: LazyImage,
    *,
    name: str | None = None,
    block: Sequence[int],
    version: str | None = None,
    more: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> LabelStore:
    """Make an empty label image for an image: all its levels, of which nothing takes room until it is written.

    Parameters
    ----------
    place : Path
        With `name`, the store of an image (OME-Zarr), in which the labels come to ``labels/NAME``. Without, the new
        store that becomes the label image itself.
    like : LazyImage
        The image, at the level that the labels lie on: gives shape, axes (without channels), pixel size and unit, and
        the further levels.
    name : str, optional
        Of the labels: letters, digits, points, hyphens and underscores.
    block : sequence of int
        Pixels of a block along each spatial axis (z, y, x). A block is one file in version 0.5; in 0.4 its borders
        are borders of chunks. Blocks begin at the first pixel.
    version : {"0.4", "0.5"}, optional
        Of OME-Zarr, for a new store; 0.5 by default. In the store of an image it is always that of the image.
    more : dict, optional
        Further attributes of the group, values as JSON has them; readers pass over them.
    overwrite : bool
        Whether labels of this name, or a store at this place, may be replaced.

    Raises
    ------
    AlreadyExists
        If there are such labels, and they may not be replaced, or something else than labels.
    DataError
        If the place cannot be written, is no OME-Zarr, or the name is none.
    """
    place = Path(place)
    axes = ordered(result_axes(like.axes))
    shape = tuple(like.shape[like.axes.index(letter)] for letter in axes)
    space = [letter for letter in SPATIAL if letter in axes]
    if len(block) != len(space) or min(block) < 1:
        raise DataError(f"A block of {tuple(block)} needs one positive number for each of the axes {''.join(space)}.")
    sizes = dict(zip(space, block, strict=True))
    edges = tuple(sizes.get(letter, 1) for letter in axes)
    if name is None:
        require_replaceable(place)
        target, version = place, version or "0.5"
        # A source of another version is none that readers can open.
        source = seen_from(place, like.path) if like.ngff == version else None
    else:
        require_name(name)
        group = find_group(place) if is_store(place) else None
        if group is None:
            raise DataError(f"{place}: is no OME-Zarr image, so that it can hold no labels; give --output.")
        target, version, source = labels_place(group.folder, name), _version_of(group.folder), "../../"
    pyramid = pyramid_like(like, axes) or pyramid_of(shape, axes, like.spacing)
    attributes = label_attributes(target.name, axes, pyramid, like, version, source)
    _make(target, pyramid, edges, CHUNK[len(space)], version, attributes | (more or {}), overwrite)
    if name is not None:
        _list_labels(target.parent, name, version)
    return LabelStore(target)


def remove_labels(store: Path, name: str) -> None:
    """Take away labels that were just made in the store of an image, and in which nothing could be written.

    Raises
    ------
    DataError
        If that cannot be done.
    """
    target = labels_place(store, name)
    gone = target.with_name(temporary_name())
    try:
        # In one step, so that a kill leaves nothing that is half there; what is left of it is swept up later.
        target.rename(gone)
        _list_labels(target.parent, name, _version_of(store), is_there=False)
        shutil.rmtree(gone)
    except OSError as error:
        raise DataError(f"{target}: is empty, and cannot be taken away ({error.strerror or error}).") from error


def open_labels(folder: Path) -> LabelStore:
    """Open a label image that is there, to go on writing to it.

    Raises
    ------
    DataError
        If it is none.
    """
    store = LabelStore(folder)
    store.array()
    return store


def list_labels(store: Path, name: str) -> None:
    """See to it that the store of an image lists labels that are there, where a kill came before that."""
    if name not in names_of_labels(store):
        _list_labels(store / LABELS, name, _version_of(store))


def _version_of(folder: Path) -> str:
    return "0.5" if (folder / "zarr.json").is_file() else "0.4"


def _make(
    target: Path,
    pyramid: Pyramid,
    edges: tuple[int, ...],
    most: int,
    version: str,
    attributes: dict[str, Any],
    overwrite: bool,
) -> None:
    """Make the group beside its place and give it its name in one step, so that nothing incomplete has that name."""
    if os.path.lexists(target) and not overwrite:
        raise AlreadyExists(f"{target}: exists already; choose another name or allow overwriting.")
    draft = target.with_name(temporary_name())
    old = target.with_name(temporary_name())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_now_and_then(target.parent)
        draft.mkdir()
        _write_group(draft, version, attributes)
        for number, shape in enumerate(pyramid.shapes):
            _make_array(draft / str(number), shape, pyramid.axes, edges, most, version)
        if overwrite and os.path.lexists(target):
            if not is_store(target):
                raise AlreadyExists(f"{target}: is no Zarr store, and is not replaced; choose another name.")
            target.rename(old)
        draft.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        elif draft.exists() and os.path.lexists(target):
            raise AlreadyExists(f"{target}: exists already; choose another name or allow overwriting.") from error
        raise DataError(f"{target}: cannot be written ({error.strerror or error}).") from error
    finally:
        for left in (draft, old):
            # Where they cannot be taken away now, whoever writes there next does it.
            with contextlib.suppress(OSError):
                if left.exists():
                    shutil.rmtree(left)


def _make_array(
    folder: Path, shape: tuple[int, ...], axes: str, edges: tuple[int, ...], most: int, version: str
) -> None:
    import zarr
    from zarr.codecs import BloscCodec

    chunks = tuple(_chunk(edge, most) for edge in edges)
    if version == "0.4":
        import numcodecs

        array = zarr.create_array(
            store=str(folder),
            shape=shape,
            dtype=DTYPE,
            chunks=chunks,
            compressors=numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE),
            fill_value=0,
            zarr_format=2,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        array.attrs["block"] = list(edges)
    else:
        zarr.create_array(
            store=str(folder),
            shape=shape,
            dtype=DTYPE,
            chunks=chunks,
            shards=edges,
            compressors=BloscCodec(cname="zstd", clevel=5),
            fill_value=0,
            zarr_format=3,
            dimension_names=list(axes.lower()),
        )


def _chunk(edge: int, most: int) -> int:
    """The largest part of a block that divides it and is no larger than a chunk may be."""
    parts = [part for part in range(1, min(edge, most) + 1) if edge % part == 0]
    return parts[-1] if parts[-1] >= min(SMALLEST_CHUNK, edge) else edge


def _write_group(folder: Path, version: str, attributes: dict[str, Any]) -> None:
    if version == "0.4":
        write_text(folder / ".zgroup", json.dumps({"zarr_format": 2}))
        write_text(folder / ".zattrs", json.dumps(attributes, indent=2))
    else:
        whole = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        write_text(folder / "zarr.json", json.dumps(whole, indent=2))


def _list_labels(folder: Path, name: str, version: str, *, is_there: bool = True) -> None:
    """Add a name to the group of labels, or take it away; others stay, with all that is said beside them."""
    with alone(folder):
        names = [one for one in names_of_labels(folder.parent) if one != name or is_there]
        if is_there and name not in names:
            names.append(name)
        path = folder / (".zattrs" if version == "0.4" else "zarr.json")
        there: dict[str, Any] = parse_json(read_text(path)) if path.is_file() else {}
        attributes = there if version == "0.4" else there.get("attributes", {})
        _write_group(folder, version, group_attributes(attributes, names, version))
