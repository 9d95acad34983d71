"""``embedseg info``: what a model is and how it was made, or how a label image was made."""

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
            metavar="MODEL|LABELS",
            help="A model's name, a .embedseg file, or an original .pth file; or a label image (.tif).",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Describe a model: what images it takes, its defaults, how it was trained; or how a label image was made."""
    if Path(model).suffix.lower() in TIFF:
        _labels(Path(model), as_json)
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


def _labels(path: Path, as_json: bool) -> None:
    import json

    from embedseg_napari.core.errors import DataError
    from embedseg_napari.core.files.picture import require_file
    from embedseg_napari.jobs.recipe import read_recipe, recipe_of, recipe_rows

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
    rows: list[tuple[str, Any]] = recipe_rows(recipe, path)
    show_table(f"Labels {path.name}", ("", ""), rows, left=2)
    say(str(recipe.get("methods", "")))
    for reference in recipe.get("references") or ():
        say(f"  {reference}")
