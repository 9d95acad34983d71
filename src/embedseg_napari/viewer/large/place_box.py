"""Where the labels of a large image go: a store of its own, that of the image, or memory; and what is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLineEdit, QToolButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.leftovers import run_beside
from embedseg_napari.core.files.names import from_home, portable_name
from embedseg_napari.core.stores.labels import NAME
from embedseg_napari.core.wording import count, shape_words
from embedseg_napari.jobs.large.plan import DEFAULT_NAME
from embedseg_napari.jobs.large.target import Target, target_at
from embedseg_napari.viewer.large.source import fits_memory, is_better_in_blocks, is_lazy, source_of
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, button

if TYPE_CHECKING:
    from napari.layers import Image

    from embedseg_napari.viewer.large.source import Source

STORE, NEW, MEMORY = "The image's own store", "A new store", "A layer in memory"


class PlaceBox(QWidget):
    """Rows of the Segment panel; hidden for images that are segmented whole anyway."""

    changed = Signal()
    answered = Signal()
    """Labels that are there may be replaced, or another name was taken: the run can be started again."""

    def __init__(self) -> None:
        super().__init__()
        self.source: Source | None = None
        self.refusal = ""
        """Why the layer cannot be segmented in blocks."""
        self.may_replace = False
        """Whether the user said so of the labels that are there."""
        self.kind = ChoiceBox(
            tooltip="Large images are segmented block by block into an OME-Zarr on the disk, which may be stopped and "
            "gone on with. Labels in memory can be painted on, and follow the sliders."
        )
        self.name = QLineEdit(DEFAULT_NAME)
        self.name.setToolTip("Name of the labels in the store: labels/NAME.")
        self.place = QLineEdit()
        self.place.setPlaceholderText("NAME.ome.zarr")
        self.place.setToolTip("A folder whose name ends in .ome.zarr; it becomes the labels.")
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip("Choose where the new store goes.")
        self.place_row = QWidget()
        row = QHBoxLayout(self.place_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.place, 1)
        row.addWidget(self.browse)
        self.level = ChoiceBox(tooltip="Resolution that is segmented; labels lie on its pixels. 0 is the full one.")
        self.form = QFormLayout()
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, field, buddy in (
            ("La&bels in", self.kind, self.kind),
            ("Na&me", self.name, self.name),
            ("St&ore", self.place_row, self.place),
            ("&Level", self.level, self.level),
        ):
            self.form.addRow(text, field)
            label = self.form.labelForField(field)
            label.setToolTip(buddy.toolTip())
            label.setBuddy(buddy)
        self.state = Sentence()
        self.question = Sentence()
        self.replace = button("Replace them", "Delete the labels that are there, and segment.", self._replace)
        self.rename = button("Another name", "Leave them, and segment under another name.", self._rename)
        self.answers = QWidget()
        answers = QHBoxLayout(self.answers)
        answers.setContentsMargins(0, 0, 0, 0)
        answers.addWidget(self.replace)
        answers.addWidget(self.rename)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.form)
        for widget in (self.state, self.question, self.answers):
            layout.addWidget(widget)
        self.kind.currentIndexChanged.connect(self._show)
        self.level.currentIndexChanged.connect(self._show)
        self.name.textChanged.connect(self._show)
        self.place.textChanged.connect(self._show)
        self.browse.clicked.connect(self._browse)
        self._of: tuple[object, ...] = ()
        self.take(None, "", is_whole=True)

    @property
    def in_blocks(self) -> bool:
        """Whether the image is segmented in blocks."""
        return self.source is not None and self.kind.currentText() != MEMORY

    def take(self, layer: Image | None, axes: str, *, is_whole: bool) -> None:
        """Be about a layer, or about none that is segmented in blocks.

        Parameters
        ----------
        layer : Image, optional
            The layer.
        axes : str
            One letter per axis of its array; empty where they are not known.
        is_whole : bool
            Whether all of it is to be segmented.
        """
        self._is_whole = is_whole
        of: tuple[object, ...] = ()
        if layer is not None and axes and (is_lazy(layer) or not fits_memory(layer, axes)):
            array = array_of(layer)
            of = layer, axes, tuple(array.shape), array.dtype
        if of != self._of:
            self._of, self.source, self.refusal, self.may_replace = of, None, "", False
            if layer is not None and of:
                self._look_at(layer, axes)
        self._show()

    def _look_at(self, layer: Image, axes: str) -> None:
        fits, is_better = fits_memory(layer, axes), is_better_in_blocks(layer, axes)
        try:
            source = source_of(layer, axes)
        except DataError as error:
            self.refusal = "" if fits else str(error)
            return
        self.source = source
        with signals_blocked(self.kind), signals_blocked(self.level), signals_blocked(self.place):
            self.kind.clear()
            self.kind.addItems([*([STORE] if source.store else []), NEW, *([MEMORY] if fits else [])])
            self.kind.setCurrentText(MEMORY if fits and not is_better else self.kind.itemText(0))
            self.level.clear()
            for number, shape in enumerate(source.levels):
                self.level.addItem(f"{number}: {shape_words(shape)}", number)
            has_file = source.layer.source.path or source.layer.metadata.get("path")
            proposed = source.folder / f"{portable_name(layer.name, 'image')}-labels.ome.zarr"
            self.place.setText(str(proposed) if has_file else "")

    def problem(self) -> tuple[QWidget, str] | None:
        """The field that is wrong, and why; None where the image can be segmented."""
        if self.refusal:
            return self.kind, self.refusal
        if not self.in_blocks:
            return None
        if self.kind.currentText() == STORE and NAME.fullmatch(self.name.text()) is None:
            return self.name, "Labels have a name of letters, digits, points, hyphens and underscores."
        if self.kind.currentText() == NEW:
            if not self.place.text().strip():
                return self.place, "Choose where the labels go: a new folder whose name ends in .ome.zarr."
            if self.output().suffix.lower() != ".zarr":  # type: ignore[union-attr]
                return self.place, "The labels of blocks are an OME-Zarr; give a name that ends in .ome.zarr."
        return None

    def output(self) -> Path | None:
        """The new store; None for the image's own."""
        return from_home(self.place.text().strip()) if self.kind.currentText() == NEW else None

    def target(self) -> Target | None:
        """Where the labels go; None where that is not said."""
        if not self.in_blocks or self.problem() is not None:
            return None
        output = self.output()
        assert self.source is not None
        return target_at(self.source.store, self.name.text(), output)

    def resolution(self) -> int:
        """The level that is segmented."""
        return int(self.level.currentData() or 0)

    def ask(self, found: str) -> None:
        """Ask what becomes of labels that are there.

        Parameters
        ----------
        found : str
            What a run says of them.
        """
        self.question.setText(found)
        self._show_question()

    def look_again(self) -> None:
        """Say anew what is there."""
        target = self.target() if self._is_whole else None
        self.state.setText("" if target is None else _state(target))
        self.state.setVisible(bool(self.state.text()))

    def permission(self) -> bool:
        """Whether the user allowed this once that labels are replaced."""
        given, self.may_replace = self.may_replace, False
        return given

    def _replace(self) -> None:
        self.may_replace = True
        self.question.clear()
        self._show_question()
        self.answered.emit()

    def _rename(self) -> None:
        target = self.target()
        if target is None:
            return
        number = 2
        while True:
            if target.name is not None:
                name, text = self.name, f"{self.name.text().rstrip('0123456789').rstrip('-')}-{number}"
                there = target.labels.with_name(text)
            else:
                stem = target.store.name.removesuffix(".zarr").removesuffix(".ome")
                there = target.store.with_name(f"{stem.rstrip('0123456789').rstrip('-')}-{number}.ome.zarr")
                name, text = self.place, str(there)
            if not there.exists() and not run_beside(there).exists():
                break
            number += 1
        name.setText(text)
        self.answered.emit()

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "A new store for the labels", self.place.text() or str(Path.home()), "OME-Zarr (*.ome.zarr)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if path:
            self.place.setText(path if path.lower().endswith(".zarr") else f"{path}.ome.zarr")

    def _show(self, *_: object) -> None:
        is_offered = self.source is not None and self._is_whole
        self.setVisible(is_offered)
        kind = self.kind.currentText()
        self.form.setRowVisible(self.name, is_offered and kind == STORE)
        self.form.setRowVisible(self.place_row, is_offered and kind == NEW)
        self.form.setRowVisible(self.level, is_offered and kind != MEMORY and self.level.count() > 1)
        self.look_again()
        # It was about another place.
        self.question.clear()
        self.may_replace = False
        self._show_question()
        self.changed.emit()

    def _show_question(self) -> None:
        for widget in (self.question, self.answers):
            widget.setVisible(bool(self.question.text()))


def _state(target: Target) -> str:
    """What is at a place already."""
    if target.is_begun:
        return "A run was stopped here; Segment goes on with it."
    report = target.report()
    if report is not None:
        return f"Labels are there; the run found {count(report['n_objects'], 'object')}."
    return "Labels are there." if target.labels.exists() else ""
