"""COCO annotations: run lengths of each object in each plane, as JSON."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.drawn import Drawing, Drawn, number_of
from embedseg_napari.core.exchange.json_parts import fields, json_parts
from embedseg_napari.core.exchange.outlines import outlines
from embedseg_napari.core.exchange.planes import planes_of
from embedseg_napari.core.files.documents import Unreadable
from embedseg_napari.core.files.pairing import image_name
from embedseg_napari.core.measure.sums import sums_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.exchange.planes import Plane, Within


def write_coco(target: Path, labels: Any, axes: str, name: str, within: Within | None = None) -> None:
    """Write all objects; each plane is an image of its own.

    Parameters
    ----------
    target : Path
        File to fill.
    labels : array of int, shape ((T,) (Z,) Y, X)
        Ids, 0 is background; it is read plane by plane.
    axes : str
        Their axes.
    name : str
        File name of the image.
    within : Within, optional
        The image that they are a part of.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    place = None
    for plane in planes_of(labels, axes, within):
        (height, width), (top, left) = plane.whole, plane.corner
        if place != (plane.t, plane.z):
            place = plane.t, plane.z
            image: dict[str, Any] = {"id": len(images) + 1, "file_name": name, "width": width, "height": height}
            image |= {key: value for key, value in (("t", plane.t), ("z", plane.z)) if value is not None}
            images.append(image)
        sums = sums_of(plane.labels)
        runs = _run_lengths(plane, sums.ids)
        for number, size, low, high in zip(
            sums.ids.tolist(), sums.sizes.tolist(), sums.lower.tolist(), sums.upper.tolist(), strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": 1,
                    "label": number,
                    "segmentation": {"size": [height, width], "counts": compressed(runs[number])},
                    "area": size,
                    "bbox": [low[1] + left, low[0] + top, high[1] - low[1], high[0] - low[0]],
                    "iscrowd": 0,
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object", "supercategory": ""}],
    }
    target.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _run_lengths(plane: Plane, ids: NDArray[np.int64]) -> dict[int, list[int]]:
    """Run lengths of each object, outside and inside by turns, down the columns of the image one after the other."""
    (height, width), (top, left) = plane.whole, plane.corner
    labels = plane.labels
    if len(labels) < height:
        # Columns as long as those of the image; those beside it are counted.
        labels = np.pad(labels, ((top, height - top - len(labels)), (0, 0)))
    flat = labels.ravel(order="F")
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.append(starts[1:], len(flat))
    # As the ids are: numbers without a sign would be compared with them as floats, which have no more than 53 bits.
    values = flat[starts].astype(np.int64)
    is_object = values > 0
    order = np.argsort(values[is_object], kind="stable")
    starts, ends, values = (column[is_object][order] for column in (starts, ends, values))
    starts, ends = starts + left * height, ends + left * height
    bounds = [*np.searchsorted(values, ids, "left").tolist(), len(values)]
    found = {}
    for number, first, last in zip(ids.tolist(), bounds[:-1], bounds[1:], strict=True):
        edges = np.stack([starts[first:last], ends[first:last]], axis=1).ravel()
        lengths = np.diff(edges, prepend=0).tolist()
        rest = height * width - int(edges[-1])
        found[number] = [*lengths, rest] if rest else lengths
    return found


def compressed(counts: list[int]) -> str:
    """Run lengths as the text that COCO's own programs write: differences to the last but one, six bits a letter."""
    letters = []
    for i, count in enumerate(counts):
        rest, more = count - counts[i - 2] if i > 2 else count, True
        while more:
            bits, rest = rest & 0x1F, rest >> 5
            more = rest != -1 if bits & 0x10 else rest != 0
            letters.append(chr(bits + 48 + 0x20 * more))
    return "".join(letters)


def decompressed(text: str) -> list[int]:
    """The way back from :func:`compressed`.

    Raises
    ------
    ValueError
        If the text is no such text.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its run lengths are damaged")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    return counts


def is_coco(path: Path, largest: int) -> bool:
    """Whether the outermost table of a JSON is one of COCO, by the first of its names that tells.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        for key, _ in json_parts(path, largest):
            if key in ("images", "annotations", "categories"):
                return True
            if key in ("", "type", "features", "geometry", "coordinates"):
                return False
    except Unreadable as error:
        raise DataError(f"{path}: {error}.") from error
    return False


