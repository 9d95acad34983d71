"""What is seen while an image is annotated: that image, its annotation, and nothing that covers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedseg_napari.viewer.layers import ANNOTATION, SEGMENTED, shows_objects, time_lapse_of
from embedseg_napari.viewer.stage import Scene, bring_up, is_of_another
from embedseg_napari.viewer.widgets.dock_panel import say_hidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer

    from embedseg_napari.viewer.label.annotate_box import AnnotationBox
    from embedseg_napari.viewer.label.autosave import Autosave


def _nothing() -> list[Layer]:
    return []


@dataclass
class Sight:
    """Chooses what is seen of what is annotated.

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
    show: Callable[[], list[Layer]] = _nothing
    """Shows the scene of the panel; the layers that it hides."""
    _begun: set[str] = field(default_factory=set)
    """Annotation layers (`unique_id`) of which it was said what is hidden."""

    def scene(self, is_own: Callable[[Layer], bool]) -> Scene | None:
        """The image in front and its annotation, without the session's others; None before anything is annotated.

        An image that is not annotated yet, such as all of a time-lapse, is seen with what was found in it, and without
        what was painted on others, and where nothing is painted at all, without images of another size in its place.

        Parameters
        ----------
        is_own : callable
            Says which layers are previews or drafts.
        """
        layers, autosave = self.box.layers, self.autosave
        image, labels = layers.image, layers.labels
        if image is None:
            return None
        front, marks = str(image.unique_id), {layer.metadata.get(ANNOTATION) for layer in self.viewer.layers}
        is_first = marks <= {None, front}
        about = [] if labels is None or labels not in self.viewer.layers else [labels]
        if about:
            autosave.name()
        elif is_first and not any(is_of_another(layer, image, self.viewer.layers) for layer in self.viewer.layers):
            return None

        def gives_way(layer: Layer) -> bool:
            of = layer.metadata.get(ANNOTATION) or str(layer.unique_id)
            name = autosave.names.get(of)
            # Images that were only looked at stay as they are.
            is_ours = name is not None and (of in marks or autosave.holds(name))
            return of != front and (is_ours or str(layer.unique_id) == time_lapse_of(image))

        def stays(layer: Layer) -> bool:
            return is_own(layer) or (not about and (is_first or layer.metadata.get(SEGMENTED) == front))

        return Scene(image, about, stays, gives_way, subject=(front, *(layer.unique_id for layer in about)))

    def look(self) -> None:
        """Bring the image in front above others, which the user has chosen."""
        if self.box.layers.image is not None:
            bring_up(self.viewer.layers, self.box.layers.image)

    def clear(self) -> None:
        """Select what belongs to the image in front, and if it is annotated hide what would cover it."""
        layers, selection = self.box.layers, self.viewer.layers.selection
        if layers.image is None:
            return
        front = str(layers.image.unique_id)
        if selection.active is not None and selection.active.metadata.get(ANNOTATION, front) != front:
            selection.active = layers.image
        hidden = self.show()
        if layers.labels is None:
            return
        if str(layers.labels.unique_id) not in self._begun:
            self._begun.add(str(layers.labels.unique_id))
            # Nobody sees what is painted on others.
            say_hidden(
                "while you paint", (one for one in hidden if shows_objects(one) and ANNOTATION not in one.metadata)
            )
        if selection.active != layers.regions.layer:
            selection.active = layers.labels
