"""Keeps Python's search for garbage short while a model trains."""

from __future__ import annotations

import gc


class OldObjects:
    """Objects that were made before a training: PyTorch, napari and their kin, some hundred thousand.

    A full search for garbage looks at all of them, which takes some 0.2 s, and nothing else goes on meanwhile.
    """

    def __init__(self) -> None:
        self._is_aside = False

    def set_aside(self) -> None:
        """Leave them out of the search, unless another program part has done so for its own reasons."""
        if gc.get_freeze_count() == 0:
            gc.freeze()
            self._is_aside = True

    def take_back(self) -> None:
        """Search among them too; what became garbage meanwhile is found."""
        if self._is_aside:
            gc.unfreeze()
            self._is_aside = False
