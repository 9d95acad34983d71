"""The same image seen otherwise: where the network then says something else, it is not sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import guess_axes, parse_axes, spatial_axes, to_frames
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.inference.test_time_augmentation import views
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.runs import drain, never

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embedseg_napari.core.inference.test_time_augmentation import View
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
        Number of views; each costs one pass of the network. There are no more than 7 in 2D and 15 in 3D.
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
    array = np.asarray(image)
    axes = guess_axes(array.shape, model.config.ndim, model.config.n_channels) if axes is None else parse_axes(axes)
    settings = model.config.prediction.model_copy(update={"tta": False, "find_scale": False})
    predictor = Predictor(model, settings)
    frames, all_axes = to_frames(array, axes), "TC" + spatial_axes(axes)
    return [
        view_back(view, drain(predictor.embed(view_of(view, frames), all_axes, should_stop)))
        for view in chosen_views(model.config.grid_spacing, n)
    ]


def chosen_views(spacing: Sequence[float], n: int) -> list[View]:
    """Return the `n` views that differ most from the image and from each other: most axes flipped and turned first."""
    every = views(spacing)
    chosen = every[:1]
    while len(chosen) < min(n + 1, len(every)):
        rest = [view for view in every if view not in chosen]
        chosen.append(max(rest, key=lambda view: min(_difference(view, other) for other in chosen)))
    return chosen[1:]


def view_of(view: View, array: np.ndarray) -> np.ndarray:
    """Show an array, shape (..., (Z,) Y, X), in a view; the leading axes stay."""
    lead = array.ndim - len(view.source)
    turned = array.transpose(*range(lead), *(lead + axis for axis in view.source))
    return np.flip(turned, tuple(lead + a for a, is_flipped in enumerate(view.flipped) if is_flipped))


def view_back(view: View, maps: EmbeddingMaps) -> EmbeddingMaps:
    """Map what the network says about a view back to the image.

    An offset along a view's axis belongs to the image's axis that it shows, with the other sign where it is shown
    backwards; margins move with their axis; seediness only moves.
    """
    home = [view.source.index(axis) for axis in range(maps.ndim)]

    def back(values: np.ndarray) -> np.ndarray:
        flipped = np.flip(values, tuple(a for a, is_flipped in enumerate(view.flipped) if is_flipped))
        return np.ascontiguousarray(flipped.transpose(home))

    signs = [-1 if view.flipped[a] else 1 for a in home]
    return EmbeddingMaps(
        np.stack([sign * back(maps.offsets[a]) for sign, a in zip(signs, home, strict=True)]),
        np.stack([back(maps.margins[a]) for a in home]),
        back(maps.seed_map),
    )


def _difference(one: View, other: View) -> int:
    """Number of axes shown the other way round, and more for a quarter turn."""
    turned = one.source != other.source
    return 2 * turned + sum(a != b for a, b in zip(one.flipped, other.flipped, strict=True))
