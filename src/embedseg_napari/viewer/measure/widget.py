"""The Measure panel: a table of a layer's objects, their colours by any column, plots, and files for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QFormLayout, QVBoxLayout, QWidget

from embedseg_napari.core.data.medoid import middle_pixel
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.measure.measurements import brightness_words, without_brightness
from embedseg_napari.core.measure.outlined import FURTHER
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.camera import go_to, to_pixel
from embedseg_napari.viewer.layers import ONE_EACH, SURFACES_OF, WHOLE_OF, array_of, named_axes
from embedseg_napari.viewer.measure.files import MeasuredFiles
from embedseg_napari.viewer.measure.layer_table import (
    give_features,
    measure_layer,
    objects_of,
    one_row_each,
    whole_layers,
)
from embedseg_napari.viewer.measure.object_colors import ObjectColors
from embedseg_napari.viewer.measure.pixel_size import PixelSizeBox
from embedseg_napari.viewer.measure.plot import MeasurePlot
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, add_row, short
from embedseg_napari.viewer.widgets.labels_panel import LabelsPanel

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from embedseg_napari.core.measure.measurements import Table
    from embedseg_napari.viewer.measure.layer_table import LayerObjects
    from embedseg_napari.viewer.stage import Scene

OWN, HISTOGRAM = "their own colours", "count"


class MeasureWidget(LabelsPanel):
    """Panel that measures the objects of a Labels layer.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are measured.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(
            viewer,
            "Measure",
            "Stop; the table stays as it was.",
            "Labels layer whose objects are measured.",
            "Image whose brightness is measured in each channel.",
        )
        self.table: Table | None = None
        """What was measured last."""
        self.measured: Labels | None = None
        """The layer that it is about."""
        self._objects: LayerObjects | None = None
        self._selected: list[int] | None = None
        self._rows: NDArray[np.intp] = np.arange(0)
        """Of each object the row that is shown: of a tracked one, that of the frame in sight."""
        self._is_ours = False
        """Whether a change of the layer's selected label, or of the plane of one object in sight, is made here."""
        self._plane = 0
        """Of planes of one object each, that in sight."""
        self.colors = ObjectColors()
        self._build()
        self._connect()
        self.follow_theme()
        self._show_pixel_size()
        self._show_state()

    def _build(self) -> None:
        self.slow = QCheckBox("Solidity and surface, too")
        self.slow.setToolTip("Takes minutes for thousands of objects: each has its hull and its surface made.")
        self.pixel_size = PixelSizeBox()
        add_row(self.form, "Pixel (µm)", self.pixel_size)
        self.form.addRow(self.slow)
        self.color = ChoiceBox((OWN,), "Column that objects are coloured by.")
        self.x = ChoiceBox((), "What the plot shows from left to right.")
        self.y = ChoiceBox((HISTOGRAM,), "What the plot shows upwards.")
        self.columns = columns = QFormLayout()
        columns.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, box in (("Colour by", self.color), ("Across", self.x), ("Upwards", self.y)):
            add_row(columns, text, box)
        self.plot = MeasurePlot()
        self.files = MeasuredFiles(self.viewer, self.labels, self.image, self.slow, self._objects_of)
        self.results = QWidget()
        inside = QVBoxLayout(self.results)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(columns)
        inside.addWidget(self.plot, 1)
        layout = self._lay_out(self.files)
        layout.addWidget(self.results, 1)
        # While there are none, controls stay together.
        layout.addStretch(0)

    def _connect(self) -> None:
        self._listen()
        # One layer's pixels say nothing of another's.
        self.labels.changed.connect(lambda _: self.pixel_size.clear())
        self.labels.changed.connect(self._show_pixel_size)
        self.image.changed.connect(self._show_pixel_size)
        self.pixel_size.returnPressed.connect(self.start)
        self.pixel_size.textEdited.connect(lambda _: self._say_old("The numbers are of another pixel size"))
        self.color.currentIndexChanged.connect(self._color)
        self.x.currentIndexChanged.connect(self._draw)
        self.y.currentIndexChanged.connect(self._draw)
        self.plot.selected.connect(self._take_selection)
        self.viewer.dims.events.current_step.connect(self._take_frame)
        self.files.said.connect(self.controls.say)
        self.files.failed.connect(self.controls.fail)
        self.files.changed.connect(self._show_state)

    def take_over(self, labels: Labels, image: Image | None) -> None:
        """Choose layers and measure them."""
        self.labels.choose(labels)
        self.image.choose(image)
        self.start()

    def _objects_of(self, labels: Labels, image: Image | None) -> LayerObjects:
        """The objects of a layer with the pixel size that counts."""
        return self.pixel_size.apply(objects_of(labels, image, self.viewer.layers))

    def _show_pixel_size(self, *_: object) -> None:
        layer = self.labels.layer()
        try:
            known = None if layer is None else objects_of(layer, self.image.layer())
        except EmbedSegError:
            # The image does not fit, which is said when it is measured.
            known = None
        self.pixel_size.show_known(known)

    # Measuring

    @property
    def subject(self) -> Labels | None:
        """The layer that the table is of."""
        return self.measured

    def start(self) -> None:
        """Measure what is chosen."""
        layer = self.labels.layer()
        if layer is None or self.question.problem() or self.controls.current is not None:
            return
        try:
            objects = self._objects_of(layer, self.image.layer())
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        columns = FURTHER if self.slow.isChecked() else ()
        self._begin(
            layer,
            lambda should_stop: measure_layer(objects, columns, should_stop),
            lambda table: self._take_table(layer, objects, table),
            "Measuring",
        )

    def _take_table(self, layer: Labels, objects: LayerObjects, table: Table) -> None:
        # Napari tells of the selected label anew where colours change, which is no choice of the user's.
        self._leave_selection()
        self.colors.restore()
        self.table, self.measured, self._objects, self._selected = table, layer, objects, None
        layer.events.selected_label.connect(self._take_label)
        self.files.take(layer, table, has_numbers=not objects.has_one_each)
        self._rows = one_row_each(table, self._frame())
        self._plane = self._frame()
        self.columns.setRowVisible(self.color, not objects.has_one_each)
        if not objects.has_one_each:
            give_features(layer, table, self._rows)
        self.show_scene()
        # Napari shows the numbers of an object under the mouse for the selected layer.
        self.viewer.layers.selection.active = layer
        n = len(table["label"])
        unit = "" if any(name.endswith(("_um", "_um2", "_um3")) for name in table) else ", in pixels"
        n_unknown = without_brightness(table)
        words = f" {brightness_words(n_unknown)}" if n_unknown else ""
        if WHOLE_OF not in layer.metadata and whole_layers(layer, self.viewer.layers):
            words += " Objects are cut where they cross; Export… writes them whole for Fiji, QuPath and COCO."
        self.controls.say(f"{short(layer.name)}: {count(n, 'object')}, {count(len(table), 'column')}{unit}.{words}")
        self._list_columns(table)
        self._draw()
        self._color()

    def scene(self) -> Scene | None:
        """What is measured; labels, tracks and previews would lie over its colours."""
        labels = self.labels.layer()
        return self.scene_of(
            labels,
            is_own=lambda layer: layer.metadata.get(SURFACES_OF) == str(labels and labels.unique_id),
            anew=self.table if labels == self.measured else None,
        )

    def _list_columns(self, table: Table) -> None:
        names = [name for name in table if name != "label"]
        size = next(name for name in names if name.startswith(("area_", "volume_")))
        for box, first, usual in ((self.color, [OWN], OWN), (self.x, [], size), (self.y, [HISTOGRAM], HISTOGRAM)):
            chosen = box.currentText()
            box.blockSignals(True)
            box.clear()
            box.addItems([*first, *names])
            box.setCurrentText(chosen if chosen in (*first, *names) else usual)
            box.blockSignals(False)

    # Plot, colours and image

    def _draw(self, *_: object) -> None:
        if self.table is None or not self.x.currentText():
            return
        y = self.y.currentText()
        values = None if y == HISTOGRAM else self.table[y]
        self.plot.show_values(self.table[self.x.currentText()], self.x.currentText(), values, y)
        self._mark()

    def _color(self, *_: object) -> None:
        if self.table is None or self.measured is None or self._is_one_each:
            return
        column = self.color.currentText()
        values = None if column in (OWN, "") else np.asarray(self.table[column], float)
        ids = self.table["label"]
        selected = None if self._selected is None else ids[self._selected].tolist()
        # Napari tells of the selected label anew where colours change.
        self._is_ours = True
        self.colors.show(self.measured, ids, values, selected, self._rows)
        self._is_ours = False

    @property
    def _is_one_each(self) -> bool:
        """Whether planes of one object each were measured: napari knows those by their pixels, not by their planes."""
        return self._objects is not None and self._objects.has_one_each

    def _frame(self) -> int:
        """The frame of what was measured that is in sight, or the plane of one object; 0 where there is but one."""
        letter = ONE_EACH if self._is_one_each else "T"
        if self.measured is None or self._objects is None or letter not in f"{ONE_EACH}{self._objects.axes}":
            return 0
        own = float(to_pixel(self.viewer, self.measured, self.viewer.dims.point)[self._letters().index(letter)])
        return round(own) + self._objects.first(letter)

    def _letters(self) -> str:
        """Axes of the layer that was measured; its objects may have less."""
        assert self.measured is not None
        assert self._objects is not None
        if self._is_one_each:
            return self._objects.layer_axes
        named = named_axes(self.measured.axis_labels, self.measured.ndim)
        return named or self._objects.layer_axes or self._objects.axes

    def _take_frame(self, _: object = None) -> None:
        """Show objects that have a row in each frame with that of the frame in sight, or the object of a plane."""
        if self._is_one_each and self.measured is not None:
            before, self._plane = self._plane, self._frame()
            if self._plane != before:
                self._pick(self._plane + 1)
            return
        if self.table is None or self.measured is None or len(self._rows) == len(self.table["label"]):
            return
        rows = one_row_each(self.table, self._frame())
        if not np.array_equal(rows, self._rows):
            self._rows = rows
            give_features(self.measured, self.table, rows)
            self._color()
            # Napari's status may have looked at the numbers before they were given, in a thread of its own.
            cursor = self.viewer.cursor
            cursor.events.position(value=cursor.position)

    def _mark(self) -> None:
        self.plot.mark(self._selected)

    def _take_selection(self, rows: list[int] | None) -> None:
        """Show in the image what was selected in the plot."""
        self._selected = rows
        self._mark()
        self._color()
        if rows is None or self.table is None or self.measured is None:
            return
        self.controls.say(f"{count(len(rows), 'object')} selected.")
        if len(rows) == 1:
            self._go_to(rows[0])

    def _go_to(self, row: int) -> None:
        assert self.table is not None
        assert self.measured is not None
        assert self._objects is not None
        number = int(self.table["label"][row])
        if not self._is_one_each:
            self._is_ours = True
            self.measured.selected_label = number
            self._is_ours = False
        places: list[tuple[int, int]] = []
        for letter in self._letters():
            if letter == ONE_EACH:
                places.append((number - 1, number))
            elif letter not in self._objects.axes:
                # Of one pixel.
                places.append((0, 1))
            elif letter == "T":
                frame = int(self.table["frame"][row]) - self._objects.first(letter)
                places.append((frame, frame + 1))
            else:
                names = (f"bbox_{which}_{letter.lower()}_px" for which in ("min", "max"))
                first, end = (int(self.table[name][row]) - self._objects.first(letter) for name in names)
                places.append((first, end))
        if len(places) == self.measured.ndim:
            low, high = np.transpose(places)
            middle, array = (low + high - 1) / 2, array_of(self.measured)
            # What is painted lies in memory, and maybe on a few planes; nothing is read for a click.
            if isinstance(array, np.ndarray):
                part = array[tuple(map(slice, low, high))]
                inside = np.nonzero(part if self._is_one_each else part == number)
                if len(inside[0]):
                    middle = low + middle_pixel(inside)
            self._is_ours = True
            go_to(self.viewer, self.measured, middle, low, high)
            self._is_ours = False

    def _take_label(self, event: Any = None) -> None:
        """Mark in the plot the object that was chosen in the image."""
        if self.measured is not None and not self._is_one_each:
            self._pick(self.measured.selected_label)

    def _pick(self, number: int) -> None:
        # Panels that are in front select labels for purposes of their own; the table is of these.
        is_covered = self.is_covered and not self.files.is_table_front
        if self._is_ours or is_covered or self.table is None or self.measured is None:
            return
        rows = np.flatnonzero(self.table["label"] == number)
        if len(rows):
            self._selected = rows.tolist()
            self._mark()
            self._color()
            self.controls.say(self._words(int(np.intersect1d(rows, self._rows)[0])))

    def _words(self, row: int) -> str:
        assert self.table is not None
        shown = [self.color.currentText(), self.x.currentText(), self.y.currentText()]
        names = [name for name in dict.fromkeys(shown) if name in self.table]
        values = ", ".join(f"{name} {float(self.table[name][row]):.4g}" for name in names)
        frame = f" in frame {self.table['frame'][row]}" if len(self._rows) < len(self.table["label"]) else ""
        return f"Object {self.table['label'][row]}{frame}: {values}."

    def _leave_selection(self) -> None:
        """Follow the selected label of what was measured no longer."""
        if self.measured is not None:
            self.measured.events.selected_label.disconnect(self._take_label)

    def _take_change(self, event: Any = None) -> None:
        if event is not None and event.type == "data":
            # Other objects have the same numbers, as after another segmentation: they would have the colours of these.
            self._is_ours = True
            self.colors.restore()
            self._is_ours = False
        super()._take_change(event)

    def _tell_old(self) -> None:
        self._say_old("The labels changed since they were measured")

    def _say_old(self, reason: str) -> None:
        """Say that the numbers are not those of what is there now."""
        if self.table is not None and self.controls.current is None:
            self.controls.say(f"{reason}; press Measure again.")

    def _take_removed(self, event: Any) -> None:
        if self.measured is not None and event.value == self.measured:
            self._leave_selection()
            self._follow(None)
            self.table = self.measured = self._selected = None
            self.files.take(None, None)
            self.colors = ObjectColors()
            self.show_scene()
            self.controls.say("What was measured was removed, and its numbers with it.")
            self._show_state()

    # State

    def _show_state(self, *_: object) -> None:
        is_running = self.controls.current is not None
        problem = self._problem()
        self.controls.run_button.setEnabled(not problem and not is_running)
        self.results.setVisible(self.table is not None)
        self.files.show_state(is_running=is_running, can_read=not problem)
        self._say_problem(problem)

    def release(self) -> None:
        """Follow the viewer no longer."""
        self._leave_selection()
        self.viewer.dims.events.current_step.disconnect(self._take_frame)
        self.files.close_down()
        super().release()
