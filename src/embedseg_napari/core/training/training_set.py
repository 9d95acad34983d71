"""The labels a training learns from, which may change while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.checks import check_alike
from embedseg_napari.core.data.sparse import object_ids
from embedseg_napari.core.data.splitting import LEAST_OBJECTS, hold_out_objects, object_fraction
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.training.blending import scored_examples
from embedseg_napari.core.training.parts import parts_of
from embedseg_napari.core.training.validation import HeldOutValidator, Validator
from embedseg_napari.core.wording import readable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example

MOST_THRESHOLD_EXAMPLES = 10
"""Annotated images that the seed threshold is chosen on."""


class TrainingSet:
    """Images to train on and to validate on, known by their names.

    Parameters
    ----------
    config : TrainingConfig
        Says which part of the objects is held out where no images are.
    annotated : sequence of Example
        Images to train on, with all their labels.
    validation : sequence of Example
        Images to validate on; may be empty.
    is_unasked : bool
        Whether it was left to the program what to hold out; then objects are where images are too few.
    """

    def __init__(
        self,
        config: TrainingConfig,
        annotated: Sequence[Example],
        validation: Sequence[Example],
        is_unasked: bool = False,
    ) -> None:
        self.config, self.is_unasked = config, is_unasked
        self.normalization = config.normalization
        """How images are normalised, which a start model decides."""
        self.annotated, self.validation = list(annotated), list(validation)
        self.training: list[Example] = []
        """As to be trained on: objects held out are unknown pixels."""
        self.held_out: list[np.ndarray] = []
        """Ids of the objects held out of each training image."""
        self._hold_out()

    def _hold_out(self) -> None:
        fraction = 0.0
        if not self.validation:
            unasked = object_fraction(self.annotated, self.config) if self.is_unasked else 0.0
            fraction = self.config.validation_objects or unasked
        if fraction == 0:
            self.training, self.held_out = list(self.annotated), [np.zeros(0, np.int64)] * len(self.annotated)
            return
        total = sum(len(object_ids(example)) for example in self.annotated)
        pairs = [hold_out_objects(example, fraction, self.config.seed, total) for example in self.annotated]
        while self.is_unasked and total >= LEAST_OBJECTS and not any(len(ids) for _, ids in pairs):
            # Each object draws its lot by itself; by chance none is drawn.
            fraction += 0.1
            pairs = [hold_out_objects(example, fraction, self.config.seed, total) for example in self.annotated]
        self.training, self.held_out = [one for one, _ in pairs], [ids for _, ids in pairs]

    @property
    def n_held_out(self) -> int:
        """Objects held out."""
        return sum(len(ids) for ids in self.held_out)

    @property
    def threshold_examples(self) -> list[Example]:
        """Images that the seed threshold is lowered on, to what their objects reach; empty where that is not wanted."""
        return self.predicted(self._thresholded())

    def _thresholded(self) -> list[Example]:
        is_wanted = self.config.reached_seeds and not self.validation
        return self.annotated[:MOST_THRESHOLD_EXAMPLES] if is_wanted else []

    def compared_examples(self) -> tuple[list[Example], list[Example]]:
        """Images that shares of a start model's weights are compared on, and those of `threshold_examples`.

        What is in both is the same object, so that it is read once and needs to be segmented once.
        """
        scored, thresholded = scored_examples(self.annotated), self._thresholded()
        parts = {id(one): self.predicted([one]) for one in [*scored, *thresholded]}
        of_scored = scored_examples([part for one in scored for part in parts[id(one)]])
        return of_scored, [part for one in thresholded for part in parts[id(one)]]

    def validator(self) -> Validator:
        """What scores the network: on whole images if there are any, else on the objects held out."""
        if self.validation or self.n_held_out == 0:
            return Validator(self.predicted(self.validation))
        held_out: list[tuple[Example, np.ndarray]] = []
        for example, ids in zip(self.annotated, self.held_out, strict=True):
            if isinstance(example, StoredExample):
                parts = self.predicted([example], ids)
                held_out += [(part, ids[np.isin(ids, object_ids(part))]) for part in parts]
            else:
                held_out.append((example, ids))
        return HeldOutValidator([(example, ids) for example, ids in held_out if len(ids)])

    def predicted(self, examples: Sequence[Example], ids: np.ndarray | None = None) -> list[Example]:
        """Images as they are segmented while training: of those on the disk some parts, with certain objects."""
        parts: list[Example] = []
        for example in examples:
            parts += parts_of(example, self.normalization, ids) if isinstance(example, StoredExample) else [example]
        return parts

    def description(self) -> dict[str, Any]:
        """Name and shape of every image (``data``), of those to validate on (``validation``), and their labels."""
        every = [*self.annotated, *self.validation]
        data = [(readable(one.name), tuple(one.image.shape)) for one in every]
        labels = [one.label_digest() for one in every]
        return {"data": data, "validation": data[len(self.annotated) :], "labels": labels}

    def update(self, examples: Sequence[Example]) -> tuple[list[Example], bool]:
        """Replace images of known names, and add the others to those to train on.

        Returns
        -------
        changed : list of Example
            Images to train on that are new or other than before.
        is_validation_changed : bool
            Whether an image to validate on was replaced.

        Raises
        ------
        DataError
            If an image is of another kind than the others.
        """
        check_alike([*self.annotated[:1], *examples])
        before = dict(zip((e.name for e in self.annotated), self.held_out, strict=True))
        is_validation_changed = False
        for example in examples:
            # A name in both lists means the image that is trained on.
            for images in (self.annotated, self.validation):
                places = [place for place, known in enumerate(images) if known.name == example.name]
                if places:
                    images[places[0]] = example
                    is_validation_changed |= images is self.validation
                    break
            else:
                self.annotated.append(example)
        self._hold_out()
        given = {example.name for example in examples}
        changed = [
            one
            for one, ids in zip(self.training, self.held_out, strict=True)
            # The tenth object sets some objects aside in all images.
            if one.name in given or not np.array_equal(ids, before[one.name])
        ]
        return changed, is_validation_changed
