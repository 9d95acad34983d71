"""Checkpoints of the original EmbedSeg: `.pth` files, with two JSON files that may lie beside them."""

from __future__ import annotations

import pickle
import stat
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
import torch
from pydantic import BeforeValidator, ConfigDict, Field

from embedseg_napari.core.config import ModelConfig, NormalizationConfig, ObjectSizes, PredictionConfig
from embedseg_napari.core.errors import AssumptionWarning, ModelError, SettingsError
from embedseg_napari.core.files.documents import Unreadable, parse_json, read_text
from embedseg_napari.core.settings import Settings, positive_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

DEFAULT_STEP = 1 / 1023
"""The original's grid: 1024 samples over [0, 1]."""
NUMBERS = [np.dtype, np.ndarray, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8"))]
"""NumPy scalars: the original's trainer keeps its best score as one. They hold numbers, never code."""
PROPERTIES, NORMALIZATION = "data_properties.json", "normalization.json"
"""What the original's notebooks write beside themselves; they keep checkpoints in `experiment/NAME/`."""
FULL_RANGES = {"8-bit": 255.0, "16-bit": 65535.0}
"""What "absolute" normalisation divides by; numbers of other types stay as they are."""
LARGEST = 1 << 30
"""Bytes of a checkpoint: many times what the largest network takes with the state of its optimiser."""
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32)
"""Of weights, and of what batch norms count."""
DAMAGED = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError),
    *(ArithmeticError, AttributeError, TypeError, MemoryError),
)
"""What reading a damaged checkpoint raises."""
NORMALIZATIONS = {"min-max-percentile": "percentile", "mean-std": "mean-std", "absolute": "dtype-range"}


