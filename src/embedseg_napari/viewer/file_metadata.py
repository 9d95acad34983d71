"""What napari's own reader of TIFF and Zarr leaves out: pixel size, units, the meaning of axes, names of channels.

Napari opens them as bare arrays, and labels as images. When a layer that came from such a file appears, the metadata is
read from the file and the layer completed; labels that were written here become a Labels layer. Claiming files with a
reader of our own would make napari ask for a reader at every one.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer

from embedseg_napari.core.axes import KNOWN, guess_axes, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.brightness import is_opaque
from embedseg_napari.core.files.formats import PICTURES
from embedseg_napari.core.files.metadata import read_metadata
from embedseg_napari.core.files.ngff import read_ngff
from embedseg_napari.core.files.picture import TIFF
from embedseg_napari.core.files.tiff import MADE_BY, read_software
from embedseg_napari.viewer.as_labels import name_planes, turn_into_labels
from embedseg_napari.viewer.layers import CHANNEL_NAMES, FRAME_INTERVAL, array_of, named_axes
from embedseg_napari.viewer.unopened import unopened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.files.metadata import Steps

logger = logging.getLogger(__name__)

PIXEL = "pixel"
TYPED = "embedseg_pixel_size_typed"
"""Key in the metadata of layers whose pixel size a person has written in a panel."""

_completed: set[object] = set()
"""Unique ids of layers that were looked at: what a user changes afterwards stays."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about its first image."""

    shape: tuple[int, ...]
    axes: str
    """Letters of its axes; empty if the file leaves some open."""
    spacing: tuple[float, float, float] | None
    """Physical pixel size (z, y, x); z is that of x where the file does not give one."""
    unit: str | None
    channel_names: tuple[str, ...]
    interval: float | None
    """Seconds between its time points."""


class _Watcher:
    """Completes the layers that are inserted into one viewer; it does not keep the viewer alive."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self._step: tuple[int, ...] = ()
        """Where the sliders stood before a layer came: it may move them before it has its size."""
        self._arrived: dict[object, tuple[bool, bool]] = {}
        """By the unique id of a layer that napari is just adding: whether it is new, and whether it got its size."""
        viewer.layers.events.inserting.connect(self.on_inserting)
        inserted = viewer.layers.events.inserted
        # All callbacks of napari come before those of others, and one of them draws the layer: without its units by
        # then, these would be said to be inconsistent with those of the others. Between its first two it is early.
        first, second = inserted.callbacks[:2]
        inserted.connect(self.on_arrival, after=first, before=second)
        inserted.connect(self.on_inserted)

    def on_inserting(self, event: Any = None) -> None:
        """Remember where the sliders stand."""
        viewer = self._viewer()
        self._step = () if viewer is None else tuple(viewer.dims.current_step)

    def on_arrival(self, event: Any) -> None:
        """Complete a new layer before anything is done with it."""
        viewer, layer = self._viewer(), event.value
        is_new = layer.unique_id not in _completed
        is_sized = complete(layer) or (viewer is not None and _take_size(layer, viewer.layers))
        self._arrived[layer.unique_id] = is_new, is_sized

    def on_inserted(self, event: Any) -> None:
        """Go on with a new layer once all of napari knows it; the first one is fitted into the window."""
        viewer = self._viewer()
        is_new, is_sized = self._arrived.pop(event.value.unique_id, (False, False))
        if viewer is None:
            return
        step = tuple(viewer.dims.current_step)
        if is_new:
            _turn_own_labels(viewer, event.value)
        if is_sized and len(viewer.layers) == 1:
            _fit(viewer, step)
        # Files come in any order: of an image that has its size now, labels may be there.
        changed = [
            _take_size(layer, viewer.layers)
            for layer in tuple(viewer.layers)
            if layer == event.value or _path_of_labels(layer) is not None
        ]
        # Until it has its size, a layer may reach so far that napari moves the sliders to its end.
        is_resized = any(changed) or (is_sized and len(viewer.layers) > 1)
        if is_resized and len(self._step) == viewer.dims.ndim:
            viewer.dims.set_current_step(range(len(self._step)), self._step)


_watchers: weakref.WeakKeyDictionary[Viewer, _Watcher] = weakref.WeakKeyDictionary()
"""Napari holds only weak references to the owners of callbacks."""


def watch_layers(viewer: Viewer) -> None:
    """Complete the layers of a viewer that came from TIFF or OME-Zarr, and all that come later; explain what fails.

    Every list of layers calls this, and with it every panel that opens; calling it again does no harm.
    """
    unopened.watch()
    # Plugins get a new proxy of the viewer each time.
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _watchers:
        _watchers[viewer] = _Watcher(viewer)
    step = tuple(viewer.dims.current_step)
    changed = [_take(viewer, layer) for layer in viewer.layers]
    changed = [one or _take_size(layer, viewer.layers) for one, layer in zip(changed, viewer.layers, strict=True)]
    if any(changed) and len(viewer.layers) == sum(changed):
        _fit(viewer, step)


def _take(viewer: Viewer, layer: Layer) -> bool:
    """Complete a layer; if it is new and its file says that it holds labels written here, it becomes a Labels layer."""
    is_new = layer.unique_id not in _completed
    is_sized = complete(layer)
    if is_new:
        _turn_own_labels(viewer, layer)
    return is_sized


def _turn_own_labels(viewer: Viewer, layer: Layer) -> None:
    """Let a new layer become a Labels layer if its file says that it holds labels written here."""
    if _holds_own_labels(layer):
        known = weakref.ref(viewer)
        # Others hear of the layer only now, and must not find that it is gone.
        QTimer.singleShot(0, lambda: _turn(known(), layer))


def _holds_own_labels(layer: Layer) -> bool:
    from napari.layers import Image

    path = layer.source.path
    if not isinstance(layer, Image) or path is None or Path(path).suffix.lower() not in TIFF:
        return False
    array = array_of(layer)
    return isinstance(array, np.ndarray) and array.dtype.kind in "ui" and read_software(Path(path)).startswith(MADE_BY)


def _turn(viewer: Viewer | None, layer: Any) -> None:
    if viewer is not None and layer in viewer.layers:
        labels = turn_into_labels(viewer, layer)
        show_info(f"{labels.name} is opened as labels.")


def _fit(viewer: Viewer, step: tuple[int, ...]) -> None:
    """Fit layers that have their size now into the window, and stay at the planes that are looked at."""
    viewer.reset_view()
    if len(step) == viewer.dims.ndim:
        viewer.dims.set_current_step(range(len(step)), step)


def on_activate(_: Any) -> None:
    """Watch the viewer in which the plugin is used for the first time; the manifest names this."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        watch_layers(viewer)


