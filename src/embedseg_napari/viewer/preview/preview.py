"""Previews of a training as layers: made once, then updated in place."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from embedseg_napari.core.files.region import Part, Region
from embedseg_napari.jobs.true_objects import TrueObjects, true_objects
from embedseg_napari.viewer.layers import PREVIEW, RESULT, array_of
from embedseg_napari.viewer.preview.brightness import WholeBrightness
from embedseg_napari.viewer.preview.embeddings import EmbeddingLayers
from embedseg_napari.viewer.preview.part import MOST_PIXELS, part_in_view
from embedseg_napari.viewer.preview.placement import held_out_frame
from embedseg_napari.viewer.preview.preview_layers import PREFIX, PreviewLayers, as_seen
from embedseg_napari.viewer.result_layers import CENTERS, THROUGH, is_shown, show_image, show_labels, show_points
from embedseg_napari.viewer.step_back import SteppedBack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import napari
    from napari.layers import Layer
    from numpy.typing import NDArray

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.config import NormalizationConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.medoid import CenterKind
    from embedseg_napari.core.events import PreviewReady
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.viewer.preview.part import PreviewPart
    from embedseg_napari.viewer.preview.placement import TrainedImage
    from embedseg_napari.viewer.result_layers import Frame

IMAGE, SEED_MAP, LABELS, SEEDS = f"{PREFIX}image", f"{PREFIX}seed map", f"{PREFIX}labels", f"{PREFIX}seeds"
CONTOUR = 2
"""Width in pixels of the outlines of predicted objects: the user's own labels are to be seen below."""
SEED_SCREEN_PIXELS = (5, 12)
"""Least and greatest size of a predicted seed on the screen."""
# Where a point is drawn larger than it is, a border comes out as wide as the point.
SEED_LOOK = {**CENTERS, "border_color": CENTERS["face_color"], "border_width": 0}
LEGEND = "✚_pixel   ●_where_it_points   ◆_true_centre   ◯_margin".replace("_", "\N{NO-BREAK SPACE}")
IN_3D = "Each object's centre and ellipse lie in the slice through its centre; look there, or in 3D."
USERS_OPACITY, OWN_OPACITY = 0.25, 0.5
"""In 3D, of the user's labels and of the predicted ones."""
PARTS_KEPT = 100
"""Of so many parts of layers it is remembered where they lie, until their prediction has come."""
TRUTHS_KEPT = 4
"""Of so many previews the true objects are remembered until their prediction has come."""


