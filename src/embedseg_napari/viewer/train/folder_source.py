"""A data-set folder to learn from, and what its files do not say of themselves."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLineEdit, QWidget

from embedseg_napari.core.axes import parse_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.names import from_home
from embedseg_napari.viewer.widgets.boxes import button, channel_box
from embedseg_napari.viewer.widgets.pixel_size import typed_spacing

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.axes import Channel, OneChannel

TIP = "Learn from a folder with images/ and masks/ (same file names), or with train/ and val/ of that kind."


class FolderSource(QWidget):
    """A folder, typed or browsed, the axes of its images, their channel and the size of their voxels."""

    changed = Signal()
    """Another folder, other axes, another channel or voxels of another size."""

    def __init__(self) -> None:
        super().__init__()
        self._channels: dict[str, Channel] = {}
        """What was chosen for the images of each folder."""
        self.edit = self._field("Data-set folder", "Folder with images/ and masks/", TIP)
        self.browse = button("Browse…", "Choose the data-set folder.", self._browse)
        self.axes_edit = self._field(
            "Axes of the images in the folder",
            "read from each file, or guessed",
            "Axes of all images, in order, such as YX, ZYX, TYX or YXC (T time, C channel), as --axes of the command "
            "line. Empty: as each file says.",
        )
        self.voxel_edit = self._field(
            "Voxel size of the volumes in the folder",
            "z, y, x of volumes, read from each file",
            "How large a voxel of all volumes is in micrometres, z, y, x, as --spacing of the command line: slices are "
            "often further apart than pixels are wide. Empty: as each file says; where none does, cubes.",
        )
        self.channel_box = channel_box("Channels of the images to learn from: all, their mean, or one; 0 is the first.")
        self.channel_box.setAccessibleName("Channel of the images in the folder")
        self.channel_box.currentIndexChanged.connect(self._take_channel)
        self.edit.textChanged.connect(self._show_channel)
        row = QHBoxLayout()
        row.addWidget(self.edit, 1)
        row.addWidget(self.browse)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(row)
        form.addRow("Axes", self.axes_edit)
        form.addRow("Channel", self.channel_box)
        form.addRow("Voxel (µm)", self.voxel_edit)

    def _field(self, name: str, placeholder: str, tip: str) -> QLineEdit:
        field = QLineEdit()
        field.setAccessibleName(name)
        field.setPlaceholderText(placeholder)
        field.setToolTip(tip)
        field.editingFinished.connect(self.changed.emit)
        return field

    def _take_channel(self, *_: object) -> None:
        self._channels[self._folder()] = self.channel_box.currentData()
        self.changed.emit()

    def _show_channel(self, *_: object) -> None:
        """A channel is chosen for the images of one folder: those of another are learned from in all colours."""
        with QSignalBlocker(self.channel_box):
            index = self.channel_box.findData(self._channels.get(self._folder(), "all"))
            self.channel_box.setCurrentIndex(index)

    def _folder(self) -> str:
        """The folder as far as it is typed, without what makes no other one of it."""
        return os.path.normpath(self.edit.text().strip())

    def _browse(self) -> None:
        text = QFileDialog.getExistingDirectory(self, "Data-set folder", self.edit.text())
        if text:
            self.edit.setText(text)
            self.changed.emit()

    def path(self) -> Path:
        """The folder.

        Raises
        ------
        DataError
            If none is named.
        """
        if not self.edit.text().strip():
            raise DataError("Choose a folder with images/ and masks/ in it.")
        return from_home(self.edit.text().strip())

    def axes(self) -> str | None:
        """Axes of the images; None where each file says them.

        Raises
        ------
        DataError
            If they are no axes.
        """
        text = self.axes_edit.text().strip()
        return parse_axes(text) if text else None

    def channel(self) -> OneChannel | None:
        """The only channel to learn from, or the mean of all; None for all."""
        channel: Channel = self.channel_box.currentData()
        return None if channel == "all" else channel

    def spacing(self) -> tuple[float, ...] | None:
        """Size of the voxels of volumes in micrometres, z, y, x; None where each file says it.

        Raises
        ------
        DataError
            If it is none.
        """
        return typed_spacing(self.voxel_edit.text(), "ZYX")
