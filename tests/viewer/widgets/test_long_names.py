"""Long names are cut in the middle wherever they are shown, and can be read whole."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QLabel, QToolTip

from embedseg_napari.viewer.evaluate.tables import ImageTable
from embedseg_napari.viewer.models.manager import ModelManager
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, short
from embedseg_napari.viewer.widgets.long_names import SHORT, cut

NAME = "20241105_experiment_of_many_words_plate_7_well_B03_channel_488_stack_12"
OTHER = NAME.replace("stack_12", "stack_13")


@pytest.mark.parametrize("most", [1, 2, 3, 10, 24, 500])
def test_both_ends_of_a_name_are_kept(most):
    text = cut(NAME, most)
    assert len(text) == min(most, len(NAME))
    if most >= 10 and most < len(NAME):
        assert text.startswith(NAME[:3])
        assert text.endswith(NAME[-3:])
        assert cut(OTHER, most) != text


def test_short_names_stay():
    assert short("cells") == "cells"
    assert short(NAME) != short(OTHER)


def picture(widget):
    widget.resize(140, 30)
    widget.show()
    image = widget.grab().toImage().convertToFormat(widget.grab().toImage().Format.Format_RGB888)
    data = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    return data.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()].copy()


def test_entries_of_a_list_are_told_apart_by_their_ends(qtbot):
    box = ChoiceBox((NAME, OTHER), "What to choose.")
    qtbot.addWidget(box)
    first = picture(box)
    box.setCurrentIndex(1)
    assert (first != picture(box)).any()
    assert box.currentText() == OTHER
    assert box.view().textElideMode() == Qt.TextElideMode.ElideMiddle
    QApplication.sendEvent(box, QHelpEvent(QEvent.Type.ToolTip, QPoint(5, 5), box.mapToGlobal(QPoint(5, 5))))
    assert OTHER in QToolTip.text()
    assert "What to choose." in QToolTip.text()


def test_an_entry_may_have_a_shorter_form(qtbot):
    box = ChoiceBox(("nuclei-histology-2d (bundled)", "nuclei-histology-2d"))
    qtbot.addWidget(box)
    whole = picture(box)
    box.setItemData(0, "nuclei-2d", SHORT)
    shorter = picture(box)
    assert (whole != shorter).any()
    box.setItemText(1, "nuclei-2d")
    box.setCurrentIndex(1)
    assert (shorter == picture(box)).all()
    assert box.itemText(0) == "nuclei-histology-2d (bundled)"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("objects of 23 x 24 px", "23 x 24 px"),
        ("surer: 75 % of it", "75 %"),
        ("Pixels of 0.28 x 0.127 x 0.127 µm.", "0.28 x 0.127 x 0.127 µm"),
    ],
)
def test_a_number_stays_on_the_line_of_its_unit(qtbot, text, kept):
    line = Sentence(text)
    qtbot.addWidget(line)
    assert line.text() == text
    assert kept.replace(" ", "\N{NO-BREAK SPACE}") in QLabel.text(line)
    assert QLabel.text(Sentence("5 objects")) == "5 objects"


def test_a_list_without_a_choice_shows_what_it_is_for(qtbot):
    box = ChoiceBox(("A01",))
    qtbot.addWidget(box)
    box.setCurrentIndex(-1)
    empty = picture(box)
    box.setPlaceholderText("Images of this session…")
    assert (empty != picture(box)).any()


@pytest.mark.parametrize("text", [f"{NAME} was not segmented.", f"Saved /home/me/{NAME}/{NAME}.csv."])
def test_a_sentence_is_no_wider_than_a_panel_and_keeps_its_text(qtbot, text):
    label, plain = Sentence(text), QLabel(text)
    plain.setWordWrap(True)
    for one in (label, plain):
        qtbot.addWidget(one)
    assert label.text() == text
    assert label.minimumSizeHint().width() < 260 < plain.minimumSizeHint().width()
    QApplication.sendEvent(label, QHelpEvent(QEvent.Type.ToolTip, QPoint(5, 5), QPoint(50, 50)))
    assert QToolTip.text() == text


def test_rich_text_and_short_sentences_stay(qtbot):
    for text in ("All is well.", f"Model <b style='color:#ff0000'>{NAME}</b> is saved."):
        label = Sentence(text)
        qtbot.addWidget(label)
        assert QLabel.text(label) == label.text() == text


def test_tables_and_lists_cut_in_the_middle(qtbot):
    table, manager = ImageTable(), ModelManager()
    for one in (table, manager):
        qtbot.addWidget(one)
    assert table.textElideMode() == manager.list.textElideMode() == Qt.TextElideMode.ElideMiddle
    manager.close_down()
