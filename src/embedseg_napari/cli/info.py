"""``embedseg info``: what a model is and how it was made."""

from __future__ import annotations

from typing import Annotated

import typer

from embedseg_napari.cli.console import say, show_table
from embedseg_napari.cli.progress import curve_rows


def info(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's name, a .embedseg file, or an original .pth file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Describe a model: what images it takes, its defaults, how it was trained."""
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
