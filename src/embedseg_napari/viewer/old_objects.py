"""Keeps Python's search for garbage short where the viewer has to answer."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing import Self


class OldObjects:
    """Objects that are there already: PyTorch, napari and their kin, some hundred thousand.

    A full search for garbage looks at all of them, which takes some 0.2 s, and nothing else goes on meanwhile; napari
    asks for one with each layer that is removed. As a context they are left out of it.
    """

    n_holders: ClassVar[int] = 0
    """How many have set them aside and not taken them back."""

    def __init__(self) -> None:
        self._is_holder = False

    def set_aside(self) -> None:
        """Leave them out of the search, unless another program has done so already."""
        if self._is_holder:
            return
        # Counting takes as long as a search where there are many, as while a model trains.
        if OldObjects.n_holders == 0:
            if gc.get_freeze_count() > 0:
                return
            gc.freeze()
        OldObjects.n_holders += 1
        self._is_holder = True

    def take_back(self) -> None:
        """Search among them too, once nobody has them set aside; what became garbage meanwhile is found."""
        if not self._is_holder:
            return
        self._is_holder = False
        OldObjects.n_holders -= 1
        if OldObjects.n_holders == 0:
            gc.unfreeze()

    def __enter__(self) -> Self:
        self.set_aside()
        return self

    def __exit__(self, *_: object) -> None:
        self.take_back()
