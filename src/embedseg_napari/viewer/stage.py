"""What a panel shows while it is in front of the others: its image and layers, before all that would cover them."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from embedseg_napari.viewer.camera import bring_in, show_whole, units_in
from embedseg_napari.viewer.layers import (
    ANNOTATION,
    FOUND,
    LINES,
    PREVIEW,
    RESULT,
    SEGMENTED,
    is_users,
    line_of,
    shows_objects,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import Any

    from napari.components import LayerList
    from napari.layers import Layer
    from napari.viewer import Viewer
    from numpy.typing import NDArray


def shows_found(layer: Layer) -> bool:
    """Whether a layer shows objects that a segmentation found, or their tracks."""
    return layer.metadata.get(RESULT) in (FOUND, LINES) and shows_objects(layer)


def is_drawn(layer: Layer) -> bool:
    """Whether a layer shows what was annotated, or a preview."""
    return ANNOTATION in layer.metadata or layer.metadata.get(RESULT) == PREVIEW


def meet(one: Layer, other: Layer) -> bool:
    """Whether two layers lie at the same place of the plane; one that is empty so far may come to."""
    (low, high), (other_low, other_high) = (_plane(layer, one) for layer in (one, other))
    # From the middle of the first pixel to that of the last: what lies side by side does not touch. What is empty has
    # no place, and may get any.
    return not ((low > other_high).any() or (other_low > high).any())


def _plane(layer: Layer, like: Layer) -> NDArray[Any]:
    """Where a layer begins and ends in the plane, in the units of another."""
    return np.asarray(layer.extent.world)[:, -2:] * units_in(layer.units[-2:], like.units)


def bring_up(layers: LayerList, image: Layer) -> None:
    """Bring an image above others that cover it, with what was found in it; what is of others goes below it."""
    own = str(image.unique_id)
    below, above = list(layers)[: layers.index(image)], list(layers)[layers.index(image) + 1 :]
    for layer in reversed(below):
        if layer.metadata.get(SEGMENTED) == own:
            layers.move(layers.index(layer), layers.index(image) + 1)
    for layer in above:
        of = layer.metadata.get(SEGMENTED)
        covers = (is_users(layer) and _is_of_other(layer, image, layers)) if of is None else of != own
        if covers and meet(layer, image):
            layers.move(layers.index(layer), layers.index(image))


def _is_of_other(layer: Layer, image: Layer, layers: LayerList) -> bool:
    """Whether a layer of the user's is another image that hides this one, or labels that fit another one only."""
    if isinstance(layer, Image):
        return _hides(layer)
    if not isinstance(layer, Labels):
        return False
    return not _fits(layer, image) and any(isinstance(one, Image) and _fits(layer, one) for one in layers)


def is_of_another(layer: Layer, image: Image, layers: Sequence[Layer]) -> bool:
    """Whether a layer is, or is of, another image that begins where this one does and ends elsewhere.

    They were opened one after the other, and what is seen of both is a patchwork. What belongs together has the same
    size, or was put in its place.

    Parameters
    ----------
    layer : Layer
        What was found in, annotated in or taken from an image is of that; labels of a file are of what they fit.
    image : napari Image layer
        This one.
    layers : sequence of Layer
        Those of the viewer.
    """
    other = _image_of(layer, image, layers)
    if other is None or line_of(other, layers)[-1] == line_of(image, layers)[-1]:
        return False
    (low, high), (own_low, own_high) = (_plane(one, image) for one in (other, image))
    steps = [np.abs(one.scale[-2:]) * units_in(one.units[-2:], image.units) for one in (other, image)]
    # Images of other pixels may end one of them sooner.
    least, most = np.min(steps, axis=0) / 2, 2 * np.max(steps, axis=0)
    return bool((np.abs(low - own_low) <= least).all() and (np.abs(high - own_high) >= most).any())


def _image_of(layer: Layer, image: Image, layers: Sequence[Layer]) -> Image | None:
    """The user's image that a layer is, or is of; None where it is of none that is known."""
    images = {str(one.unique_id): one for one in layers if isinstance(one, Image) and is_users(one)}
    known = next((images[key] for key in line_of(layer, layers) if key in images), None)
    if known is not None or not isinstance(layer, Labels) or not is_users(layer) or _fits(layer, image):
        return known
    return next((one for one in images.values() if _fits(layer, one)), None)


def _fits(labels: Labels, image: Image) -> bool:
    """Whether labels lie on all of an image."""
    return np.allclose(_plane(labels, image), _plane(image, image))


def _hides(image: Image) -> bool:
    """Whether nothing would be seen below an image."""
    return image.opacity == 1 and not str(image.blending).startswith(("additive", "minimum", "multiplicative"))


