"""``embedseg models``: the models that are known by name."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 (typer reads it from the annotations)
from typing import Annotated

import typer

from embedseg_napari.cli.console import complain, say, show_table

app = typer.Typer(no_args_is_help=True, help="List, rename, duplicate, describe, delete, import and export models.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, as `embedseg models list` names it.")]
NewName = Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]


@app.command("list")
def list_models() -> None:
    """List the models that come with the program and those in the user's folder."""
    from embedseg_napari.core.errors import ModelError
    from embedseg_napari.core.model.card import describe as in_one_line
    from embedseg_napari.core.model.known_models import start_models
    from embedseg_napari.core.model.library import ModelLibrary

    library, starts = ModelLibrary(), start_models()
    rows = []
    for model in [*library.models(), *starts]:
        try:
            config = model.config()
            works_on, licence = in_one_line(config), config.license
        except ModelError as error:
            complain(str(error))
            works_on, licence = "cannot be used", ""
        kind = "bundled, to train from" if model in starts else "bundled" if model.is_bundled else ""
        rows.append((model.name, works_on, licence, kind))
    show_table(f"Models; your own are in {library.folder}", ("name", "works on", "licence", ""), rows, left=4)


@app.command()
def rename(name: Name, new: NewName) -> None:
    """Give a model of your own another name."""
    from embedseg_napari.core.model.library import ModelLibrary

    say(f"{name} is now {ModelLibrary().rename(name, new).name}.")


@app.command()
def duplicate(name: Name, new: NewName) -> None:
    """Copy a model under another name."""
    from embedseg_napari.core.model.library import ModelLibrary

    say(f"{ModelLibrary().duplicate(name, new).name} is a copy of {name}.")


@app.command()
def describe(
    name: Name,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", metavar="TEXT", help="Licence of weights and training data.")
    ] = None,
    default: Annotated[
        list[str] | None,
        typer.Option(
            "--default", metavar="SETTING=VALUE", help="A default for prediction, such as margin_scale=1.2; repeatable."
        ),
    ] = None,
) -> None:
    """Write what a model of your own says of itself, and its defaults for prediction."""
    from embedseg_napari.core.files.documents import Unreadable, parse_yaml
    from embedseg_napari.core.model.library import ModelLibrary

    given = {"description": description, "license": licence}
    words = {key: text for key, text in given.items() if text is not None}
    if not words and not default:
        raise typer.BadParameter("give --description, --license or --default.")
    defaults = {}
    for assignment in default or ():
        setting, is_given, value = assignment.partition("=")
        if not is_given:
            raise typer.BadParameter(f"--default {assignment}: write SETTING=VALUE.")
        try:
            # Several numbers are written as for the other options: tile=128,128.
            defaults[setting.strip()] = parse_yaml(f"[{value}]" if re.fullmatch(r"[\d., ]*,[\d., ]*", value) else value)
        except Unreadable as error:
            raise typer.BadParameter(f"--default {assignment}: the value {error}.") from error
    say(f"{ModelLibrary().describe(name, defaults, **words).name}: saved.")


@app.command()
def delete(
    name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
) -> None:
    """Move a model of your own to the trash, with what its training left beside it."""
    from embedseg_napari.core.model.library import ModelLibrary

    library = ModelLibrary()
    path = library.find_own(name, "deleted").path
    if not yes:
        typer.confirm(f"Move {path} and the files its training left beside it to the trash?", abort=True)
    library.delete(name)
    say(f"{name} was moved to the trash.")


@app.command("import")
def take_in(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Model files: .embedseg; .pth of the original EmbedSeg, with its data_properties.json and "
            "normalization.json beside it or up to two folders above; .zip of bioimage.io that was exported from here.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name to import it under, for a single file.")
    ] = None,
) -> None:
    """Copy model files into the user's folder, converting those of other kinds."""
    from embedseg_napari.core.model.card import describe as in_one_line
    from embedseg_napari.core.model.library import ModelLibrary

    if name is not None and len(files) > 1:
        raise typer.BadParameter("--name can only be given for a single file.")
    library = ModelLibrary()
    for file in files:
        model = library.import_model(file, name)
        say(f"{file}: imported as {model.name} ({in_one_line(model.config())})")


@app.command("export")
def hand_out(
    name: Name,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="File to write: it ends in .embedseg, or in .zip for a bioimage.io package."
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="Example image that the package shows and is tested with; by default generated nuclei.",
        ),
    ] = None,
    authors: Annotated[
        list[str] | None, typer.Option("--author", metavar="NAME", help="Author named in the package; repeatable.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Half precision, at half the size (.embedseg only).")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of this name.")] = False,
) -> None:
    """Write a model as a file to give away."""
    from embedseg_napari.core.model.library import ModelLibrary

    library, tested = ModelLibrary(), None
    if image is not None:
        from embedseg_napari.core.axes import guess_axes, to_frames
        from embedseg_napari.core.files.tiff import read_image

        config, picture = library.find(name).config(), read_image(image)
        axes = picture.axes or guess_axes(picture.array.shape, config.ndim, config.n_channels)
        tested = to_frames(picture.array, axes)[0]
    say(str(library.export_model(name, target, overwrite=overwrite, half=half, image=tested, authors=authors or ())))