def _number_or_nothing(value: object) -> object:
    """Words, and whatever else stands where a number should, count as missing."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


Number = Annotated[Annotated[float, Field(ge=0, le=1e9)] | None, BeforeValidator(_number_or_nothing)]


class _OriginalFile(Settings):
    """A JSON that the original writes; most of what it says is of no use here."""

    model_config = ConfigDict(extra="ignore")


Original = TypeVar("Original", bound=_OriginalFile)


class DataProperties(_OriginalFile):
    """`data_properties.json`: the images and objects that a checkpoint was trained on."""

    project_name: Any = None
    data_type: Any = None
    n_x: Number = None
    min_object_size: Number = None
    mean_object_size: Number = None
    avg_object_size_z: Number = None
    avg_object_size_y: Number = None
    avg_object_size_x: Number = None
    stdev_object_size_z: Number = None
    stdev_object_size_y: Number = None
    stdev_object_size_x: Number = None
    pixel_size_z_microns: Number = None
    pixel_size_y_microns: Number = None
    pixel_size_x_microns: Number = None


class Normalization(_OriginalFile):
    """`normalization.json`: how intensities were normalised."""

    norm: str = "min-max-percentile"
    data_type: Any = None
    uniform_ds_factor: Number = None


@dataclass(frozen=True, slots=True)
class LegacyGeometry:
    """The coordinate grid an original checkpoint was trained on.

    Parameters
    ----------
    spacing : tuple of float
        Grid units per pixel, axes (z, y, x).
    """

    spacing: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(positive_numbers(self.spacing, "The grid spacing of LegacyGeometry")) not in (2, 3):
            raise SettingsError(f"The grid spacing {self.spacing}: give 2 or 3 positive numbers, axes (z, y, x).")


def read_legacy(path: Path, legacy: LegacyGeometry | None = None) -> tuple[dict[str, Tensor], ModelConfig]:
    """Read an original checkpoint without running any code in it.

    The original orders channels x, y(, z); here they are z, y, x, so the last layer of the first decoder is permuted.

    Parameters
    ----------
    path : Path
        The `.pth` file; `data_properties.json` and `normalization.json` beside it are used, or else those of the
        nearest of the two folders above its own.
    legacy : LegacyGeometry, optional
        Grid, instead of what the JSON says.

    Raises
    ------
    ModelError
        If the file or one of its JSON files is damaged, or holds no EmbedSeg network.
    SettingsError
        If `legacy` is for another number of axes.

    Warns
    -----
    AssumptionWarning
        Naming what none of these files says, and what was taken for it; the description names it too.
    """
    content = _load(path)
    weights = content.get("model_state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise ModelError(f"{path}: contains no model_state_dict; it is not a checkpoint of the original EmbedSeg.")
    for name, value in weights.items():
        if not _is_plain(value):
            raise ModelError(
                f"{path}: weight {name} is not stored as plain numbers; save the model's state dict again."
            )
    weights = {str(k).removeprefix("module."): v for k, v in weights.items()}
    first_layer = weights.get("encoder.initial_block.conv.weight")
    last = weights.get("decoders.0.output_conv.weight")
    bias = weights.get("decoders.0.output_conv.bias")
    if first_layer is None or last is None or bias is None or first_layer.ndim not in (4, 5):
        raise ModelError(f"{path}: its weights are not those of EmbedSeg's Branched ERFNet.")
    ndim, n_channels = first_layer.ndim - 2, int(first_layer.shape[1])
    if last.ndim != ndim + 2 or last.shape[1] != 2 * ndim or bias.shape != (2 * ndim,):
        raise ModelError(f"{path}: its first decoder's outputs are not the {2 * ndim} of a {ndim}D EmbedSeg network.")
    order = torch.tensor([*reversed(range(ndim)), *reversed(range(ndim, 2 * ndim))])
    weights["decoders.0.output_conv.weight"] = last[:, order]
    weights["decoders.0.output_conv.bias"] = bias[order]
    properties_path, normalization_path = files_beside(path)
    properties, intensities = _read_json(properties_path, DataProperties), _read_json(normalization_path, Normalization)
    factor = max(1, int(intensities.uniform_ds_factor or 1))
    spacing = legacy.spacing if legacy is not None else _grid(properties, ndim)
    if len(spacing) != ndim:
        raise SettingsError(f"{path}: is a {ndim}D network; its grid needs {ndim} spacings, got {len(spacing)}.")
    assumed = _assumptions(properties, intensities, ndim, legacy)
    if told := _note(path, [properties_path, normalization_path], assumed):
        warnings.warn(told, AssumptionWarning, stacklevel=3)
    description = "Imported from a checkpoint of the original EmbedSeg."
    values: dict[str, Any] = {
        "name": str(properties.project_name or path.stem),
        "description": f"{description} Assumed: {', '.join(assumed)}." if assumed else description,
        "ndim": 2 if ndim == 2 else 3,
        "n_channels": n_channels,
        "grid_spacing": tuple(spacing),
        "spacing": _pixel_size(properties, ndim),
        "spacing_unit": "um" if _pixel_size(properties, ndim) else None,
        # The original leaves out all pixels but every second, third ... along each axis, and counts those left.
        "reference_scale": 1 / factor,
        "normalization": _normalization(properties, intensities, normalization_path),
        "object_sizes": _object_sizes(properties, ndim),
        "prediction": PredictionConfig(min_object_size=int(properties.min_object_size or 0) * factor**ndim),
    }
    try:
        return weights, ModelConfig.parse(values)
    except SettingsError as error:
        raise ModelError(f"{path}: does not describe a network that can be run. {error}") from error


def _load(path: Path) -> Any:
    """What a checkpoint holds: tensors, numbers, strings and containers of them; anything else is refused unread."""
    scalar = getattr(np, "_core", np.core).multiarray.scalar
    # Files name the module of the NumPy they were written with.
    allowed: list[Any] = [*NUMBERS, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise ModelError(f"{path}: is no file, or larger than any checkpoint of the original EmbedSeg.")
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: is not a checkpoint of the original EmbedSeg, or contains objects that could run "
            "code; not loaded."
        ) from error
    except DAMAGED as error:
        # What they say of themselves is of no use to a reader (a number, the inside of a zip).
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise ModelError(
            f"{path}: is not a checkpoint of the original EmbedSeg, or is damaged{reason}; copy it again."
        ) from error


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor holds its numbers itself: not sparse, not quantised, none of them standing for many."""
    if value.layout != torch.strided or value.dtype not in DTYPES or value.device.type != "cpu":
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _read_json(path: Path, kind: type[Original]) -> Original:
    if not path.exists():
        return kind()
    try:
        return kind.parse(parse_json(read_text(path)))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); repair it or move it away.") from error
    except Unreadable as error:
        raise ModelError(f"{path}: {error}; repair it or move it away.") from error
    except SettingsError as error:
        raise ModelError(f"{path}: {error} Repair it or move it away.") from error


