"""Models into the library and out of it, in the kinds of file that others use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError, ModelError, SettingsError
from embedseg_napari.core.model.bioimage import read_package, write_package
from embedseg_napari.core.model.bundled import SUFFIX
from embedseg_napari.core.model.library import CHECKPOINTS, LibraryModel
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.model.model_file import copy_model_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from embedseg_napari.core.model.library import ModelLibrary

PACKAGE = ".zip"
IMPORTABLE = (SUFFIX, *CHECKPOINTS, PACKAGE)


def import_model(library: ModelLibrary, source: str | Path, name: str | None = None) -> LibraryModel:
    """Copy a model file, a checkpoint of the original EmbedSeg, or a bioimage.io package into the library.

    Parameters
    ----------
    library : ModelLibrary
        Where to.
    source : path
        An `.embedseg` file; a `.pth` with `data_properties.json` and `normalization.json` beside it; or a `.zip` that
        :func:`export_model` wrote.
    name : str, optional
        Default: the file's, with a number if that is taken.

    Raises
    ------
    ModelError
        If it holds no model.
    DataError
        If the name is no good, or taken.
    """
    source = Path(source).expanduser()
    kind = source.suffix.lower()
    if source.is_dir():
        raise ModelError(f"{source}: is a folder; give a model file.")
    if not source.is_file():
        raise ModelError(f"{source}: there is no such file.")
    if kind not in IMPORTABLE:
        raise ModelError(f"{source}: is not a model; give one of {', '.join(IMPORTABLE)}.")
    target = library.numbered(source.stem) if name is None else library.free(name)
    # Weights are looked at as well: what is kept can be used.
    model = read_package(source) if kind == PACKAGE else load_model(source, device="cpu")
    if kind == SUFFIX:
        copy_model_file(source, target, name=target.stem)
    else:
        model.config = model.config.model_copy(update={"name": target.stem})
        model.save(target)
    return LibraryModel(target.stem, target)


def export_model(
    library: ModelLibrary,
    name: str,
    target: str | Path,
    *,
    overwrite: bool = False,
    half: bool = False,
    image: np.ndarray | None = None,
    authors: Sequence[str] = (),
) -> Path:
    """Write a model as an `.embedseg` file, or as a bioimage.io package if the target ends in `.zip`.

    Parameters
    ----------
    library : ModelLibrary
        Where from.
    name : str
        Model.
    target : path
        File, or a folder that takes `NAME.embedseg`.
    overwrite : bool
        Whether an existing file may be replaced.
    half : bool
        Store the weights of an `.embedseg` file in half precision, at half the size.
    image, authors
        As :func:`write_package` takes them; of no use to an `.embedseg` file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If there is no such model.
    DataError
        If the file exists, or cannot be written.
    SettingsError
        If an option does not belong to this kind of file.
    """
    model, target = library.find(name), Path(target).expanduser()
    if target.is_dir():
        target = target / f"{model.name}{SUFFIX}"
    kind = target.suffix.lower()
    if kind not in (SUFFIX, PACKAGE):
        raise DataError(f"{target}: give a file that ends in {SUFFIX}, or in {PACKAGE} for a bioimage.io package.")
    if kind == SUFFIX and (image is not None or authors):
        raise SettingsError(f"{target}: image and authors are for bioimage.io packages ({PACKAGE}).")
    if kind == PACKAGE and half:
        raise SettingsError(f"{target}: half precision is for model files ({SUFFIX}).")
    if target.exists() and not overwrite:
        raise DataError(f"{target}: exists already; choose another name or allow overwriting.")
    if kind == SUFFIX and half:
        given = load_model(model.path, device="cpu")
        given.config = given.config.model_copy(update={"name": target.stem})
        given.save(target, half=True)
    elif kind == SUFFIX:
        copy_model_file(model.path, target, name=target.stem)
    else:
        write_package(load_model(model.path, device="cpu"), target, image=image, authors=authors)
    return target
