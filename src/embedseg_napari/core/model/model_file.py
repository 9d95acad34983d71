"""The `.embedseg` file: one zip of JSON and safetensors. Reading one never runs code."""

from __future__ import annotations

import json
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import ModelError, SettingsError
from embedseg_napari.core.files.archives import UNREADABLE, open_archive, read_member
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.documents import Unreadable, parse_json
from embedseg_napari.core.files.names import from_home
from embedseg_napari.core.wording import readable

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".embedseg"
FORMAT_VERSION = 1
CONFIG, WEIGHTS = "model.json", "weights.safetensors"
MAX_BYTES = {CONFIG: 16 << 20, WEIGHTS: 256 << 20}
"""Far more than the largest network (15 MB) and the longest training curve take; a file that claims more is refused."""


def write_model_file(
    path: str | Path, weights: dict[str, Tensor], config: ModelConfig, *, half: bool = False, overwrite: bool = True
) -> Path:
    """Write weights and configuration as one file, which appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        Target; gets the suffix `.embedseg` if it has none.
    weights : dict of str to Tensor
        State dict of the network.
    config : ModelConfig
        Everything else; the software version is filled in.
    half : bool
        Store floating-point weights as float16.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If it exists and may not be replaced, or cannot be written.
    ModelError
        If what would be written could not be read again, such as weights that are no numbers.
    """
    path = from_home(path)
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    from safetensors.torch import save

    for name, value in weights.items():
        if not value.isfinite().all():
            raise ModelError(
                f"{path}: is not written, as weight {name} contains values that are no numbers; train again."
            )
    config = config.model_copy(update={"software_version": software_version()})
    _write(path, config, save({name: _to_store(value, half) for name, value in weights.items()}), overwrite)
    return path


def copy_model_file(source: Path, target: Path, *, overwrite: bool = False, **changes: Any) -> None:
    """Write a model file anew, some of its description replaced; the weights stay as they are, bit by bit.

    Parameters
    ----------
    source, target : Path
        Files; the target's folder is made.
    overwrite : bool
        Whether an existing file may be replaced.
    **changes
        Values of `ModelConfig` that are other in the copy, such as its name.

    Raises
    ------
    ModelError
        As `read_model_file`.
    DataError
        If the target exists and may not be replaced, or cannot be written.
    """
    config = read_model_config(source)
    config = config.with_prediction(changes.pop("prediction", config.prediction)).model_copy(update=changes)
    _write(target, config, _read_member(source, WEIGHTS), overwrite)


def _write(path: Path, config: ModelConfig, weights: bytes, overwrite: bool) -> None:
    config = config.model_copy(update={"name": readable(config.name)})
    try:
        # Through JSON text, which has no NaN: a training curve may hold some.
        values = json.loads(config.model_dump_json())
    except ValueError as error:
        raise ModelError(
            f"{path}: is not written, as its description holds what cannot be stored ({error})."
        ) from error
    description = json.dumps({"format_version": FORMAT_VERSION, "axes": config.axes, **values}, indent=1).encode()
    # What cannot be read must never carry its final name.
    _parse_config(path, description)

    def write(target: Path) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name, data in ((CONFIG, description), (WEIGHTS, weights)):
                # One date for all: the same model gives the same bytes.
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)

    write_atomically(path, write, overwrite=overwrite)


def _to_store(value: Tensor, half: bool) -> Tensor:
    import torch

    value = value.detach().cpu().contiguous()
    if not half or not value.dtype.is_floating_point:
        return value
    reduced = value.half()
    # Beyond 65504 half precision knows only infinity.
    return reduced if torch.isfinite(reduced).all() else value


def read_model_file(path: str | Path) -> tuple[dict[str, Tensor], ModelConfig]:
    """Read a model file; weights come back as float32.

    Raises
    ------
    ModelError
        If it is missing, damaged, too large, or of an unknown format.
    """
    # Late, so that descriptions can be read without PyTorch.
    import torch
    from safetensors.torch import load

    path = Path(path)
    config = read_model_config(path)
    blob = _read_member(path, WEIGHTS)
    try:
        weights = load(blob)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: its weights are damaged ({error}); download or save the file again.") from error
    return {k: v.to(torch.float32) if v.dtype.is_floating_point else v for k, v in weights.items()}, config


def read_model_config(path: str | Path) -> ModelConfig:
    """Read only the configuration of a model file.

    Raises
    ------
    ModelError
        As `read_model_file`.
    """
    path = Path(path)
    return _parse_config(path, _read_member(path, CONFIG))


def _read_member(path: Path, name: str) -> bytes:
    """One of the two members, by its exact name, into memory: nothing is ever unpacked to disk."""
    try:
        with open_archive(path) as archive:
            if sorted(archive.namelist()) != sorted(MAX_BYTES):
                raise ModelError(
                    f"{path}: is not a model file (it must contain {CONFIG} and {WEIGHTS}, and nothing else)."
                )
            return read_member(archive, name, MAX_BYTES[name])
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such model file.") from error
    except UNREADABLE as error:
        raise ModelError(f"{path}: is not a model file, or is damaged ({error}).") from error


def _parse_config(path: Path, text: bytes) -> ModelConfig:
    try:
        values = parse_json(text)
    except Unreadable as error:
        raise ModelError(
            f"{path}: its description is damaged (it {error}); download or save the file again."
        ) from error
    found = values.pop("format_version", None)
    values.pop("axes", None)
    if found != FORMAT_VERSION:
        raise ModelError(
            f"{path}: was written in format {found!r}; this version of embedseg-napari reads format {FORMAT_VERSION}. "
            "Update embedseg-napari."
        )
    normalization = values.get("normalization")
    if isinstance(normalization, dict) and not values.get("training"):
        # An older version's copy of an original checkpoint: the original takes every pixel as it is.
        normalization.setdefault("clip", None)
    try:
        return ModelConfig.parse(values)
    except SettingsError as error:
        raise ModelError(f"{path}: its description does not fit. {error}") from error


def software_version() -> str:
    """Version of the installed package."""
    try:
        return version("embedseg-napari")
    except PackageNotFoundError:
        # Run from a source folder that was never installed.
        return "unknown"
