"""``embedseg info``: what a model is and how it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedseg_napari.cli.console import count, duration, say, show_table
from embedseg_napari.cli.progress import curve_rows

if TYPE_CHECKING:
    from embedseg_napari.core.config import ModelConfig


def info(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's name, a .embedseg file, or an original .pth file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Describe a model: what images it takes, its defaults, how it was trained."""
    from embedseg_napari import load_model

    config = load_model(model, device="cpu").config
    if as_json:
        say(config.model_dump_json(indent=2))
        return
    show_table(f"Model {config.name or model}", ("", ""), _card(config), left=2)
    if config.history:
        header, rows = curve_rows([dict(row) for row in config.history])
        show_table("Training curve", header, rows)


def _card(config: ModelConfig) -> list[tuple[str, str]]:
    sizes, prediction, normalization = config.object_sizes, config.prediction, config.normalization
    space = "(y, x)" if config.ndim == 2 else "(z, y, x)"
    channels = ", ".join(config.channel_names)
    rows: list[tuple[str, Any]] = [
        ("Description", config.description),
        ("Licence", config.license),
        ("Network", f"{config.architecture}, {config.ndim}D"),
        ("Input", f"{config.axes}, {count(config.n_channels, 'channel')} {channels}".strip()),
        (f"Pixel size {space}", _numbers(config.spacing, config.spacing_unit)),
        ("Normalisation", _normalization(normalization.method, normalization.low, normalization.high)),
        (f"Object extent {space}", _numbers(sizes.mean, "px on average") if sizes.n_objects else ""),
        ("Seed threshold", f"{prediction.seed_threshold:g} ({prediction.seeds})"),
        ("Foreground threshold", f"{prediction.foreground_threshold:g}"),
        ("Faint seeds", f"{prediction.faint_seeds:g} below" if prediction.faint_seeds else ""),
        ("Smallest object", f"more than {prediction.min_object_size} px"),
        ("Precision", prediction.precision),
        (f"Tile {space}", _numbers(prediction.tile, "px")),
        ("Trained", _training(config.training)),
        ("Written by", config.software_version),
    ]
    return [(name, str(value)) for name, value in rows if value not in ("", None)]


def _numbers(values: tuple[float, ...] | None, unit: str | None) -> str:
    return "" if not values else f"{' x '.join(f'{value:.4g}' for value in values)} {unit or ''}".strip()


def _normalization(method: str, low: float, high: float) -> str:
    return f"percentiles {low:g} and {high:g} to 0 and 1" if method == "percentile" else method


def _training(training: dict[str, Any]) -> str:
    parts = []
    if "n_images" in training:
        parts.append(f"on {count(training['n_images'], 'image')} with {count(training.get('n_objects', 0), 'object')}")
    if "steps" in training:
        parts.append(count(training["steps"], "step"))
    if isinstance(training.get("seconds"), int | float):
        parts.append(duration(training["seconds"]))
    if training.get("best_score") is not None:
        score, objects = training["best_score"], training.get("n_held_out_objects", 0)
        if objects:
            parts.append(f"{100 * score:.0f} % of {count(objects, 'held-out object')} found (mean over IoU 0.5 to 0.9)")
        else:
            parts.append(f"mean AP {score:.3f} on {count(training.get('n_validation_images', 0), 'held-out image')}")
    if training.get("started_from"):
        parts.append(f"from {training['started_from']}")
    return ", ".join(parts)