def complete(layer: Layer) -> bool:
    """Give an Image or Labels layer what its file says and the layer does not; True if its size changed.

    Scale and units are left alone where somebody (another reader, the user) has set them, axis labels likewise. An
    alpha channel that changes nothing is left out. Each layer is looked at once.
    """
    from napari.layers import Image, Labels

    if not isinstance(layer, (Image, Labels)) or layer.unique_id in _completed:
        return False
    _completed.add(layer.unique_id)
    path = layer.source.path
    shape = tuple(array_of(layer).shape)
    if path is not None and Path(path).suffix.lower() in (*PICTURES, *TIFF):
        _leave_out_alpha(layer)
    try:
        header = None if path is None else _header_of(Path(path), shape)
    except (DataError, OSError) as error:
        # The image is open already; all that is missing is the size of its pixels. Its disk may be gone.
        logger.warning("%s", error)
        return False
    if header is None:
        return False
    if header.shape != shape:
        logger.info("%s: the layer has another shape than the file; its metadata is left out.", path)
        return False
    axes = header.axes or guess_axes(header.shape)
    letters = axes[:-1] if getattr(layer, "rgb", False) else axes
    if len(letters) != layer.ndim:
        return False
    if header.axes and _has_plain_labels(layer):
        layer.axis_labels = axis_labels(letters)
        if isinstance(layer, Labels):
            name_planes(layer)
    if header.channel_names and CHANNEL_NAMES not in layer.metadata:
        layer.metadata = {**layer.metadata, CHANNEL_NAMES: list(header.channel_names)}
    if header.interval is not None and FRAME_INTERVAL not in layer.metadata:
        layer.metadata = {**layer.metadata, FRAME_INTERVAL: header.interval}
    if header.spacing is None or not has_plain_scale(layer):
        return False
    spacing = header.spacing[-len(spatial_axes(axes)) :]
    set_pixel_size(layer, axis_scale(letters, spacing), axis_units(letters, header.unit))
    return True


def _leave_out_alpha(layer: Layer) -> None:
    """Take the alpha channel from colours that are opaque, as reading their file does; they look as before."""
    colours = layer.data
    if not getattr(layer, "rgb", False) or not isinstance(colours, np.ndarray) or colours.shape[-1] != 4:
        return
    if is_opaque(colours[..., 3]):
        layer.data = np.ascontiguousarray(colours[..., :3])


def _path_of_labels(layer: Layer) -> str | None:
    """The file that labels were opened from."""
    from napari.layers import Labels

    return (layer.source.path or layer.metadata.get("path")) if isinstance(layer, Labels) else None


