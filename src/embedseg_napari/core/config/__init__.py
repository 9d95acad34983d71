"""Every setting, once: default, range, unit, one sentence. Forms, command line and docs are made from these."""

from __future__ import annotations

from embedseg_napari.core.config.images import AugmentationConfig, NormalizationConfig
from embedseg_napari.core.config.limits import IGNORE_LABELS, MAX_CHANNELS, MOST_PIXELS, SCALES, Architecture, Precision
from embedseg_napari.core.config.model import Calibration, CurveRow, ModelConfig, ObjectSizes
from embedseg_napari.core.config.prediction import PredictionConfig
from embedseg_napari.core.config.presets import PRESETS
from embedseg_napari.core.config.training import TrainingConfig

__all__ = [
    "IGNORE_LABELS",
    "MAX_CHANNELS",
    "MOST_PIXELS",
    "PRESETS",
    "SCALES",
    "Architecture",
    "AugmentationConfig",
    "Calibration",
    "CurveRow",
    "ModelConfig",
    "NormalizationConfig",
    "ObjectSizes",
    "Precision",
    "PredictionConfig",
    "TrainingConfig",
]
