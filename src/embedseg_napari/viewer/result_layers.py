"""Results as layers: created once, then updated, in the place of the layer they came from."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from embedseg_napari.core.axes import ordered, parse_axes, reorder, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.viewer.layers import FOUND, ONE_EACH, RESULT, array_of, named_axes, object_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari.layers
    from napari.viewer import Viewer
    from numpy.typing import NDArray

CENTERS: dict[str, Any] = {
    "face_color": "#ffd54f",
    "border_color": "black",
    "border_width": 0.15,
    "opacity": 0.9,
}
"""What the centres of objects look like."""
RESULTS = "TZYX"
"""Axes that results have."""
THROUGH = "translucent_no_depth"
"""Blending of marks: in 3D they are seen through the objects that they mark."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the pixels of a result lie in the viewer.

    Results are arrays with axes T(Z)YX; layers have the axes of their image, in its order, without its channels. A
    channel axis in front is left out, for napari aligns layers at their last axes; one between other axes becomes a
    single pixel as thick as all channels, so that the result is seen beside each of them. Another axis of the image
    that results lack is such a pixel, too.
    """

    axes: str
    """Letters of the layer's axes, in its own order; what results lack is a thick pixel there: channels ``C``, and the
    one plane of an image that is segmented as a flat one, ``z``."""
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]
    transform: tuple[tuple[str, Any], ...] = ()
    """Rotation, shear and affine of the image, without the axis that was left out."""

    @property
    def ndim(self) -> int:
        """Number of axes of the layers that are shown here."""
        return len(self.axes)

    @property
    def _own(self) -> str:
        """The axes that results have, in the order of the layer."""
        return "".join(letter for letter in self.axes if letter in RESULTS)

    @property
    def _thick(self) -> tuple[int, ...]:
        """Places of the others."""
        return tuple(place for place, letter in enumerate(self.axes) if letter not in RESULTS)

    def options(self) -> dict[str, Any]:
        """Keyword arguments for ``viewer.add_*``."""
        straight = np.eye(self.ndim).tolist()
        return {
            "scale": self.scale,
            "translate": self.translate,
            "units": self.units,
            "axis_labels": self.axis_labels,
            "rotate": straight,
            "shear": straight,
            "affine": np.eye(self.ndim + 1).tolist(),
            **dict(self.transform),
        }

    def named(self) -> Frame:
        """The frame with the names of its axes, also where the image leaves them open."""
        is_named = named_axes(self.axis_labels, self.ndim)
        return self if is_named else replace(self, axis_labels=tuple(self.axes.lower()))

    def flat(self) -> Frame:
        """The frame of results without depth, in an image that has one plane."""
        return replace(self, axes=self.axes.replace("Z", "z"))

    def at(self, start: Sequence[float]) -> Frame:
        """The frame of a part of the image that begins at a pixel, one value per axis of the results, T(Z)YX."""
        shift = np.multiply(self.scale, self.coordinates(np.asarray(start, float)[None])[0])
        for name in ("shear", "rotate"):
            shift = np.asarray(dict(self.transform).get(name, np.eye(self.ndim))) @ shift
        return replace(self, translate=tuple(float(t + step) for t, step in zip(self.translate, shift, strict=True)))

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """An array with axes T(Z)YX, with those of the layer (a view)."""
        turned: NDArray[Any] = reorder(values, ordered(self._own), self._own)
        return np.expand_dims(turned, self._thick) if self._thick else turned

    def result(self, data: NDArray[Any]) -> NDArray[Any]:
        """The way back: the array of a layer, with axes T(Z)YX (a view)."""
        turned: NDArray[Any] = np.squeeze(data, self._thick) if self._thick else data
        return reorder(turned, self._own, ordered(self._own))

    def coordinates(self, points: NDArray[Any]) -> NDArray[Any]:
        """Points (n, T(Z)YX) in pixels, with the axes of the layer."""
        own = ordered(self._own)
        turned = np.asarray(points)[:, [own.index(letter) for letter in self._own]]
        for place in self._thick:
            turned = np.insert(turned, place, 0, axis=1)
        return turned

    def without(self, letter: str) -> Frame:
        """The frame of a part along one axis, such as a single time point; napari shows it all along that axis."""
        kept = [i for i, other in enumerate(self.axes) if other != letter]
        values: tuple[Any, ...] = (self.scale, self.translate, self.units, self.axis_labels)
        scale, translate, units, axis_labels = (tuple(value[i] for i in kept) for value in values)
        transform = []
        for name, matrix in self.transform:
            # The last row and column of an affine matrix are the shift's.
            rows = [*kept, self.ndim] if name == "affine" else kept
            transform.append((name, np.asarray(matrix)[np.ix_(rows, rows)].tolist()))
        axes = "".join(self.axes[i] for i in kept)
        return Frame(axes, scale, translate, units, axis_labels, tuple(transform))

    def pixels_from(self, other: Frame) -> NDArray[np.float64] | None:
        """Where this frame begins, in pixels T(Z)YX of another; None if the two lie otherwise on each other."""
        if (self.axes, self.scale, self.transform) != (other.axes, other.scale, other.transform):
            return None
        steps = np.diag(self.scale)
        for name in ("shear", "rotate"):
            steps = np.asarray(dict(self.transform).get(name, np.eye(self.ndim))) @ steps
        start = np.linalg.solve(steps, np.subtract(self.translate, other.translate))
        found: NDArray[np.float64] = start[[self.axes.index(letter) for letter in ordered(self._own)]]
        return found

    def spacing(self) -> tuple[float, ...]:
        """Pixel size per spatial axis (z, y, x), in the layer's units."""
        return tuple(abs(self.scale[self.axes.index(letter)]) for letter in spatial_axes(self.axes))