def _take_size(layer: Layer, others: Iterable[Layer]) -> bool:
    """Give a layer that says nothing of its pixels a size that counts for it, too; True if it did.

    It is what was written for a layer of its shape, and for labels of a file that of the images of their shape: masks
    are often saved without it, and would lie on other planes.
    """
    from napari.layers import Image, Labels

    if not isinstance(layer, (Image, Labels)) or not has_plain_scale(layer):
        return False
    shape, n = tuple(array_of(layer).shape), layer.ndim
    for other in others:
        if other.metadata.get(TYPED) and tuple(array_of(other).shape) == shape and _may_share_axes(layer, other):
            set_pixel_size(layer, other.scale, other.units)
            return True
    if _path_of_labels(layer) is None:
        return False
    images = [one for one in others if isinstance(one, Image) and array_of(one).shape[: one.ndim][-n:] == shape]
    sizes = {(tuple(one.scale[-n:]), tuple(map(str, one.units[-n:]))) for one in images}
    if len(sizes) != 1 or all(has_plain_scale(one) for one in images):
        return False
    set_pixel_size(layer, *sizes.pop())
    return True


def _may_share_axes(layer: Layer, other: Layer) -> bool:
    """Whether two layers of one shape do not name different axes."""
    own, there = (named_axes(one.axis_labels, one.ndim) for one in (layer, other))
    return not own or not there or own == there


def _header_of(path: Path, shape: tuple[int, ...]) -> Header | None:
    """What the file of a layer of this shape says; None if it is of a kind that says nothing here."""
    if path.is_dir():
        found = read_ngff(path)
        if found is None or len(found[0]) != len(shape):
            return None
        axes, metadata = found
        names = metadata.channel_names
        fits = "C" in axes and len(names) == shape[axes.index("C")]
        return Header(shape, axes, _whole(metadata.steps), metadata.unit, names if fits else (), metadata.interval)
    return read_header(path) if path.suffix.lower() in TIFF and path.is_file() else None


def _whole(steps: Steps | None) -> tuple[float, float, float] | None:
    """Pixel size (z, y, x); slices are as far apart as pixels where nothing is said of them."""
    return None if steps is None else (steps[2] if steps[0] is None else steps[0], steps[1], steps[2])


def read_header(path: str | Path) -> Header:
    """Read what a TIFF says about its first image, without its pixels.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            shape, named = tuple(int(n) for n in series.shape), series.axes
            found = read_metadata(tif)
    except Exception as error:
        # On damaged files the TIFF library raises errors of a dozen unrelated types.
        raise DataError(f"{path}: its metadata cannot be read ({error}); pixel size and axes are left open.") from error
    letters = named.upper().replace("S", "C")
    is_known = set(letters) <= set(KNOWN) and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)
    axes = letters if is_known else ""
    names = found.channel_names
    if "C" not in axes or len(names) != shape[axes.index("C")]:
        names = ()
    return Header(shape, axes, _whole(found.steps), found.unit, names, found.interval)


def axis_labels(axes: str) -> tuple[str, ...]:
    """Labels of a layer's axes: the letters in lower case, as napari's own readers write them."""
    return tuple(axes.lower())


def set_pixel_size(layer: Layer, scale: Any, units: Any) -> None:
    """Say how large the pixels of a layer are, one value per axis.

    The units come first: napari goes on with the way from the world to pixels that it knows until a scale is set, so
    that after units alone points are looked for on planes where none are.
    """
    layer.units = units
    layer.scale = scale


def axis_scale(axes: str, spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Scale of a layer: pixel size (z, y, x) on its spatial axes, 1 on time and channels."""
    space = spatial_axes(axes)
    if spacing is None:
        return (1.0,) * len(axes)
    sizes = dict(zip(space, spacing, strict=True))
    return tuple(float(sizes.get(letter, 1.0)) for letter in axes)


def axis_units(axes: str, unit: str | None) -> tuple[str, ...]:
    """Units of a layer: that of its pixel size on spatial axes where napari knows it, else pixels."""
    known = unit if unit and _is_length(unit) else PIXEL
    return tuple(known if letter in "ZYX" else PIXEL for letter in axes)


def _is_length(unit: str) -> bool:
    import pint

    with contextlib.suppress(pint.PintError, ValueError, TypeError, AttributeError):
        return bool(pint.get_application_registry().Unit(unit).is_compatible_with("meter"))
    logger.info("The unit %r is unknown; sizes are shown without unit.", unit)
    return False


def has_plain_scale(layer: Layer) -> bool:
    """Whether nobody has said how large the pixels of a layer are."""
    return bool(np.all(np.asarray(layer.scale) == 1)) and all(str(unit) == PIXEL for unit in layer.units)


def _has_plain_labels(layer: Layer) -> bool:
    """Whether axes have the names that napari makes up: -2, -1 or axis -2, axis -1."""
    return all(str(label).removeprefix("axis ").lstrip("-").isdecimal() for label in layer.axis_labels)
