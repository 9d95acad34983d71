"""The same image seen otherwise: where the network then says something else, it is not sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.runs import never

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.core.model.model import Model


def disagreeing_views(
    model: Model,
    image: Any,
    axes: str | None = None,
    n: int = 2,
    *,
    should_stop: Callable[[], bool] = never,
) -> list[EmbeddingMaps]:
    """Run the network on flipped and turned views of an image and map the results back.

    Parameters
    ----------
    model : Model
        As used for the prediction.
    image : array
        As for `Model.predict`; one image, no time-lapse.
    axes : str, optional
        One letter per axis; guessed from the shape if left out.
    n : int
        Number of views; each costs one pass of the network.
    should_stop : callable
        Looked at between tiles.

    Returns
    -------
    list of EmbeddingMaps
        In the image's own axes; for `doubt.rank_doubt`.

    Raises
    ------
    DataError, ModelError
        If the image cannot be understood or does not fit the model.
    ComputeError
        If memory runs out even with small tiles, or the device fails.
    Stopped
        If `should_stop` returned True.
    """
    raise NotImplementedError
