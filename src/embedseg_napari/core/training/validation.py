"""Scores of true predictions on held-out images, and the defaults for prediction chosen on them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.clustering.clustering import cluster_by
from embedseg_napari.core.data.sparse import known_instances
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.evaluation.held_out import held_out_ious
from embedseg_napari.core.evaluation.matching import IOU_THRESHOLDS, match_rows
from embedseg_napari.core.evaluation.thresholds import is_sure_gain, reached_seed_threshold, search_thresholds
from embedseg_napari.core.events import Message
from embedseg_napari.core.model.quiet import quietly_embedded
from embedseg_napari.core.runs import drain, never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import Precision, PredictionConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.model.model import Model

    TakeMaps = Callable[[Example, EmbeddingMaps], None]

MARGIN_SCALES, LEAST_GAIN = (1.0, 1.1, 1.2, 1.35), 0.001
"""Scales of the margins that are tried, and the gain of mean AP below which nothing changes."""
SURE_SHARE = {2: 0.6, 3: 0.1}
"""Part of the pixels of held-out objects that reach the seediness at which a model counts as sure; in volumes most
pixels of an object are near its surface (`docs/choices.md`)."""
CONFIDENCE = 0.95
"""How sure a gain on held-out images must be before other thresholds or margins are stored with the model."""
PRECISION_TOLERANCE = 0.002
"""Loss of mean AP up to which a reduced precision is stored with the model."""
LEAST_IMAGES = 3
"""Held-out images, if there are so many, that thresholds are chosen on, however long they take."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean over images of the average precision."""

    ap_50: float
    """At IoU 0.5."""
    ap_mean: float
    """Mean over IoU 0.5, 0.55 ... 0.9."""
    each: tuple[float, ...] = ()
    """The latter of each image, or of each held-out object, by itself."""
    sure_seediness: float | None = None
    """See `ModelConfig.sure_seediness`; None where no object was found."""

    def is_as_good_as(self, record: Sequence[float]) -> bool:
        """Whether these scores are no worse than others of the same images, as far as so few can tell.

        The mean of the images' losses must not exceed its standard error.
        """
        gain = np.subtract(self.each, record)
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
        return bool(gain.mean() >= -error)


