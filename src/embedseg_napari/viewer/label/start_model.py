"""Which models a training on an annotated image can start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.last_used import LastUsed
from embedseg_napari.viewer.model_list import models, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.viewer.label.annotation_layers import AnnotationLayers


def misfit(path: Path | None, layers: AnnotationLayers) -> str:
    """Why training on the chosen image cannot start from a model; empty if it can, and for a new network."""
    if path is None or layers.image is None:
        return ""
    try:
        config = read_config(path)
    except EmbedSegError as error:
        return str(error)
    if config is None or (config.ndim, config.n_channels) == layers.kind:
        return ""
    return (
        f"{path.stem} works on {config.ndim}D images with {count(config.n_channels, 'channel')}, but this image is "
        f"{layers.kind[0]}D with {layers.kind[1]}; start from another model, or from a new network."
    )


def suggested_start(chosen: Path | None, layers: AnnotationLayers) -> Path | None:
    """The chosen model if it fits the image, else that of *Segment*, else a bundled one, or None for a new network."""
    if chosen is not None and not misfit(chosen, layers):
        return chosen
    segmented_with = LastUsed("segment").read().get("model")
    fitting = [known for known in models.all() if not misfit(known.path, layers)]
    likely = [known for known in fitting if str(known.path) == segmented_with]
    return next((known.path for known in [*likely, *fitting] if known in likely or known.is_bundled), None)


def known_extent(path: Path | None) -> float | None:
    """Mean pixels in Y and X across the objects that a model knows; None where that is not known."""
    try:
        config = None if path is None else read_config(path)
    except EmbedSegError:
        # The panel says what is wrong with it.
        return None
    if config is None or not config.object_sizes.mean:
        return None
    return sum(config.object_sizes.mean[-2:]) / 2