def layer_frame(layer: napari.layers.Layer, letters: str) -> Frame:
    """Where the pixels of a layer itself lie, by a letter for each of its axes."""
    shear = np.asarray(layer.shear, float)
    if shear.ndim == 1:
        # Napari gives what lies above the diagonal where there is nothing below, and takes the matrix as well.
        above, shear = shear, np.eye(layer.ndim)
        shear[np.triu_indices(layer.ndim, 1)] = above
    # Lists and tuples of plain numbers: frames are compared.
    given = {"rotate": layer.rotate, "shear": shear, "affine": layer.affine.affine_matrix}
    transform = tuple((name, np.asarray(value, float).tolist()) for name, value in given.items())
    scale, translate = (tuple(np.array(value, float).tolist()) for value in (layer.scale, layer.translate))
    return Frame(letters, scale, translate, tuple(layer.units), tuple(layer.axis_labels), transform)


def spatial_frame(layer: napari.layers.Layer, axes: str) -> Frame:
    """Where results of a layer's image belong.

    Parameters
    ----------
    layer : Layer
        An Image or Labels layer.
    axes : str
        One letter per axis of its array; of labels whose planes hold one object each, per axis of a plane.
    """
    axes = parse_axes(axes)
    letters = axes[:-1] if getattr(layer, "rgb", False) else axes
    if len(letters) == layer.ndim - 1 and object_axis(layer.axis_labels) == 0:
        return layer_frame(layer, ONE_EACH + letters).without(ONE_EACH)
    if len(letters) != layer.ndim:
        raise DataError(f"Axes {axes!r} do not fit layer {layer.name!r} of shape {array_of(layer).shape}.")
    frame = layer_frame(layer, letters)
    if "C" in letters[1:]:
        c = letters.index("C")
        n = array_of(layer).shape[c]
        scale, middle = list(frame.scale), np.zeros(layer.ndim)
        middle[c] = scale[c] * (n - 1) / 2
        shift = np.asarray(dict(frame.transform)["rotate"]) @ dict(frame.transform)["shear"] @ middle
        scale[c] *= n
        frame = replace(frame, scale=tuple(scale), translate=tuple((frame.translate + shift).tolist()))
    return frame.without("C") if letters.startswith("C") else frame


def followed_frame(layer: napari.layers.Layer, axes: str) -> Callable[[], Frame]:
    """Where results of a layer's image belong at any time, or did before its array got other axes."""
    frame = spatial_frame(layer, axes)

    def now() -> Frame:
        nonlocal frame
        with suppress(DataError):
            frame = spatial_frame(layer, axes)
        return frame

    return now


def is_shown(viewer: Viewer, layer: napari.layers.Layer | None) -> bool:
    """Whether a layer made earlier is still there; the user may have removed it."""
    return layer is not None and layer in viewer.layers


def show_labels(
    viewer: Viewer,
    name: str,
    data: NDArray[np.int32],
    *,
    frame: Frame,
    features: Any = None,
    into: napari.layers.Labels | None = None,
    **options: Any,
) -> napari.layers.Labels:
    """Show a label image.

    Parameters
    ----------
    viewer : Viewer
        Where.
    name : str
        Name of the layer if it is new.
    data : ndarray, shape ((T,) (Z,) Y, X)
        Ids, 0 background.
    frame : Frame
        From :func:`spatial_frame`.
    features : DataFrame or dict, optional
        One row per id with a column ``index``.
    into : Labels, optional
        Layer of an earlier result to be replaced, if it is still there.
    **options
        Passed on where the layer is new.
    """
    return _show(viewer, viewer.add_labels, frame.array(data), name, frame, into, options, features=features)


