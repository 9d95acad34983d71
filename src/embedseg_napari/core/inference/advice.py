"""What there is to say of an image and what was found in it, and what would help: tried on a part of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import mean_of_channels
from embedseg_napari.core.config import SCALES
from embedseg_napari.core.data.normalization import Prepared, prepare
from embedseg_napari.core.events import Advice
from embedseg_napari.core.inference.scale_search import FoundScale, find_scale
from embedseg_napari.core.inference.size_check import size_facts
from embedseg_napari.core.inference.trial import SURE, Trial, busiest, certainty
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.config import ModelConfig, PredictionConfig
    from embedseg_napari.core.inference.observations import Observations
    from embedseg_napari.core.maps import EmbeddingMaps, ForegroundMaps
    from embedseg_napari.core.networks.network import Trained

SEEING: dict[Channel | None, str] = {None: "", "all": " with all channels", "mean": " on the mean of the channels"}
"""What another model saw of the image, in words."""
FACTORS = (0.35, 0.5, 0.7, 1.4, 2.0, 2.8)
"""Scales that are tried, as parts of the present one."""
OTHER_FACTORS = (1.0, 0.7, 1.4, 2.0)
"""Scales at which other models are tried; what is shrunk more looks like a nucleus, whatever it is."""
LEAST_CERTAINTY, CLEARLY = 0.4, 1.5
"""Certainty at a scale that is suggested, and how many times as much as now it must be (`docs/choices.md`)."""
LEAST_OF_OTHER, CLEARLY_OTHER = 0.3, 2.5
"""The same for another model, compared with this one at any scale."""
WHOLE_OBJECTS = 0.835
"""Usual mean seediness that the objects must have then: pieces of what a network does not know have less."""
SURE_OF_OBJECTS = 0.5
"""Part of the pixels of whole objects that a model is sure of where it found them well (`docs/choices.md`)."""
FEW_STEPS = 1000
"""Steps of a training below which a model is unsure also of what it learned from; how sure it is at another scale says
nothing then: after 129 steps on worms it was surest of noise, enlarged 2.8 times."""
FEW_OBJECTS = 3
"""With fewer, certainty says nothing."""
LEAST_SURE = {2: 0.3, 3: 0.05}
"""Part of the pixels of what was found that a model is as sure of as it ever is where it knows such images; in volumes
most pixels of an object are near its surface (`docs/choices.md`)."""
PART = {2: (512, 512), 3: (48, 128, 128)}
"""Pixels of the part that scales and models are tried on."""
MOST_PIXELS = 1 << 20
"""Pixels that the network is shown at one scale."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Another scale, another model or the model's own thresholds, and how sure the model is then: from 0 to 1."""

    changes: dict[str, Any]
    certainty: float
    certainty_now: float
    model: str = ""
    """Name of another model, bundled or of one's own; empty for the one that was used."""
    channel: Channel | None = None
    """What that model saw of the image: all channels, or their mean; None where it saw what was segmented."""

    def advice(self, before: str = "") -> Advice:
        """Words for it, after a sentence on what was found."""
        now, then = (f"{100 * part:.0f} %" for part in (self.certainty_now, self.certainty))
        if self.model:
            seen = f"The model {self.model} is surer of what it finds: {then} of it instead of {now}"
            remedy, action = f"try {self.model}{SEEING[self.channel]}", f"Try {self.model}"
        elif "scale" in self.changes:
            scale = f"{self.changes['scale']:.2g}"
            seen = f"At the scale {scale} the model is surer of what it finds: {then} of it instead of {now}"
            remedy, action = f"try the scale {scale}", f"Use scale {scale}"
        else:
            text = f"{before} With the thresholds stored with the model there are some.".strip()
            return Advice(text, "warning", "Back to the model's thresholds", changes=self.changes)
        seen = f"{before} {seen} (tried on a part of the image)".strip()
        text, observed = f"{seen}: {remedy}.", f"{seen}."
        return Advice(text, "warning", action, self.model, self.changes, channel=self.channel, observed=observed)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing that was tried knows such images."""

    sure: float | None
    """Part of the pixels of what was found that the model is sure of, from 0 to 1; None where nothing was found."""
    steps: int | None = None
    """Steps of its training, where they are few."""

    def advice(self, before: str = "") -> Advice:
        """Words for it, after a sentence on what was found."""
        unsure = "" if self.sure is None else f"The model is unsure of {100 * (1 - self.sure):.0f} % of what it found."
        if self.steps is not None:
            return Advice(" ".join(filter(None, (before, unsure, _further(self.steps)))), "warning")
        tried = "No other scale or model is clearly better: a few labelled objects make a model of your own."
        text = " ".join(filter(None, (before, unsure, tried)))
        return Advice(text, "warning", "Open Label & Train", labels=True)


def remark(
    config: ModelConfig,
    seen: Observations | None,
    n_objects: int,
    widths: Sequence[float | None],
    settings: PredictionConfig,
    spacing: Sequence[float] | None = None,
    suggestion: Suggestion | FoundScale | Unknown | None = None,
    n_left_out: int = 0,
    n_too_small: int = 0,
) -> Advice | None:
    """What there is to say of an image and its objects, or None. Only what was tried is ever suggested.

    Parameters
    ----------
    config : ModelConfig
        Of the model.
    seen : Observations, optional
        Of all frames; without them only sizes are told.
    n_objects : int
        Objects found.
    widths : sequence of float or None
        `usual_width` of the labels of each frame.
    settings : PredictionConfig
        What they were found with.
    spacing : sequence of float, optional
        Size of a pixel (z, y, x) in the unit of the model's.
    suggestion : Suggestion, FoundScale or Unknown, optional
        Of `suggest`.
    n_left_out : int
        Objects that were found, but are too large or at the border.
    n_too_small : int
        Objects that were found, but do not exceed the minimum size.
    """
    if n_left_out and not n_objects:
        what = "The only object found was" if n_left_out == 1 else f"All {n_left_out} objects found were"
        why = "for touching the border of the image or being larger than the maximum size"
        return Advice(f"{what} left out, {why}.", "warning")
    facts = [] if seen is None else seen.sentences()
    if seen is not None and seen.is_blank:
        return Advice(facts[0], "warning")
    is_empty = seen is not None and not n_objects
    nothing = "No object was found."
    if n_too_small:
        what = "The only object found was" if n_too_small == 1 else f"All {n_too_small} objects found were"
        nothing = f"{what} left out, for having no more pixels than the minimum size, {settings.min_object_size}."
    facts += [nothing] if is_empty else size_facts(config, widths, settings.scale, spacing)
    if isinstance(suggestion, Unknown) and suggestion.sure is None and (n_objects or n_too_small):
        # They lie elsewhere than where other scales and models were tried.
        suggestion = None
    elif isinstance(suggestion, Unknown) and not n_objects:
        # Found in that part alone, or left out: nothing that is seen.
        suggestion = replace(suggestion, sure=None)
    steps = _few_steps(config)
    if isinstance(suggestion, Suggestion) and steps is not None:
        facts.append(f"The model was trained for only {count(steps, 'step')} and may be trained further.")
    if suggestion is not None:
        return suggestion.advice(" ".join(facts))
    if is_empty and n_too_small:
        facts.append("Lower the minimum size, or try another model or scale.")
    elif is_empty:
        lower = f"Try another model or scale, or lower the {settings.threshold_of_seeds}."
        facts.append(lower if steps is None else _further(steps))
    elif facts and (seen is None or not seen.sentences()):
        facts.append("If objects are missed or split, train a model on such images.")
    return Advice(" ".join(facts), "warning") if facts else None


def _few_steps(config: ModelConfig) -> int | None:
    """Steps of a model's trainings where they are few; None where they are enough, or not known."""
    steps = config.n_steps
    return steps if steps is not None and steps < FEW_STEPS else None


