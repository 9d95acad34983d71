"""Which models a training on an annotated image can start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.training.start import usual_start
from embedseg_napari.core.wording import count, readable
from embedseg_napari.viewer.layers import CHANNEL_OF, SEGMENTED, TIME_POINT
from embedseg_napari.viewer.model_list import models, read_config
from embedseg_napari.viewer.provenance import origin_of

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.session.session import AnnotationSession
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers

LATEST = "it is the latest of this session"
"""Why the next round starts from a model."""


def misfit(path: Path | None, layers: AnnotationLayers) -> str:
    """Why training on the chosen image cannot start from a model; empty if it can, and for a new network.

    As long as all of a movie is chosen, nobody knows what fits its frames.
    """
    if path is None or layers.image is None:
        return ""
    try:
        config = read_config(path)
    except EmbedSegError as error:
        return str(error)
    if config is None or not layers.axes:
        return ""
    if config.ndim == layers.kind[0] and config.takes_channels(layers.kind[1]):
        return ""
    return (
        f"{path.stem} works on {config.ndim}D images with {count(config.n_channels, 'channel')}, but this image is "
        f"{layers.kind[0]}D with {layers.kind[1]}; start from another model, or from a new network."
    )


def suggested_start(
    layers: AnnotationLayers, unsure: Path | None = None, session: AnnotationSession | None = None
) -> tuple[Path | None, str]:
    """The model that a training on an image starts from unless a person chooses one, and why.

    That of the session's latest round; else that which *Segment* has segmented the image with, unless it was unsure of
    what it found there; else the bundled one made for it, else a bundled one for as many axes and channels, else none:
    a new network.
    """
    latest = _latest_of(session)
    if latest is not None and not same_model(latest, unsure, session) and not misfit(latest, layers):
        return latest, LATEST
    fitting = [known for known in models.all() if not misfit(known.path, layers)]
    segmented_with = [origin_of(layer) for layer in _results_of(layers)]
    for origin in reversed(segmented_with):
        if origin is None or same_model(origin.model_path, unsure, session):
            continue
        if origin.model_path in (known.path for known in fitting):
            return origin.model_path, "this image was segmented with it"
    if not layers.axes:
        # A movie is annotated frame by frame: the image whose start is looked for is not there yet.
        return None, ""
    usual, why = usual_start(TrainingConfig.preset("few"), layers.ndim)
    if usual is not None and not misfit(usual, layers):
        return usual, why
    for known in fitting:
        if known.is_bundled:
            kind = f"{layers.kind[0]}D images with {count(layers.kind[1], 'channel')}"
            return known.path, f"it works on {kind}; with few labels any such start is better than none"
    return None, "no model here works on such axes and channels"


def _latest_of(session: AnnotationSession | None) -> Path | None:
    try:
        return None if session is None else session.latest_model()
    except DataError:
        # Whoever goes on with the session is told that it is gone.
        return None


def same_model(one: Path | None, other: Path | None, session: AnnotationSession | None) -> bool:
    """Whether two files hold the same model: that of a session's latest round is in a file of the user's, too."""
    if one == other or one is None or other is None or session is None or not session.rounds:
        return one == other
    latest = session.rounds[-1]
    return {readable(str(one)), readable(str(other))} == {
        readable(str(session.folder / latest.model_file)),
        latest.saved_as,
    }


def _results_of(layers: AnnotationLayers) -> list[Labels]:
    """What was found in the image, or in that of which it is a frame or a channel, the latest last."""
    image = layers.image
    if image is None:
        return []
    whole = (str(image.metadata[key]).split()[0] for key in (TIME_POINT, CHANNEL_OF) if key in image.metadata)
    own = {str(image.unique_id), *whole}
    found = (layer for layer in layers.viewer.layers if layer.metadata.get(SEGMENTED) in own)
    return [layer for layer in found if isinstance(layer, Labels)]


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
