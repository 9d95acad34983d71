"""Measurements of a Labels layer: what is measured, and the table that the layer keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from embedseg_napari.core.axes import ordered, reorder, result_axes
from embedseg_napari.core.clustering.crossing import in_groups, on_planes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.planes import require_planes
from embedseg_napari.core.inference.added_region import Placed
from embedseg_napari.core.measure.known_objects import with_known
from embedseg_napari.core.measure.measurements import measuring, with_columns
from embedseg_napari.viewer.labelled_images import (
    found_within,
    labelled_part,
    labelled_picture,
    labels_picture,
    turned_labels,
)
from embedseg_napari.viewer.layers import (
    ONE_EACH,
    WHOLE_OF,
    array_of,
    first_along,
    one_each_axes,
    picture_of,
    pixel_size,
)
from embedseg_napari.viewer.provenance import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from embedseg_napari.core.exchange.planes import Within
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.measure.measurements import PartMeasured, Table

STALE = ("frame", "size", "centroid_z", "centroid_y", "centroid_x")
"""Columns of a segmentation's own table that the measured ones take the place of."""
KNOWN = ("score", "margin_px")
"""Columns that only objects have which are as they were found."""

OF_MODEL = (*KNOWN, "touching_neighbours")
"""Columns that objects have as a segmentation found them, all of them together."""


@dataclass(frozen=True, slots=True)
class LayerObjects:
    """The objects of a layer as they are now, and what is known of them."""

    labels: Any
    axes: str
    spacing: tuple[float, ...] | None
    unit: str | None
    image: Any = None
    image_axes: str | None = None
    segmentation: Segmentation | None = None
    """What was found there, if a panel of this program did."""
    parts: tuple[Placed, ...] = ()
    """What that was put together from, or itself."""
    layer_axes: str = ""
    """Axes of the layer, where it has others of one pixel."""
    within: Within | None = None
    """Where the labels lie in the image that they were found in: frames and places are counted there."""
    has_one_each: bool = False
    """Whether the labels are planes of one object each, along a first axis that `axes` leave out."""

    def first(self, letter: str) -> int:
        """The first frame or pixel of the layer there, along an axis."""
        return 0 if self.within is None else self.within.start.get(letter, 0)


def objects_of(labels: Labels, image: Image | None, layers: Iterable[Layer] = ()) -> LayerObjects:
    """Take a layer, and the image whose brightness is measured; no pixel is read.

    Parameters
    ----------
    labels : Labels
        The layer.
    image : Image, optional
        The image.
    layers : iterable of Layer
        Among them may be the image that the labels were found in, where none is measured.

    Raises
    ------
    DataError
        If the axes of the two do not fit together.
    """
    if one_each_axes(labels.axis_labels, labels.name):
        return _one_each(labels, image)
    origin = origin_of(labels)
    found, parts = (None, ()) if origin is None else (origin.segmentation, origin.parts)
    if found is not None and not parts:
        parts = (Placed(found, (0,) * found.labels.ndim),)
    within = found_within(labels, layers if image is None else [image])
    if image is None:
        picture = labels_picture(labels)
        known = picture.array, picture.axes, picture.spacing, picture.unit
        return _flat(LayerObjects(*known, segmentation=found, parts=parts, within=within))
    picture = labelled_part(image, labels)
    axes = result_axes(picture.axes)
    array = turned_labels(labels, axes, image.name)
    spacing, unit = picture.spacing, picture.unit
    if spacing is None and labels.ndim == len(axes):
        spacing, unit = pixel_size(labels.scale, labels.units, axes)
    return _flat(LayerObjects(array, axes, spacing, unit, picture.array, picture.axes, found, parts, within=within))


def _one_each(labels: Labels, image: Image | None) -> LayerObjects:
    """Planes of one object each as objects of the one image that they lie on."""
    axes = one_each_axes(labels.axis_labels, labels.name)
    spacing, unit = pixel_size(labels.scale[1:], labels.units[1:], axes)
    known = LayerObjects(array_of(labels), axes, spacing, unit, layer_axes=f"{ONE_EACH}{axes}", has_one_each=True)
    if image is None:
        return known
    picture = labelled_picture(image, labels)
    if picture.spacing is not None:
        spacing, unit = picture.spacing, picture.unit
    return replace(known, spacing=spacing, unit=unit, image=picture.array, image_axes=picture.axes)


def _flat(objects: LayerObjects) -> LayerObjects:
    """Objects in a depth of one plane without it, as their file is read, unless a model of volumes found them."""
    found, at = objects.segmentation, objects.axes.find("Z")
    is_volume = found is not None and found.labels.ndim - bool(found.frames) == 3
    has_planes = at >= 0 and objects.labels.ndim == len(objects.axes)
    if is_volume or not has_planes or objects.labels.shape[at] != 1:
        return objects
    image, image_axes = objects.image, objects.image_axes
    if image_axes is not None:
        if image.shape[image_axes.index("Z")] != 1:
            # Which of its planes the objects lie in is not known.
            return objects
        image, image_axes = first_along(image, image_axes.index("Z")), image_axes.replace("Z", "")
    labels, axes = first_along(objects.labels, at), objects.axes.replace("Z", "")
    spacing = None if objects.spacing is None else objects.spacing[-2:]
    return replace(
        objects, labels=labels, axes=axes, spacing=spacing, image=image, image_axes=image_axes, layer_axes=objects.axes
    )


def as_it_is(objects: LayerObjects) -> LayerObjects:
    """The same with the labels of this moment, whatever is painted meanwhile; those on the disk stay there."""
    is_in_memory = type(objects.labels) is np.ndarray
    return replace(objects, labels=objects.labels.copy()) if is_in_memory else objects