class Validator:
    """Segments held-out images as a user would, and compares with their truth.

    Parameters
    ----------
    examples : sequence of Example
        Held-out images. Where objects overlap, the truth stays a stack of planes.
    """

    chooses_model = True
    """Whether the scores are sure enough to choose the model and its thresholds by."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def embed(self, model: Model, precision: str, should_stop: Callable[[], bool] = never) -> Iterator[EmbeddingMaps]:
        """Maps of every image, one after the other: those of volumes take gigabytes.

        Raises
        ------
        Stopped
            If `should_stop` returned True on the way.
        """
        for example in self.examples:
            if should_stop():
                raise Stopped("Stopped while held-out images were segmented.")
            yield quietly_embedded(model, example, precision)

    def score(self, maps: Iterable[EmbeddingMaps], settings: PredictionConfig) -> Scores:
        """Cluster the maps and score the labels."""
        rows, seediness = [], []
        for example, one in zip(self.examples, maps, strict=True):
            labels = cluster_by(one, settings).labels
            seediness += _sure_seediness(one.seed_map, labels, example)
            rows.append([row.ap for row in match_rows(example.instances, labels, ignore=example.ignore)])
        mean = np.mean(rows, axis=0)
        each = tuple(np.mean(rows, axis=1).tolist())
        return Scores(float(mean[0]), float(mean.mean()), each, _usual(seediness))

    def of(self, which: Sequence[int]) -> Validator:
        """The same for some of the images."""
        return Validator([self.examples[i] for i in which])

    def choose_prediction(
        self,
        model: Model,
        settings: PredictionConfig,
        precision: Precision,
        should_stop: Callable[[], bool] = never,
        seconds: float = math.inf,
    ) -> tuple[PredictionConfig, Message | None]:
        """Thresholds and scale of the margins that score best, and the reduced precision if it costs nothing.

        Parameters
        ----------
        model : Model
            The finished model.
        settings : PredictionConfig
            Settings to start from.
        precision : {"float32", "bfloat16", "float16"}
            Number format of the training.
        should_stop : callable
            Looked at between images.
        seconds : float
            For maps of the held-out images; of those that take longer some are left out.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        """
        exact: list[EmbeddingMaps] = []
        # Half of the time is for the maps in the reduced precision.
        end = time.monotonic() + (seconds if precision == "float32" else seconds / 2)
        # Neighbours in the list are often alike.
        order = np.random.default_rng(0).permutation(len(self.examples)).tolist()
        for i in order:
            if len(exact) >= LEAST_IMAGES and time.monotonic() > end:
                break
            if should_stop():
                raise Stopped("Stopped while thresholds and precision were chosen.")
            exact.append(quietly_embedded(model, self.examples[i], "float32"))
        part = self.of(order[: len(exact)])
        if self.chooses_model:
            settings = part.with_best_margins(exact, part._with_best_thresholds(exact, settings))
        if precision == "float32":
            return settings, None
        reduced = part.embed(model, precision, should_stop)
        if part.score(reduced, settings).ap_mean >= part.score(exact, settings).ap_mean - PRECISION_TOLERANCE:
            return settings.model_copy(update={"precision": precision}), None
        return settings, Message(f"Prediction stays in float32: {precision} lowers the score on the held-out images.")

    def _with_best_thresholds(self, exact: Sequence[EmbeddingMaps], settings: PredictionConfig) -> PredictionConfig:
        pairs = [(one, example.instances) for one, example in zip(exact, self.examples, strict=True)]
        ignore = [example.ignore for example in self.examples]
        best = drain(search_thresholds(pairs, settings, confidence=CONFIDENCE, ignore=ignore))
        return settings.model_copy(update=best.changes)

    def with_best_margins(self, exact: Sequence[EmbeddingMaps], settings: PredictionConfig) -> PredictionConfig:
        """Other margins, if the held-out images surely gain by them."""
        usual, best = np.array(self.score(exact, settings).each), settings
        most = LEAST_GAIN
        for scale in MARGIN_SCALES:
            other = settings.model_copy(update={"margin_scale": scale})
            gains = np.array(self.score(exact, other).each) - usual
            if gains.mean() > most and is_sure_gain(gains, CONFIDENCE):
                best, most = other, gains.mean()
        return best


class HeldOutValidator(Validator):
    """Scores objects held out of images whose other objects are trained on: the fraction of them that is found.

    What is predicted elsewhere does not count, so these scores say how many objects will be found and how well they
    are outlined, but not how many are invented. They are also few, and change as labels are added. So they are
    reported but choose nothing: the last state of the network is kept, with the usual thresholds.

    Parameters
    ----------
    held_out : sequence of (Example, ids)
        Images with all their labels, and which of the objects were held out.
    """

    chooses_model = False

    def __init__(self, held_out: Sequence[tuple[Example, np.ndarray]]) -> None:
        super().__init__([example for example, _ in held_out])
        self.ids = [ids for _, ids in held_out]

    def of(self, which: Sequence[int]) -> Validator:
        """The same for some of the images."""
        return HeldOutValidator([(self.examples[i], self.ids[i]) for i in which])

    def score(self, maps: Iterable[EmbeddingMaps], settings: PredictionConfig) -> Scores:
        """Cluster the maps; fraction of the held-out objects of all images that is found."""
        values, seediness = [], []
        for example, ids, one in zip(self.examples, self.ids, maps, strict=True):
            labels = cluster_by(one, settings).labels
            seediness += _sure_seediness(one.seed_map, labels, example, ids)
            values.append(held_out_ious(labels, example, ids))
        ious = np.concatenate(values)
        found = [float((ious >= threshold).mean()) for threshold in IOU_THRESHOLDS]
        return Scores(found[0], float(np.mean(found)), sure_seediness=_usual(seediness))


def _sure_seediness(
    seed_map: np.ndarray, labels: np.ndarray, example: Example, ids: NDArray[np.int64] | None = None
) -> list[float]:
    """Seediness that most pixels of true objects, or some of them, reach where they were found; nothing if none was."""
    known = known_instances(example)
    if example.is_planes:
        is_true = (known if ids is None else known[ids - 1]).any(axis=0)
    else:
        is_true = known != 0 if ids is None else np.isin(known, ids)
    found = seed_map[is_true & (labels > 0)]
    return [float(np.quantile(found, 1 - SURE_SHARE[labels.ndim]))] if found.size else []


def _usual(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def with_reached_seeds(
    model: Model,
    annotated: Sequence[Example],
    settings: PredictionConfig,
    usual: float,
    precision: str,
    should_stop: Callable[[], bool] = never,
    take_maps: TakeMaps | None = None,
) -> PredictionConfig:
    """Settings with the usual seed threshold, or what most annotated objects reach; see `reached_seed_threshold`.

    `take_maps` is called with each image and its maps, which are not kept: those of volumes take gigabytes.
    """

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for example in annotated:
            maps = quietly_embedded(model, example, precision, should_stop)
            if take_maps is not None:
                take_maps(example, maps)
            yield maps.seed_map, known_instances(example)

    return settings.model_copy(update={"seed_threshold": reached_seed_threshold(pairs(), start=usual)})
