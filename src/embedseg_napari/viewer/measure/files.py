"""What becomes of measured objects: napari's table, a file of numbers, files for other programs, a command."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.exchange.export import FORMATS, OUTLINED, export_labels
from embedseg_napari.core.exchange.planes import Overlaid
from embedseg_napari.core.files.names import portable_name, with_ending
from embedseg_napari.core.files.units import micrometres
from embedseg_napari.core.measure.outlined import FURTHER
from embedseg_napari.core.measure.table_files import write_table
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.recipe import of_words
from embedseg_napari.viewer.files.writers import save_labels
from embedseg_napari.viewer.labelled_images import file_beside
from embedseg_napari.viewer.layers import axes_of_file, file_of, one_each_axes, unchanged_file
from embedseg_napari.viewer.measure.layer_table import (
    as_it_is,
    found_cut,
    is_volume,
    measure_layer,
    measure_overlaid,
    objects_of,
    whole_layers,
)
from embedseg_napari.viewer.measure.surfaces import make_surfaces, show_surfaces
from embedseg_napari.viewer.widgets.boxes import button
from embedseg_napari.viewer.widgets.dock_tabs import leave_room
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Image, Labels
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QCheckBox

    from embedseg_napari.core.measure.measurements import PartMeasured, Table
    from embedseg_napari.jobs.recipe import Recipe
    from embedseg_napari.viewer.measure.layer_table import LayerObjects
    from embedseg_napari.viewer.measure.surfaces import Triangles
    from embedseg_napari.viewer.widgets.layer_box import LayerBox
    from embedseg_napari.viewer.worker import BackgroundRun

TABLES = "Tables (*.csv *.parquet)"
EXPORTS = {
    "ROIs of Fiji and ImageJ (*.zip)": "imagej",
    "GeoJSON of QuPath (*.geojson)": "geojson",
    "COCO (*.json)": "coco",
    "OME-TIFF (*.ome.tif)": "ome-tiff",
    "OME-Zarr (*.ome.zarr)": "ome-zarr",
    "Folder for the cell tracking challenge (*)": "ctc",
    "Surfaces (*.ply *.stl)": "mesh",
}
USUAL = {"ome-zarr": (".ome.zarr",)}
"""Endings of names where they are not the first that a format has."""
TABLE_WIDGET = ("napari", "Features table widget")


def fitting(path: Path, kind: str) -> Path:
    """A name with an ending of its format: where another is chosen in a dialog, the name keeps that of the first."""
    endings = [*USUAL.get(kind, ()), *filter(None, FORMATS[kind])]
    return with_ending(path, endings, [ending for of in FORMATS.values() for ending in of if ending])


class MeasuredFiles(QWidget):
    """Buttons below the plot.

    Parameters
    ----------
    viewer : Viewer
        Where napari's table opens.
    labels, image : LayerBox
        Where the layers are chosen.
    slow : QCheckBox
        Whether solidity and surface are measured.
    objects : callable
        The objects of a Labels layer and perhaps an image, with their pixel size.
    """

    said = Signal(str)
    failed = Signal(object)
    """The error."""
    changed = Signal()
    """An export, or the making of surfaces, has begun or is over."""

    def __init__(
        self,
        viewer: Viewer,
        labels: LayerBox,
        image: LayerBox,
        slow: QCheckBox,
        objects: Callable[[Labels, Image | None], LayerObjects],
    ) -> None:
        super().__init__()
        self.viewer = viewer
        self._labels, self._image, self._slow, self._objects = labels, image, slow, objects
        self._table: Table | None = None
        self._measured: Labels | None = None
        self.is_table_front = False
        """Whether napari's table of what was measured is in front."""
        self.open_table = button("Table", "Open napari's table of the layer's measurements.", self._open_table)
        self.save_table = button("Save table…", "Save the measurements as CSV or Parquet.", self._save_table)
        self.export = button("Export…", "Save the objects for Fiji, QuPath and other programs.", self._export)
        self.surfaces = button("Surfaces", "Show the surfaces of a volume's objects as a layer.", self.make_surfaces)
        self.run: BackgroundRun | None = None
        """Surfaces that are being made, or an export."""
        self.recipe = RecipeButtons(self._recipe)
        for box in (labels, image):
            box.changed.connect(self.recipe.forget)
        # Four in a row would take room from the canvas; and only volumes have surfaces.
        row = QHBoxLayout()
        for one in (self.open_table, self.save_table, self.export):
            row.addWidget(one)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.surfaces)
        layout.addWidget(self.recipe)

    @property
    def is_busy(self) -> bool:
        """Whether objects are exported, or surfaces made."""
        return self.run is not None and self.run.is_active

    def take(self, layer: Labels | None, table: Table | None, *, has_numbers: bool = True) -> None:
        """Take what was measured of a layer; None where that is gone.

        Napari's table is of objects that have numbers of their own in the layer.
        """
        self._measured, self._table = layer, table
        self.open_table.setVisible(has_numbers)

    def show_state(self, *, is_running: bool, can_read: bool) -> None:
        """Offer what can be done now: with labels that cannot be measured as they are, or not yet, nothing."""
        for one in (self.open_table, self.save_table):
            one.setEnabled(self._table is not None and not is_running)
        labels = self._labels.layer()
        for one in (self.export, self.surfaces):
            one.setEnabled(labels is not None and can_read and not is_running and not self.is_busy)
        self.surfaces.setVisible(labels is not None and is_volume(labels))

    def _open_table(self) -> None:
        self.viewer.layers.selection.active = self._measured
        try:
            dock, table = self.viewer.window.add_plugin_dock_widget(*TABLE_WIDGET, tabify=True)
        except (KeyError, ValueError):
            self.said.emit("This version of napari has no table; save it to see the numbers.")
        else:
            # It names the layer, and would take the canvas for a long name.
            for label in table.findChildren(QLabel):
                label.setSizePolicy(QSizePolicy.Policy.Ignored, label.sizePolicy().verticalPolicy())
            # napari has fixed it by then.
            dock.setMinimumWidth(0)
            QTimer.singleShot(0, lambda: leave_room(dock))
            dock.visibilityChanged.connect(self._take_table)
            self._take_table(True)

    def _take_table(self, is_front: bool) -> None:
        self.is_table_front = is_front

    def _save_table(self) -> None:
        assert self._measured is not None
        path, _ = QFileDialog.getSaveFileName(self, "Save table", self._beside(self._measured, ".csv"), TABLES)
        if path:
            self.write_table(Path(path))

    def write_table(self, path: Path) -> None:
        """Write the measurements; the dialog has asked whether the file of this very name may be replaced."""
        target = path if path.suffix else path.with_name(f"{path.name}.csv")
        try:
            write_table(target, self._table or {}, overwrite=target == path)
        except EmbedSegError as error:
            self.failed.emit(error)
        else:
            self.said.emit(f"Saved {target}.")

    def _beside(self, layer: Labels, ending: str) -> str:
        """A name to propose: in the folder of the labels or their image, where there is one."""
        name = f"{portable_name(layer.name, 'labels')}{ending}"
        for one in (layer, self._image.layer()):
            try:
                return str(name if one is None else file_of(one).with_name(name))
            except DataError:
                continue
        return name

    def _export(self) -> None:
        layer = self._labels.layer()
        assert layer is not None
        kinds = (
            OUTLINED
            if one_each_axes(layer.axis_labels, layer.name)
            else [kind for kind in FORMATS if kind != "mesh" or is_volume(layer)]
        )
        offered = [text for text, kind in EXPORTS.items() if kind in kinds]
        place = self._beside(layer, ".zip")
        path, text = QFileDialog.getSaveFileName(self, "Export objects", place, ";;".join(offered))
        if path:
            self.write_objects(Path(path), EXPORTS[text])

    def write_objects(self, path: Path, kind: str) -> None:
        """Write the objects of the chosen layer in a format of `core.exchange`.

        The dialog has asked whether the file of this very name may be replaced; one of another name is not.
        """
        layer = self._labels.layer()
        if layer is None or self.is_busy:
            return
        target = fitting(path, kind)
        # Objects may have been changed since they were measured.
        has_measurements = kind == "geojson"
        columns = FURTHER if self._slow.isChecked() else ()
        layers = whole_layers(layer, self.viewer.layers)
        is_whole = bool(layers) and kind in OUTLINED
        try:
            image = self._image.layer() if has_measurements else None
            parts = [as_it_is(self._objects(one, image)) for one in (layers if is_whole else [layer])]
        except EmbedSegError as error:
            self.failed.emit(error)
            return
        found = found_cut(layer, self.viewer.layers) if is_whole else None
        may_replace = target == path and target.is_file()
        said: list[str] = []
        if layers:
            said.append(
                f"Objects are whole where they cross, as in the {count(len(layers), 'layer')} that show them so."
                if is_whole
                else "This format has one number for each pixel: where objects cross, one of them has the pixels."
            )

        def export(should_stop: Callable[[], bool]) -> Generator[PartMeasured, None, None]:
            first, table = parts[0], None
            if has_measurements and is_whole:
                table = yield from measure_overlaid(parts, found, columns, should_stop)
            elif has_measurements:
                table = yield from measure_layer(first, columns, should_stop)
            export_labels(
                Overlaid(tuple(np.asarray(one.labels) for one in parts)) if is_whole else first.labels,
                target,
                kind,
                first.axes,
                spacing=first.spacing,
                unit=first.unit,
                table=table,
                planes=first.has_one_each,
                within=first.within,
                overwrite=may_replace,
                say=said.append,
            )

        self._begin(f"Exporting to {target}…", export, lambda _: self.said.emit(" ".join([f"Saved {target}.", *said])))

    def make_surfaces(self) -> None:
        """Show the surfaces of the chosen layer's objects."""
        layer = self._labels.layer()
        if layer is None or self.is_busy:
            return
        objects = as_it_is(objects_of(layer, None))

        def show(triangles: Triangles) -> None:
            if layer in self.viewer.layers:
                show_surfaces(self.viewer, layer, objects.axes, triangles)
                is_flat = self.viewer.dims.ndisplay == 2
                self.said.emit(
                    "Switch to 3D to see the surfaces." if is_flat else "The surfaces are a layer of their own."
                )

        self._begin(
            "Making surfaces…", lambda should_stop: make_surfaces(objects.labels, objects.axes, should_stop), show
        )

    def _begin(
        self,
        words: str,
        run: Callable[[Callable[[], bool]], Generator[Any, None, Any]],
        on_result: Callable[[Any], None],
    ) -> None:
        self.said.emit(words)
        self.run = run_in_background(run, on_result=on_result, on_error=self.failed.emit, on_finished=self.changed.emit)
        self.changed.emit()

    def close_down(self) -> None:
        """Make no surfaces any more."""
        if self.run is not None:
            self.run.detach()

    def _saved(self, layer: Labels, image: Path | None) -> Path:
        """The file that holds a layer's labels as they are now; where there is none, the user is asked for one."""
        with suppress(DataError):
            return unchanged_file(layer)
        place = f"{portable_name(layer.name, 'labels')}.tif"
        name, _ = QFileDialog.getSaveFileName(
            self, "A command reads files: save the labels", str(place if image is None else image.with_name(place)),
            "TIFF (*.tif)",
        )  # fmt: skip
        if not name:
            raise DataError(f"{layer.name} is in no file as it is now, and a command reads files: save it first.")
        path = save_labels(layer, Path(name))
        layer.metadata["path"] = str(path)
        return path

    def _recipe(self) -> Recipe:
        """What measures the files of the chosen layers."""
        layer, image = self._labels.layer(), self._image.layer()
        if layer is None:
            raise DataError("Choose a Labels layer first.")
        objects = self._objects(layer, image)
        if objects.has_one_each:
            raise DataError(f"{layer.name} holds planes of one object each, which the command does not measure.")
        image_file = None if image is None else file_beside(image, layer)
        labels = self._saved(layer, image_file)
        words = ["embedseg", "measure", str(labels), "--output", str(labels.with_suffix(".measured.csv"))]
        words += [] if image_file is None else ["--image", str(image_file)]
        axes = axes_of_file(objects.labels.shape, objects.axes)
        words += ["--axes", axes]
        if objects.spacing is not None and objects.unit is not None:
            factor = micrometres(objects.unit) or 1.0
            steps = zip(objects.spacing, spatial_axes(objects.axes), strict=True)
            words += ["--spacing", ",".join(f"{step * factor:.17g}" for step, letter in steps if letter in axes)]
        if objects.within is not None and objects.within.words:
            self.said.emit(f"The command counts from where {layer.name} begins: {objects.within.words} of its image.")
        return of_words([*words, *(["--columns", ",".join(FURTHER)] if self._slow.isChecked() else [])])
