from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_steps import own_names, weights_are_equal

import embedseg_napari as es
from embedseg_napari import load_model
from embedseg_napari.core.errors import DataError, ModelError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.model.library import ModelLibrary
    from embedseg_napari.core.model.model import Model


def test_files_are_imported_under_a_free_name(library: ModelLibrary, model: Model, tmp_path: Path) -> None:
    given = model.save(tmp_path / "my cells (2)")
    assert [library.import_model(given).name for _ in range(2)] == ["my_cells_2", "my_cells_2_2"]
    assert library.find("my_cells_2_2").config().name == "my_cells_2_2"
    assert library.import_model(given, "named").name == "named"
    assert weights_are_equal(given, library.find("named").path)
    with pytest.raises(DataError, match="already a model"):
        library.import_model(given, "named")


def test_what_is_no_model_is_not_imported(library: ModelLibrary, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("x")
    damaged = tmp_path / "b.embedseg"
    damaged.write_bytes(b"no zip")
    foreign = tmp_path / "c.zip"
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("rdf.yaml", "type: model")
        archive.writestr("weights.pt", b"code")
    for path, reason in {
        text: "is not a model",
        damaged: "is not a model file",
        foreign: "contains no model.embedseg",
        tmp_path / "gone.pth": "no such file",
        tmp_path: "is a folder",
    }.items():
        with pytest.raises(ModelError, match=reason):
            library.import_model(path)
    assert own_names(library) == []


def test_an_original_checkpoint_becomes_a_model_file(library: ModelLibrary, golden, tmp_path: Path) -> None:
    source = shutil.copy(golden("legacy_2d.pth"), tmp_path / "best.pth")
    (tmp_path / "data_properties.json").write_text('{"n_x": 513, "min_object_size": 12}')
    taken = library.import_model(source, "worms")
    config = taken.config()
    assert (config.name, config.ndim, config.prediction.min_object_size) == ("worms", 2, 12)
    assert config.grid_spacing == pytest.approx((1 / 512, 1 / 512))
    image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    maps = [load_model(path).embed(image, "YX").seed_map for path in (source, taken.path)]
    np.testing.assert_array_equal(*maps)


def test_models_are_exported_as_files(library: ModelLibrary, model: Model, tmp_path: Path) -> None:
    model.save(library.folder / "first")
    (tmp_path / "out").mkdir()
    assert library.export_model("first", tmp_path / "out") == tmp_path / "out" / "first.embedseg"
    with pytest.raises(DataError, match="exists already"):
        library.export_model("first", tmp_path / "out")
    library.export_model("first", tmp_path / "out" / "first.embedseg", overwrite=True)
    assert weights_are_equal(library.find("first").path, tmp_path / "out" / "first.embedseg")
    with pytest.raises(DataError, match=r"ends in \.embedseg, or in \.zip"):
        library.export_model("first", tmp_path / "first.pth")


def test_options_of_the_other_kind_are_refused(library: ModelLibrary, model: Model, tmp_path: Path) -> None:
    model.save(library.folder / "first")
    with pytest.raises(SettingsError, match="image and authors"):
        library.export_model("first", tmp_path / "a.embedseg", authors=["A"])
    with pytest.raises(SettingsError, match="half precision"):
        library.export_model("first", tmp_path / "a.zip", half=True)


def test_the_functions_do_what_the_methods_do(library: ModelLibrary, model: Model, tmp_path: Path) -> None:
    taken = es.import_model(library, model.save(tmp_path / "cells"), "mine")
    assert taken == library.find("mine")
    assert es.export_model(library, "mine", tmp_path / "out.embedseg", half=True) == tmp_path / "out.embedseg"
