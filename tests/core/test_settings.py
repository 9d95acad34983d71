"""Settings: what is wrong with one is a sentence that names it."""

from __future__ import annotations

import pytest

from embedseg_napari.core.config import ModelConfig, PredictionConfig, TrainingConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.settings import positive_numbers, require_functions


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (TrainingConfig, {"batchsize": 3}, "no setting 'batchsize' (did you mean 'batch_size'?)"),
        (TrainingConfig, {"augmentation": {"flip": True}}, "no setting 'augmentation.flip' (did you mean 'flips'?)"),
        (TrainingConfig, {"zzz": 1}, "There is no setting 'zzz'."),
        (TrainingConfig, {"epochs": "x"}, "'epochs': should be a whole number, not 'x'"),
        (TrainingConfig, {"crop_size": [32] * 4}, "has 4 values, but should have at most 3"),
        (TrainingConfig, {"crop_size": [32]}, "has 1 values, but should have at least 2"),
        (TrainingConfig, {"crop_size": [33, 32]}, "multiple of 8"),
        (TrainingConfig, {"crop_size": [60000, 60000]}, "which no memory holds"),
        (TrainingConfig, {"learning_rate": float("nan")}, "finite number"),
        (TrainingConfig, {"seed": 10**30}, "'seed': should be less than"),
        (TrainingConfig, {"minutes": None}, "Settings: give epochs or minutes."),
        (PredictionConfig, {"seeds": "local-maxima"}, "(did you mean 'local_maxima'?)"),
        (PredictionConfig, {"tta": "perhaps"}, "should be true or false"),
        (PredictionConfig, {"tile": 5}, "should be a list of numbers, not 5"),
        (PredictionConfig, {"min_object_size": 10**5000}, "not this value"),
        (PredictionConfig, 5, "Settings: should be a table of values, not 5."),
        (ModelConfig, {"history": [{"epoch": "x"}]}, "'history.0.epoch'"),
        (ModelConfig, {"history": [{"step": 1}]}, "'history.0.epoch': is missing"),
        (ModelConfig, {"training": {"rate": float("inf")}}, "finite number"),
        (ModelConfig, {"prediction": {"tile": [8, 8, 8]}}, "tile has 3 values for 2 axes"),
        (ModelConfig, {"reference_scale": float("inf")}, "finite number"),
    ],
)
def test_what_is_wrong_is_named(kind, values, sentence):
    with pytest.raises(SettingsError) as raised:
        kind.parse(values)
    assert sentence in str(raised.value)
    assert len(str(raised.value)) < 250


def test_a_value_cannot_write_on_the_terminal():
    with pytest.raises(SettingsError) as raised:
        PredictionConfig.parse({"seeds": "\x1b[31m\u202ered", "x\x1b[2J": 1})
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("values", [5, "ab", (), (1, 0), (1, float("inf")), (1, None), [[1]]])
def test_numbers_that_are_none(values):
    with pytest.raises(SettingsError, match="spacing needs a list of positive numbers"):
        positive_numbers(values, "spacing")


def test_what_cannot_be_called_is_named():
    require_functions(on_event=None, should_stop=lambda: False)
    with pytest.raises(SettingsError, match="should_stop takes a function, not 5"):
        require_functions(on_event=print, should_stop=5)
