"""The layers that a person annotates an image with: Labels to paint on, and regions that are fully annotated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.states import BACKGROUND, next_free_label
from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import AnnotationError, DataError
from embedseg_napari.core.session.state import kind_of, spatial_shape
from embedseg_napari.viewer.annotation_pixels import free_copy, without_copy
from embedseg_napari.viewer.camera import leave_3d
from embedseg_napari.viewer.label.drawing.brush import Brush
from embedseg_napari.viewer.label.drawing.colors import annotation_colors
from embedseg_napari.viewer.label.drawing.protected_objects import ProtectedObjects
from embedseg_napari.viewer.label.drawing.region_layer import RegionLayer
from embedseg_napari.viewer.large.annotated_part import origin_of
from embedseg_napari.viewer.layers import ANNOTATION, ITSELF, array_of, path_of, picture_of
from embedseg_napari.viewer.pixel_changes import take_back
from embedseg_napari.viewer.result_layers import followed_frame, is_shown, replace_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from napari.layers import Image, Labels
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from embedseg_napari.core.annotation.edits import Edit, Indices
    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.viewer.result_layers import Frame

EXTENT_SHARE = 16
"""Objects are taken to be so many times smaller than the image as long as nothing is known of them."""


class AnnotationLayers:
    """Makes and reads the annotation layers of one image.

    Parameters
    ----------
    viewer : napari viewer
        Where they are.
    """

    changed = Signal()
    """Something was painted or drawn, or a layer was made or removed."""
    settling = Signal()
    """The annotation is about to be let go of, kept or learned from: what was only tried out is to be taken back."""
    leaving = Signal()
    """The annotation is about to be let go of; it can still be read."""
    mouse_wanted = Signal()
    """A tool is about to wait for the mouse; what waits for it now ends, so that each gives back what it found."""
    picked = Signal(int)
    """The brush was given another label."""
    clicked = Signal(object)
    """Pixels (z, y, x) of the object that clicks have found; None once it is accepted or dropped."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.image: Image | None = None
        self.axes = ""
        self.labels: Labels | None = None
        self.protection: ProtectedObjects | None = None
        self.brush: Brush | None = None
        """Of the labels, like the protection, while there are some."""
        self.usual_extent: Callable[[], float | None] = lambda: None
        """Pixels across the objects that are probably there; None where nothing is known of them."""
        self._latest: Annotation | None = None
        """What `annotation` returned last, of these labels."""
        self._is_changed = False
        """Whether something may have changed since."""
        self._keys: dict[str, Callable[[object], None]] = {}
        """Of the Labels layer, besides those of both layers."""
        self._common_keys = {"n": self.new_object, "m": self.new_object, "b": self.background}
        self.regions = RegionLayer(viewer, self._common_keys)
        self.regions.changed.connect(self._on_change)
        self.regions.drawn.connect(self._paint_on)
        viewer.layers.events.removed.connect(self._on_removed)
        # Also of a copy that is made after the panel was closed; other panels list what it then is.
        viewer.layers.events.inserted.connect(free_copy, position="first")

    def disconnect_viewer(self) -> None:
        """Stop following the viewer and its layers."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._let_go()

    def watch(self, image: Image | None) -> None:
        """Annotate another image; layers that were made for it before are taken up again.

        Raises
        ------
        DataError
            If it cannot be annotated.
        """
        self._let_go()
        self.image, self.axes = image, ""
        if image is not None:
            axes = picture_of(image).axes
            if "T" in axes:
                raise DataError(
                    f"{image.name} has time points; annotate single frames (if they are slices, name the axis Z)."
                )
            self.axes = axes
            self.regions.watch(image, followed_frame(image, axes), self.shape)
            for layer in self.viewer.layers:
                if layer.metadata.get(ANNOTATION) == str(image.unique_id):
                    self._take(layer)
        self._on_change()

    @property
    def frame(self) -> Frame | None:
        """Where labels of the image belong now; None without one that can be annotated."""
        return self.regions.frame

    @property
    def picture(self) -> Picture:
        """The image, with the file it was read from."""
        assert self.image is not None
        found = picture_of(self.image)
        return replace(found, axes=self.axes, path=path_of(self.image), part_of=origin_of(self.image))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape ((Z,) Y, X) of the labels."""
        return spatial_shape(self.axes, array_of(self.image).shape)

    @property
    def ndim(self) -> int:
        """Number of spatial axes; 0 without an image."""
        return len(spatial_axes(self.axes))

    @property
    def kind(self) -> tuple[int, int]:
        """Spatial dimensions and channels of the image."""
        return kind_of(self.axes, () if self.image is None else array_of(self.image).shape)

    def across(self) -> float:
        """Pixels across the objects that are probably there."""
        return self.usual_extent() or min(self.shape[-2:]) / EXTENT_SHARE

    def make(self) -> None:
        """Add the Labels layer if there is none, and get ready to paint the next object."""
        if self.labels is None:
            self._add_labels(np.zeros(self.shape, np.int32))
        self._next_object()
        self._on_change()

    def show(self, annotation: Annotation) -> None:
        """Show an annotation in place of what there is, and get ready to paint the next object."""
        assert self.frame is not None
        # What is painted must not change the annotation that it is compared with.
        labels = annotation.labels.copy()
        if self.labels is None:
            self._add_labels(labels)
        else:
            replace_pixels(self.labels, self.frame.array(labels))
        assert self.protection is not None
        self.protection.replace(annotation.accepted_ids)
        self.regions.show(annotation.regions, annotation.earlier_regions)
        self._latest = annotation
        self._next_object()

    def annotation(self, *, check: bool = False) -> Annotation | None:
        """The annotation as it is now, sharing no memory with the layers; the same value until it changes.

        Parameters
        ----------
        check : bool
            Compare it even if no layer told of a change: arrays can be written to without one.

        Returns
        -------
        Annotation or None
            None where there is no Labels layer.
        """
        if self.labels is None:
            return None
        if self._is_changed or check or self._latest is None:
            assert self.frame is not None
            data = self.frame.result(without_copy(np.asarray(self.labels.data), self.labels.metadata))
            labels, regions = data.astype(np.int32, copy=True), self.regions
            now = Annotation(labels, regions.mask(), self.accepted, regions.earlier)
            if not now.is_same(self._latest):
                self._latest = now
            self._is_changed = False
        return self._latest

    def compare_with(self, known: Annotation) -> None:
        """Let the annotation be one that is kept, if it is the same; else it is newer than that."""
        self._latest, self._is_changed = known, True

    @property
    def accepted(self) -> frozenset[int]:
        """Ids of accepted objects, which are not painted over."""
        return frozenset() if self.protection is None else self.protection.ids()

    def accept(self, ids: Iterable[int]) -> None:
        """Protect objects that are annotated."""
        if self.protection is not None:
            self.protection.add(ids)
            self._on_change()

    def open_for_painting(self, object_id: int) -> None:
        """Protect an object no longer, and choose it for the brush, on slices."""
        leave_3d(self.viewer)
        if self.protection is not None:
            self.protection.discard([object_id])
        self.paint_with(object_id)
        self._on_change()

    def add_key(self, key: str, action: Callable[[object], None]) -> None:
        """Let a key of the Labels layer do something, also of one that is made later."""
        self._keys[key] = action
        if self.labels is not None:
            self.labels.bind_key(key, action, overwrite=True)

    def new_object(self, layer: object = None) -> None:
        """Let the brush paint the next object, on slices."""
        self._labels()
        leave_3d(self.viewer)
        self._next_object()

    def _next_object(self) -> None:
        """Paint with the next free label."""
        labels = self.array()
        if self.brush is not None and self.labels is not None:
            self.brush.learn(labels, int(self.labels.selected_label))
        self.paint_with(next_free_label(labels))

    def background(self, layer: object = None) -> None:
        """Paint background, on slices; objects are not painted over."""
        leave_3d(self.viewer)
        self.paint_with(BACKGROUND)

    def erase(self) -> None:
        """Make pixels unlabelled again."""
        labels = self._labels()
        leave_3d(self.viewer)
        self.viewer.layers.selection.active = labels
        labels.preserve_labels = False
        labels.mode = "erase"

    def draw_region(self) -> None:
        """Draw a rectangle around what is fully annotated."""
        self._labels()
        leave_3d(self.viewer)
        self.regions.draw()

    def annotate_whole(self) -> None:
        """Say that everything in the image is annotated; where that is said already, take back the areas of before."""
        self._labels()
        if self.is_whole:
            self.regions.show(self.regions.earlier)
        else:
            self.regions.show_whole()
        self.new_object()

    @property
    def is_whole(self) -> bool:
        """Whether everything in the image is said to be annotated."""
        annotation = self.annotation()
        return annotation is not None and annotation.regions is not None and bool(annotation.regions.all())

    def apply(self, edit: Edit, accepted: Collection[int] = ()) -> None:
        """Change pixels so that the layer's own undo takes it back.

        Parameters
        ----------
        edit : Edit
            What to change.
        accepted : collection of int
            Objects that are accepted with it.
        """
        labels, protection = self._labels(), self.protection
        if not len(edit) or protection is None:
            return
        protection.forget_unused(np.unique(edit.values).tolist())
        with protection.off():
            labels.data_setitem(self._indices(edit), edit.values)
        protection.add(accepted)
        if labels.selected_label in accepted:
            # The brush would go on painting what is finished.
            labels.selected_label = next_free_label(self.array())
        self._on_change()

    def take_back(self, edit: Edit) -> None:
        """Change pixels back that were applied as one edit, which the layer's own undo no longer knows then."""
        take_back(self._labels(), self._indices(edit), edit.values)
        self._on_change()

    def _indices(self, edit: Edit) -> Indices:
        assert self.frame is not None
        return tuple(self.frame.coordinates(np.stack(edit.indices, axis=1)).T)

    def array(self) -> NDArray[np.int32]:
        """The labels ((Z,) Y, X) themselves, no copy."""
        assert self.frame is not None
        return self.frame.result(np.asarray(self._labels().data))

    def raise_to_top(self) -> None:
        """Bring the user's own layers above the others."""
        layers = self.viewer.layers
        own = [layer for layer in (self.labels, self.regions.layer) if layer is not None]
        # A list: a part of napari's takes a fifth of a second to make.
        if any(layer not in own for layer in list(layers)[len(layers) - len(own) :]):
            for layer in own:
                layers.move(layers.index(layer), len(layers))

    def _labels(self) -> Labels:
        if self.labels is None:
            raise AnnotationError("Press Annotate first: there is nothing to paint on.")
        return self.labels

    def paint_with(self, label: int) -> None:
        """Choose the brush and a label; with background, objects are not painted over."""
        labels = self._labels()
        self.viewer.layers.selection.active = labels
        labels.selected_label = label
        labels.preserve_labels = label == BACKGROUND
        labels.mode = "paint"

    def _add_labels(self, labels: NDArray[np.int32]) -> None:
        assert self.image is not None
        assert self.frame is not None
        layer = self.viewer.add_labels(
            self.frame.array(labels),
            name=f"{self.image.name} annotation",
            metadata={ANNOTATION: str(self.image.unique_id)},
            colormap=annotation_colors(),
            opacity=0.6,
            **self.frame.options(),
        )
        self._take(layer)
        assert self.brush is not None
        self.brush.fit(self.across())

    def _take(self, layer: Any) -> None:
        """Follow a layer of the annotation."""
        if hasattr(layer, "shape_type"):
            self.regions.take(layer)
            return
        self.labels = layer
        layer.metadata[ITSELF] = str(layer.unique_id)
        for event in (layer.events.paint, layer.events.labels_update, layer.events.set_data):
            event.connect(self._on_change)
        layer.events.selected_label.connect(self._on_pick)
        self.protection, self.brush = ProtectedObjects(layer), Brush(layer)
        for key, action in (self._common_keys | self._keys).items():
            layer.bind_key(key, action, overwrite=True)

    def _let_go(self) -> None:
        self._let_go_of_labels()
        self.regions.let_go()

    def _let_go_of_labels(self) -> None:
        if self.labels is None or self.protection is None or self.brush is None:
            return
        # Where all layers are removed at once, the regions may have gone first.
        with self.regions.with_removed():
            self.settling.emit()
            self.leaving.emit()
        events = self.labels.events
        for event in (events.paint, events.labels_update, events.set_data):
            event.disconnect(self._on_change)
        events.selected_label.disconnect(self._on_pick)
        for key in self._common_keys | self._keys:
            self.labels.bind_key(key, None)
        self.protection.disconnect()
        self.brush.disconnect()
        self.labels = self.protection = self.brush = self._latest = None

    def _paint_on(self) -> None:
        """Bring the brush back: whoever goes on with the mouse wants to paint what is in the rectangle."""
        if self.labels is not None and self.viewer.layers.selection.active == self.regions.layer:
            self._next_object()
            # What to do next depends on what the mouse does now.
            self.changed.emit()

    def _on_change(self, event: object = None) -> None:
        self._is_changed = True
        self.changed.emit()

    def _on_pick(self, event: object = None) -> None:
        if self.labels is not None:
            self.picked.emit(int(self.labels.selected_label))

    def _on_removed(self, event: object = None) -> None:
        are_regions_gone = self.regions.notice_removal()
        are_labels_gone = self.labels is not None and not is_shown(self.viewer, self.labels)
        if are_labels_gone:
            self._let_go_of_labels()
        if are_regions_gone or are_labels_gone:
            self._on_change()
