"""A person who judges by the truth, and what the estimate should come to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.estimate.judgement import Answer, Judgement
from embedseg_napari.core.estimate.sample import Found, SampledObject, finding
from embedseg_napari.core.evaluation.matching import matched_pairs, overlaps
from embedseg_napari.core.runs import drain


@dataclass(frozen=True)
class KnownLabels:
    """Labels of which the truth is known."""

    found: Found
    right: frozenset[tuple[int, int]]
    """Frame and number of the objects that match a true one at IoU 0.5."""
    missed: tuple[tuple[int, tuple[float, ...]], ...]
    """Frame and middle of each true object that none matches."""

    @property
    def precision(self) -> float:
        return len(self.right) / len(self.found.label)

    @property
    def recall(self) -> float:
        return len(self.right) / (len(self.right) + len(self.missed))

    def judge(self, judgement: Judgement, n_steps: int | None = None) -> Judgement:
        """Answer the steps of a sample, or some of them, by the truth."""
        for step in judgement.steps[len(judgement.answers) : n_steps]:
            if isinstance(step, SampledObject):
                judgement.answer(Answer(right=(step.frame, step.label) in self.right))
            else:
                seen = [point for frame, point in self.missed if frame == step.frame and step.holds(point)]
                judgement.answer(Answer(missed=tuple(seen)))
        return judgement


def known(truth: np.ndarray, labels: np.ndarray, axes: str) -> KnownLabels:
    """Compare labels with their truth, both with axes T(Z)YX or (Z)YX."""
    right, missed = [], []
    frames = zip(truth, labels, strict=True) if "T" in axes else [(truth, labels)]
    for t, (true, own) in enumerate(frames):
        pairs = overlaps(true, own, planes=False)
        rows = matched_pairs(pairs, 0.5)
        right += [(t, int(number)) for number in pairs.predicted_ids[pairs.predicted_index[rows]]]
        objects = measure_objects(true, "centroid")
        is_found = np.isin(objects.ids, pairs.true_ids[pairs.true_index[rows]])
        missed += [(t, tuple(middle)) for middle in objects.centers[~is_found].tolist()]
    return KnownLabels(drain(finding(labels, axes)), frozenset(right), tuple(missed))
