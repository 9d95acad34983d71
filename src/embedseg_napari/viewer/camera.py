"""Bringing a place of a layer before the user's eyes."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pint
from napari.utils.notifications import show_info

from embedseg_napari.viewer.layers import array_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer, Shapes
    from napari.viewer import Viewer
    from numpy.typing import ArrayLike

    from embedseg_napari.viewer.result_layers import Frame

LEAST_PIXELS, GOOD_PIXELS = 24, 80
"""Screen pixels below which an object is too small to see, and to which it is then brought."""


class KeptView:
    """Where the camera was before it was led from place to place, so that it can go back there.

    Parameters
    ----------
    viewer : Viewer
        Whose camera.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._kept: tuple[int, tuple[float, ...], float] | None = None

    def keep(self) -> None:
        """Remember where the camera is, unless it was led away already."""
        if self._kept is None:
            camera = _camera(self.viewer)
            self._kept = self.viewer.dims.ndisplay, tuple(camera.center), float(camera.zoom)

    def forget(self) -> None:
        """Stay wherever the camera is now."""
        self._kept = None

    def give_back(self) -> None:
        """Go back there, if the camera was led away and looks at as many dimensions as then."""
        kept, self._kept = self._kept, None
        if kept is not None and kept[0] == self.viewer.dims.ndisplay:
            camera = _camera(self.viewer)
            camera.center, camera.zoom = kept[1:]


def _camera(viewer: Viewer) -> Any:
    """The camera; since napari 0.9 it belongs to the viewer's scene."""
    return getattr(viewer, "scene", viewer).camera


def _canvas(viewer: Viewer) -> Any:
    """The canvas; None before napari 0.9, where a plugin cannot know how large it is."""
    return getattr(viewer, "canvas", None)


def units_in(units: Sequence[Any], others: Sequence[Any] | None) -> np.ndarray:
    """How many of other units each unit has, axis by axis from the last; 1 where the two measure different things."""
    registry, ratios = pint.get_application_registry(), np.ones(len(units))
    for at, pair in enumerate(zip(units[::-1], (others or ())[::-1], strict=False), 1):
        unit, other = map(registry.Unit, pair)
        if unit != other and unit.dimensionality == other.dimensionality:
            ratios[-at] = (1 * unit).to(other).magnitude
    return ratios


def _world_units(viewer: Viewer, layer: Layer | Frame) -> np.ndarray:
    """What a unit of a layer is along each of its axes in the world, which has the smallest unit of all layers.

    napari shows layers accordingly since 0.9, but its layers know their own units only.
    """
    return units_in(layer.units, getattr(viewer.dims, "units", None))


def to_world(viewer: Viewer, layer: Layer, pixel: ArrayLike) -> np.ndarray:
    """Where a pixel of a layer is seen in the viewer, one value per axis of the layer."""
    return np.asarray(layer.data_to_world(np.asarray(pixel)), float) * _world_units(viewer, layer)


def to_pixel(viewer: Viewer, layer: Layer, point: ArrayLike) -> np.ndarray:
    """The pixel of a layer at a point of the viewer; axes that the point lacks are in front, and count as 0."""
    full = np.concatenate([np.zeros(layer.ndim), np.asarray(point)])[-layer.ndim :]
    return np.asarray(layer.world_to_data(full / _world_units(viewer, layer)), float)


def outline_on(viewer: Viewer, shapes: Shapes, number: int, layer: Layer) -> np.ndarray:
    """The corners of a shape in the pixels of another layer, a row each; where it has no place, at what is in sight."""
    places = []
    for vertex in shapes.data[number]:
        world, full = to_world(viewer, shapes, vertex), np.array(viewer.dims.point, float)
        full[len(full) - len(world) :] = world
        places.append(to_pixel(viewer, layer, full))
    return np.array(places)


def frames_drawn_on(viewer: Viewer, shapes: Shapes, number: int, layer: Layer, letters: str) -> tuple[int, int] | None:
    """The first frame that a shape is drawn on, and one past the last; None where it, or the layer, knows no time."""
    time = letters.find("T")
    if time < 0 or shapes.ndim < len(letters) - time:
        return None
    at = outline_on(viewer, shapes, number, layer)[:, time]
    first, last = np.clip(np.round([at.min(), at.max()]), 0, array_of(layer).shape[time] - 1)
    return int(first), int(last) + 1


def value_at(viewer: Viewer, layer: Layer, point: ArrayLike, direction: ArrayLike | None, displayed: Any) -> Any:
    """The value of a layer at a point of the viewer, or of what is first seen there in a direction in 3D."""
    units = np.ones(len(np.asarray(point)))
    units[-layer.ndim :] = _world_units(viewer, layer)
    return layer.get_value(
        np.divide(point, units),
        view_direction=None if direction is None else np.divide(direction, units),
        dims_displayed=None if displayed is None else list(displayed),
        world=True,
    )


