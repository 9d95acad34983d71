"""Folders of label images: which prediction belongs to which truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.images import list_images, read_image
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


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


def read_pair(pair: FilePair) -> tuple[np.ndarray, np.ndarray]:
    """Read truth and prediction of one image.

    Returns
    -------
    truth : ndarray, shape ((Z,) Y, X) or (K, (Z,) Y, X)
        Ids; or bool planes of one object each, told by the axis they have more than the prediction.
    predicted : ndarray, shape ((Z,) Y, X)
        Ids.

    Raises
    ------
    DataError
        Naming the file that cannot be scored.
    """
    true, predicted = _read_labels(pair.true), _read_labels(pair.predicted)
    if true.shape != predicted.shape and true.shape[1:] != predicted.shape:
        raise DataError(
            f"{pair.predicted}: has shape {predicted.shape}, but its truth {pair.true} has {true.shape}; "
            "compare images of the same size."
        )
    return (true, predicted) if true.shape == predicted.shape else (true != 0, predicted)


def _read_labels(path: Path) -> np.ndarray:
    array = read_image(path).array
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise DataError(f"{path}: holds {array.dtype} values; a label image needs whole numbers, one per object.")
    if np.issubdtype(array.dtype, np.signedinteger) and array.size and array.min() < 0:
        raise DataError(f"{path}: holds negative numbers; use 0 for background and 1, 2, 3 ... for objects.")
    return array
