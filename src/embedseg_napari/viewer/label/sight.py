"""What is seen while an image is annotated: that image, its annotation, and nothing that covers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from embedseg_napari.viewer.layers import ANNOTATION, shows_objects
from embedseg_napari.viewer.step_back import bring_up, give_way, meet
from embedseg_napari.viewer.widgets.boxes import short

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from embedseg_napari.viewer.label.annotate_box import AnnotationBox
    from embedseg_napari.viewer.label.autosave import Autosave


@dataclass
class Sight:
    """Shows what is annotated, and hides what would cover it.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    box : AnnotationBox
        Chooses the image in front.
    autosave : Autosave
        Has the session.
    """

    viewer: Viewer
    box: AnnotationBox
    autosave: Autosave
    _cleared: set[str] = field(default_factory=set)
    """Annotation layers (`unique_id`) from under which other labels were taken away; what is shown again stays."""

    def clear(self) -> None:
        """Select what belongs to the image in front, and if it is annotated hide the session's others."""
        layers, selection = self.box.layers, self.viewer.layers.selection
        if layers.image is None:
            return
        front = str(layers.image.unique_id)
        if selection.active is not None and selection.active.metadata.get(ANNOTATION, front) != front:
            selection.active = layers.image
        if layers.labels is None:
            return
        self._uncover()
        autosave, marks = self.autosave, {layer.metadata.get(ANNOTATION) for layer in self.viewer.layers}
        autosave.name()
        for layer in self.viewer.layers:
            of = layer.metadata.get(ANNOTATION) or str(layer.unique_id)
            name = autosave.names.get(of)
            # Images that were only looked at stay as they are.
            is_ours = name is not None and (of in marks or autosave.holds(name))
            if is_ours and layer.visible != (of == front):
                layer.visible = of == front
        self._hide_others()
        if selection.active != layers.regions.layer:
            selection.active = layers.labels

    def _hide_others(self) -> None:
        """Hide, once, other objects that lie where an annotation begins: nobody sees what is painted on them."""
        layers, image = self.box.layers, self.box.layers.image
        assert layers.labels is not None
        assert image is not None
        if str(layers.labels.unique_id) in self._cleared:
            return
        self._cleared.add(str(layers.labels.unique_id))
        over = give_way(
            layer
            for layer in self.viewer.layers
            if shows_objects(layer) and ANNOTATION not in layer.metadata and meet(layer, image)
        )
        if over:
            # A notification shows some forty letters.
            names = short(over[0].name) if len(over) == 1 else f"{len(over)} layers"
            show_info(f"Hidden while you paint: {names}.")

    def _uncover(self) -> None:
        """Bring the image in front above the others, so that it is seen what is painted on."""
        assert self.box.layers.image is not None
        bring_up(self.viewer.layers, self.box.layers.image)
