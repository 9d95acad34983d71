"""Folders of label images: which prediction belongs to which truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.pairing import by_name, image_name, partners, without_partner
from embedseg_napari.core.files.tiff import list_images
from embedseg_napari.core.files.zarr_image import is_store

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class FilePair:
    """Files of one image, or of one time-lapse."""

    name: str
    true: Path
    predicted: Path
    ignore: Path | None = None
    """Says which pixels are of unknown class."""


def pair_folders(truth: Path, predicted: Path) -> tuple[list[FilePair], list[str]]:
    """Find the predicted file of every true one, by name without ending; see `core.files.pairing`.

    Parameters
    ----------
    truth, predicted : Path
        Folders of label images, or of which `masks/` holds them; or two files or OME-Zarr, which are a pair whatever
        their names. Where the truth lies in a folder `masks/`, files of its names in `ignore/` beside that folder say
        which pixels are unknown.

    Returns
    -------
    pairs : list of FilePair
        In the order of the true files.
    extra : list of str
        Names of predictions without truth, which are left out.

    Raises
    ------
    DataError
        If a folder is missing or empty, two files of one have one name, or predictions are missing.
    """
    if _is_single(truth) and _is_single(predicted):
        name = image_name(truth)
        true_folder, true_files, predicted_files = truth.parent, {name: truth}, {name: predicted}
    else:
        true_folder, true_files = _files(truth)
        predicted_files = _files(predicted)[1]
    found = partners(true_files, predicted_files)
    missing = [name for name in true_files if name not in found]
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(
            f"{predicted}: lacks the predictions for {len(missing)} of {len(true_files)} true images ({named}); "
            "segment these too, under the same names."
        )
    # "." says no name.
    true_folder = true_folder.absolute()
    ignored = true_folder.with_name("ignore")
    ignore_files = by_name(list_images(ignored)) if true_folder.name == "masks" and ignored.is_dir() else {}
    unknown = partners(true_files, ignore_files)
    alone = list(without_partner(unknown, ignore_files).values())
    if alone and not _is_single(truth):
        raise DataError(f"{alone[0]}: there is no label image of this name in {true_folder}.")
    pairs = [FilePair(name, path, found[name], unknown.get(name)) for name, path in true_files.items()]
    return pairs, list(without_partner(found, predicted_files))


def _is_single(path: Path) -> bool:
    return path.is_file() or is_store(path)


def _files(folder: Path) -> tuple[Path, dict[str, Path]]:
    """The folder that holds label images, this one or `masks/` in it, and these by name."""
    found = list_images(folder)
    if not found and (folder / "masks").is_dir():
        folder = folder / "masks"
        found = list_images(folder)
    if not found:
        raise DataError(f"{folder}: holds no images that can be read.")
    return folder, by_name(found)
