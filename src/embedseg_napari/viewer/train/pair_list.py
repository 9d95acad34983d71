"""Which layers to train on: rows of an image, its labels and, if wanted, the shapes that bound the labelled part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from embedseg_napari.core.errors import DataError
from embedseg_napari.jobs.training_pairs import FRAMES, VOLUME, ArrayPair
from embedseg_napari.jobs.training_recipe import PairFiles
from embedseg_napari.viewer.labelled_images import file_beside, labelled_picture, pair_from_layers
from embedseg_napari.viewer.layers import channel_names, file_of, is_users, is_users_or_found, name_axes
from embedseg_napari.viewer.pixel_changes import PixelChanges
from embedseg_napari.viewer.widgets.axis_question import AxisQuestion
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, add_row, button
from embedseg_napari.viewer.widgets.labels_hint import LabelsHint
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.widgets.pixel_size import VoxelBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari

    from embedseg_napari.core.axes import OneChannel


WHOLE = "whole image"
ALL_CHANNELS, MEAN = "all", "mean of all"


class PairRow(QFrame):
    """One image with its labels."""

    changed = Signal()
    removed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.image = LayerBox(viewer, Image, "Image layer to learn from.")
        # What a network found teaches only where it was corrected, so it is chosen by the user alone. Annotations have
        # a value for background and leave the rest unknown; Label & Train learns from those.
        self.labels = LayerBox(
            viewer,
            Labels,
            "Its objects: one number each, 0 is background. Unlabelled objects count as background; draw a region "
            "around the part you labelled completely.",
            is_wanted=is_users_or_found,
            is_proposed=is_users,
        )
        self.region = LayerBox(viewer, Shapes, "Train on the whole image, or only inside the shapes of a layer.", WHOLE)
        self.boxes = (self.image, self.labels, self.region)
        self.question, self.hint = AxisQuestion(), LabelsHint(viewer)
        self.stack = ChoiceBox(
            (VOLUME, FRAMES),
            "How the third axis is read: as depth, or as frames that are segmented by themselves.",
        )
        self.voxel = VoxelBox(viewer)
        self.channel = ChoiceBox(tooltip="Channels to learn from: all, their mean, or one.")
        self.remove = QToolButton()
        self.remove.setText("✕")
        self.remove.setToolTip("Train without this pair.")
        self.remove.setAccessibleName("Remove this pair")
        self.fault = ""
        """Why nothing can be learned from this pair."""
        self.complaint = Sentence()
        form = QFormLayout(self)
        form.setContentsMargins(6, 6, 6, 6)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        first = QHBoxLayout()
        first.addWidget(self.image.native, 1)
        first.addWidget(self.remove)
        self.form = form
        for text, box in (
            ("Image", self.image.native),
            ("Labels", self.labels.native),
            ("Region", self.region.native),
            ("Stack of", self.stack),
            ("Voxel (µm)", self.voxel),
            ("Channel", self.channel),
        ):
            add_row(form, text, box, first if text == "Image" else None)
            if text == "Image":
                form.addRow(self.hint)
                form.addRow(self.question)
        form.addRow(self.complaint)
        self.complaint.hide()
        self.image.changed.connect(self.hint.look_at)
        # Of several images, it need not be the one on top.
        self.labels.changed.connect(lambda _: self.choose_image_under())
        for layer_box in self.boxes:
            layer_box.changed.connect(self._on_layers)
        self.stack.currentTextChanged.connect(self._name_planes)
        self.voxel.given.connect(self._on_layers)
        self.channel.currentIndexChanged.connect(self._name_channels)
        self.remove.clicked.connect(lambda _: self.removed.emit())
        self._pixels = PixelChanges(self._on_edit)
        self._shapes: Shapes | None = None
        self.hint.look_at(self.image.layer())
        # A mask that is dropped while the panel is open comes as one more image.
        self.hint.watch(lambda: self.labels.layer() is None)
        self.hint.changed.connect(self._on_layers)
        self._on_layers()

    def _follow(self) -> None:
        """Notice painting and drawing in the chosen layers."""
        self.close_down()
        self._pixels.follow(self.labels.layer())
        self._shapes = self.region.layer()
        if self._shapes is not None:
            self._shapes.events.data.connect(self._on_edit)

    def choose_image_under(self, images: Sequence[Image] | None = None) -> None:
        """Choose the image that the labels lie on out of some, or all."""
        self.image.choose_under(self.labels.layer(), images)

    def close_down(self) -> None:
        """Follow the chosen layers no longer."""
        self._pixels.follow(None)
        if self._shapes is not None:
            self._shapes.events.data.disconnect(self._on_edit)
        self._shapes = None

    def _on_edit(self, event: object = None) -> None:
        self.changed.emit()

    def _on_layers(self) -> None:
        self._follow()
        image, labels = self.image.layer(), self.labels.layer()
        if labels is not None and self.hint.layer not in (None, image):
            self.hint.look_at(image)
        try:
            axes = "" if image is None else labelled_picture(image, labels).axes
        except DataError:
            # `pair` says why.
            axes = ""
        # What looks like labels is no image, and is turned into labels first.
        is_open = axes != "" and "C" not in axes and self.hint.layer != image
        self.question.ask_about(image if is_open else None)
        self.form.setRowVisible(self.stack, not self.question.problem() and ("Z" in axes) != ("T" in axes))
        self._ask_voxel(axes)
        n_channels = 0
        if image is not None and "C" in axes:
            shape = image.data[0].shape if image.multiscale else image.data.shape
            n_channels = shape[axes.index("C")]
        self.form.setRowVisible(self.channel, n_channels > 1)
        names = channel_names(image, n_channels) if image is not None and n_channels > 1 else ()
        entries = [ALL_CHANNELS, *([MEAN] if names else []), *names]
        with signals_blocked(self.stack, self.channel):
            self.stack.setCurrentText(FRAMES if "T" in axes else VOLUME)
            if entries != [self.channel.itemText(i) for i in range(self.channel.count())]:
                # Where channels come in another order, the one of the same name stays.
                shown = self.channel.currentText()
                self.channel.clear()
                for name, channel in zip(entries, (None, "mean", *range(n_channels)), strict=False):
                    self.channel.addItem(name, channel)
                self.channel.setCurrentIndex(max(self.channel.findText(shown), 0))
        self.changed.emit()

    def _ask_voxel(self, axes: str) -> None:
        """Ask how large the voxels of a volume are, where it does not say and is known to be one."""
        is_known = not self.question.problem() and self.hint.layer != self.image.layer()
        self.form.setRowVisible(self.voxel, self.voxel.ask_about(self.image.layer(), axes if is_known else ""))

    def _name_planes(self, stack: str) -> None:
        """Let the image remember what its planes are."""
        image = self.image.layer()
        assert image is not None
        axes = labelled_picture(image, self.labels.layer()).axes
        name_axes(image, axes.replace("Z", "T") if stack == FRAMES else axes.replace("T", "Z"))

    def _name_channels(self, *_: object) -> None:
        """Let the image remember that it has channels, where one of them is chosen, or their mean."""
        image = self.image.layer()
        if image is not None and self._channel() is not None:
            name_axes(image, labelled_picture(image, self.labels.layer()).axes)
        self.changed.emit()

    def pair(self) -> ArrayPair:
        """The arrays of the chosen layers.

        Raises
        ------
        DataError
            If a layer is missing, or the layers do not fit together.
        """
        try:
            pair = self._pair()
        except DataError as error:
            self.fault = str(error)
            raise
        self.fault = ""
        return pair

    def _pair(self) -> ArrayPair:
        image, labels = self.image.layer(), self.labels.layer()
        if image is None:
            raise DataError("Open an image to learn from.")
        # An image that cannot be used needs no labels.
        labelled_picture(image, labels)
        if self.hint.layer is not None and labels is None:
            raise DataError(f"{self.hint.layer.name} looks like labels: press Turn it into labels, above.")
        if labels is None and self.labels.layers:
            raise DataError("Choose the labels to learn from; what a network found teaches only what you corrected.")
        if labels is None:
            raise DataError("Add a Labels layer and paint some objects, each with its own number.")
        for problem in filter(None, (self.question.problem(), self.voxel.fault)):
            raise DataError(problem)
        return pair_from_layers(image, labels, self.region.layer(), channel=self._channel())

    def reading(self) -> tuple[str, OneChannel | None]:
        """Axes of the image as chosen here, and the only channel to learn from, if there is one.

        Raises
        ------
        DataError
            If the image cannot be used.
        """
        return labelled_picture(self.image.layer(), self.labels.layer()).axes, self._channel()

    def files(self) -> PairFiles:
        """Files of the chosen layers, which `pair` has found to be there.

        Raises
        ------
        DataError
            If a layer is not from a file.
        """
        image, labels = self.image.layer(), self.labels.layer()
        assert image is not None
        assert labels is not None
        return PairFiles(file_beside(image, labels, ""), file_of(labels), labelled_picture(image, labels).axes)

    def _channel(self) -> OneChannel | None:
        channel: OneChannel | None = self.channel.currentData()
        return channel if self.form.isRowVisible(self.channel) else None


class PairList(QWidget):
    """Rows of pairs, and a button that adds one.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are offered.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.rows: list[PairRow] = []
        self.add_button = button("Add another pair", "Learn from one more image and its labels.", self.add_row)
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(0, 0, 0, 0)
        self.box.addWidget(self.add_button)
        self.add_row()

    def add_row(self) -> PairRow:
        """Add a row; it offers the first image that no other row has taken."""
        row = PairRow(self.viewer)
        taken = [other.image.layer() for other in self.rows], [other.labels.layer() for other in self.rows]
        for box, used in zip((row.image, row.labels), taken, strict=True):
            free = [layer for layer in box.proposed if layer not in used]
            if free:
                box.choose(free[0])
        row.choose_image_under()
        self.rows.append(row)
        self.box.insertWidget(len(self.rows) - 1, row)
        row.changed.connect(self.changed.emit)
        row.removed.connect(lambda: self.remove_row(row))
        self._on_count()
        return row

    def remove_row(self, row: PairRow) -> None:
        """Take a row away; the last one stays."""
        if len(self.rows) == 1:
            return
        self.rows.remove(row)
        row.close_down()
        row.hint.close_down()
        self.box.removeWidget(row)
        row.deleteLater()
        self._on_count()

    def _on_count(self) -> None:
        for row in self.rows:
            row.remove.setVisible(len(self.rows) > 1)
        self.changed.emit()

    def pairs(self) -> list[ArrayPair]:
        """Arrays of all rows.

        Raises
        ------
        DataError
            If a row is not complete.
        """
        try:
            return [row.pair() for row in self.rows]
        finally:
            for row in self.rows:
                # The panel says it beside Train; of several pairs it must be seen which one is meant.
                row.complaint.complain((row.fault or self._doubt(row)) if len(self.rows) > 1 else "")

    def _doubt(self, row: PairRow) -> str:
        """What is probably not meant by a pair; empty where nothing is."""
        chosen = [box.layer() for box in row.boxes]
        labels = chosen[1]
        for other in self.rows:
            image, same, region = (box.layer() for box in other.boxes)
            # Several regions of one image may be learned from.
            is_other_part = image == chosen[0] and region != chosen[2]
            if other != row and labels is not None and labels == same and not is_other_part:
                return f"{labels.name} stands in another pair, too."
        return ""

    def files(self) -> list[PairFiles]:
        """Files of all rows, whose layers are known to fit together.

        Raises
        ------
        DataError
            If a layer is not from a file.
        """
        return [row.files() for row in self.rows]

    def close_down(self) -> None:
        """Follow the layers no longer."""
        for row in self.rows:
            row.close_down()
            row.hint.close_down()