def _bounds(viewer: Viewer, layer: Layer) -> np.ndarray:
    """Where the first and the last pixels of a layer are seen in the viewer."""
    return np.asarray(layer.extent.world, float) * _world_units(viewer, layer)


NEAR_PIXELS = (80, 160, 400)
"""Least, good and greatest size of an object on the screen that is looked at closely."""


def go_to(
    viewer: Viewer,
    layer: Layer,
    center: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    *,
    is_near: bool = False,
) -> None:
    """Centre the camera on a place of a layer, or as near as its border allows, and step through the other axes to it.

    The zoom stays, unless the object would be too small to see.

    Parameters
    ----------
    viewer : Viewer
        What to move.
    layer : Layer
        Whose pixels are meant.
    center : sequence of float
        Pixel to look at, one value per axis of the layer.
    lower, upper : sequence of float
        Bounding box of the object, in pixels.
    is_near : bool
        Whether the object is looked at closely: the zoom stays only where it shows the object large and whole.
    """
    world = to_world(viewer, layer, center)
    first = viewer.dims.ndim - layer.ndim
    # On a pixel, where the sliders leave it: each move to another place lets napari slice all layers anew.
    pixel = to_world(viewer, layer, np.rint(center))
    steps = np.abs(layer.scale) * _world_units(viewer, layer)
    # What has one pixel there, such as labels for all channels, is seen beside whatever is looked at.
    (low, high), half = np.asarray(layer.extent.data, float), steps / 2
    away = np.abs(np.asarray(viewer.dims.point, float)[first:] - pixel)
    stays = (low == high) & (away <= half) & ~np.isin(np.arange(first, viewer.dims.ndim), viewer.dims.displayed)
    moved = np.flatnonzero(~stays)
    viewer.dims.set_point((moved + first).tolist(), pixel[moved].tolist())
    point = np.asarray(viewer.dims.point, float)
    shown = list(viewer.dims.displayed)
    camera = _camera(viewer)
    sides = (np.asarray(upper, float) - lower) * steps
    seen = [float(sides[a - first]) for a in shown if a >= first]
    # A sliver is as hard to see as a dot.
    extent, size = max(seen), float(np.prod(seen)) ** (1 / len(seen))
    least, good, most = NEAR_PIXELS if is_near else (LEAST_PIXELS, GOOD_PIXELS, np.inf)
    if size * camera.zoom < least:
        camera.zoom = min(good / size, NEAR_PIXELS[-1] / extent)
    elif extent * camera.zoom > most:
        camera.zoom = most / extent
    aim = np.array([world[a - first] if a >= first else point[a] for a in shown])
    camera.center = tuple(_within(viewer, layer, aim))


def _within(viewer: Viewer, layer: Layer, aim: np.ndarray) -> np.ndarray:
    """The centre of the canvas nearest to a place of a layer that shows no more of what is beyond it than it must."""
    canvas, offset = _canvas(viewer), viewer.dims.ndim - layer.ndim
    own = [axis - offset for axis in viewer.dims.displayed]
    if canvas is None or len(own) != 2 or min(own) < 0:
        return aim
    half = np.asarray(canvas.size, float) / _camera(viewer).zoom / 2
    low, high = _bounds(viewer, layer)[:, own]
    return np.where(
        2 * half < high - low, np.clip(aim, low + half, np.maximum(high - half, low + half)), (low + high) / 2
    )


def leave_3d(viewer: Viewer) -> None:
    """Show slices where a volume is seen in 3D, for whoever takes up a tool: none of them draws in 3D."""
    if viewer.dims.ndisplay == 3:
        viewer.dims.ndisplay = 2
        show_info("Back to slices: tools draw there.")


def leave_no_gap(viewer: Viewer, layer: Layer) -> None:
    """Move the camera, at the zoom it has, so that it shows no more of what is beyond a layer than it must."""
    camera = _camera(viewer)
    if viewer.dims.ndisplay == 2:
        camera.center = (0.0, *_within(viewer, layer, np.asarray(camera.center, float)[-2:]))


def screen_pixels(viewer: Viewer, layer: Layer | Frame, n: float) -> float:
    """How many pixels of a layer, or in a frame, so many pixels of the screen show now."""
    return n / float(_camera(viewer).zoom * abs(layer.scale[-1]) * _world_units(viewer, layer)[-1])


def show_whole(viewer: Viewer, layer: Layer) -> None:
    """Show all of a layer, as large as the canvas allows; what lies elsewhere is left out of the view."""
    _step_into(viewer, layer)
    viewer.reset_view()
    (low, high), (first, last) = _bounds(viewer, layer), np.asarray(viewer.layers.extent.world, float)
    offset = viewer.dims.ndim - layer.ndim
    shown = [axis for axis in viewer.dims.displayed if axis >= offset]
    sides = [(last[a] - first[a], high[a - offset] - low[a - offset]) for a in shown]
    camera = _camera(viewer)
    center = np.asarray(camera.center, float)
    center[-len(shown) :] = [(low[a - offset] + high[a - offset]) / 2 for a in shown]
    camera.center = tuple(center)
    # All that is there was fitted; where the layer has another shape some room is left.
    camera.zoom *= min(whole / own for whole, own in sides if own > 0)