def read_coco(path: Path, largest: int, image: str, shape: tuple[int, int]) -> Drawing:
    """Read the annotations of an image, one by one: polygons and run lengths.

    Parameters
    ----------
    path : Path
        The file.
    largest : int
        Bytes that it may have.
    image : str
        Name of the image without ending: of several images in the file, those of this name are taken.
    shape : tuple of int
        Height and width of the image.

    Raises
    ------
    DataError
        While it is read: if it is no such file, or of an image of another size.
    """
    what = "annotations that outline no single object (boxes, key points, crowds) are left out."
    nothing = f"holds no annotation of an image {image}."
    if not image:
        nothing = "holds no annotations, or those of several images; name the one that was annotated."
    return Drawing(_objects(path, largest, image, shape), what, nothing)


def _objects(path: Path, largest: int, image: str, shape: tuple[int, int]) -> Iterator[Drawn | None]:
    try:
        images = _images(path, largest)
        names = {key: str(one.get("file_name", "")).rpartition("/")[2] for key, one in images.items()}
        own = {key for key, name in names.items() if image and image_name(PurePath(name)) == image}
        if not own and len(set(names.values())) == 1:
            own = set(images)
        for key, one in json_parts(path, largest):
            if key != "annotations" or str(fields(one, "an annotation")["image_id"]) not in own:
                continue
            where = images[str(one["image_id"])]
            height, width = (where.get(name) for name in ("height", "width"))
            if None not in (height, width) and (height, width) != shape:
                raise DataError(
                    f"was made on an image of {height} x {width} pixels, not {shape[0]} x {shape[1]}; choose the one "
                    "that was annotated."
                )
            segmentation = one.get("segmentation")
            if not segmentation or one.get("iscrowd"):
                yield None
                continue
            place = [None if where.get(axis) is None else int(where[axis]) for axis in "tz"]
            yield Drawn(_pieces(segmentation, shape), number_of(one.get("label")), "", *place)
    except Unreadable as error:
        raise DataError(f"{error}.") from error
    except KeyError as error:
        raise DataError(f"is no COCO file that can be read ({error} is missing).") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"is no COCO file that can be read ({error}).") from error


def _images(path: Path, largest: int) -> dict[str, dict[str, Any]]:
    """The images by their numbers; they mostly come before the annotations, which then are not read here."""
    images = {}
    for key, one in json_parts(path, largest):
        if key == "images":
            images[str(fields(one, "an image")["id"])] = one
        elif images:
            break
    return images


def _pieces(segmentation: Any, shape: tuple[int, int]) -> list[list[Any]]:
    if isinstance(segmentation, list):
        rings = [np.asarray(ring, float) for ring in segmentation]
        if any(ring.ndim != 1 or len(ring) % 2 for ring in rings):
            raise ValueError("a polygon is no list of x and y by turns")
        return [[ring.reshape(-1, 2)] for ring in rings]
    counts = fields(segmentation, "a segmentation")["counts"]
    lengths = np.asarray(decompressed(counts) if isinstance(counts, str) else counts, np.int64)
    n_pixels = shape[0] * shape[1]
    # One by one first: a sum of huge lengths overflows.
    fit = ((lengths >= 0) & (lengths <= n_pixels)).all() and lengths.sum() <= n_pixels
    if tuple(segmentation["size"]) != shape or not fit:
        raise ValueError("run lengths do not fit the size of their image")
    ends = np.cumsum(lengths)
    starts, inside = ends[0:-1:2], lengths[1::2]
    at = np.repeat(starts - (np.cumsum(inside) - inside), inside) + np.arange(inside.sum())
    if not len(at):
        return []
    x, y = np.divmod(at, shape[0])
    # Only around the object: masks of the whole image would take hours for thousands of them.
    mask = np.zeros((y.max() - y.min() + 1, x.max() - x.min() + 1), np.uint8)
    mask[y - y.min(), x - x.min()] = 1
    corner = (x.min(), y.min())
    return [[ring + corner for _, pieces in outlines(mask) for piece in pieces for ring in piece.rings]]