@dataclass(eq=False)
class TrainingView:
    """Chooses what is previewed and shows what comes of it.

    Parameters
    ----------
    viewer : napari viewer
        Where previews are shown.
    """

    viewer: napari.viewer.Viewer
    source: Image | None = None
    """Layer to preview; None takes a held-out image, a training image where none is held out, or nothing."""
    axes: str = ""
    """Axes of the source."""
    channel: OneChannel | None = None
    is_flat: bool = False
    """Whether the only plane of the source is previewed as an image without depth."""
    truth: Labels | None = None
    """Labels the source is trained with; only shown beside its previews."""
    center: CenterKind = "medoid"
    """What pixels are trained to point to."""
    is_on: bool = True
    """Whether previews are made."""
    takes_held_out: bool = True
    """Whether a held-out image is previewed where there is no layer to preview."""
    part: PreviewPart | None = None
    trained: Mapping[str, TrainedImage] = field(default_factory=dict)
    """Layers that are trained on, by the names of their images."""
    n_objects: int | None = None
    """True objects in the last preview whose embeddings were wanted; None if there was none, or they are not known."""
    _shown: tuple[PreviewReady | Segmentation, Frame] | None = None
    """What was shown last, and where."""
    _last: str = ""
    """What the last preview was of, and when."""
    _frames: dict[str, tuple[str, Frame]] = field(default_factory=dict)
    """Parts of layers: name of the layer, and where the part lies."""
    _held_out: dict[str, tuple[Example, tuple[int, ...]]] = field(default_factory=dict)
    """Held-out images, and where in them the previewed part begins."""
    _truths: dict[str, TrueObjects] = field(default_factory=dict)
    _brightness: WholeBrightness = field(default_factory=WholeBrightness)
    _flat: tuple[Any, Any] = (None, None)
    """The array of the source, and its only plane: the same one each time, so that it is measured once."""
    _counter: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.previews = PreviewLayers(self.viewer)
        self.embeddings = EmbeddingLayers(self.viewer)
        self._users, self._own = SteppedBack(USERS_OPACITY), SteppedBack(OWN_OPACITY)
        self.viewer.dims.events.ndisplay.connect(self._step_back)

    def begin(self, center: CenterKind = "medoid", trained: Mapping[str, TrainedImage] | None = None) -> None:
        """Get ready for a training.

        Parameters
        ----------
        center : {"medoid", "centroid", "approximate_medoid"}
            What pixels learn to point to.
        trained : mapping, optional
            Layers that are trained on; see :func:`trained_images`.
        """
        self.center, self.trained, self.n_objects, self._last = center, trained or {}, None, ""
        self._truths.clear()
        self._held_out.clear()
        self.previews.begin()
        self.embeddings.begin()
        self.update_part()

    def end(self) -> None:
        """Take the layers away: the training is over. What they showed can still be kept."""
        for _ in self.end_steps():
            pass

    def end_steps(self) -> Iterator[None]:
        """As :meth:`end`, one layer at a time."""
        self._shown, self._brightness = None, WholeBrightness()
        self._own.release()
        for layers in (self.previews, self.embeddings.previews):
            layers.fade()
        yield from self.previews.end_steps()
        yield from self.embeddings.end_steps()
        self._step_back()

    def is_its(self, layer: Layer) -> bool:
        """Whether a layer is shown here."""
        return self.previews.holds(layer) or self.embeddings.previews.holds(layer)

    @property
    def is_of_held_out(self) -> bool:
        """Whether a held-out image is shown, which lies where nobody else's does."""
        return self.previews.get(IMAGE) is not None

    def close_down(self) -> None:
        """Take the layers away and follow the viewer no longer."""
        self.end()
        self.viewer.dims.events.ndisplay.disconnect(self._step_back)

    def keep(self) -> int:
        """Make results of the last preview that stay; their number, 0 where there was none."""
        return sum(layers.keep(f" of {self._last}") for layers in (self.previews, self.embeddings.previews))

    def watch(
        self,
        layer: Image | None,
        axes: str = "",
        channel: OneChannel | None = None,
        truth: Labels | None = None,
        *,
        is_flat: bool = False,
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
        is_flat : bool
            Whether its only plane is an image for a network that knows no depth.
        """
        self.source, self.axes, self.channel, self.truth, self.is_flat = layer, axes, channel, truth, is_flat
        self.n_objects = None
        self.update_part()

    def update_part(self) -> None:
        """Take up where the viewer looks now: the preview follows."""
        layer, axes = self.source, self.axes
        if layer is None or not is_shown(self.viewer, layer) or len(axes) != len(array_of(layer).shape):
            self.source = self.part = None
            return
        truth = self.truth if is_shown(self.viewer, self.truth) else None
        token = f"{layer.name}, view {next(self._counter)}"
        self.part = part_in_view(self.viewer, layer, axes, self.channel, truth, token, self._only_plane(layer))
        self._frames[token] = layer.name, self.part.frame
        while len(self._frames) > PARTS_KEPT:
            self._frames.pop(next(iter(self._frames)))

    def _only_plane(self, layer: Image) -> Any:
        if not self.is_flat:
            return None
        array = array_of(layer)
        if self._flat[0] is not array:
            self._flat = array, array[tuple(0 if letter == "Z" else slice(None) for letter in self.axes)]
        return self._flat[1]

    def example(self, held_out: Example, normalization: NormalizationConfig) -> Example | None:
        """What the next preview is made of, normalised; called in the worker thread, reads no layer."""
        if not self.is_on:
            return None
        part = self.part
        if part is not None:
            objects = part.objects(self.center) if self.embeddings.is_on else None
            self._keep_truth(part.token, objects)
            return part.example(self._brightness, normalization)
        if not self.takes_held_out:
            return None
        from embedseg_napari.core.data.example import Example

        shape, n = held_out.image.shape[1:], held_out.ndim
        sides = [min(size, most) for size, most in zip(shape, MOST_PIXELS[n], strict=True)]
        starts = tuple((size - side) // 2 for size, side in zip(shape, sides, strict=True))
        inside = tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))
        image = held_out.image[(slice(None), *inside)]
        if not held_out.is_normalized:
            whole = Region(held_out.image, "CZYX" if n == 3 else "CYX", "all", (0,) * n, shape)
            image = self._brightness.read(whole, 0, Part(starts, tuple(side.stop for side in inside)), normalization)
        self._held_out[held_out.name] = held_out, starts
        if self.embeddings.is_on:
            self._keep_truth(
                held_out.name,
                true_objects(
                    held_out.instances, inside, center=self.center, spacing=held_out.spacing, planes=held_out.is_planes
                ),
            )
        return Example(held_out.name, image, np.zeros(image.shape[1:], np.int32), is_normalized=True)

    def _keep_truth(self, token: str, objects: TrueObjects | None) -> None:
        if objects is not None:
            self._truths.pop(token, None)
            self._truths[token] = objects
        while len(self._truths) > TRUTHS_KEPT:
            self._truths.pop(next(iter(self._truths)))

    def show(self, event: PreviewReady) -> None:
        """Show a preview; layers the user has removed in this run stay away."""
        for _ in self.steps(event):
            pass

    def steps(self, event: PreviewReady) -> Iterator[None]:
        """As :meth:`show`, one layer at a time."""
        if not self.is_on:
            return
        is_seen = event.name in self._frames
        if is_seen:
            name, frame = self._frames[event.name]
        elif event.name not in self._held_out:
            return
        else:
            held_out, start = self._held_out[event.name]
            trained = self.trained.get(event.name)
            name, frame = event.name, held_out_frame(self.viewer, held_out, trained).at(start)
            is_seen = trained is not None and is_shown(self.viewer, trained.layer)
        self._last = f"{name} at step {event.step}"
        if is_seen:
            self.previews.remove(IMAGE)
        else:
            pixels, look = as_seen(event.image)
            # It lies where nobody has looked yet.
            yield from self.previews.put_steps(
                show_image, IMAGE, pixels, frame=frame, on_new=lambda layer: self.viewer.reset_view(), **look
            )
            yield
        yield from self._object_steps(event, frame, self.source if is_seen else None)
        if self.embeddings.is_on:
            yield
            yield from self._embedding_steps(event, frame)

    def show_objects(self, found: PreviewReady | Segmentation, frame: Frame, image: Image | None) -> None:
        """Show labels, seeds and, hidden at first, the seed map of a preview or of a whole image, above that."""
        for _ in self._object_steps(found, frame, image):
            pass

    def _object_steps(self, found: PreviewReady | Segmentation, frame: Frame, image: Image | None) -> Iterator[None]:
        self.previews.raise_over(image)
        put = self.previews.put_steps
        yield from put(
            show_image, SEED_MAP, found.maps.seed_map, frame=frame, colormap="magma", contrast_limits=(0, 1),
            opacity=0.6, blending="additive", visible=False,
        )  # fmt: skip
        yield
        self._shown = found, frame
        yield from put(show_labels, LABELS, found.labels, frame=frame, opacity=0.9, blending=THROUGH, on_new=_outline)
        self._step_back()
        yield
        seeds = self.previews.get(SEEDS)
        if seeds is not None:
            seeds.selected_data = set()
        # Objects that the border cuts may have their centre beyond it.
        centers = np.clip(found.centers, 0, np.asarray(found.labels.shape) - 1)
        yield from put(
            show_points, SEEDS, centers, frame=frame, features={"score": np.asarray(found.scores)},
            size=3, canvas_size_limits=SEED_SCREEN_PIXELS, **SEED_LOOK,
        )  # fmt: skip

    def _step_back(self, event: object = None) -> None:
        """In 3D labels hide what lies within them: let them be fainter while there is something to see."""
        own = self.previews.get(LABELS)
        if own is None or not own.visible or self.viewer.dims.ndisplay < 3:
            self._users.release()
            self._own.release()
        else:
            is_others = (layer for layer in self.viewer.layers if layer.metadata.get(RESULT) != PREVIEW)
            self._users.hold(layer for layer in is_others if isinstance(layer, Labels))
            self._own.hold([own])

    def seen_objects(self, frame: Frame, shape: tuple[int, ...]) -> NDArray[np.int32] | None:
        """The predicted objects that are seen now, for each pixel ((Z,) Y, X) of an image; None if there are none."""
        layer = self.previews.get(LABELS)
        if self._shown is None or layer is None or not layer.visible:
            return None
        labels, start = self._shown[0].labels, self._start(frame, shape)
        if start is None or labels.shape == shape:
            return None if start is None else labels
        whole = np.zeros(shape, np.int32)
        whole[tuple(slice(low, low + n) for low, n in zip(start, labels.shape, strict=True))] = labels
        return whole

    def known_maps(self, frame: Frame, shape: tuple[int, ...]) -> tuple[EmbeddingMaps, tuple[int, ...]] | None:
        """The maps behind what was shown last, and their first pixel in an image; None if they are not of it."""
        start = self._start(frame, shape)
        return None if start is None or self._shown is None else (self._shown[0].maps, start)

    def _start(self, frame: Frame, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """First pixel of what was shown last in an image, if it lies within that."""
        if self._shown is None:
            return None
        sides, pixels = self._shown[0].labels.shape, self._shown[1].pixels_from(frame)
        if pixels is None or len(pixels) != len(shape):
            return None
        start = tuple(round(pixel) for pixel in pixels)
        is_inside = all(low >= 0 and low + n <= size for low, n, size in zip(start, sides, shape, strict=True))
        return start if is_inside else None

    def forget_objects(self) -> None:
        """Take the predicted objects that are shown no longer for those of the image that is looked at: hide them."""
        self._shown = None
        self.previews.hide()
        self._step_back()

    def forget_preview(self) -> None:
        """Another image was chosen: hide what was shown of the one before, and show nothing more that comes of it."""
        self._frames.clear()
        self._held_out.clear()
        self.forget_objects()
        self.embeddings.clear()

    def is_expected(self, event: PreviewReady) -> bool:
        """Whether it is known where a preview belongs."""
        return event.name in self._frames or event.name in self._held_out

    def _embedding_steps(self, event: PreviewReady, frame: Frame) -> Iterator[None]:
        objects = self._truths.get(event.name)
        self.n_objects = None if objects is None else len(objects.ids)
        if objects is None:
            self.embeddings.clear()
        else:
            yield from self.embeddings.steps(event.maps, objects, frame)

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
        # Until a preview comes there is nothing that the signs belong to.
        coming = "The next preview shows them:\n" if self.n_objects is None else ""
        return f"{coming}{LEGEND}\n{IN_3D}" if is_3d else f"{coming}{LEGEND}"


def _outline(layer: Any) -> None:
    layer.contour = CONTOUR