def _further(steps: int) -> str:
    return f"The model was trained for only {count(steps, 'step')}: train it further, or try another one."


def is_unsure(maps: EmbeddingMaps | ForegroundMaps) -> bool:
    """Whether something else may be clearly better than what made these maps; of pixels above `DOUBTFUL[0]`."""
    return certainty(maps.seed_map, math.prod(maps.shape)) < 1 / CLEARLY


@dataclass(frozen=True, slots=True)
class _Certainty:
    """What a model made of a part of an image."""

    scale: float
    certainty: float
    """0 where there are too few objects."""
    wholeness: float
    """Usual mean seediness of its objects."""
    n_objects: int
    seed_map: NDArray[np.float32]
    sure: float
    """Part of the pixels of its objects that it is sure of; 1 where there are none."""
    known: float
    """Part of them that it is as sure of as of what it was tested on; the same where that is not known, or is surer."""


def suggest(
    model: Trained,
    settings: PredictionConfig,
    image: np.ndarray,
    ready: Prepared,
    others: Iterable[tuple[str, Trained]],
    should_stop: Callable[[], bool],
    every_channel: np.ndarray | None = None,
    *,
    is_scale_found: bool = False,
) -> Suggestion | FoundScale | Unknown | None:
    """Try other scales and models on a part of an image, and return what is clearly better, or None.

    Where nothing is, it may be that no model knows such images: that is told, too.

    The size of pixels says little: models know objects in pixels, and those of another specimen may have any size.
    Objects found say little too: a network splits what is too large for it into pieces of the size that it knows, and
    finds pieces by the hundred in what it was never shown.

    Parameters
    ----------
    model : Model
        Network and what belongs to it.
    settings : PredictionConfig
        With the scale that the others are compared with.
    image : ndarray, shape (C, (Z,) Y, X)
        As it was given.
    ready : Prepared
        The same, ready for the network.
    others : iterable of (str, Model)
        Other models for such images, and their names; they are taken only if they are needed. One of one channel is
        shown the mean of several.
    should_stop : callable
        As for a prediction.
    every_channel : ndarray, optional
        The image with all its channels, where `image` is one of them or their mean: for other models that take them.
    is_scale_found : bool
        Whether the scale of the settings was looked for already.
    """
    window = busiest(ready, PART[model.config.ndim])
    part = Prepared.as_given(ready.values(window))
    now = _try(model, settings, part, settings.scale, should_stop)
    stored = model.config.prediction
    if now.n_objects == 0 and settings.clustering != stored.clustering:
        again = _try(model, stored, part, settings.scale, should_stop)
        if again.n_objects:
            return Suggestion(stored.clustering, again.certainty, now.certainty)
    is_found_well = now.wholeness >= WHOLE_OBJECTS and now.sure >= SURE_OF_OBJECTS and now.n_objects >= FEW_OBJECTS
    if is_found_well or not certainty(now.seed_map) < 1 / CLEARLY:
        return None
    steps = _few_steps(model.config)
    if model.config.ndim == 3 and steps is None and not is_scale_found:
        found = find_scale(model, settings, ready, should_stop)
        if found.scale != settings.scale:
            return found
    # In volumes few pixels are ever sure, so that certainty cannot tell scales apart.
    factors = FACTORS if model.config.ndim == 2 and steps is None and not is_scale_found else ()
    scales = [float(f"{settings.scale * factor:.2g}") for factor in factors]
    tried = [_try(model, settings, part, scale, should_stop) for scale in scales if _fits(model, part, scale)]
    whole = [trial for trial in tried if trial.wholeness >= WHOLE_OBJECTS]
    best = max([now, *whole], key=lambda trial: trial.certainty)
    better, channel, name = max(
        (
            (*_best_of(other, image, ready, window, model.config, should_stop, every_channel), name)
            for name, other in (others if best.certainty * CLEARLY_OTHER < 1 else ())
        ),
        key=lambda found: found[0].certainty,
        default=(None, None, ""),
    )
    if (
        better is not None
        and better.certainty >= max(LEAST_OF_OTHER, CLEARLY_OTHER * best.certainty)
        and better.wholeness >= WHOLE_OBJECTS
    ):
        return Suggestion({}, better.certainty, now.certainty, name, channel)
    if best is now or best.certainty < max(LEAST_CERTAINTY, CLEARLY * now.certainty) or best.wholeness < WHOLE_OBJECTS:
        if not now.n_objects:
            return Unknown(None, steps)
        is_known = now.known >= LEAST_SURE[model.config.ndim]
        return None if is_known else Unknown(now.known, steps)
    return Suggestion({"scale": best.scale}, best.certainty, now.certainty)


