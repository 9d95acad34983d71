"""Previews of a training as layers: made once, then updated in place."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.viewer.layers import (
    Frame,
    array_of,
    is_shown,
    show_image,
    show_labels,
    show_points,
    spatial_frame,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from embedseg_napari.core.data.pairs import Example
    from embedseg_napari.core.events import PreviewReady

MOST_PIXELS = {2: (512, 512), 3: (32, 128, 128)}
"""Part of an image that is previewed, pixels per axis (z, y, x): two cores predict it in about a second."""
IMAGE, SEED_MAP, LABELS, SEEDS = "preview: image", "preview: seed map", "preview: labels", "preview: seeds"
CONTOUR = 2
"""Width in pixels of the outlines of predicted objects."""
MARK = "embedseg-preview"
"""Entry of a layer's metadata by which a preview is told from the user's own layers."""


@dataclass(frozen=True)
class PreviewPart:
    """A part of a layer that shall be previewed; holds no layer, so that the worker thread may read it."""

    token: str
    array: Any
    axes: str
    """Of `array`: C and (Z)YX in any order."""
    frame: Frame

    def example(self) -> Example:
        """Read the pixels; the labels stay empty, for a preview knows no truth."""
        from embedseg_napari.core.axes import to_frames
        from embedseg_napari.core.data.pairs import Example

        image = to_frames(np.asarray(self.array), self.axes)[0]
        return Example(self.token, image, np.zeros(image.shape[1:], np.int32))


def is_preview(layer: Layer) -> bool:
    """Whether a layer was made by a training."""
    return bool(layer.metadata.get(MARK, False))


@dataclass
class TrainingView:
    """Chooses what is previewed and shows what comes of it.

    Parameters
    ----------
    viewer : napari viewer
        Where previews are shown.
    """

    viewer: napari.viewer.Viewer
    source: Image | None = None
    """Layer to preview; None takes a held-out image."""
    axes: str = ""
    """Axes of the source."""
    channel: int | None = None
    is_on: bool = True
    """Whether previews are made."""
    part: PreviewPart | None = None
    layers: dict[str, Any] = field(default_factory=dict)
    _frames: dict[str, Frame] = field(default_factory=dict)
    _counter: Any = field(default_factory=itertools.count)
    _refused: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Get ready for a training."""
        self._refused.clear()
        self.layers = {name: layer for name, layer in self.layers.items() if is_shown(self.viewer, layer)}
        self.update_part()

    def watch(self, layer: Image | None, axes: str = "", channel: int | None = None) -> None:
        """Preview a layer, or with None a held-out image.

        Parameters
        ----------
        layer : napari Image layer, optional
            What to preview.
        axes : str
            Its axes, such as ``"TYX"`` where each frame is an image.
        channel : int, optional
            The only channel the network sees.
        """
        self.source, self.axes, self.channel = layer, axes, channel
        self.update_part()

    def update_part(self) -> None:
        """Take up where the viewer looks now: the preview follows."""
        layer, axes = self.source, self.axes
        if layer is None or not is_shown(self.viewer, layer) or len(axes) != len(array_of(layer).shape):
            self.source = self.part = None
            return
        array = array_of(layer)
        looked_at = np.asarray(layer.world_to_data(self._looked_at(layer.ndim)))
        index: list[Any] = [slice(None)] * len(axes)
        frame = spatial_frame(layer, axes)
        space = [axes.index(letter) for letter in "ZYX" if letter in axes]
        start = []
        for axis, most in zip(space, MOST_PIXELS[len(space)], strict=True):
            side = min(array.shape[axis], most)
            first = int(np.clip(round(looked_at[axis]) - side // 2, 0, array.shape[axis] - side))
            index[axis] = slice(first, first + side)
            start.append(first)
        if "T" in axes:
            time = axes.index("T")
            index[time] = int(np.clip(round(looked_at[time]), 0, array.shape[time] - 1))
            frame = _without_time(frame)
        if self.channel is not None and "C" in axes:
            index[axes.index("C")] = slice(self.channel, self.channel + 1)
        token = f"{layer.name} {next(self._counter)}"
        frame = frame.at(start)
        self._remember(token, frame)
        self.part = PreviewPart(token, array[tuple(index)], axes.replace("T", ""), frame)

    def _remember(self, token: str, frame: Frame) -> None:
        self._frames[token] = frame
        while len(self._frames) > 100:
            self._frames.pop(next(iter(self._frames)))

    def _looked_at(self, ndim: int) -> np.ndarray:
        """World point in the middle of the canvas, for a layer of `ndim` axes."""
        dims = self.viewer.dims
        point = np.asarray(dims.point, float)
        # Since napari 0.9 the camera belongs to the viewer's scene.
        camera = getattr(self.viewer, "scene", self.viewer).camera
        point[list(dims.displayed)] = np.asarray(camera.center, float)[-dims.ndisplay :]
        return np.concatenate([np.zeros(max(ndim - len(point), 0)), point])[-ndim:]

    def example(self, held_out: Example) -> Example | None:
        """What the next preview is made of; called in the worker thread, reads no layer."""
        if not self.is_on:
            return None
        part = self.part
        if part is not None:
            return part.example()
        from embedseg_napari.core.data.pairs import Example

        shape, n = held_out.image.shape[1:], held_out.ndim
        sides = [min(size, most) for size, most in zip(shape, MOST_PIXELS[n], strict=True)]
        starts = [(size - side) // 2 for size, side in zip(shape, sides, strict=True)]
        image = held_out.image[(slice(None), *(slice(a, a + side) for a, side in zip(starts, sides, strict=True)))]
        axes = "ZYX"[-n:]
        self._remember(
            held_out.name,
            Frame(
                axes, held_out.spacing or (1.0,) * n, (0.0,) * n, (held_out.unit or "pixel",) * n, tuple(axes.lower())
            ),
        )
        return Example(held_out.name, image, np.zeros(image.shape[1:], np.int32))

    def show(self, event: PreviewReady) -> None:
        """Show a preview; layers the user has removed in this run stay away."""
        frame = self._frames.get(event.name)
        if frame is None or not self.is_on:
            return
        if self.part is None:
            self._put(show_image, IMAGE, event.image[0], frame, colormap="gray")
        self._put(
            show_image, SEED_MAP, event.seed_map, frame, colormap="magma", contrast_limits=(0, 1), opacity=0.6,
            blending="additive", visible=False,
        )  # fmt: skip
        self._put(show_labels, LABELS, event.labels, frame, opacity=0.9)
        seeds = self.layers.get(SEEDS)
        if seeds is not None and is_shown(self.viewer, seeds):
            seeds.selected_data = set()
        self._put(
            show_points, SEEDS, event.centers, frame, features={"score": np.asarray(event.scores)}, size=6,
            face_color="white", border_color="black", symbol="cross",
        )  # fmt: skip

    def _put(self, show: Any, name: str, data: np.ndarray, frame: Frame, **options: Any) -> None:
        layer = self.layers.pop(name, None)
        if layer is not None and not is_shown(self.viewer, layer):
            # The user took it away: that stays so until the next training.
            self._refused.add(name)
        if name in self._refused:
            return
        if layer is not None and layer.ndim != frame.ndim:
            self.viewer.layers.remove(layer)
        shown = show(self.viewer, name, data, frame=frame, into=layer, metadata={MARK: True}, **options)
        if name == LABELS and shown is not layer:
            # Outlines leave the user's own labels to be seen below.
            shown.contour = CONTOUR
        self.layers[name] = shown

    def remove_layers(self) -> None:
        """Take the previews away."""
        for layer in self.layers.values():
            if is_shown(self.viewer, layer):
                self.viewer.layers.remove(layer)
        self.layers.clear()


def _without_time(frame: Frame) -> Frame:
    """The frame of a single image of a time-lapse; napari shows it beside every time point."""
    kept = [i for i, letter in enumerate(frame.axes) if letter != "T"]
    return replace(
        frame,
        axes="".join(frame.axes[i] for i in kept),
        scale=tuple(frame.scale[i] for i in kept),
        translate=tuple(frame.translate[i] for i in kept),
        units=tuple(frame.units[i] for i in kept),
        axis_labels=tuple(frame.axis_labels[i] for i in kept),
        transform=(),
    )
