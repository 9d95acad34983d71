"""How the labels of a result come about without a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import parse_axes, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.jobs.large.recipe import recipe_of_labels
from embedseg_napari.jobs.recipe import SegmentRecipe, of_image
from embedseg_napari.viewer.files.live import store_of
from embedseg_napari.viewer.large.part import store_layer
from embedseg_napari.viewer.layers import array_of, axes_of_file, file_of, picture_of
from embedseg_napari.viewer.model_list import read_config
from embedseg_napari.viewer.segment.regions import WHOLE
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QComboBox

    from embedseg_napari.jobs.recipe import Recipe
    from embedseg_napari.viewer.segment.image_input import ImageInput
    from embedseg_napari.viewer.segment.results import Result, ResultLayers


class ResultRecipe(RecipeButtons):
    """Buttons for the chosen result, or for the labels of a large image, whose store knows how they came about.

    Parameters
    ----------
    viewer : Viewer
        Whose selected layer may be of a store.
    results : ResultLayers
        What was found in memory.
    image : ImageInput
        The image chosen, and its axes.
    device : QComboBox
        Where it is computed.
    """

    def __init__(self, viewer: Viewer, results: ResultLayers, image: ImageInput, device: QComboBox) -> None:
        super().__init__(self._of_chosen)
        self._viewer, self._results, self._image, self._device = viewer, results, image, device
        self._about: tuple[Any, ...] = (None, None, None)
        """What was chosen last: image, result and labels of a store."""

    def refresh(self) -> None:
        """Be there where there is something to repeat."""
        layer = self._store_layer()
        self.setVisible(self._results.labels is not None or store_of(layer) is not None)
        about = (self._image.layer, self._results.chosen, layer)
        if about != self._about:
            self._about = about
            self.forget()

    def _of_chosen(self) -> Recipe:
        store = store_of(self._store_layer())
        if store is not None:
            return recipe_of_labels(store.folder)
        result, axes = self._results.chosen, self._image.axes.text()
        if result is not None and result.selection.layer != self._image.layer:
            axes = picture_of(result.selection.layer).axes
        return recipe_of_result(result, parse_axes(axes), self._device.currentText())

    def _store_layer(self) -> Any:
        """The layer of labels in a store that is selected, or that is there where nothing was found in memory."""
        active = self._viewer.layers.selection.active
        if store_of(active) is not None or self._results.labels is not None:
            return active
        return store_layer(self._viewer)


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
    if not ("Z" in selection.axes and selection.array.shape[selection.axes.index("Z")] == 1):
        # A model of volumes sees a depth of one plane where all axes are named.
        axes = axes_of_file(array_of(selection.layer).shape, axes)
    config = read_config(result.model_path)
    stored = {} if config is None else config.prediction.model_dump()
    changes = {
        name: value
        for name, value in result.segmentation.settings.model_dump().items()
        if name not in stored or stored[name] != value
    }
    region = None
    if selection.region != WHOLE:
        within = dict(zip(selection.axes, selection.array.shape, strict=True))
        letters = result_axes(selection.axes)
        region = {a: (first, first + within[a]) for a, first in zip(letters, selection.start, strict=True)}
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