def files_beside(path: Path) -> tuple[Path, Path]:
    """Where the two JSON files of a checkpoint are, `data_properties.json` first; they need not be there."""
    return _find(path, PROPERTIES), _find(path, NORMALIZATION)


def _find(path: Path, name: str) -> Path:
    """The file of that name beside a checkpoint, or else in the nearest of the two folders above; beside it if none."""
    folders = [path.absolute().parent, *list(path.absolute().parents)[1:3]]
    return next((folder / name for folder in folders if (folder / name).is_file()), path.with_name(name))


def _assumptions(
    properties: DataProperties, intensities: Normalization, ndim: int, legacy: LegacyGeometry | None
) -> list[str]:
    """What is taken for granted as the files do not say it."""
    assumed = []
    if legacy is None and properties.n_x is None:
        assumed.append("a grid of 1024 samples")
    if legacy is None and ndim == 3 and _pixel_size(properties, ndim) is None:
        assumed.append("voxels as deep as wide")
    if "norm" not in intensities.model_fields_set:
        assumed.append("intensities between the percentiles 1 and 99.8")
    elif intensities.norm == "absolute" and (properties.data_type or intensities.data_type) is None:
        assumed.append("intensities divided by the largest value of the image's type")
    return assumed


def _note(path: Path, files: list[Path], assumed: list[str]) -> str:
    """Words on files that were found elsewhere, and on what was assumed; empty where all lay beside the checkpoint."""
    elsewhere = [str(file) for file in files if file.is_file() and file.parent != path.absolute().parent]
    parts = [f"{' and '.join(elsewhere)} taken for it"] if elsewhere else []
    if assumed:
        parts.append(f"assumed: {', '.join(assumed)} (no {PROPERTIES} or {NORMALIZATION} says it)")
    if not parts:
        return ""
    correction = "If that is wrong, put the JSON files of its training beside it, and load it again."
    return f"{path}: {'; '.join(parts)}. {correction}"


def _grid(properties: DataProperties, ndim: int) -> tuple[float, ...]:
    """1 / (n_x - 1) in the plane; along z the same in units of the x pixel size."""
    samples = properties.n_x
    step = 1 / (samples - 1) if samples is not None and samples > 1 else DEFAULT_STEP
    size = _pixel_size(properties, ndim)
    if ndim == 2:
        return (step, step)
    return (step * (size[0] / size[2] if size else 1.0), step, step)


def _pixel_size(properties: DataProperties, ndim: int) -> tuple[float, ...] | None:
    sizes = [getattr(properties, f"pixel_size_{axis}_microns") for axis in "zyx"[-ndim:]]
    return tuple(sizes) if all(sizes) else None


def _object_sizes(properties: DataProperties, ndim: int) -> ObjectSizes:
    mean = [getattr(properties, f"avg_object_size_{axis}") for axis in "zyx"[-ndim:]]
    std = [getattr(properties, f"stdev_object_size_{axis}") for axis in "zyx"[-ndim:]]
    if any(value is None for value in [*mean, *std]):
        return ObjectSizes()
    return ObjectSizes(
        # The original's extents are max - min.
        mean=tuple(value + 1 for value in mean),
        std=tuple(std),
        mean_size=properties.mean_object_size or 0.0,
        min_size=int(properties.min_object_size or 0),
    )


def _normalization(properties: DataProperties, values: Normalization, path: Path) -> NormalizationConfig:
    if values.norm not in NORMALIZATIONS:
        raise ModelError(f"{path}: norm {values.norm!r} is unknown; use one of {', '.join(NORMALIZATIONS)}.")
    data_type = properties.data_type or values.data_type
    full_range = FULL_RANGES.get(str(data_type), 1.0) if values.norm == "absolute" and data_type is not None else None
    # The original takes every pixel as it is.
    return NormalizationConfig.parse({"method": NORMALIZATIONS[values.norm], "clip": None, "full_range": full_range})
