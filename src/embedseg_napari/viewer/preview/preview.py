"""Previews of a training as layers: made once, then updated in place."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, reorder, result_axes
from embedseg_napari.jobs.true_objects import TrueObjects, around, true_objects
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.preview.embeddings import EmbeddingLayers
from embedseg_napari.viewer.preview.preview_layers import PreviewLayers
from embedseg_napari.viewer.result_layers import Frame, is_shown, show_image, show_labels, show_points, spatial_frame

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.core.events import PreviewReady
    from embedseg_napari.core.inference.segmentation import Segmentation

MOST_PIXELS = {2: (512, 512), 3: (32, 128, 128)}
"""Part of an image that is previewed, pixels per axis (z, y, x): two cores predict it in about a second."""
IMAGE, SEED_MAP, LABELS, SEEDS = "preview: image", "preview: seed map", "preview: labels", "preview: seeds"
CONTOUR = 2
"""Width in pixels of the outlines of predicted objects."""
SEED_SCREEN_PIXELS = (8, 16)
"""Least and greatest size of a predicted seed on the screen."""
LEGEND = "✚ pixel   ● where it points   ◆ true centre   ◯ margin"
IN_3D = "Each object's centre and ellipse lie in the slice through its centre; look there, or in 3D."
TRUTHS_KEPT = 4
"""Of so many previews the true objects are remembered until their prediction has come."""


@dataclass(frozen=True)
class PreviewPart:
    """A part of a layer that shall be previewed; holds no layer, so that the worker thread may read it."""

    token: str
    name: str
    """Of the layer."""
    array: Any
    axes: str
    """Of `array`: (C)(Z)YX."""
    frame: Frame
    truth: Any = None
    """Labels ((Z,) Y, X) of the part and its surroundings, where they are known."""
    inside: tuple[slice, ...] = ()
    """Where in `truth` the part lies."""
    is_mean: bool = False
    """Whether the network sees the mean of its channels."""

    def example(self) -> Example:
        """Read the pixels; the labels stay empty, for a preview knows no truth."""
        from embedseg_napari.core.axes import to_frames
        from embedseg_napari.core.data.example import Example

        image = to_frames(np.asarray(self.array), self.axes)[0]
        if self.is_mean:
            image = image.mean(0, dtype=np.float32, keepdims=True)
        return Example(self.token, image, np.zeros(image.shape[1:], np.int32))

    def objects(self, center: CenterKind) -> TrueObjects | None:
        """Read the true objects, to be shown beside a prediction; None if they are not known."""
        if self.truth is None:
            return None
        return true_objects(np.asarray(self.truth), self.inside, center=center, spacing=self.frame.spacing())


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
    channel: OneChannel | None = None
    truth: Labels | None = None
    """Labels the source is trained with; only shown beside its previews."""
    center: CenterKind = "medoid"
    """What pixels are trained to point to."""
    is_on: bool = True
    """Whether previews are made."""
    part: PreviewPart | None = None
    n_objects: int | None = None
    """True objects in the last preview whose embeddings were wanted; None if there was none, or they are not known."""
    _shown: tuple[NDArray[np.int32], Frame] | None = None
    """Predicted objects that were shown last, and where."""
    _frames: dict[str, Frame] = field(default_factory=dict)
    _truths: dict[str, TrueObjects] = field(default_factory=dict)
    _counter: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.previews = PreviewLayers(self.viewer)
        self.embeddings = EmbeddingLayers(self.viewer)

    def begin(self, center: CenterKind = "medoid") -> None:
        """Get ready for a training whose pixels learn to point to centres of a kind."""
        self.center, self.n_objects = center, None
        self._truths.clear()
        self.previews.begin()
        self.embeddings.begin()
        self.update_part()

    def watch(
        self, layer: Image | None, axes: str = "", channel: OneChannel | None = None, truth: Labels | None = None
    ) -> None:
        """Preview a layer, or with None a held-out image.

        Parameters
        ----------
        layer : napari Image layer, optional
            What to preview.
        axes : str
            Its axes, such as ``"TYX"`` where each frame is an image.
        channel : int or "mean", optional
            The only channel the network sees, or the mean of all.
        truth : napari Labels layer, optional
            Its true objects, with the axes of the image but the channels.
        """
        self.source, self.axes, self.channel, self.truth = layer, axes, channel, truth
        self.n_objects = None
        self.update_part()

    def update_part(self) -> None:
        """Take up where the viewer looks now: the preview follows."""
        layer, axes = self.source, self.axes
        if layer is None or not is_shown(self.viewer, layer) or len(axes) != len(array_of(layer).shape):
            self.source = self.part = None
            return
        frame, looked_at = spatial_frame(layer, axes), layer.world_to_data(self._looked_at(layer.ndim))
        looked_at = dict(zip(axes, looked_at, strict=False))
        array, axes = reorder(array_of(layer), axes, ordered(axes)), ordered(axes)
        index: list[Any] = [slice(None)] * len(axes)
        space = [axes.index(letter) for letter in "ZYX" if letter in axes]
        start = []
        for axis, most in zip(space, MOST_PIXELS[len(space)], strict=True):
            side = min(array.shape[axis], most)
            first = int(np.clip(round(looked_at[axes[axis]]) - side // 2, 0, array.shape[axis] - side))
            index[axis] = slice(first, first + side)
            start.append(first)
        if "T" in axes:
            axis = axes.index("T")
            index[axis] = int(np.clip(round(looked_at["T"]), 0, array.shape[axis] - 1))
            frame = frame.without("T")
        is_mean = self.channel == "mean"
        if isinstance(self.channel, int) and "C" in axes:
            index[axes.index("C")] = slice(self.channel, self.channel + 1)
        token = f"{layer.name} {next(self._counter)}"
        frame = frame.at(start)
        self._remember(token, frame)
        truth, inside = self._truth_around(
            [index[axis] for axis in space], index[axes.index("T")] if "T" in axes else None
        )
        part, left = array[tuple(index)], axes.replace("T", "")
        self.part = PreviewPart(token, layer.name, part, left, frame, truth, inside, is_mean)

    def _truth_around(self, part: list[slice], time: int | None) -> tuple[Any, tuple[slice, ...]]:
        """Labels of a part and half its size around it, unread, and where the part lies in them."""
        shape = [n for n, letter in zip(array_of(self.source).shape, self.axes, strict=True) if letter != "C"]
        if not is_shown(self.viewer, self.truth) or list(array_of(self.truth).shape) != shape:
            return None, ()
        own = result_axes(self.axes)
        labels = reorder(array_of(self.truth), own, ordered(own))
        return around(labels if time is None else labels[time], part)

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
            objects = part.objects(self.center) if self.embeddings.is_on else None
            self._keep_truth(part.token, objects)
            return part.example()
        from embedseg_napari.core.data.example import Example

        shape, n = held_out.image.shape[1:], held_out.ndim
        sides = [min(size, most) for size, most in zip(shape, MOST_PIXELS[n], strict=True)]
        starts = [(size - side) // 2 for size, side in zip(shape, sides, strict=True)]
        inside = tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))
        image = held_out.image[(slice(None), *inside)]
        axes = "ZYX"[-n:]
        self._remember(
            held_out.name,
            Frame(
                axes, held_out.spacing or (1.0,) * n, (0.0,) * n, (held_out.unit or "pixel",) * n, tuple(axes.lower())
            ),
        )
        if self.embeddings.is_on:
            self._keep_truth(
                held_out.name,
                true_objects(
                    held_out.instances, inside, center=self.center, spacing=held_out.spacing, planes=held_out.is_planes
                ),
            )
        return Example(held_out.name, image, np.zeros(image.shape[1:], np.int32))

    def _keep_truth(self, token: str, objects: TrueObjects | None) -> None:
        if objects is not None:
            self._truths.pop(token, None)
            self._truths[token] = objects
        while len(self._truths) > TRUTHS_KEPT:
            self._truths.pop(next(iter(self._truths)))

    def show(self, event: PreviewReady) -> None:
        """Show a preview; layers the user has removed in this run stay away."""
        frame = self._frames.get(event.name)
        if frame is None or not self.is_on:
            return
        if self.part is None:
            self.previews.put(show_image, IMAGE, event.image[0], frame=frame, colormap="gray")
        self.show_objects(event, frame)
        if self.embeddings.is_on:
            self._show_embeddings(event, frame)

    def show_objects(self, found: PreviewReady | Segmentation, frame: Frame) -> None:
        """Show labels, seeds and, hidden at first, the seed map of a preview or of a whole image."""
        put = self.previews.put
        self._shown = found.labels, frame
        put(
            show_image, SEED_MAP, found.maps.seed_map, frame=frame, colormap="magma", contrast_limits=(0, 1),
            opacity=0.6, blending="additive", visible=False,
        )  # fmt: skip
        put(show_labels, LABELS, found.labels, frame=frame, opacity=0.9, on_new=_outline)
        seeds = self.previews.get(SEEDS)
        if seeds is not None:
            seeds.selected_data = set()
        put(
            show_points, SEEDS, found.centers, frame=frame, features={"score": np.asarray(found.scores)},
            size=3, face_color="white", border_color="black", symbol="cross",
            canvas_size_limits=SEED_SCREEN_PIXELS,
        )  # fmt: skip

    def seen_objects(self, frame: Frame, shape: tuple[int, ...]) -> NDArray[np.int32] | None:
        """The predicted objects that are seen now, for each pixel ((Z,) Y, X) of an image; None if there are none."""
        layer = self.previews.get(LABELS)
        if self._shown is None or layer is None or not layer.visible:
            return None
        labels, at = self._shown
        if labels.shape == shape and at == frame:
            return labels
        pixels = at.pixels_from(frame)
        if pixels is None:
            return None
        start = [round(pixel) for pixel in pixels]
        if any(low < 0 or low + n > size for low, n, size in zip(start, labels.shape, shape, strict=True)):
            return None
        whole = np.zeros(shape, np.int32)
        whole[tuple(slice(low, low + n) for low, n in zip(start, labels.shape, strict=True))] = labels
        return whole

    def forget_objects(self) -> None:
        """Take the predicted objects that are shown no longer for those of the image that is looked at: hide them."""
        self._shown = None
        self.previews.hide()

    def _show_embeddings(self, event: PreviewReady, frame: Frame) -> None:
        objects = self._truths.get(event.name)
        self.n_objects = None if objects is None else len(objects.ids)
        if objects is None:
            self.embeddings.clear()
        else:
            self.embeddings.show(event.maps, objects, frame)

    def embedding_hint(self) -> str:
        """What the marks of embeddings mean, or why there are none."""
        if not self.is_on:
            return "Embeddings come with the live preview; switch it on."
        if self.part is not None and self.part.truth is None:
            name = self.part.name
            return f"No true objects are known for {name}; preview an image that is trained on to see its embeddings."
        if self.n_objects == 0:
            return "No labelled object lies in the part that is previewed; move the view to one."
        is_3d = self.part is not None and self.part.frame.ndim == 3
        return f"{LEGEND}\n{IN_3D}" if is_3d else LEGEND


def _outline(layer: Any) -> None:
    # The user's own labels are to be seen below.
    layer.contour = CONTOUR
