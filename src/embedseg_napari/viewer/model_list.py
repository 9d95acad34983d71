"""Which models there are: bundled, the user's own, and those used lately. No file's weights are read here."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from psygnal import Signal

from embedseg_napari.core.errors import DataError, ModelError
from embedseg_napari.core.files.atomic import version_of, write_text
from embedseg_napari.core.files.names import from_home
from embedseg_napari.core.model.known_models import CHECKPOINTS, start_models
from embedseg_napari.core.model.library import ModelLibrary
from embedseg_napari.core.session.folder import STATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.config import ModelConfig

logger = logging.getLogger(__name__)

MODEL_SUFFIXES = (".embedseg", *CHECKPOINTS)
MODEL_FILTER = "Models (*.embedseg *.pth *.pt);;All files (*)"
"""For file dialogs."""
MOST_RECENT = 12


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that can be chosen."""

    path: Path
    is_bundled: bool = False

    @property
    def name(self) -> str:
        """What lists show; models of the rounds of a session are all named 001, 002 and so on."""
        session = self.path.parent.parent
        # Unlike a `Path`, this takes a place that cannot be reached for one where nothing is.
        if os.path.isfile(session / STATE):
            return f"{session.name} round {self.path.stem.lstrip('0')}"
        return self.path.stem if self.path.suffix == MODEL_SUFFIXES[0] else self.path.name


def names_of(known: Sequence[KnownModel]) -> list[str]:
    """Names as a list shows them: files of one name are told apart by their folders."""
    times = Counter(model.name for model in known)
    is_alone = (model.is_bundled or times[model.name] == 1 for model in known)
    return [
        model.name if alone else f"{model.name} ({model.path.parent.name})"
        for model, alone in zip(known, is_alone, strict=True)
    ]


class ModelList:
    """The bundled models, those of the user's folder, and those used lately from elsewhere."""

    changed = Signal(object)
    """The model that became known (a `KnownModel`), or None."""
    renamed = Signal(object, object)
    """Old and new file of a model."""

    def __init__(self) -> None:
        self._copies: dict[tuple[Path, object], Path] = {}

    @property
    def library(self) -> ModelLibrary:
        """The models with a name, which can be renamed, deleted and so on; `refresh` afterwards."""
        return ModelLibrary()

    def all(self) -> list[KnownModel]:
        """Bundled models first, then those used lately if their file still exists, then the user's others."""
        named = self.library.models()
        bundled = [KnownModel(model.path, is_bundled=True) for model in named if model.is_bundled]
        recent = [path for path in self._read() if os.path.isfile(path)]
        others = [model.path for model in named if not model.is_bundled and model.path.resolve() not in recent]
        return bundled + [KnownModel(path) for path in (*recent, *others)]

    def starts(self) -> list[KnownModel]:
        """The bundled models made for being trained on, which are offered where a training starts and nowhere else."""
        return [KnownModel(model.path, is_bundled=True) for model in start_models()]

    def refresh(self) -> None:
        """Tell all panels that models came or went; they keep what is chosen, if it is still there."""
        self.changed.emit(None)

    def follow_rename(self, old: Path, new: Path) -> None:
        """Tell all panels that a model has another file now; those that chose it go along."""
        self._write([new if path == old.resolve() else path for path in self._read()])
        self.renamed.emit(old, new)

    def remember(self, path: str | Path, is_wanted: bool = True) -> KnownModel:
        """Put a model file at the head of the recent ones; of a checkpoint of the original, the copy that is imported.

        Parameters
        ----------
        path : path
            The file.
        is_wanted : bool
            Whether it is chosen where a model segments; else it is only listed there.

        Raises
        ------
        ModelError
            If it is no file, not of a kind that can be a model, or a checkpoint that is damaged.
        DataError
            If a checkpoint cannot be imported as nothing can be written there.
        """
        path = from_home(path).resolve()
        if not os.path.isfile(path):
            raise ModelError(f"{path}: there is no such model file, or its disk cannot be reached.")
        if path.suffix.lower() not in MODEL_SUFFIXES:
            raise ModelError(f"{path}: is not a model file; choose an .embedseg file, or an original .pth.")
        if path.suffix.lower() in CHECKPOINTS:
            # It says nothing of itself before it is loaded, which only is done here: that takes PyTorch.
            path = self._imported(path)
        known = next((m for m in self.all() if m.is_bundled and m.path.resolve() == path), None)
        if known is None:
            self._write([path, *(p for p in self._read() if p != path)][:MOST_RECENT])
            known = KnownModel(path)
        self.changed.emit(known if is_wanted else None)
        return known

    def _imported(self, checkpoint: Path) -> Path:
        """The copy of a checkpoint that was imported since napari was started, or a new one."""
        which = checkpoint, version_of(checkpoint)
        copy = self._copies.get(which)
        if copy is None or not os.path.isfile(copy):
            self._copies[which] = copy = self.library.import_model(checkpoint).path.resolve()
        return copy

    def _read(self) -> list[Path]:
        file = recent_file()
        if not file.exists():
            return []
        try:
            return [Path(text) for text in json.loads(file.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            logger.warning("The list of recent models %s cannot be read (%s); it starts anew.", file, error)
            return []

    def _write(self, paths: list[Path]) -> None:
        text = json.dumps([str(path) for path in paths], indent=1)
        try:
            write_text(recent_file(), text)
        except DataError as error:
            # A list that is not kept is no reason to refuse a model.
            logger.warning("The list of recent models is not kept: %s", error)


models = ModelList()
"""The one list that all panels share."""


def recent_file() -> Path:
    """Where the list of recent models is kept, one JSON file per user."""
    return Path(platformdirs.user_config_dir("embedseg-napari", appauthor=False)) / "recent_models.json"


def read_config(path: str | Path) -> ModelConfig | None:
    """What a model file says about itself; None for an original checkpoint, which says nothing.

    Raises
    ------
    ModelError
        If the file is damaged, or of an unknown format.
    """
    path = Path(path).absolute()
    if path.suffix.lower() != MODEL_SUFFIXES[0]:
        return None
    try:
        found = path.stat()
    except OSError:
        # Reading says what is wrong.
        return _read_config.__wrapped__(path)
    return _read_config(path, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4 * MOST_RECENT)
def _read_config(path: Path, *_version: int) -> ModelConfig:
    """What a file of this version says: panels ask all models whenever an image is chosen."""
    from embedseg_napari.core.model.model_file import read_model_config

    return read_model_config(path)
