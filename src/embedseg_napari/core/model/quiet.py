"""What a model finds in an image of a data set, with nothing said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.runs import never, unheard

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.model.model import Model


def quietly_segmented(
    model: Model, example: Example, should_stop: Callable[[], bool] = never, **settings: Any
) -> NDArray[np.int32]:
    """Labels ((Z,) Y, X) that a model finds in an image, with nothing said.

    Parameters
    ----------
    model : Model
        The model.
    example : Example
        The image.
    should_stop : callable
        As for a prediction.
    **settings
        As for `Model.predict`, in place of those of the model.
    """
    return model.predict(
        example.image,
        model.config.axes,
        normalize=not example.is_normalized,
        on_event=unheard,
        should_stop=should_stop,
        progress=False,
        **settings,
    ).labels


def quietly_embedded(
    model: Model, example: Example, precision: str, should_stop: Callable[[], bool] = never
) -> EmbeddingMaps:
    """Maps of an image, with nothing said.

    Parameters
    ----------
    model : Model
        The model.
    example : Example
        The image.
    precision : {"float32", "bfloat16", "float16"}
        Number format.
    should_stop : callable
        As for a prediction.
    """
    return model.embed(
        example.image,
        model.config.axes,
        normalize=not example.is_normalized,
        precision=precision,
        on_event=unheard,
        should_stop=should_stop,
    )
