"""The user's models: files in one folder, named as the person names them, beside the bundled ones.

A job reads its model wholly when it starts, so renaming or deleting one later does not disturb it. A training writes
its model when it ends: while it runs, its name is taken, and what it writes over can neither be renamed nor deleted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import AlreadyExists, DataError, ModelError, SettingsError
from embedseg_napari.core.files import folder_lock
from embedseg_napari.core.files.atomic import alone
from embedseg_napari.core.files.names import from_home, is_device, portable_name, unusable
from embedseg_napari.core.model.known_models import CHECKPOINTS, LibraryModel, known_models, models_folder
from embedseg_napari.core.model.model_file import SUFFIX, copy_model_file
from embedseg_napari.core.settings import require_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

PACKAGE = ".zip"
IMPORTABLE = (SUFFIX, *CHECKPOINTS, PACKAGE)
LONGEST_NAME = 200
"""Bytes; file systems allow 255, and a temporary file's name is longer than the model's."""


class ModelLibrary:
    """The models of one folder, and the bundled ones, which stay as they are.

    Parameters
    ----------
    folder : path, optional
        Default: the user's (:func:`models_folder`).
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = models_folder() if folder is None else from_home(folder)

    def models(self) -> list[LibraryModel]:
        """Bundled models, then the user's by name."""
        return known_models(self.folder)

    def find(self, name: str) -> LibraryModel:
        """The model of a name.

        Raises
        ------
        ModelError
            If there is none.
        """
        require_kind(name, str, "The name of a model is a text")
        known = self.models()
        for wanted in (name, name.removesuffix(SUFFIX)):
            for model in known:
                if model.name == wanted:
                    return model
        raise ModelError(f"There is no model {name!r}; there are: {', '.join(m.name for m in known) or 'none'}.")

    def rename(self, name: str, new: str) -> LibraryModel:
        """Give one of the user's models another name; its training can still be resumed under the new one.

        Raises
        ------
        ModelError
            If there is no such model, it is bundled, or is being trained.
        DataError
            If the new name is no good, or taken.
        """
        with alone(self.folder):
            model = self.find_own(name, "renamed; duplicate it under another name")
            target = self.free(new, besides=model)
            try:
                _move(model.path, target)
            except OSError as error:
                raise DataError(f"{model.path}: cannot be renamed ({error.strerror or error}).") from error
        return LibraryModel(target.stem, target)

    def duplicate(self, name: str, new: str) -> LibraryModel:
        """Copy a model, bundled or not, under another name.

        Raises
        ------
        ModelError
            If there is no such model.
        DataError
            If the new name is no good, or taken.
        """
        model, target = self.find(name), self.free(new)
        copy_model_file(model.path, target, name=target.stem)
        return LibraryModel(target.stem, target)

    def describe(self, name: str, prediction: dict[str, Any] | None = None, **words: str) -> LibraryModel:
        """Write what one of the user's models says of itself, and its defaults for prediction.

        Parameters
        ----------
        name : str
            Model.
        prediction : dict, optional
            Settings of `PredictionConfig` to store.
        **words
            `description` and `license`, as they shall read.

        Raises
        ------
        ModelError
            If there is no such model, it is bundled, or is being trained.
        SettingsError
            If a setting does not fit.
        """
        with alone(self.folder):
            model = self.find_own(name, "changed; duplicate it first")
            stored = model.config().prediction
            changed = stored.parse(stored.model_dump() | (prediction or {}))
            copy_model_file(model.path, model.path, overwrite=True, prediction=changed, **words)
        return model

    def delete(self, name: str) -> None:
        """Move one of the user's models, and what its training left beside it, to the trash of the system.

        Raises
        ------
        ModelError
            If there is no such model, it is bundled, or is being trained.
        DataError
            If the system has no trash for it.
        """
        from send2trash import TrashPermissionError, send2trash

        with alone(self.folder):
            model = self.find_own(name, "deleted")
            gone = [path for path in (model.path, _run_folder(model.path)) if path.exists()]
            try:
                send2trash(gone)
            except (TrashPermissionError, OSError) as error:
                raise DataError(
                    f"{model.path}: cannot be moved to the trash ({error}); delete the file itself."
                ) from error

    def import_model(self, source: str | Path, name: str | None = None) -> LibraryModel:
        """Copy a model file, a checkpoint of the original EmbedSeg, or a bioimage.io package into the library.

        Parameters
        ----------
        source : path
            An `.embedseg` file; a `.pth` with `data_properties.json` and `normalization.json` beside it; or a `.zip`
            that :meth:`export_model` wrote.
        name : str, optional
            Default: the file's, with a number if that is taken.

        Raises
        ------
        ModelError
            If it holds no model.
        DataError
            If the name is no good, or taken.
        """
        # Late, so that names and descriptions can be read without PyTorch.
        from embedseg_napari.core.model.bioimage import read_package
        from embedseg_napari.core.model.model import load_model

        source = from_home(source)
        kind = source.suffix.lower()
        if source.is_dir():
            raise ModelError(f"{source}: is a folder; give a model file.")
        if not source.is_file():
            raise ModelError(f"{source}: there is no such file.")
        if kind not in IMPORTABLE:
            raise ModelError(f"{source}: is not a model; give one of {', '.join(IMPORTABLE)}.")
        target = self.numbered(source.stem) if name is None else self.free(name)
        # Weights are looked at as well: what is kept can be used.
        model = read_package(source) if kind == PACKAGE else load_model(source, device="cpu")

        def write(target: Path) -> None:
            if kind == SUFFIX:
                copy_model_file(source, target, name=target.stem)
            else:
                model.config = model.config.model_copy(update={"name": target.stem})
                model.save(target, overwrite=False)

        if name is not None:
            write(target)
        else:
            target = self.write_numbered(source.stem, write)
        return LibraryModel(target.stem, target)

    def export_model(
        self,
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
        from embedseg_napari.core.model.bioimage import write_package
        from embedseg_napari.core.model.model import load_model

        model, target = self.find(name), from_home(target)
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
            raise AlreadyExists(f"{target}: exists already; choose another name or allow overwriting.")
        if kind == SUFFIX and half:
            given = load_model(model.path, device="cpu")
            given.config = given.config.model_copy(update={"name": target.stem})
            given.save(target, half=True, overwrite=overwrite)
        elif kind == SUFFIX:
            copy_model_file(model.path, target, overwrite=overwrite, name=target.stem)
        else:
            given = load_model(model.path, device="cpu")
            write_package(given, target, image=image, authors=authors, overwrite=overwrite)
        return target

    def find_own(self, name: str, what: str) -> LibraryModel:
        """One of the user's models that may be changed now; `what` it shall be is for the sentence that refuses.

        Raises
        ------
        ModelError
            If there is no such model, it is bundled, or is being trained.
        """
        model = self.find(name)
        require_own(model, what)
        return model

    def free(self, name: str, besides: LibraryModel | None = None) -> Path:
        """The file of a name that no model has, besides one.

        Raises
        ------
        DataError
            If the name is no good, or taken.
        """
        require_kind(name, str, "The name of a model is a text")
        name = name.strip().removesuffix(SUFFIX)
        problem = self.problem(name, besides)
        if problem:
            raise DataError(problem)
        return self.folder / f"{name}{SUFFIX}"

    def problem(self, name: str, besides: LibraryModel | None = None) -> str:
        """Why no model but one can have this name here; empty if it can."""
        wrong = name_problem(name)
        if wrong:
            return wrong
        # Some file systems do not tell capitals from small letters.
        if name.lower() in (model.path.stem.lower() for model in self.models() if model != besides):
            return f"There is already a model {name}; choose another name."
        run = _run_folder(self.folder / f"{name}{SUFFIX}")
        if run.exists() and (besides is None or run.name.lower() != _run_folder(besides.path).name.lower()):
            return f"There is an unfinished training {name}.run in {self.folder}; choose another name."
        return ""

    def numbered(self, name: str) -> Path:
        """The file of a name like the one given, with a number if that is taken."""
        base = portable_name(re.sub(r"[^\w.-]+", "_", name).strip("._"), "model", LONGEST_NAME // 2).strip("._")
        name, number = base, 2
        while self.problem(name):
            name, number = f"{base}_{number}", number + 1
        return self.folder / f"{name}{SUFFIX}"

    def write_numbered(self, name: str, write: Callable[[Path], object]) -> Path:
        """Write a model under a name like the one given, with a number where that is or becomes taken.

        Parameters
        ----------
        name : str
            Name wished for.
        write : callable
            Called with a file that `numbered` found; raises AlreadyExists where another one was quicker.

        Returns
        -------
        Path
            The file that was written.
        """
        while True:
            target = self.numbered(name)
            try:
                write(target)
            except AlreadyExists:
                continue
            return target


def require_own(model: LibraryModel, what: str) -> None:
    """Refuse a model that is not the user's, or cannot be changed now; see :meth:`ModelLibrary.find_own`."""
    if model.is_bundled:
        raise ModelError(f"{model.name} comes with the program and cannot be {what}.")
    held = folder_lock.occupied(_run_folder(model.path), "training")
    if held:
        raise ModelError(f"{model.name} is being trained. {held}")


def name_problem(name: str) -> str:
    """Why a model cannot have this name; empty if it can."""
    if not name.strip("."):
        return "Give the model a name."
    if name.startswith("."):
        return "The name of the model must not begin with a dot."
    if name.endswith((".", " ")):
        return "The name of the model must not end with a dot or a space."
    character = unusable(name)
    if character:
        shown = character if character.isprintable() else f"invisible characters ({ascii(character)[1:-1]})"
        return f"The name of the model must not contain {shown}."
    if len(name.encode()) > LONGEST_NAME:
        return f"The name of the model is too long; {LONGEST_NAME} bytes at most."
    if is_device(name):
        return f"{name} is the name of a device on Windows; choose another."
    return ""


def _move(source: Path, target: Path) -> None:
    """Give a model and the folder of its training another name; at every moment all is there under one or both."""
    runs = _run_folder(source), _run_folder(target)
    # The same file: its own name, or capitals on a file system that does not tell them from small letters.
    is_same = target.exists() and target.samefile(source)
    if is_same:
        source.rename(target)
    else:
        copy_model_file(source, target, name=target.stem)
    try:
        if is_same:
            copy_model_file(target, target, overwrite=True, name=target.stem)
        if runs[0].is_dir() and runs[0] != runs[1]:
            runs[0].rename(runs[1])
    except BaseException:
        if is_same:
            target.rename(source)
        else:
            target.unlink()
        raise
    if not is_same:
        source.unlink()


def _run_folder(path: Path) -> Path:
    """Where the training of a model keeps its checkpoints."""
    return path.with_suffix(".run")