def bring_in(viewer: Viewer, layer: Layer) -> None:
    """Show a layer of which nothing is in view: it is on other planes, or beyond the canvas."""
    _step_into(viewer, layer)
    canvas, shown = _canvas(viewer), list(viewer.dims.displayed)
    offset = viewer.dims.ndim - layer.ndim
    if canvas is None or len(shown) != 2 or min(shown) < offset:
        return
    camera = _camera(viewer)
    half, center = np.asarray(canvas.size, float) / camera.zoom / 2, np.asarray(camera.center, float)[-2:]
    low, high = _bounds(viewer, layer)[:, [axis - offset for axis in shown]]
    if np.any(low >= center + half) or np.any(high <= center - half):
        show_whole(viewer, layer)


def _step_into(viewer: Viewer, layer: Layer) -> None:
    """Step to the middle of a layer along the axes whose sliders are beyond it."""
    dims, offset = viewer.dims, viewer.dims.ndim - layer.ndim
    low, high = _bounds(viewer, layer)
    middle = to_world(viewer, layer, np.rint(np.mean(layer.extent.data, axis=0)))
    # From the border of the first pixel to that of the last.
    half = (high - low + np.abs(layer.scale) * _world_units(viewer, layer)) / 2
    for axis in dims.not_displayed:
        own = axis - offset
        if own >= 0 and abs(dims.point[axis] - (low + high)[own] / 2) > half[own]:
            dims.set_point(axis, middle[own])


def shows_whole(viewer: Viewer) -> bool:
    """Whether no pixel of the layers lies beyond the canvas; False where nobody can tell."""
    canvas = _canvas(viewer)
    if canvas is None or not viewer.layers or viewer.dims.ndisplay != 2:
        return False
    camera, shown = _camera(viewer), list(viewer.dims.displayed)
    half, center = np.asarray(canvas.size, float) / camera.zoom / 2, np.asarray(camera.center, float)[-2:]
    low, high = (np.asarray(corner, float)[shown] for corner in viewer.layers.extent.world)
    return bool(np.all(center - half <= low) and np.all(high <= center + half))


def keep_whole(viewer: Viewer) -> None:
    """Show all layers again where a narrower canvas cut them off."""
    if viewer.layers and not shows_whole(viewer):
        viewer.reset_view()


def looked_at(viewer: Viewer, layer: Layer, away: Sequence[float] | float = 0) -> np.ndarray:
    """The pixel of a layer in the middle of the canvas, or so far away from there, one value per axis of it."""
    dims = viewer.dims
    point = np.asarray(dims.point, float)
    point[list(dims.displayed)] = np.add(_camera(viewer).center[-dims.ndisplay :], away)
    return to_pixel(viewer, layer, point)


def in_view(viewer: Viewer, layer: Layer, axes: str) -> tuple[list[int], list[int]]:
    """First pixel that is in view along each axis of a layer, and one past the last; of a pyramid at full resolution.

    Along axes that are not displayed, all planes of a depth count, and of the others only what is looked at. They may
    lie beyond the layer.

    Parameters
    ----------
    viewer : Viewer
        Where.
    layer : Layer
        An Image or Labels layer.
    axes : str
        One letter per axis of the layer.
    """
    array, (first, last) = array_of(layer), _seen(viewer, layer)
    displayed = {int(axis) - viewer.dims.ndim + layer.ndim for axis in viewer.dims.displayed}
    at = looked_at(viewer, layer)
    low, high = [], []
    for axis in range(layer.ndim):
        n, is_depth = array.shape[axis], axes[axis] == "Z"
        if axis in displayed:
            low.append(int(np.floor(first[axis])))
            high.append(int(np.ceil(last[axis])))
        else:
            here = int(np.clip(round(float(at[axis])), 0, n - 1))
            low.append(0 if is_depth else here)
            high.append(n if is_depth else here + 1)
    return low, high


def _seen(viewer: Viewer, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Borders of what is displayed of a layer, in pixels counted from the border of its first one."""
    canvas = _canvas(viewer)
    if canvas is not None and viewer.dims.ndisplay == 2 and not canvas.grid.enabled:
        half = np.asarray(canvas.size, float) / _camera(viewer).zoom / 2
        corners = [looked_at(viewer, layer, half * sides) + 0.5 for sides in product((-1, 1), repeat=2)]
        return np.min(corners, axis=0), np.max(corners, axis=0)
    # Of a pyramid, that is what napari has loaded, in pixels of one of its levels.
    shape, (first, last) = array_of(layer).shape[: layer.ndim], np.asarray(layer.corner_pixels, float)
    level = layer.data[layer.data_level] if getattr(layer, "multiscale", False) else layer.data
    factors = np.divide(shape, level.shape[: layer.ndim])
    return first * factors, (last + 1) * factors
