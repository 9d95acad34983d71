"""Forms: editors follow the fields, values go through unchanged, faults are marked where they are."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSpinBox

from embedseg_napari.core.config import AugmentationConfig, PredictionConfig, TrainingConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.viewer.train.settings import GROUPS
from embedseg_napari.viewer.widgets.config_form import ConfigForm
from embedseg_napari.viewer.widgets.editors import AUTOMATIC


@pytest.mark.parametrize("settings", [TrainingConfig, AugmentationConfig, PredictionConfig])
def test_a_fresh_form_gives_the_defaults(qtbot, settings):
    form = ConfigForm(settings)
    qtbot.addWidget(form)
    assert form.config() == settings()


@pytest.mark.parametrize("preset", ["fast", "few", "paper"])
def test_values_go_through_unchanged(qtbot, preset):
    form = ConfigForm(TrainingConfig)
    qtbot.addWidget(form)
    config = TrainingConfig.preset(preset, crop_size=(64, 128), batch_size=3)
    form.set_values(config.model_dump())
    assert form.config() == config


def test_editors_take_kind_range_and_tooltip_from_the_field(qtbot):
    form = ConfigForm(TrainingConfig)
    qtbot.addWidget(form)
    fields = TrainingConfig.model_fields
    kinds = {"batch_size": QSpinBox, "learning_rate": QDoubleSpinBox, "crop_context": QCheckBox, "optimizer": QComboBox}
    for name, kind in kinds.items():
        assert isinstance(form.editors[name].inner, kind)
        assert form.editors[name].inner.toolTip() == fields[name].description
    fraction = form.editors["validation_fraction"].inner
    assert fraction.minimum() == 0
    assert 0.89 < fraction.maximum() < 0.9


def test_small_numbers_are_written_short(qtbot):
    form = ConfigForm(TrainingConfig)
    qtbot.addWidget(form)
    assert form.editors["learning_rate"].inner.text() == "0.002"
    assert form.editors["weight_decay"].inner.text() == "0.0001"
    assert form.editors["batch_size"].inner.text() == AUTOMATIC


def test_typing_exponents_works(qtbot):
    form = ConfigForm(TrainingConfig)
    qtbot.addWidget(form)
    line = form.editors["learning_rate"].inner.lineEdit()
    line.selectAll()
    qtbot.keyClicks(line, "5e-4")
    assert form.values()["learning_rate"] == pytest.approx(5e-4)


@pytest.mark.parametrize("text", ["100, 100", "1, -8", "many"])
def test_a_fault_is_marked_at_its_field(qtbot, text):
    form = ConfigForm(TrainingConfig, groups={"Crops": ["crop_size"]})
    qtbot.addWidget(form)
    form.editors["crop_size"].inner.setText(text)
    with pytest.raises(SettingsError, match="Crop size"):
        form.config()
    complaint = form.complaints["crop_size"]
    assert "Crop size" in complaint.text()
    assert not complaint.isHidden()
    # The group that holds the fault opens.
    assert form.folds["crop_size"].button.isChecked()
    form.editors["crop_size"].inner.setText("64, 64")
    assert form.config().crop_size == (64, 64)
    assert complaint.isHidden()


def test_groups_of_the_train_panel_hold_every_field():
    shown = {"minutes", *(name for names in GROUPS.values() for name in names)}
    assert set(TrainingConfig.model_fields) - shown == {"devices"}
    assert shown <= set(TrainingConfig.model_fields)


def test_changes_are_told(qtbot):
    form = ConfigForm(TrainingConfig)
    qtbot.addWidget(form)
    with qtbot.waitSignal(form.changed):
        form.editors["augmentation"].form.editors["flips"].inner.click()
    assert form.values()["augmentation"]["flips"] is False
