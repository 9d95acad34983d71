"""What is odd about an image whatever a model makes of it: nothing can be seen, or it is overexposed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.spoiled_pixels import sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedseg_napari.core.data.normalization import Prepared

MOST_BRIGHTEST, MOST_BRIGHTEST_OBJECTS = 0.1, 0.4
"""Part of the pixels, and of those of objects, that may have the highest value; real images have at most 0.03 and 0.17
(`docs/choices.md`)."""


@dataclass(slots=True)
class Observations:
    """What is odd about the frames of an image."""

    n_frames: int = 0
    blank: list[float] = field(default_factory=list)
    """Their only value, of frames that have no other."""
    brightest: list[float] = field(default_factory=list)
    """Part of each frame, or of its objects, that is as bright as can be, where that is too much."""

    def note(self, ready: Prepared, labels: NDArray[np.int32]) -> None:
        """Look at one more frame.

        Parameters
        ----------
        ready : Prepared
            The frame, ready for the network.
        labels : ndarray of int, shape ((Z,) Y, X)
            What was found there.
        """
        self.n_frames += 1
        outside = ready.mended.outside
        inside = slice(None) if outside is None else ~np.all([sample(one) for one in outside], axis=0)
        values = np.stack([sample(channel)[inside].ravel() for channel in ready.mended.image])
        if values.size == 0 or np.all(values.max(axis=1) == values.min(axis=1)):
            self.blank.append(float(values.flat[0]) if values.size else 0.0)
            return
        # A channel of one value is empty, not bright.
        top = np.stack([(sample(one) == one.max()) & (one.min() < one.max()) for one in ready.mended.image])
        found = sample(labels) > 0
        all_of, of_objects = float(top.mean()), float(top[:, found].mean()) if found.any() else 0.0
        if all_of > MOST_BRIGHTEST or of_objects > MOST_BRIGHTEST_OBJECTS:
            self.brightest.append(max(all_of, of_objects))

    @property
    def is_blank(self) -> bool:
        """Whether nothing can be seen in any frame."""
        return len(self.blank) == self.n_frames

    def sentences(self) -> list[str]:
        """What to say of it."""
        facts = []
        if self.is_blank:
            values = {f"{value:g}" for value in self.blank}
            what = f"has the value {values.pop()}" if len(values) == 1 else "of a frame has the same value"
            return [f"The image is blank: every pixel {what}. Check the file, the channel and the exposure."]
        if self.blank:
            facts.append(f"Blank frames: {len(self.blank)} of {self.n_frames}.")
        if self.brightest:
            where = "" if self.n_frames == 1 else f" in {len(self.brightest)} of {self.n_frames} frames"
            part = f"{100 * max(self.brightest):.0f} %"
            facts.append(
                f"The image is overexposed{where}: up to {part} of the pixels have the highest value, so that objects "
                "lack their edges and structure."
            )
        return facts
