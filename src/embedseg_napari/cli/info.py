"""``embedseg info``: what a model is and how it was made, how a label image was made, or what an OME-Zarr holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from embedseg_napari.cli.console import say, show_table
from embedseg_napari.cli.progress import curve_rows
from embedseg_napari.core.files.picture import TIFF


def info(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|LABELS|STORE",
            help="A model's name, a .embedseg file, or an original .pth file; or a label image (.tif), or an OME-Zarr.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Describe a model and how it was trained, how a label image was made, or what an OME-Zarr holds."""
    if Path(model).suffix.lower() in TIFF:
        _labels(Path(model), as_json)
        return
    from embedseg_napari.core.files.zarr_image import is_store

    if is_store(Path(model)):
        _store(Path(model), as_json)
        return
    from embedseg_napari import load_model
    from embedseg_napari.core.model.card import model_card

    config = load_model(model, device="cpu").config
    if as_json:
        say(config.model_dump_json(indent=2))
        return
    show_table(f"Model {config.name or model}", ("", ""), model_card(config), left=2)
    if config.history:
        header, rows = curve_rows([dict(row) for row in config.history])
        show_table("Training curve", header, rows)


def _store(path: Path, as_json: bool) -> None:
    import json

    from embedseg_napari.core.files.ngff import names_of_labels
    from embedseg_napari.core.files.units import unit_words
    from embedseg_napari.core.files.zarr_image import open_zarr
    from embedseg_napari.core.wording import shape_words
    from embedseg_napari.jobs.large.recipe import recipe_noted

    image = open_zarr(path)
    recipe = recipe_noted(image.path) if image.is_labels else None
    found: dict[str, Any] = {
        "version": image.ngff,
        "kind": "labels" if image.is_labels else "image",
        "axes": image.axes,
        "levels": [list(shape) for shape in image.levels],
        "chunks": list(image.chunks),
        "type": str(image.dtype),
        "bytes": image.nbytes,
        "spacing": image.spacing,
        "unit": image.unit,
        "channels": list(image.channel_names),
        "labels": list(names_of_labels(image.path)),
        **({"recipe": recipe} if recipe else {}),
    }
    if as_json:
        say(json.dumps(found, indent=2))
        return
    steps = " x ".join(f"{step:g}" for step in image.spacing or ())
    spacing = "not said" if image.spacing is None else f"{steps} {unit_words(image.unit)}".strip()
    rows = [
        ("Version", image.ngff),
        ("Axes", image.axes),
        *(("Resolutions" if level == 0 else "", shape_words(shape)) for level, shape in enumerate(image.levels)),
        ("Chunks", shape_words(image.chunks)),
        ("Type", f"{image.dtype}, {image.nbytes / 1e6:.1f} MB in memory"),
        ("Pixel size", spacing),
        ("Channels", ", ".join(image.channel_names) or "not named"),
        ("Labels", ", ".join(found["labels"]) or "none"),
    ]
    show_table(f"OME-Zarr {path.name} ({found['kind']})", ("", ""), rows, left=2)
    if recipe is not None:
        _tell(recipe, image.path)


def _labels(path: Path, as_json: bool) -> None:
    import json

    from embedseg_napari.core.errors import DataError
    from embedseg_napari.core.files.picture import require_file
    from embedseg_napari.jobs.recipe import read_recipe, recipe_of

    require_file(path)
    recipe = read_recipe(path)
    if recipe is None:
        raise DataError(
            f"{path}: nothing is known of its making; the recipe of labels that embedseg predict writes lies beside "
            f"them, here as {recipe_of(path)}."
        )
    if as_json:
        say(json.dumps(recipe, indent=2))
        return
    _tell(recipe, path)


def _tell(recipe: dict[str, Any], path: Path) -> None:
    """How a label image was made, for people."""
    from embedseg_napari.jobs.recipe import recipe_rows

    rows: list[tuple[str, Any]] = recipe_rows(recipe, path)
    show_table(f"Labels {path.name}", ("", ""), rows, left=2)
    say(str(recipe.get("methods", "")))
    for reference in recipe.get("references") or ():
        say(f"  {reference}")
