from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from embedseg_napari import load_model
from embedseg_napari.core import folder_lock
from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import DataError, ModelError
from embedseg_napari.core.model.bundled import bundled_path
from embedseg_napari.core.model.erfnet import BranchedERFNet
from embedseg_napari.core.model.library import ModelLibrary, describe, models_folder
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.model.model_file import read_model_file


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    return ModelLibrary(tmp_path / "models")


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(ModelConfig(name="first"), BranchedERFNet(2, 1).eval())


@pytest.fixture(autouse=True)
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trash of the test's own."""

    def send(paths: list[Path]) -> None:
        folder = tmp_path / "trash"
        folder.mkdir(exist_ok=True)
        for path in paths:
            path.rename(folder / path.name)

    monkeypatch.setattr("send2trash.send2trash", send)
    return tmp_path / "trash"


def names(library: ModelLibrary) -> list[str]:
    return [known.name for known in library.models() if not known.is_bundled]


def weights_are_equal(one: Path, other: Path) -> bool:
    first, second = read_model_file(one)[0], read_model_file(other)[0]
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_bundled_models_come_first_and_stay_as_they_are(library: ModelLibrary) -> None:
    library.duplicate("nuclei-2d", "Alpha")
    assert [known.name for known in library.models()][-1] == "Alpha"
    assert library.models()[0].is_bundled
    with pytest.raises(ModelError, match="comes with the program"):
        library.rename("nuclei-2d", "x")
    with pytest.raises(ModelError, match="comes with the program"):
        library.delete("nuclei-2d")
    assert weights_are_equal(bundled_path("nuclei-2d"), library.find("Alpha").path)


def test_a_model_is_renamed_with_its_name_inside_and_its_training(library: ModelLibrary, model: Model) -> None:
    path = model.save(library.folder / "first")
    (library.folder / "first.run").mkdir()
    (library.folder / "first.run" / "state.json").write_text("{}")
    renamed = library.rename("first", " second.embedseg ")
    assert names(library) == ["second"]
    assert renamed.config().name == "second"
    assert not path.exists()
    assert (library.folder / "second.run" / "state.json").exists()
    assert not (library.folder / "first.run").exists()


def test_a_loaded_model_outlives_its_file(library: ModelLibrary, model: Model) -> None:
    model.save(library.folder / "first")
    loaded = load_model(library.find("first").path)
    library.delete("first")
    assert names(library) == []
    assert loaded.predict(np.zeros((32, 32), np.uint8), "YX").labels.shape == (32, 32)


def test_deleted_models_lie_in_the_trash_with_what_training_left(
    library: ModelLibrary, model: Model, trash: Path
) -> None:
    model.save(library.folder / "first")
    (library.folder / "first.run").mkdir()
    library.delete("first")
    assert sorted(path.name for path in trash.iterdir()) == ["first.embedseg", "first.run"]


def test_a_model_in_training_keeps_its_name(library: ModelLibrary, model: Model) -> None:
    model.save(library.folder / "first")
    with folder_lock.holding(library.folder / "first.run", "training"):
        for change in (lambda: library.rename("first", "second"), lambda: library.delete("first")):
            with pytest.raises(ModelError, match="is being trained"):
                change()
        library.duplicate("first", "copy")
    library.rename("first", "second")
    assert names(library) == ["copy", "second"]


def test_names_that_cannot_be_used_are_refused(library: ModelLibrary, model: Model) -> None:
    model.save(library.folder / "first")
    (library.folder / "half.run").mkdir()
    for new, reason in {
        "": "Give the model a name",
        "..": "Give the model a name",
        ".hidden": "begin with a dot",
        "a/b": "must not hold",
        "x" * 201: "too long",
        "FIRST": "already a model",
        "nuclei-2d": "already a model",
        "half": "unfinished training",
    }.items():
        with pytest.raises(DataError, match=reason):
            library.duplicate("first", new)
    assert names(library) == ["first"]


def test_an_unknown_name_says_what_there_is(library: ModelLibrary) -> None:
    with pytest.raises(ModelError, match=r"no model 'nope'; there are: .*nuclei-2d"):
        library.find("nope")


def test_files_are_imported_under_a_free_name(library: ModelLibrary, model: Model, tmp_path: Path) -> None:
    given = model.save(tmp_path / "my cells (2)")
    assert [library.take_in(given).name for _ in range(2)] == ["my_cells_2", "my_cells_2_2"]
    assert library.find("my_cells_2_2").config().name == "my_cells_2_2"
    assert library.take_in(given, "named").name == "named"
    assert weights_are_equal(given, library.find("named").path)
    with pytest.raises(DataError, match="already a model"):
        library.take_in(given, "named")


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
        text: "is no model",
        damaged: "is no model file",
        foreign: "holds no model.embedseg",
        tmp_path / "gone.pth": "no such file",
    }.items():
        with pytest.raises(ModelError, match=reason):
            library.take_in(path)
    assert names(library) == []


def test_an_original_checkpoint_becomes_a_model_file(library: ModelLibrary, golden, tmp_path: Path) -> None:
    source = shutil.copy(golden("legacy_2d.pth"), tmp_path / "best.pth")
    (tmp_path / "data_properties.json").write_text('{"n_x": 513, "min_object_size": 12}')
    taken = library.take_in(source, "worms")
    config = taken.config()
    assert (config.name, config.ndim, config.prediction.min_object_size) == ("worms", 2, 12)
    assert config.grid_spacing == pytest.approx((1 / 512, 1 / 512))
    image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    maps = [load_model(path).embed(image, "YX").seed_map for path in (source, taken.path)]
    np.testing.assert_array_equal(*maps)


def test_models_are_exported_as_files(library: ModelLibrary, model: Model, tmp_path: Path) -> None:
    model.save(library.folder / "first")
    (tmp_path / "out").mkdir()
    assert library.hand_out("first", tmp_path / "out") == tmp_path / "out" / "first.embedseg"
    with pytest.raises(DataError, match="exists already"):
        library.hand_out("first", tmp_path / "out")
    library.hand_out("first", tmp_path / "out" / "first.embedseg", overwrite=True)
    assert weights_are_equal(library.find("first").path, tmp_path / "out" / "first.embedseg")
    with pytest.raises(DataError, match=r"ends in \.embedseg, or in \.zip"):
        library.hand_out("first", tmp_path / "first.pth")


def test_models_of_the_user_load_by_name(model: Model) -> None:
    model.save(models_folder() / "mine")
    assert load_model("mine").path == models_folder() / "mine.embedseg"
    with pytest.raises(ModelError, match=r"nor a model of this name \(there are: .*mine"):
        load_model("yours")


def test_a_description_in_one_line(model: Model) -> None:
    assert describe(model.config) == "2D, 1 channel"
    assert "is seen when it is loaded" in describe(None)
