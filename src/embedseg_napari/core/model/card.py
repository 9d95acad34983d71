"""What a model says of itself, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.files.units import unit_words
from embedseg_napari.core.wording import clock_time, count, score_words

if TYPE_CHECKING:
    from embedseg_napari.core.config import Calibration, ModelConfig, NormalizationConfig


def describe(config: ModelConfig | None) -> str:
    """One line on what a model works on; None stands for an original checkpoint, which does not say."""
    if config is None:
        return "Original EmbedSeg checkpoint; what it works on is known once it is loaded."
    channels = ", ".join(config.channel_names) or count(config.n_channels, "channel")
    parts = [f"{config.ndim}D", channels]
    if config.spacing is not None:
        steps = " x ".join(f"{step:.3g}" for step in config.spacing)
        parts.append(f"{steps} {unit_words(config.spacing_unit)}".rstrip())
    if config.object_sizes.mean:
        parts.append("objects of " + " x ".join(f"{side:.0f}" for side in config.object_sizes.mean) + " px")
    return ", ".join(parts)


def model_card(config: ModelConfig) -> list[tuple[str, str]]:
    """Rows of name and value that tell what a model takes, its defaults and how it was made; empty ones left out."""
    sizes, prediction, normalization = config.object_sizes, config.prediction, config.normalization
    space = "(y, x)" if config.ndim == 2 else "(z, y, x)"
    channels = ", ".join(config.channel_names)
    rows: list[tuple[str, Any]] = [
        ("Description", config.description),
        ("Licence", config.license),
        ("Network", f"{config.architecture}, {config.ndim}D"),
        ("Input", f"{config.axes}, {count(config.n_channels, 'channel')} {channels}".strip()),
        (f"Pixel size {space}", _numbers(config.spacing, unit_words(config.spacing_unit))),
        ("Normalisation", _normalization(normalization)),
        (f"Object extent {space}", _numbers(sizes.mean, "px on average") if sizes.n_objects else ""),
        ("Seed threshold", f"{prediction.seed_threshold:g} ({prediction.seeds})"),
        ("Foreground threshold", f"{prediction.foreground_threshold:g}"),
        ("Faint seeds", f"{prediction.faint_seeds:g} below" if prediction.faint_seeds else ""),
        ("Margins", f"{prediction.margin_scale:g} times as wide" if prediction.margin_scale != 1 else ""),
        ("Smallest object", f"more than {prediction.min_object_size} px"),
        ("Largest object", f"{prediction.max_object_size} px" if prediction.max_object_size else ""),
        ("Objects at the border", "dropped" if prediction.drop_border_objects else ""),
        ("Holes", "filled" if prediction.fill_holes else ""),
        ("Images resized by", f"{prediction.scale:g}" if prediction.scale != 1 else ""),
        ("Scale", "looked for in each image" if prediction.find_scale else ""),
        ("Precision", prediction.precision),
        ("8-bit integers", _calibration(config.calibration)),
        (f"Tile {space}", _numbers(prediction.tile, "px")),
        ("Trained", _training(config.training)),
        ("Written by", config.software_version),
    ]
    return [(name, str(value)) for name, value in rows if value not in ("", None)]


def _numbers(values: tuple[float, ...] | None, unit: str | None) -> str:
    return "" if not values else f"{' x '.join(f'{value:.4g}' for value in values)} {unit or ''}".strip()


def _calibration(found: Calibration | None) -> str:
    if found is None:
        return ""
    return f"calibrated on {count(found.n_images, 'image')}; mean AP {found.ap_int8:.3f}, otherwise {found.ap:.3f}"


def _normalization(config: NormalizationConfig) -> str:
    if config.method == "dtype-range":
        return config.method if config.full_range is None else f"{config.full_range:g} to 1"
    words: str = config.method
    if config.method == "percentile":
        words = f"percentiles {config.low:g} and {config.high:g} to 0 and 1"
    return words if config.clip is None else f"{words}, spoiled pixels filled in, clipped at {config.clip:g}"


def _training(training: dict[str, Any]) -> str:
    parts = []
    if "n_images" in training:
        parts.append(f"on {count(training['n_images'], 'image')} with {count(training.get('n_objects', 0), 'object')}")
    if "steps" in training:
        parts.append(count(training["steps"], "step"))
    if isinstance(training.get("seconds"), int | float):
        parts.append(clock_time(training["seconds"]))
    if training.get("best_score") is not None:
        words = score_words(training["best_score"], training.get("n_held_out_objects", 0)).removesuffix(".")
        parts.append(words[0].lower() + words[1:])
    if training.get("started_from"):
        parts.append(f"from {training['started_from']}")
    return ", ".join(parts)
