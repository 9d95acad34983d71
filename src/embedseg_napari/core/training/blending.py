"""A training on few labels keeps what its start model knew: as much of the old weights as the annotated objects allow.

The mean of the weights of a network before and after a short training on few objects often finds those objects as well
as the trained one, and others better (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.clustering.clustering import cluster_by
from embedseg_napari.core.data.sparse import object_ids
from embedseg_napari.core.evaluation.held_out import held_out_ious
from embedseg_napari.core.model.quiet import quietly_embedded
from embedseg_napari.core.runs import never

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.maps import EmbeddingMaps, ForegroundMaps
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.training.validation import TakeMaps

SHARES = (0.5, 0.75)
"""Of the trained weights that are tried, beside all of them."""
TOLERANCE = 0.03
"""Mean IoU of the annotated objects that may be lost for it (`docs/choices.md`)."""
MOST_IMAGES = 3
"""Images that are segmented for each share, those with most objects."""


def blended(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the way from one network to another; counters are those of the trained one."""
    return {
        name: start[name].to(value).lerp(value, share) if value.is_floating_point() else value
        for name, value in trained.items()
    }


def scored_examples(annotated: Sequence[Example]) -> list[Example]:
    """The images that a share is chosen on; none where all objects were erased while it was trained."""
    with_objects = [one for one in annotated if len(object_ids(one))]
    return sorted(with_objects, key=lambda one: -len(object_ids(one)))[:MOST_IMAGES]


def least_share(
    model_of: Callable[[float], Model],
    annotated: Sequence[Example],
    settings_of: Callable[[Model, TakeMaps], PredictionConfig],
    precision: str,
    should_stop: Callable[[], bool] = never,
) -> tuple[float, PredictionConfig, float]:
    """Choose the smallest share of the trained weights with which the annotated objects are found about as well.

    Parameters
    ----------
    model_of : callable
        Returns the model with a share of the trained weights, 1 for all.
    annotated : sequence of Example
        Images of which some objects are known.
    settings_of : callable
        Returns the thresholds that a model is stored with. What it is given besides the model is to be called with the
        images that it looks at and their maps, so that those that are scored need not be seen by the network again.
    precision : {"float32", "bfloat16", "float16"}
        Number format.
    should_stop : callable
        As for a prediction.

    Returns
    -------
    share : float
        What was chosen.
    settings : PredictionConfig
        Thresholds that it was chosen with.
    found : float
        Mean IoU of the annotated objects with all of the trained weights; NaN where there are none.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    settings: dict[float, PredictionConfig] = {}

    scored = scored_examples(annotated)

    def mean_iou(share: float) -> float:
        model = model_of(share)
        kept: dict[int, EmbeddingMaps | ForegroundMaps] = {}

        def keep(example: Example, maps: EmbeddingMaps) -> None:
            if any(example is one for one in scored):
                kept[id(example)] = _foreground(maps, model.config.prediction)

        settings[share] = settings_of(model, keep)
        found = []
        for example in scored:
            maps = kept.pop(id(example), None) or quietly_embedded(model, example, precision, should_stop)
            labels = cluster_by(maps, settings[share], should_stop).labels
            found.append(held_out_ious(labels, example, object_ids(example)))
        return float(np.concatenate(found).mean())

    if not scored:
        return 1.0, settings_of(model_of(1.0), lambda *_: None), math.nan
    best = mean_iou(1.0)
    least = next((share for share in SHARES if mean_iou(share) >= best - TOLERANCE), 1.0)
    return least, settings[least], best


def _foreground(maps: EmbeddingMaps, settings: PredictionConfig) -> EmbeddingMaps | ForegroundMaps:
    """What objects are collected from, whatever the seed threshold, in as little memory as there is for it."""
    if settings.seeds != "greedy":
        return maps
    return maps.above(settings.foreground_threshold, (0,) * maps.ndim, maps.shape)
