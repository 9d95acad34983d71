"""``embedseg info``: what a model is and how it was made; what an image or an OME-Zarr holds, how labels were made."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from embedseg_napari.cli.console import complain, say, show_table
from embedseg_napari.cli.progress import curve_rows


def info(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|IMAGE|STORE",
            help="A model's name, a .embedseg file, or an original .pth file; an image or its labels; or an OME-Zarr.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Describe a model and how it was trained, or an image, its labels or an OME-Zarr, and how labels were made."""
    from embedseg_napari.core.files.formats import BIOIO, PICTURES
    from embedseg_napari.core.files.picture import TIFF
    from embedseg_napari.core.files.zarr_image import is_store

    path = Path(model)
    if path.suffix.lower() in (*TIFF, *PICTURES, *BIOIO):
        _image(path, as_json)
        return
    if is_store(path):
        _store(path, as_json)
        return
    from embedseg_napari import load_model
    from embedseg_napari.core.model.card import model_card

    config = load_model(model, device="cpu").config
    if as_json:
        say(config.model_dump_json(indent=2))
        return
    show_table(f"Model {config.name or model}", ("", ""), model_card(config), left=2)
    if config.history:
        header, rows = curve_rows([dict(row) for row in config.history], config.training)
        show_table("Training curve", header, rows)


def _store(path: Path, as_json: bool) -> None:
    from embedseg_napari.core.files.leftovers import run_beside
    from embedseg_napari.core.files.ngff import names_of_labels
    from embedseg_napari.core.files.zarr_image import open_zarr
    from embedseg_napari.core.wording import shape_words
    from embedseg_napari.jobs.large.recipe import recipe_noted

    image = open_zarr(path)
    if image.left_out:
        complain(f"{path}: {image.left_out}.")
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
        **({"complete": not run_beside(image.path).exists()} if image.is_labels else {}),
        **({"recipe": recipe} if recipe else {}),
    }
    if as_json:
        say(json.dumps(found, indent=2))
        return
    rows = [
        ("Version", image.ngff),
        ("Axes", image.axes),
        *(("Resolutions" if level == 0 else "", shape_words(shape)) for level, shape in enumerate(image.levels)),
        ("Chunks", shape_words(image.chunks)),
        *_pixel_rows(found),
        ("Labels", ", ".join(found["labels"]) or "none"),
        *([] if found.get("complete", True) else [("State", "not complete; the same embedseg predict finishes it")]),
    ]
    show_table(f"OME-Zarr {path.name} ({found['kind']})", ("", ""), rows, left=2)
    if recipe is not None:
        _tell(recipe, image.path)


def _image(path: Path, as_json: bool) -> None:
    from embedseg_napari.core.files.tiff import read_image
    from embedseg_napari.core.wording import shape_words
    from embedseg_napari.jobs.recipe import read_recipe

    recipe = read_recipe(path)
    image = read_image(path, labels=recipe is not None, lazily=True, say=lambda words: complain(f"{path}: {words}"))
    found: dict[str, Any] = {
        "axes": image.axes,
        "shape": list(image.array.shape),
        "type": str(image.array.dtype),
        "bytes": math.prod(image.array.shape) * image.array.dtype.itemsize,
        "spacing": image.spacing,
        "unit": image.unit,
        "channels": list(image.channel_names),
        "interval": image.interval,
    }
    if as_json:
        say(json.dumps(recipe or found, indent=2))
        return
    rows = [
        ("Axes", image.axes or "not named; --axes of other commands names them"),
        ("Size", shape_words(image.array.shape)),
        *_pixel_rows(found),
        *([("Time step", f"{image.interval:g} s")] if image.interval else []),
    ]
    show_table(f"Image {path.name}", ("", ""), rows, left=2)
    if recipe is not None:
        _tell(recipe, path)


def _pixel_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    from embedseg_napari.core.files.units import unit_words

    steps = " x ".join(f"{step:g}" for step in found["spacing"] or ())
    return [
        ("Type", f"{found['type']}, {found['bytes'] / 1e6:.1f} MB in memory"),
        ("Pixel size", f"{steps} {unit_words(found['unit'])}".strip() if steps else "not said"),
        ("Channels", ", ".join(found["channels"]) or "not named"),
    ]


def _tell(recipe: dict[str, Any], path: Path) -> None:
    """How a label image was made, for people."""
    from embedseg_napari.jobs.recipe import recipe_rows

    rows: list[tuple[str, Any]] = recipe_rows(recipe, path)
    show_table(f"Labels {path.name}", ("", ""), rows, left=2)
    say(str(recipe.get("methods", "")))
    for reference in recipe.get("references") or ():
        say(f"  {reference}")
