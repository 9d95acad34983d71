"""Options that several commands share, with what the settings say about themselves."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from embedseg_napari.core.settings import Settings


def setting(
    model: type[Settings], name: str, *flags: str, default: str | None = None, metavar: str | None = None
) -> Any:
    """Return the option of a setting: its help and default are those declared in the settings.

    Parameters
    ----------
    model : type of Settings
        Where the setting is declared.
    name : str
        Its name.
    *flags : str
        Flags; ``--name-with-dashes`` without them.
    default : str, optional
        What help shows as default, where it is not simply the declared one.
    metavar : str, optional
        What help shows as value.
    """
    field = model.model_fields[name]
    shown = default if default is not None else "" if field.default in (None, False) else str(field.default)
    text = f"{field.description} [default: {shown}]" if shown else field.description
    return typer.Option(*(flags or (f"--{name.replace('_', '-')}",)), metavar=metavar, help=text, show_default=False)


def parse_spacing(text: str | None) -> tuple[float, ...] | None:
    """Read ``Z,Y,X`` or ``Y,X``."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (2, 3) or not all(0 < value < float("inf") for value in values):
        raise typer.BadParameter(
            f"{text!r} is not a pixel size; write two or three positive numbers such as 0.5,0.1,0.1 (Z,Y,X) or 0.1,0.1."
        )
    return values


def parse_channel(text: str) -> int | str:
    """Read ``N`` or ``mean``."""
    word = text.strip().lower()
    if word == "mean":
        return "mean"
    try:
        number = int(word)
    except ValueError:
        number = -1
    if number < 0:
        raise typer.BadParameter(
            f"--channel {text} is no channel; write a number (0 is the first), or mean for the mean of all."
        )
    return number


def parse_tile(text: str | None) -> tuple[int, ...] | None:
    """Read ``Z,Y,X`` or ``Y,X``, in pixels."""
    values = _whole_numbers(text)
    if values is not None and (len(values) not in (2, 3) or any(value < 8 or value % 8 for value in values)):
        raise typer.BadParameter(
            f"{text!r} is not a tile size; write two or three multiples of 8 such as 32,256,256 (Z,Y,X) or 512,512."
        )
    return values


def parse_tile_overlap(text: str | None) -> tuple[int, ...] | None:
    """Read ``Z,Y,X`` or ``Y,X``, in pixels."""
    values = _whole_numbers(text)
    if values is not None and (len(values) not in (2, 3) or any(value < 0 for value in values)):
        raise typer.BadParameter(
            f"{text!r} is not an overlap; write two or three whole numbers such as 32,96,96 (Z,Y,X) or 256,256."
        )
    return values


def _whole_numbers(text: str | None) -> tuple[int, ...] | None:
    """The numbers between commas; none of them if one is no number."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        return ()


def parse_axes(text: str | None) -> str | None:
    """Check axes before anything else is done."""
    if text is None:
        return None
    from embedseg_napari.core.axes import parse_axes as parse

    return parse(text)


def require_folder(folder: Path, what: str) -> None:
    """Refuse a folder that is not there.

    Raises
    ------
    DataError
        Naming it.
    """
    if not folder.exists():
        raise DataError(f"{what} {folder} does not exist; check the path.")
    if not folder.is_dir():
        raise DataError(f"{what} {folder} is a file; give the folder it is in.")


def require_writable(folder: Path, option: str) -> None:
    """Refuse a folder that nothing can be written to, before any time is spent.

    One that is not there yet is made with the first file in it: what fails before leaves nothing behind.

    Raises
    ------
    DataError
        Naming it.
    """
    try:
        there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DataError(
            f"Folder {folder} cannot be written ({error.strerror or error}); choose another {option}."
        ) from error


ModelSource = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's name, a .embedseg file, or an original .pth file.")
]
HeldOut = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET",
        help="Folder with images/ and masks/ (same file names), or with train/ and val/ of that kind: val/ counts.",
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(
        "--axes", metavar="AXES", help="Axes of the images, such as YX, ZYX or TCYX; read from the file, or guessed."
    ),
]
Channel = Annotated[
    Any,
    typer.Option(
        "--channel",
        parser=parse_channel,
        metavar="N|mean",
        help="Use only this channel of the images (0 is the first), or the mean of all.",
    ),
]
LabelAxes = Annotated[
    str | None, typer.Option("--axes", metavar="AXES", help="Axes of the label image, such as YX, ZYX or TYX.")
]
Spacing = Annotated[
    str | None,
    typer.Option(
        "--spacing",
        metavar="Z,Y,X",
        help="Pixel size in micrometres per axis (in 2D: Y,X), instead of what the files say.",
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where to compute.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress, only messages and results.")]
