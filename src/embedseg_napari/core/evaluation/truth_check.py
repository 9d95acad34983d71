"""Truth that is no truth: masks of classes, nothing but background, overlaps that labels cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.mask_kinds import (
    Pieces,
    are_classes,
    classes_in,
    doubt,
    is_single_number,
    refuse_classes,
    refuse_single_numbers,
)
from embedseg_napari.core.evaluation.planes import overlaps_itself
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from embedseg_napari.core.evaluation.label_pair import LabelPair


FIRST = 3
"""So many frames are named."""


class TruthCheck:
    """Looks at truth and prediction of one image after the other; in the end it knows what is odd about them.

    Parameters
    ----------
    is_of_layers : bool
        Whether they are two layers of a viewer, and not files.
    """

    def __init__(self, *, is_of_layers: bool = False) -> None:
        self._is_of_layers = is_of_layers
        self._pieces: list[Pieces | None] = []
        self._has_objects = False
        self._empty_frames: list[tuple[str, int]] = []
        self._overlapping: list[str] = []
        self._binary: list[str] = []

    def look(self, names: tuple[str, str], one: LabelPair) -> None:
        """Look at one image; `names` are those of truth and prediction in a sentence.

        Raises
        ------
        DataError
            If the numbers of the truth are classes.
        """
        true, predicted, ignore, is_planes = one.true, one.predicted, one.ignore, one.is_true_planes
        known = true if ignore is None else np.where(ignore, true.dtype.type(0), true)
        if not known.any():
            if one.frame is not None and ignore is None:
                self._empty_frames.append((names[0], one.frame))
            return
        self._has_objects = True
        if is_planes and not one.is_predicted_planes and overlaps_itself(known):
            self._overlapping.append(names[0])
        pieces = classes_in(known, names[0], planes=is_planes, unknown=ignore)
        self._pieces.append(pieces)
        if pieces is not None:
            refuse_classes(pieces)
        found = None if one.is_predicted_planes else classes_in(predicted, names[1])
        if found is not None and (are_classes(found) or is_single_number(found)):
            self._binary.append(names[1])

    def warnings(self) -> list[str]:
        """What is odd about all images together, a sentence each.

        Raises
        ------
        DataError
            If all masks of the truth look like binary ones.
        """
        kinds = [one for one in self._pieces if one is not None]
        if len(kinds) == len(self._pieces):
            refuse_single_numbers(kinds)
        out = doubt(kinds)
        if not self._has_objects:
            out.append(
                "The truth holds no object in any image: the scores say only whether something was found where nothing "
                "is."
            )
        elif self._empty_frames:
            out.append(f"The truth holds no object in {self._which_frames()}: {self._what_of_them()}")
        if self._overlapping:
            out.append(
                f"{_in_which(self._overlapping)} objects overlap each other. A label image gives each pixel to one of "
                "them only, and loses some even if it is perfect; planes of whole objects lose none."
            )
        if self._binary:
            out.append(
                f"{_in_which(self._binary)} a few numbers lie in many separate pieces, and all pixels of one number "
                "count as one object. If these are masks of foreground or of classes, give every object its own number "
                "first."
            )
        return out

    def _which_frames(self) -> str:
        """How many have no object, and the first of them."""
        (name, first), n = self._empty_frames[0], count(len(self._empty_frames), "frame")
        if {file for file, _ in self._empty_frames} != {name}:
            return f"{n}, the first of them frame {first} of {name}"
        numbers = [str(frame) for _, frame in self._empty_frames[:FIRST]]
        more = ["..."] if len(self._empty_frames) > FIRST else []
        return f"{n} ({', '.join(numbers + more)})" + ("" if self._is_of_layers else f" of {name}")

    def _what_of_them(self) -> str:
        """What that does to the scores, and what to do."""
        if self._is_of_layers:
            return (
                "whatever was found there counts as wrong in these scores, while Thresholds leaves such frames out. If "
                "nobody annotated them, compare layers of the other frames alone."
            )
        return (
            "whatever was found there counts as wrong. If nobody annotated these frames, leave them out, or mark them "
            "as unknown in ignore/."
        )


def _in_which(names: list[str]) -> str:
    """The only one by its name, or how many there are and the first, to begin a sentence with."""
    if len(names) > 1:
        return f"In {count(len(names), 'image')}, the first of them {names[0]},"
    # A layer is "The truth", a file has its own name.
    return f"In {names[0].replace('The ', 'the ', 1) if names[0].startswith('The ') else names[0]},"