def _best_of(
    other: Trained,
    image: np.ndarray,
    ready: Prepared,
    window: tuple[slice, ...],
    config: ModelConfig,
    should_stop: Callable[[], bool],
    every_channel: np.ndarray | None,
) -> tuple[_Certainty, Channel | None]:
    """Another model at the scale that suits it best, and the channels that it saw where those are others."""
    channel: Channel | None = None
    if other.config.n_channels != len(image):
        channel = "mean" if every_channel is None else "all"
        image = mean_of_channels(image, keepdims=True) if every_channel is None else every_channel
    if channel is not None or other.config.normalization != config.normalization:
        ready = prepare(image, other.config.normalization)
    part = Prepared.as_given(ready.values(window))
    scales = [factor for factor in OTHER_FACTORS if factor == 1 or _fits(other, part, factor)]
    tried = [_try(other, other.config.prediction, part, scale, should_stop) for scale in scales]
    return max(tried, key=lambda trial: trial.certainty), channel


def _fits(model: Trained, part: Prepared, scale: float) -> bool:
    """Whether a scale is allowed, and quickly tried."""
    n_pixels = math.prod(part.shape) * (model.config.reference_scale * scale) ** model.config.ndim
    return SCALES[0] <= scale <= SCALES[1] and n_pixels <= MOST_PIXELS


def _try(
    model: Trained, settings: PredictionConfig, part: Prepared, scale: float, should_stop: Callable[[], bool]
) -> _Certainty:
    trial = Trial.of(model, settings, part, scale, should_stop)
    maps, found = trial.maps, trial.found
    n = len(found.scores)
    sizes = np.bincount(found.labels.ravel(), minlength=n + 1)[1:]
    means = np.bincount(found.labels.ravel(), maps.seed_map.ravel(), n + 1)[1:] / np.maximum(sizes, 1)
    sure = certainty(maps.seed_map) if n >= FEW_OBJECTS else 0.0
    whole, seediness = float(np.median(means)) if n else 0.0, maps.seed_map[found.labels > 0]
    usual = model.config.sure_seediness
    of_objects, known = (
        float((seediness > level).mean()) if n else 1.0 for level in (SURE, SURE if usual is None else min(usual, SURE))
    )
    return _Certainty(scale, sure, whole, n, maps.seed_map, of_objects, known)
