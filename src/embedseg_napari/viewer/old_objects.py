"""Keeps Python's search for garbage short where the viewer has to answer."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class OldObjects:
    """Objects that are there already: PyTorch, napari and their kin, some hundred thousand.

    A full search for garbage looks at all of them, which takes some 0.2 s, and nothing else goes on meanwhile; napari
    asks for one with each layer that is removed. As a context they are left out of it.
    """

    def __init__(self) -> None:
        self._is_aside = False

    def set_aside(self) -> None:
        """Leave them out of the search, unless somebody has done so already."""
        if gc.get_freeze_count() == 0:
            gc.freeze()
            self._is_aside = True

    def take_back(self) -> None:
        """Search among them too; what became garbage meanwhile is found."""
        if self._is_aside:
            gc.unfreeze()
            self._is_aside = False

    def __enter__(self) -> Self:
        self.set_aside()
        return self

    def __exit__(self, *_: object) -> None:
        self.take_back()
