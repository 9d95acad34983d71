"""Which models there are: those that come with the package, and the files in the user's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from embedseg_napari.core.errors import ModelError
from embedseg_napari.core.files.names import from_home
from embedseg_napari.core.model.model_file import SUFFIX, read_model_config

if TYPE_CHECKING:
    from embedseg_napari.core.config import ModelConfig

FOLDER = Path(__file__).resolve().parents[2] / "models"
STARTS = {2: "starts/start-2d", 3: "nuclei-3d"}
"""Bundled models that trainings on few labels begin with, by the number of spatial axes. Those in the folder `starts`
are made for being trained on and not for segmenting: trained on images of many kinds, and used as they are they know
none well (`benchmarks/start`)."""
SCRATCH = "scratch"
"""The word for a new network in the place of a model's name."""
CHECKPOINTS = (".pth", ".pt")
"""Files of the original EmbedSeg."""


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model that is known by its name."""

    name: str
    path: Path
    is_bundled: bool = False

    def config(self) -> ModelConfig:
        """What the file says about itself, without its weights.

        Raises
        ------
        ModelError
            If it is damaged.
        """
        return read_model_config(self.path)


def bundled_names() -> list[str]:
    """Names of the bundled models, those of nuclei first: the first one is where people begin."""
    names = [path.stem for path in FOLDER.glob(f"*{SUFFIX}")] if FOLDER.is_dir() else []
    return sorted(names, key=lambda name: (not name.startswith("nuclei"), name))


def bundled_path(name: str) -> Path:
    """File of a bundled model.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    path = FOLDER / f"{name}{SUFFIX}"
    if name not in bundled_names():
        raise ModelError(f"There is no bundled model {name!r}; there are: {', '.join(bundled_names()) or 'none'}.")
    return path


def start_path(ndim: int) -> Path | None:
    """File of the bundled model that trainings on few labels begin with; None where there is none for so many axes."""
    path = FOLDER / f"{STARTS.get(ndim, '')}{SUFFIX}"
    return path if path.is_file() else None


def is_start(path: Path | None) -> bool:
    """Whether a file is that of a bundled model made for being trained on."""
    return path is not None and path.parent == FOLDER / "starts"


def start_models() -> list[LibraryModel]:
    """The bundled models made for being trained on."""
    return [LibraryModel(path.stem, path, is_bundled=True) for path in sorted((FOLDER / "starts").glob(f"*{SUFFIX}"))]


def bundled_models() -> list[LibraryModel]:
    """The bundled models, in the order of their names."""
    return [LibraryModel(name, bundled_path(name), is_bundled=True) for name in bundled_names()]


def models_folder() -> Path:
    """Where the user's models are kept if no other place is chosen."""
    return Path(platformdirs.user_data_dir("embedseg-napari", appauthor=False)) / "models"


def known_models(folder: Path) -> list[LibraryModel]:
    """Bundled models, then those of a folder by name."""
    files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stem.lower())
    # A file of the user that a later version's bundled model is named like keeps its whole name.
    own = [LibraryModel(path.name if path.stem in bundled_names() else path.stem, path) for path in files]
    return bundled_models() + [model for model in own if not model.name.startswith(".")]


def model_at(path: Path) -> LibraryModel:
    """The model of a file, be it in the user's folder or elsewhere."""
    return LibraryModel(path.stem, path, is_bundled=FOLDER in path.resolve().parents)


def find_model_file(source: str | Path) -> Path:
    """The file of a model that is given by its name or by its file.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    if not isinstance(source, str | Path):
        raise ModelError(f"{source!r} is no model; give its name or its file.")
    path = from_home(source)
    known = {model.name: model.path for model in [*start_models(), *known_models(models_folder())]}
    try:
        if isinstance(source, str) and not path.is_file():
            path = known.get(source, known.get(source.removesuffix(SUFFIX), path))
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if is_folder:
        raise ModelError(f"{path}: is a folder; give a model file (.embedseg, or an original .pth).")
    if not is_there:
        names = ", ".join(known) or "none"
        raise ModelError(f"{source}: there is neither such a file nor a model of this name (there are: {names}).")
    return path
