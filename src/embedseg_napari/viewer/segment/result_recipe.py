"""How the labels of a result come about without a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.axes import result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.jobs.recipe import SegmentRecipe, of_image
from embedseg_napari.viewer.layers import file_of
from embedseg_napari.viewer.model_list import read_config
from embedseg_napari.viewer.segment.regions import WHOLE

if TYPE_CHECKING:
    from embedseg_napari.jobs.recipe import Recipe
    from embedseg_napari.viewer.segment.results import Result


def recipe_of_result(result: Result | None, axes: str, device: str) -> Recipe:
    """The recipe of the objects as they were found with the present thresholds; edits are no part of it.

    Parameters
    ----------
    result : Result, optional
        The chosen result.
    axes : str
        Axes of its image in the order of its file.
    device : str
        Where it was computed.

    Raises
    ------
    DataError
        If there is none, it was put together of several runs, or its image is from no file.
    """
    if result is None:
        raise DataError("Segment an image first; then there is something to repeat.")
    if result.before is not None:
        raise DataError(f"{result.name} was put together of several regions; segment the whole image for one recipe.")
    selection = result.selection
    if selection.stands_alone:
        raise DataError(
            f"{result.name} only tries out a part of a large image; embedseg predict, with the same settings, segments "
            "all of it in blocks, as Segment does here."
        )
    image, known = file_of(selection.layer), model_at(result.model_path)
    config = read_config(result.model_path)
    stored = {} if config is None else config.prediction.model_dump()
    changes = {
        name: value
        for name, value in result.segmentation.settings.model_dump().items()
        if name not in stored or stored[name] != value
    }
    region = None
    if selection.region != WHOLE:
        sizes = dict(zip(selection.axes, selection.array.shape, strict=True))
        letters = result_axes(selection.axes)
        region = {a: (first, first + sizes[a]) for a, first in zip(letters, selection.start, strict=True)}
    return of_image(
        SegmentRecipe(
            image,
            known.name if known.is_bundled else str(result.model_path),
            image.parent / "labels",
            axes=axes,
            channel=selection.channel,
            spacing=selection.spacing,
            device=device,
            changes=changes,
            region=region,
            # Shown whole, they are written whole.
            planes=any(layer.visible for layer, _ in result.whole),
        )
    )
