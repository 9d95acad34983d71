"""The size of a pixel: what the layer says, or what is typed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLineEdit

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.files.units import micrometres
from embedseg_napari.viewer.widgets.pixel_size import typed_spacing

if TYPE_CHECKING:
    from embedseg_napari.viewer.measure.layer_table import LayerObjects


class PixelSizeBox(QLineEdit):
    """Shows the pixel size of a layer in micrometres; what is typed takes its place."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("In micrometres: z, y, x, or one number for a plane. Left empty, it is what the layer says.")
        self.show_known(None)

    def show_known(self, objects: LayerObjects | None) -> None:
        """Show what a layer says, where nothing is typed."""
        factor = None if objects is None else micrometres(objects.unit)
        spacing = () if objects is None or objects.spacing is None or factor is None else objects.spacing
        words = ", ".join(f"{step * (factor or 1):.4g}" for step in spacing)
        self.setPlaceholderText(words or "not known: in pixels")

    def apply(self, objects: LayerObjects) -> LayerObjects:
        """Objects with the pixel size that was typed; as they are where nothing was.

        Raises
        ------
        DataError
            If that is none.
        """
        spacing = typed_spacing(self.text(), spatial_axes(objects.axes))
        return objects if spacing is None else replace(objects, spacing=spacing, unit="um")