def show_image(
    viewer: Viewer,
    name: str,
    data: NDArray[Any],
    *,
    frame: Frame,
    into: napari.layers.Image | None = None,
    **options: Any,
) -> napari.layers.Image:
    """Show an image, such as a seed map; see :func:`show_labels`."""
    return _show(viewer, viewer.add_image, frame.array(data), name, frame, into, options)


def show_points(
    viewer: Viewer,
    name: str,
    points: NDArray[Any],
    *,
    frame: Frame,
    features: Any = None,
    into: napari.layers.Points | None = None,
    **options: Any,
) -> napari.layers.Points:
    """Show points (n, T(Z)YX) in pixels of the image; see :func:`show_labels`."""
    options = {"ndim": frame.ndim, "blending": THROUGH, **options}
    return _show(viewer, viewer.add_points, frame.coordinates(points), name, frame, into, options, features=features)


def show_vectors(
    viewer: Viewer,
    name: str,
    starts: NDArray[Any],
    steps: NDArray[Any],
    *,
    frame: Frame,
    into: napari.layers.Vectors | None = None,
    **options: Any,
) -> napari.layers.Vectors:
    """Show arrows from points (n, T(Z)YX) by steps of the same shape, both in pixels; see :func:`show_labels`."""
    data = np.stack([frame.coordinates(starts), frame.coordinates(steps)], axis=1)
    options = {"ndim": frame.ndim, "blending": THROUGH, **options}
    return _show(viewer, viewer.add_vectors, data, name, frame, into, options)


def show_shapes(
    viewer: Viewer,
    name: str,
    outlines: Sequence[NDArray[Any]],
    *,
    frame: Frame,
    into: napari.layers.Shapes | None = None,
    **options: Any,
) -> napari.layers.Shapes:
    """Show closed outlines, each (corners, T(Z)YX) in pixels; see :func:`show_labels`."""
    options = {"ndim": frame.ndim, "shape_type": "polygon", "blending": THROUGH, **options}
    data = [frame.coordinates(outline) for outline in outlines]
    return _show(viewer, viewer.add_shapes, data, name, frame, into, options)


def replace_pixels(labels: Labels, data: NDArray[Any]) -> None:
    """Give a Labels layer other pixels; strokes on those that were there cannot be undone on these."""
    labels.data = data
    if labels.editable:
        mode = labels.mode
        # napari forgets its steps where a layer is no longer edited.
        labels.editable = False
        labels.editable = True
        labels.mode = mode


def boxes_around(
    lower: NDArray[np.float64], upper: NDArray[np.float64], ndim: int, margin: float = 0
) -> list[NDArray[np.float64]]:
    """Corners (4, T(Z)YX) of a box around pixels, one box in each plane of theirs.

    Parameters
    ----------
    lower, upper : ndarray
        First pixel, and the one behind the last, per axis T(Z)YX.
    ndim : {2, 3}
        Spatial axes among them.
    margin : float
        Pixels between them and the box, along Y and X.
    """
    (top, left), (bottom, right) = lower[-2:] - margin - 0.5, upper[-2:] + margin - 0.5
    box = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
    planes = np.arange(lower[-3], upper[-3]) if ndim == 3 else [None]
    times = lower[: len(lower) - ndim]
    return [np.hstack([np.tile([*times, *([] if z is None else [z])], (4, 1)), box]) for z in planes]


def _show(
    viewer: Viewer,
    add: Callable[..., Any],
    data: Any,
    name: str,
    frame: Frame,
    into: Any,
    options: dict[str, Any],
    *,
    features: Any = None,
) -> Any:
    if into is None or not is_shown(viewer, into) or into.ndim != frame.ndim:
        if features is not None:
            options = {**options, "features": features}
        return add_beside(viewer, add, data, name, {"metadata": {RESULT: FOUND}, **frame.options(), **options})
    if isinstance(into, Labels):
        replace_pixels(into, data)
    else:
        into.data = data
    if features is not None:
        into.features = features
    # A channel axis is one thick pixel there already.
    there = layer_frame(into, frame.axes).options()
    for place, value in frame.options().items():
        if there[place] != value:
            setattr(into, place, value)
    return into


def add_beside(viewer: Viewer, add: Callable[..., Any], data: Any, name: str, options: dict[str, Any]) -> Any:
    """Add a layer that does not take the selection away from the one the user works with.

    Parameters
    ----------
    viewer : Viewer
        Where.
    add : callable
        One of its ``add_*``.
    data, name, options
        Passed on.
    """
    selection = viewer.layers.selection
    active = selection.active
    if active is None:
        return add(data, name=name, **options)
    # Nobody is told of what is undone at once: napari would show the controls of the one layer and then of the other.
    with selection.events.blocker_all():
        layer = add(data, name=name, **options)
        selection.active = active
    return layer