def whole_layers(labels: Labels, layers: Iterable[Layer]) -> list[Labels]:
    """The layers that show the objects of one whole where they cross, these among them; none where none does."""
    own = labels.metadata.get(WHOLE_OF, str(labels.unique_id))
    return [one for one in layers if isinstance(one, Labels) and one.metadata.get(WHOLE_OF) == own]


def found_cut(whole: Labels, layers: Iterable[Layer]) -> Segmentation | None:
    """What found the objects that a layer shows whole, or cut beside such layers, if the cut labels are still there."""
    own = whole.metadata.get(WHOLE_OF, str(whole.unique_id))
    origin = next((origin_of(one) for one in layers if str(one.unique_id) == own and isinstance(one, Labels)), None)
    return None if origin is None else origin.segmentation


def is_volume(labels: Labels) -> bool:
    """Whether the objects of a layer have surfaces."""
    try:
        # A depth of one plane has none either; it is measured without that axis.
        return labels.ndim > 2 and ordered(picture_of(labels).axes) == ordered(objects_of(labels, None).axes) == "ZYX"
    except DataError:
        # More axes than an image can have; what is done with it says so.
        return False


def measure_layer(
    objects: LayerObjects, columns: tuple[str, ...], should_stop: Callable[[], bool]
) -> Generator[PartMeasured, None, Table]:
    """Measure the objects; scores and margins are there of those that are as a model found them."""
    if objects.has_one_each:
        planes = np.asarray(objects.labels)
        require_planes(planes, "The labels")
        groups = in_groups(on_planes(planes), planes.shape[1:], should_stop) or [np.zeros(planes.shape[1:], np.int32)]
        parts = [replace(objects, labels=group, has_one_each=False) for group in groups]
        return (yield from measure_overlaid(parts, None, columns, should_stop))
    table = yield from measuring(
        objects.labels,
        objects.image,
        objects.axes,
        image_axes=objects.image_axes,
        spacing=objects.spacing,
        unit=objects.unit,
        columns=columns,
        start=None if objects.within is None else objects.within.start,
        should_stop=should_stop,
    )
    # What is read in parts is measured so; no segmentation of this viewer is.
    if not objects.parts or not isinstance(objects.labels, np.ndarray):
        return table
    labels = reorder(objects.labels, objects.axes, ordered(objects.axes))
    return with_known(table, labels, objects.parts, objects.first("T"))


def measure_overlaid(
    parts: Sequence[LayerObjects],
    found: Segmentation | None,
    columns: tuple[str, ...],
    should_stop: Callable[[], bool],
) -> Generator[PartMeasured, None, Table]:
    """Measure objects that lie over each other, each in one of several label images.

    Neighbours are those in the labels that cut them, and scores and margins those of what a model found, if that is
    known: a label image of some of the objects knows nothing of the others.
    """
    tables = []
    for one in parts:
        measured = yield from measure_layer(one, columns, should_stop)
        tables.append(measured)
    table = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    order = np.argsort(table["label"], kind="stable")
    table = {name: values[order] for name, values in table.items()}
    if len(parts) > 1 or found is not None:
        table.pop("touching_neighbours")
    if found is None:
        return table
    known = yield from measuring(found, should_stop=should_stop)
    _, rows, own = np.intersect1d(table["label"], known["label"], return_indices=True)
    of_model: Table = {}
    for name in OF_MODEL:
        if name in known:
            of_model[name] = np.full(len(table["label"]), np.nan)
            of_model[name][rows] = known[name][own]
    return with_columns(table, of_model)


def one_row_each(table: Table, frame: int) -> NDArray[np.intp]:
    """A row of each object: where it has one in every frame, that of this one, or its first if it is not there."""
    _, rows, number = np.unique(table["label"], return_index=True, return_inverse=True)
    if len(rows) == len(number):
        return np.arange(len(rows))
    here = np.flatnonzero(np.asarray(table["frame"]) == frame)
    rows[number[here]] = here
    return rows


def give_features(labels: Labels, table: Table, rows: NDArray[np.intp]) -> None:
    """Let a layer keep measurements, a row of each object; columns of before stay, by the numbers of objects."""
    import pandas as pd

    columns = pd.DataFrame({name: np.asarray(values)[rows] for name, values in table.items()})
    columns = columns.rename(columns={"label": "index"}).set_index("index")
    before = labels.features
    if "index" in before and before["index"].is_unique:
        own = before.set_index("index")
        if origin_of(labels) is not None:
            # What is known of the objects was measured with them.
            own = own.drop(columns=[*KNOWN], errors="ignore")
        elif len(rows) == len(table["label"]):
            size = next((own[name] for name in ("num_pixels", "size") if name in own), None)
            if size is not None:
                # An object of another size was changed since, as the command judges it.
                is_changed = size.reindex(columns.index) != columns["num_pixels"]
                own = own.reindex(columns.index)
                own.loc[is_changed, [name for name in KNOWN if name in own]] = np.nan
        columns = columns.join(own.drop(columns=[*STALE, *columns.columns], errors="ignore"))
    ids = columns.index.to_numpy()
    if np.array_equal(ids, np.arange(1, len(ids) + 1)):
        # Napari's table takes the number of a row for that of the object, so the background has the first. Its status
        # leaves out what is NaN, as a Python float alone.
        numbers = {name: float for name, kind in columns.dtypes.items() if kind.kind in "iubf"}
        columns = columns.reindex(range(len(ids) + 1)).astype(numbers)
    labels.features = columns.rename_axis("index").reset_index()
