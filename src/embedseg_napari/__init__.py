"""Instance segmentation of 2D and 3D microscopy images by learned spatial embeddings.

The names below are loaded when they are first used: importing the package costs next to nothing and brings in neither
PyTorch nor NumPy, let alone a viewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedseg_napari.core.clustering.clustering import cluster
    from embedseg_napari.core.config import ModelConfig, PredictionConfig, TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.medoid import medoid
    from embedseg_napari.core.errors import AssumptionWarning, EmbedSegError, EmbedSegWarning
    from embedseg_napari.core.estimate.judgement import Estimate, estimate
    from embedseg_napari.core.estimate.sample import Sample, draw_sample
    from embedseg_napari.core.evaluation.matching import MatchRow, match
    from embedseg_napari.core.events import (
        CheckpointSaved,
        ClusteringStarted,
        EpochFinished,
        FrameFinished,
        LabelsUpdated,
        Message,
        PredictionStarted,
        PreviewReady,
        StepFinished,
        TileFinished,
        TrainingFinished,
        TrainingStarted,
    )
    from embedseg_napari.core.exchange.export import export_labels, import_labels
    from embedseg_napari.core.exchange.tracks import write_tracks
    from embedseg_napari.core.inference.predictor import Predictor
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.measure.measurements import measure
    from embedseg_napari.core.model.exchange import export_model, import_model
    from embedseg_napari.core.model.legacy import LegacyGeometry
    from embedseg_napari.core.model.library import ModelLibrary
    from embedseg_napari.core.model.model import Model, load_model
    from embedseg_napari.core.tracking.run import track
    from embedseg_napari.core.tracking.tracks import Tracks
    from embedseg_napari.core.training.result import TrainingResult
    from embedseg_napari.core.training.trainer import Trainer, train
    from embedseg_napari.jobs.large.run import LargeResult
    from embedseg_napari.jobs.large.script import predict_large

    __version__: str

__all__ = [
    "AssumptionWarning",
    "CheckpointSaved",
    "ClusteringStarted",
    "EmbedSegError",
    "EmbedSegWarning",
    "EmbeddingMaps",
    "EpochFinished",
    "Estimate",
    "Example",
    "FrameFinished",
    "LabelsUpdated",
    "LargeResult",
    "LegacyGeometry",
    "MatchRow",
    "Message",
    "Model",
    "ModelConfig",
    "ModelLibrary",
    "PredictionConfig",
    "PredictionStarted",
    "Predictor",
    "PreviewReady",
    "Sample",
    "Segmentation",
    "StepFinished",
    "TileFinished",
    "Tracks",
    "Trainer",
    "TrainingConfig",
    "TrainingFinished",
    "TrainingResult",
    "TrainingStarted",
    "__version__",
    "cluster",
    "draw_sample",
    "estimate",
    "export_labels",
    "export_model",
    "import_labels",
    "import_model",
    "load_model",
    "match",
    "measure",
    "medoid",
    "predict_large",
    "spatial_embedding_loss",
    "track",
    "train",
    "write_tracks",
]

_HOME = {
    "AssumptionWarning": "core.errors",
    "CheckpointSaved": "core.events",
    "ClusteringStarted": "core.events",
    "EmbedSegError": "core.errors",
    "EmbedSegWarning": "core.errors",
    "EmbeddingMaps": "core.maps",
    "EpochFinished": "core.events",
    "Estimate": "core.estimate.judgement",
    "Example": "core.data.example",
    "FrameFinished": "core.events",
    "LabelsUpdated": "core.events",
    "LargeResult": "jobs.large.run",
    "LegacyGeometry": "core.model.legacy",
    "MatchRow": "core.evaluation.matching",
    "Message": "core.events",
    "Model": "core.model.model",
    "ModelConfig": "core.config",
    "ModelLibrary": "core.model.library",
    "PredictionConfig": "core.config",
    "PredictionStarted": "core.events",
    "Predictor": "core.inference.predictor",
    "PreviewReady": "core.events",
    "Sample": "core.estimate.sample",
    "Segmentation": "core.inference.segmentation",
    "StepFinished": "core.events",
    "TileFinished": "core.events",
    "Tracks": "core.tracking.tracks",
    "Trainer": "core.training.trainer",
    "TrainingConfig": "core.config",
    "TrainingFinished": "core.events",
    "TrainingResult": "core.training.result",
    "TrainingStarted": "core.events",
    "cluster": "core.clustering.clustering",
    "draw_sample": "core.estimate.sample",
    "estimate": "core.estimate.judgement",
    "export_labels": "core.exchange.export",
    "export_model": "core.model.exchange",
    "import_labels": "core.exchange.export",
    "import_model": "core.model.exchange",
    "load_model": "core.model.model",
    "match": "core.evaluation.matching",
    "measure": "core.measure.measurements",
    "medoid": "core.data.medoid",
    "predict_large": "jobs.large.script",
    "spatial_embedding_loss": "core.losses.spatial_embedding",
    "track": "core.tracking.run",
    "train": "core.training.trainer",
    "write_tracks": "core.exchange.tracks",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("embedseg-napari")
        except PackageNotFoundError:  # run from a source folder that was never installed
            value = "0+unknown"
    elif name in _HOME:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
