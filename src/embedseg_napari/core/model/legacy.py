"""Checkpoints of the original EmbedSeg: `.pth` files, with two JSON files that may lie beside them."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedseg_napari.core.config import ModelConfig, NormalizationConfig, ObjectSizes, PredictionConfig
from embedseg_napari.core.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

DEFAULT_STEP = 1 / 1023
"""The original's grid: 1024 samples over [0, 1]."""
NUMBERS = [np.dtype, np.ndarray, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8"))]
"""NumPy scalars: the original's trainer keeps its best score as one. They hold numbers, never code."""
NORMALIZATIONS = {"min-max-percentile": "percentile", "mean-std": "mean-std", "absolute": "dtype-range"}


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
        if len(self.spacing) not in (2, 3) or not all(step > 0 for step in self.spacing):
            raise SettingsError(f"Legacy grid spacing {self.spacing}: give 2 or 3 positive numbers, axes (z, y, x).")


def read_legacy(path: Path, legacy: LegacyGeometry | None = None) -> tuple[dict[str, Tensor], ModelConfig]:
    """Read an original checkpoint without running any code in it.

    The original orders channels x, y(, z); here they are z, y, x, so the last layer of the first decoder is permuted.

    Parameters
    ----------
    path : Path
        The `.pth` file; `data_properties.json` and `normalization.json` beside it are used.
    legacy : LegacyGeometry, optional
        Grid, instead of what the JSON says.

    Raises
    ------
    ModelError
        If the file or a JSON beside it is damaged, or holds no EmbedSeg network.
    SettingsError
        If `legacy` is for another number of axes.
    """
    content = _load(path)
    weights = content.get("model_state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise ModelError(f"{path}: contains no model_state_dict; it is not a checkpoint of the original EmbedSeg.")
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
    properties = _read_json(path.with_name("data_properties.json"))
    normalization_path = path.with_name("normalization.json")
    spacing = legacy.spacing if legacy is not None else _grid(properties, ndim)
    if len(spacing) != ndim:
        raise SettingsError(f"{path}: is a {ndim}D network; its grid needs {ndim} spacings, got {len(spacing)}.")
    config = ModelConfig(
        name=str(properties.get("project_name") or path.stem),
        description="Imported from a checkpoint of the original EmbedSeg.",
        ndim=2 if ndim == 2 else 3,
        n_channels=n_channels,
        grid_spacing=tuple(spacing),
        spacing=_pixel_size(properties, ndim),
        spacing_unit="um" if _pixel_size(properties, ndim) else None,
        normalization=_normalization(_read_json(normalization_path), normalization_path),
        object_sizes=_object_sizes(properties, ndim),
        prediction=PredictionConfig(min_object_size=int(_number(properties, "min_object_size") or 0)),
    )
    return weights, config


def _load(path: Path) -> Any:
    """What a checkpoint holds: tensors, numbers, strings and containers of them; anything else is refused unread."""
    scalar = getattr(np, "_core", np.core).multiarray.scalar
    # Files name the module of the NumPy they were written with.
    allowed: list[Any] = [*NUMBERS, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: is not a checkpoint of the original EmbedSeg, or contains objects that could run "
            "code; not loaded."
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, TypeError) as error:
        # What they say of themselves is of no use to a reader (a number, the inside of a zip).
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise ModelError(
            f"{path}: is not a checkpoint of the original EmbedSeg, or is damaged{reason}; copy it again."
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: is not valid JSON ({error}); repair it or move it away.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: contains no table of values; repair it or move it away.")
    return values


def _number(values: dict[str, Any], key: str) -> float | None:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _grid(properties: dict[str, Any], ndim: int) -> tuple[float, ...]:
    """1 / (n_x - 1) in the plane; along z the same in units of the x pixel size."""
    samples = _number(properties, "n_x")
    step = 1 / (samples - 1) if samples is not None and samples > 1 else DEFAULT_STEP
    size = _pixel_size(properties, ndim)
    if ndim == 2:
        return (step, step)
    return (step * (size[0] / size[2] if size else 1.0), step, step)


def _pixel_size(properties: dict[str, Any], ndim: int) -> tuple[float, ...] | None:
    sizes = [_number(properties, f"pixel_size_{axis}_microns") for axis in "zyx"[-ndim:]]
    known = tuple(size for size in sizes if size is not None and size > 0)
    return known if len(known) == ndim else None


def _object_sizes(properties: dict[str, Any], ndim: int) -> ObjectSizes:
    mean = [_number(properties, f"avg_object_size_{axis}") for axis in "zyx"[-ndim:]]
    std = [_number(properties, f"stdev_object_size_{axis}") for axis in "zyx"[-ndim:]]
    if any(value is None for value in [*mean, *std]):
        return ObjectSizes()
    return ObjectSizes(
        # The original's extents are max - min.
        mean=tuple(float(v or 0) + 1 for v in mean),
        std=tuple(float(v or 0) for v in std),
        mean_size=_number(properties, "mean_object_size") or 0.0,
        min_size=int(_number(properties, "min_object_size") or 0),
    )


def _normalization(values: dict[str, Any], path: Path) -> NormalizationConfig:
    norm = values.get("norm", "min-max-percentile")
    if norm not in NORMALIZATIONS:
        raise ModelError(f"{path}: norm {norm!r} is unknown; use one of {', '.join(NORMALIZATIONS)}.")
    # The original takes every pixel as it is.
    return NormalizationConfig.parse({"method": NORMALIZATIONS[norm], "clip": None})
