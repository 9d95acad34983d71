"""A box to choose a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from superqt.utils import signals_blocked

from embedseg_napari.viewer.layers import is_users
from embedseg_napari.viewer.neighbours import image_under
from embedseg_napari.viewer.widgets.boxes import fit_into_panel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari
    from napari.layers import Image, Labels, Layer


CHOOSE = "choose a layer…"


class LayerBox(ComboBox):
    """The viewer's layers of one kind, from the top; the panel's `reset_choices` keeps them up to date.

    What the plugin made itself is not listed, or comes last and is never chosen unasked.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are listed.
    kind : type of Layer
        Layers of this kind.
    tooltip : str
        Says what the layer is chosen for.
    nothing : str, optional
        First entry that stands for no layer.
    is_wanted : callable, optional
        Layers for which it returns False are not listed; default: those that the plugin made.
    is_proposed : callable, optional
        Layers for which it returns False come last, and are chosen only by the user; default: all are proposed.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        kind: type[Layer],
        tooltip: str = "",
        nothing: str | None = None,
        is_wanted: Callable[[Layer], bool] = is_users,
        is_proposed: Callable[[Layer], bool] = lambda layer: True,
    ) -> None:
        self.viewer, self.kind, self.is_wanted, self.is_proposed = viewer, kind, is_wanted, is_proposed
        self.null_string = nothing
        self._followed: Layer | None = None
        self._asked_for: tuple[object, ...] = ()
        """What a person chose last, if anything, by its `unique_id`."""
        self._labels: object = None
        """The labels that an image was chosen under last, by theirs."""
        super().__init__(choices=self._named_layers, nullable=nothing is not None, tooltip=tooltip)
        fit_into_panel(self.native)
        self.native.activated.connect(self._note_choice)
        self.changed.connect(self._follow)
        self._follow()

    def _named_layers(self, _: object) -> list[tuple[str, Layer | None]]:
        layers = [layer for layer in reversed(self.viewer.layers) if isinstance(layer, self.kind)]
        wanted = sorted(filter(self.is_wanted, layers), key=lambda layer: not self.is_proposed(layer))
        named: list[tuple[str, Layer | None]] = [(layer.name, layer) for layer in wanted]
        if wanted and self.null_string is None and not self.is_proposed(wanted[0]):
            named.insert(0, (CHOOSE, None))
        return named

    def reset_choices(self, *_: Any) -> None:
        """List the layers anew, keeping the choice if it is still there: magicgui would keep the name instead."""
        chosen = self.value
        with signals_blocked(self.native), self.changed.blocked():
            self.native.clear()
            super().reset_choices()
            if chosen is not None:
                self.choose(chosen)
            self._follow()
        # Equal, not the same: plugins get a proxy of each layer.
        if self.value != chosen:
            self.changed.emit(self.value)

    def close_down(self) -> None:
        """Follow the chosen layer no longer."""
        if self._followed is not None:
            self._followed.events.axis_labels.disconnect(self._on_axes)
            self._followed = None

    def _follow(self, *_: object) -> None:
        """Notice when the chosen layer learns what its axes are, from its file or from another panel."""
        if self.value != self._followed:
            self.close_down()
            self._followed = self.value
            if self._followed is not None:
                self._followed.events.axis_labels.connect(self._on_axes)

    def _on_axes(self, event: object = None) -> None:
        self.changed.emit(self.value)

    def _note_choice(self, _: int) -> None:
        self._asked_for = self._chosen_id()

    def _chosen_id(self) -> tuple[object]:
        return (None if self.value is None else self.value.unique_id,)

    @property
    def layers(self) -> list[Layer]:
        """Layers that can be chosen."""
        return [layer for layer in self.choices if layer is not None]

    @property
    def proposed(self) -> list[Layer]:
        """Layers that may be chosen unasked."""
        return [layer for layer in self.layers if self.is_proposed(layer)]

    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.value

    def choose_under(self, labels: Labels | None, images: Sequence[Image] | None = None) -> None:
        """Choose the image that labels lie on out of some, or all; the chosen one stays where none suits better.

        What a person chose stays as long as it fits, until other labels come.
        """
        if labels is None:
            return
        if self._labels not in (None, labels.unique_id):
            self._asked_for = ()
        self._labels = labels.unique_id
        chosen = [] if self.value is None else [self.value]
        if self._asked_for == self._chosen_id() and (not chosen or image_under(labels, chosen) is not None):
            return
        others = self.layers if images is None else images
        if others:
            found = image_under(labels, [*chosen, *others])
            # That another one came is no reason to take away the chosen one.
            if found is not None or images is None:
                self.choose(found)

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer; one that is not listed is passed over."""
        if layer in self.choices:
            self.value = layer
