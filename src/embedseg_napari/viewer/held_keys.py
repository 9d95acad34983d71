"""Keys of a layer, or of the viewer, that a panel holds for a while; what they did before comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.utils.key_bindings import KeymapProvider


class HeldKeys:
    """Keys of one owner while they are held."""

    def __init__(self) -> None:
        self._owner: KeymapProvider | None = None
        self._before: dict[Any, Any] = {}
        self._ours: dict[Any, Any] = {}

    def hold(self, owner: KeymapProvider, actions: Mapping[str, Callable[[], None]], alone: bool = False) -> None:
        """Let keys do this, instead of what they were held for before.

        Parameters
        ----------
        owner : Layer or Viewer
            Whose keys.
        actions : mapping of str to callable
            What each key does.
        alone : bool
            Whether no other key of the owner does anything meanwhile.
        """
        self.release()
        self._owner = owner
        held = dict(owner.keymap)
        if alone:
            owner.keymap.clear()
        for key, action in actions.items():
            owner.bind_key(key, lambda _, do=action: do(), overwrite=True)
        self._ours = {key: action for key, action in owner.keymap.items() if held.get(key) is not action}
        self._before = {key: action for key, action in held.items() if owner.keymap.get(key) is not action}

    def release(self) -> None:
        """Let keys do what they did before; those that somebody else holds by now stay."""
        owner, self._owner = self._owner, None
        if owner is None:
            return
        for key, action in self._ours.items():
            if owner.keymap.get(key) is action:
                del owner.keymap[key]
        for key, action in self._before.items():
            owner.keymap.setdefault(key, action)
