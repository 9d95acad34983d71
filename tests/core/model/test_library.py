from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from model_steps import own_names, weights_are_equal

from embedseg_napari import load_model
from embedseg_napari.core.errors import DataError, ModelError
from embedseg_napari.core.files import folder_lock
from embedseg_napari.core.model.card import describe
from embedseg_napari.core.model.known_models import bundled_path, models_folder

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.model.library import ModelLibrary
    from embedseg_napari.core.model.model import Model


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
    assert own_names(library) == ["second"]
    assert renamed.config().name == "second"
    assert not path.exists()
    assert (library.folder / "second.run" / "state.json").exists()
    assert not (library.folder / "first.run").exists()


def test_a_loaded_model_outlives_its_file(library: ModelLibrary, model: Model) -> None:
    model.save(library.folder / "first")
    loaded = load_model(library.find("first").path)
    library.delete("first")
    assert own_names(library) == []
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
            with pytest.raises(ModelError, match=r"is being trained\. .* already open in this program"):
                change()
        library.duplicate("first", "copy")
    library.rename("first", "second")
    assert own_names(library) == ["copy", "second"]


def test_names_that_cannot_be_used_are_refused(library: ModelLibrary, model: Model) -> None:
    model.save(library.folder / "first")
    (library.folder / "half.run").mkdir()
    for new, reason in {
        "": "Give the model a name",
        "..": "Give the model a name",
        ".hidden": "begin with a dot",
        "a\x1b[31m": "invisible",
        "a\u202etxt": "invisible",
        "a.": "must not end",
        "com¹.x": "device",
        "a/b": "must not contain",
        "x" * 201: "too long",
        "FIRST": "already a model",
        "nuclei-2d": "already a model",
        "half": "unfinished training",
        "aux": "device on Windows",
    }.items():
        with pytest.raises(DataError, match=reason):
            library.duplicate("first", new)
    assert own_names(library) == ["first"]


def test_capitals_can_be_corrected(library: ModelLibrary, model: Model) -> None:
    model.save(library.folder / "first")
    (library.folder / "first.run").mkdir()
    assert library.rename("first", "First").config().name == "First"
    assert own_names(library) == ["First"]
    assert (library.folder / "First.run").is_dir()


def test_a_rename_that_fails_changes_nothing(
    library: ModelLibrary, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(library.folder / "first")
    (library.folder / "first.run").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr("embedseg_napari.core.model.library.copy_model_file", refuse)
    with pytest.raises(DataError, match="cannot be renamed"):
        library.rename("first", "second")
    assert sorted(path.name for path in library.folder.iterdir()) == ["first.embedseg", "first.run"]


def test_a_file_named_like_a_bundled_model_is_still_reached(library: ModelLibrary, model: Model) -> None:
    path = model.save(library.folder / "nuclei-2d")
    assert library.find("nuclei-2d").is_bundled
    assert library.find("nuclei-2d.embedseg").path == path
    assert library.rename("nuclei-2d.embedseg", "mine").path == library.folder / "mine.embedseg"
    assert library.numbered("nuclei-2d").stem == "nuclei-2d_2"


def test_long_names_are_cut_where_file_systems_count(library: ModelLibrary) -> None:
    assert len(library.numbered("細胞" * 200).name.encode()) < 255


def test_an_unknown_name_says_what_there_is(library: ModelLibrary) -> None:
    with pytest.raises(ModelError, match=r"no model 'nope'; there are: .*nuclei-2d"):
        library.find("nope")


def test_models_of_the_user_load_by_name(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder of the same name, such as that of the data, does not hide it.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    model.save(models_folder() / "mine")
    assert load_model("mine").path == load_model("mine.embedseg").path == models_folder() / "mine.embedseg"
    with pytest.raises(ModelError, match=r"nor a model of this name \(there are: .*mine"):
        load_model("yours")


def test_a_description_in_one_line(model: Model) -> None:
    assert describe(model.config) == "2D, 1 channel"
    assert "is known once it is loaded" in describe(None)


AT_ONCE = """
import sys
from pathlib import Path
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.model.library import ModelLibrary
library = ModelLibrary(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
try:
    for round in range(5):
        print(eval(sys.argv[2]).name)
except EmbedSegError as error:
    print("refused:", error)
"""


def at_once(library: ModelLibrary, calls: list[str]) -> list[list[str]]:
    """What processes print that call methods of one library at the same moment."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, library.folder, call],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for call in calls
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate()[0].splitlines() for process in processes]


def test_of_renames_to_one_name_at_once_one_wins_and_no_model_is_lost(library: ModelLibrary, model: Model) -> None:
    for round_ in range(5):
        for number in range(3):
            model.save(library.folder / f"n{number}-{round_}")
    said = at_once(library, [f"library.rename(f'n{number}-{{round}}', f'target-{{round}}')" for number in range(3)])
    won = [line for lines in said for line in lines if not line.startswith("refused")]
    assert sorted(won) == sorted(set(won))
    assert len(own_names(library)) == 15
    assert set(won) <= set(own_names(library))


@pytest.mark.thorough
def test_imports_and_copies_at_once_each_get_a_name(library: ModelLibrary, model: Model, tmp_path: Path) -> None:
    model.config = model.config.model_copy(update={"description": "mine"})
    source = model.save(tmp_path / "model")
    said = at_once(library, [f"library.import_model({str(source)!r})"] * 3)
    names = [name for lines in said for name in lines]
    assert len(names) == 15
    assert sorted(set(names)) == sorted(names) == own_names(library)


def test_two_descriptions_at_once_are_both_kept(library: ModelLibrary, model: Model) -> None:
    model.save(library.folder / "first")
    said = at_once(
        library, ["library.describe('first', description='text')", "library.describe('first', license='CC0')"]
    )
    assert said == [["first"] * 5] * 2
    config = library.find("first").config()
    assert (config.description, config.license) == ("text", "CC0")
