"""Folders of label images: which prediction belongs to which truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.sparse import split_ignore_label, union
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import list_images, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FilePair:
    """Files of one image."""

    name: str
    true: Path
    predicted: Path


def pair_folders(truth: Path, predicted: Path) -> tuple[list[FilePair], list[str]]:
    """Find the predicted file of every true one, by name without suffix.

    Parameters
    ----------
    truth, predicted : Path
        Folders of TIFF label images, or of which `masks/` holds them.

    Returns
    -------
    pairs : list of FilePair
        In the order of the true files.
    extra : list of str
        Names of predictions without truth, which are left out.

    Raises
    ------
    DataError
        If a folder is missing or empty, or predictions are missing.
    """
    true_files, predicted_files = _files(truth), _files(predicted)
    missing = [name for name in true_files if name not in predicted_files]
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(
            f"{predicted}: lacks the predictions for {len(missing)} of {len(true_files)} true images ({named}); "
            "segment these too, under the same names."
        )
    pairs = [FilePair(name, path, predicted_files[name]) for name, path in true_files.items()]
    return pairs, [name for name in predicted_files if name not in true_files]


def _files(folder: Path) -> dict[str, Path]:
    found = list_images(folder)
    if not found and (folder / "masks").is_dir():
        found = list_images(folder / "masks")
    if not found:
        raise DataError(f"{folder}: holds no TIFF images.")
    return {path.stem.removesuffix(".ome"): path for path in found}


def read_pair(
    pair: FilePair, ignore_label: int | None = None
) -> tuple[np.ndarray, np.ndarray, NDArray[np.bool_] | None]:
    """Read truth and prediction of one image, and what is unknown of its truth.

    Parameters
    ----------
    pair : FilePair
        The files. Where the truth lies in a folder `masks/`, a file of its name in `ignore/` beside that folder says
        which pixels are unknown.
    ignore_label : int, optional
        Value of true pixels whose class is unknown.

    Returns
    -------
    truth : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Ids; or bool planes of one object each, told by the axis they have more than the prediction.
    predicted : ndarray, shape ((Z,) Y, X)
        Ids.
    ignore : ndarray of bool, shape ((Z,) Y, X), optional
        Pixels of unknown class; None if there are none.

    Raises
    ------
    DataError
        Naming the file that cannot be scored.
    """
    true, predicted = read_image(pair.true).array, _read_labels(pair.predicted)
    _check_kind(true, pair.true)
    is_planes = true.shape != predicted.shape
    if is_planes and true.shape[1:] != predicted.shape:
        raise DataError(
            f"{pair.predicted}: has shape {predicted.shape}, but its truth {pair.true} has {true.shape}; "
            "compare images of the same size."
        )
    true, unknown = split_ignore_label(true, ignore_label, planes=is_planes)
    _check_signs(true, pair.true)
    if is_planes:
        true = true != 0
    path = pair.true.parent.with_name("ignore") / pair.true.name
    if pair.true.parent.name == "masks" and path.exists():
        ignore = read_image(path).array != 0
        if ignore.shape != predicted.shape:
            raise DataError(f"{path}: has shape {ignore.shape}, but its image {predicted.shape}.")
        unknown = union(unknown, ignore)
    return true, predicted, unknown


def _read_labels(path: Path) -> np.ndarray:
    array = read_image(path).array
    _check_kind(array, path)
    _check_signs(array, path)
    return array


def _check_kind(array: np.ndarray, path: Path) -> None:
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise DataError(f"{path}: holds {array.dtype} values; a label image needs whole numbers, one per object.")


def _check_signs(array: np.ndarray, path: Path) -> None:
    if np.issubdtype(array.dtype, np.signedinteger) and array.size and array.min() < 0:
        raise DataError(f"{path}: holds negative numbers; use 0 for background and 1, 2, 3 ... for objects.")