def _never(_: Layer) -> bool:
    return False


@dataclass(frozen=True, eq=False)
class Scene:
    """What is to be seen of the layers while a panel is in front.

    Parameters
    ----------
    image : Image, optional
        Comes above the images that cover it; those of another size in its place are hidden, with what is of them.
    layers : sequence of Layer
        What the panel is about; shown, as the image is.
    is_own : callable
        Says which layers besides stay as they are.
    gives_way : callable
        Says which layers are hidden in any case; others are where they show objects, or what was drawn, at its place.
    spared : Layer, optional
        Is not hidden for being of another image.
    subject : hashable
        What it is about; until it is another, what the user shows stays, and what the user hides of the layers. Other
        layers stay hidden.
    """

    image: Image | None
    layers: Sequence[Layer] = ()
    is_own: Callable[[Layer], bool] = _never
    gives_way: Callable[[Layer], bool] = _never
    spared: Layer | None = None
    subject: Hashable = None

    def shows(self, layer: Layer, layers: Sequence[Layer]) -> bool | None:
        """Whether a layer is seen among those of the viewer; None where it stays as it is."""
        about = [one for one in (self.image, *self.layers) if one is not None]
        if layer in about:
            return True
        if self.gives_way(layer):
            return False
        if self.image is not None and layer != self.spared and is_of_another(layer, self.image, layers):
            return False
        if self.is_own(layer) or not (is_drawn(layer) or shows_objects(layer)):
            return None
        return False if any(meet(layer, one) for one in about) else None


@dataclass
class _Change:
    """A layer that a scene shows or hides: how it was seen before, and now."""

    layer: Layer
    before: bool
    now: bool


@dataclass(eq=False)
class Stage:
    """The scene of a viewer; each gives back what the one before it hid and showed.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers they are.
    """

    viewer: weakref.ReferenceType[Viewer]
    is_changing: bool = False
    """Whether layers are shown, hidden and selected here, and not by the user."""
    _owner: weakref.ReferenceType[Any] | None = None
    _scene: Scene | None = None
    _changes: list[_Change] = field(default_factory=list)
    _chosen: weakref.WeakKeyDictionary[Any, tuple[Hashable, dict[str, bool]]] = field(
        default_factory=weakref.WeakKeyDictionary
    )
    """By owner: its subject, and which layers (`unique_id`) the user has shown or hidden meanwhile."""
    _is_resting: bool = False
    """Whether a panel is in front that shows nothing of its own."""
    _in_hand: tuple[Layer, Layer] | None = None
    """The layer that was selected until a scene hid it, and the one that was selected instead."""

    def show(self, owner: Any, scene: Scene) -> list[Layer]:
        """Show a scene instead of the one before; the layers that were seen just now and are hidden by it."""
        viewer = self.viewer()
        if viewer is None:
            return []
        self._note_choices()
        is_new = self.owner is not owner
        before = {change.layer: change.before for change in self._changes}
        subject, chosen = self._chosen.get(owner, (None, {}))
        is_other = subject != scene.subject
        if is_other:
            # What was shown to be compared with the last subject would be taken for a part of this one.
            about = {str(layer.unique_id) for layer in scene.layers}
            chosen = {key: is_seen for key, is_seen in chosen.items() if not is_seen and key not in about}
        self._chosen[owner] = scene.subject, chosen
        self._owner, self._scene, self._changes, self._is_resting = weakref.ref(owner), scene, [], False
        wanted = {}
        for layer in tuple(viewer.layers):
            earlier, key = before.get(layer, bool(layer.visible)), str(layer.unique_id)
            now = scene.shows(layer, viewer.layers)
            if now is None or (chosen.get(key) is (not now) and earlier != now):
                now = earlier
            else:
                chosen.pop(key, None)
                self._changes.append(_Change(layer, earlier, now))
            wanted[layer] = now
        hidden = [layer for layer, now in wanted.items() if layer.visible and not now]
        self._apply(wanted)
        if scene.image is not None:
            bring_up(viewer.layers, scene.image)
        active = viewer.layers.selection.active
        own = [layer for layer in (*scene.layers, scene.image) if layer is not None]
        # Of a panel that has just come in front nothing else that is hidden is in hand, either.
        if active is not None and own and (active in hidden or (is_new and not active.visible)):
            first, instead = self._in_hand or (active, active)
            self._select(viewer, own[0])
            # Where the user has gone on in the panel itself, nothing is lent.
            if is_new or self._in_hand is not None:
                self._in_hand = first if active == instead else active, own[0]
        if scene.image is not None and any(is_of_another(one, scene.image, viewer.layers) for one in hidden):
            show_whole(viewer, scene.image)
        # Who goes on to another layer while something is found goes on looking at it.
        elif own and (is_new or (is_other and viewer.layers.selection.active in own)):
            bring_in(viewer, own[-1])
        return hidden

    def leave(self, owner: Any = None) -> None:
        """Let all be as it was before the scene that is shown; of one panel, if it is given, and of no other."""
        if owner is not None and self.owner is not owner:
            return
        self._note_choices()
        changes, self._changes, self._owner, self._scene = self._changes, [], None, None
        self._is_resting = False
        self._apply({change.layer: change.before for change in changes})

    def rest(self) -> None:
        """Let all stay as it is seen until another scene is shown: a panel is in front that has none."""
        self._note_choices()
        self._is_resting = True

    def hand_back(self) -> None:
        """Select what was selected before a scene hid it, unless the user has selected something else since.

        Not while a panel steps behind: napari lets Qt go on as it changes the controls, and the next one comes amid it.
        """
        (before, instead), self._in_hand = self._in_hand or (None, None), None
        viewer = self.viewer()
        if viewer is not None and before is not None and viewer.layers.selection.active == instead:
            self._select(viewer, before)

    def _select(self, viewer: Viewer, layer: Layer) -> None:
        was_changing, self.is_changing = self.is_changing, True
        try:
            viewer.layers.selection.active = layer
        finally:
            self.is_changing = was_changing

    @property
    def owner(self) -> Any:
        """The panel whose scene is shown."""
        return None if self._owner is None else self._owner()

    @property
    def n_hidden(self) -> int:
        """Number of layers that would be seen without the scene."""
        return sum(change.before and not change.now for change in self._changes)

    def hides(self, layer: Layer) -> bool:
        """Whether a layer would be seen without the scene, and nobody has shown it by hand."""
        change = self._change_of(layer)
        return change is not None and change.before and not layer.visible

    def set_visible(self, layer: Layer, is_visible: bool) -> bool:
        """Show or hide a layer, or let it be so as soon as no scene minds; whether it was seen, or would have been."""
        change = self._change_of(layer)
        viewer, scene = self.viewer(), self._scene
        is_minded = viewer is not None and scene is not None and scene.shows(layer, viewer.layers) is (not is_visible)
        if change is None and is_minded:
            change = _Change(layer, bool(layer.visible), not is_visible)
            self._changes.append(change)
        was_seen = bool(layer.visible) if change is None else change.before
        if change is not None:
            change.before = is_visible
        self._apply({layer: is_visible if change is None else change.now})
        return was_seen

    def _apply(self, visible: dict[Layer, bool]) -> None:
        """Show and hide layers; napari draws one anew even where nothing changes."""
        was_changing, self.is_changing = self.is_changing, True
        try:
            for layer, is_visible in visible.items():
                if layer.visible != is_visible:
                    layer.visible = is_visible
        finally:
            self.is_changing = was_changing

    def _change_of(self, layer: Layer) -> _Change | None:
        return next((change for change in self._changes if change.layer == layer), None)

    def _note_choices(self) -> None:
        """Take note of what the user has shown or hidden since the scene is shown: that is how it is seen."""
        owner, viewer = None if self._is_resting else self.owner, self.viewer()
        if owner is not None and viewer is not None:
            chosen, seen = self._chosen[owner][1], {str(layer.unique_id): layer.visible for layer in viewer.layers}
            for key in [key for key, is_seen in chosen.items() if seen.get(key, is_seen) != is_seen]:
                # By hand, too: as the scene has it anyway.
                del chosen[key]
        for change in self._changes:
            if change.layer.visible != change.now:
                change.before = change.now = bool(change.layer.visible)
                if owner is not None:
                    self._chosen[owner][1][str(change.layer.unique_id)] = change.now

    def forget(self, event: Any) -> None:
        """Let go of a layer that was removed."""
        self._changes = [change for change in self._changes if change.layer != event.value]
        if self._in_hand is not None and event.value in self._in_hand:
            self._in_hand = None
        if self._is_resting and self._scene is not None and self._scene.image == event.value:
            # The panel in front shows nothing instead.
            self.leave()


_stages: weakref.WeakKeyDictionary[Viewer, Stage] = weakref.WeakKeyDictionary()


def stage_of(viewer: Viewer) -> Stage:
    """The stage of a viewer."""
    # Plugins get a new proxy of the viewer each time.
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _stages:
        _stages[viewer] = Stage(weakref.ref(viewer))
        viewer.layers.events.removed.connect(_stages[viewer].forget)
    return _stages[viewer]
