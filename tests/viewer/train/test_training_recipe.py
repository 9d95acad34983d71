"""What the panels Train and Label & Train did, as a command and a script that give the same model."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import PANEL as LABEL
from label_steps import begin, paint_truth
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication

from embedseg_napari.cli import main
from embedseg_napari.core.config import PRESETS, TrainingConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.model.model import load_model
from embedseg_napari.jobs.train import TrainingRequest
from embedseg_napari.jobs.training_pairs import ArrayPair
from embedseg_napari.jobs.training_recipe import PairFiles, of_training

PANEL = "EmbedSeg: Train"
QUICK = {"minutes": None, "epochs": 1, "steps_per_epoch": 1, "batch_pixels": 4096, "reference_extent": None}


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path, slim_network):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    # A preset takes a step, so that commands with the same settings do.
    monkeypatch.setitem(PRESETS, "few", PRESETS["few"] | QUICK)


@pytest.fixture
def panel(open_panel):
    panel = open_panel(PANEL)
    # The bundled start is a network of the usual width.
    panel.settings.choose_start(None)
    return panel


@pytest.fixture
def dataset(tmp_path, blobs):
    """A data set of two images."""
    folder = tmp_path / "some data"
    for number in range(2):
        image, labels = blobs(2)
        write_image(folder / "images" / f"cells {number}.tif", np.roll(image, number, 0), "YX", (0.5, 0.5), "um")
        write_labels(folder / "masks" / f"cells {number}.tif", np.roll(labels, number, 0), "YX", (0.5, 0.5), "um")
    return folder


def are_same(one, other) -> bool:
    """Whether two models were trained alike, but for the order of sums, which depends on the number of threads."""
    first, second = (load_model(path, device="cpu") for path in (one, other))
    losses = [[row["loss"] for row in model.config.history] for model in (first, second)]
    weights = [model.network.state_dict() for model in (first, second)]
    return np.allclose(*losses, rtol=1e-4) and all(
        np.allclose(array, weights[1][name], atol=1e-3) for name, array in weights[0].items()
    )


def train(panel, qtbot):
    """Train; returns where the model is."""
    panel.start()
    with qtbot.waitSignal(panel.background.finished, timeout=60_000):
        pass
    return panel.saved.path


def run_command(panel):
    """Run what was copied; returns where its model is."""
    QApplication.clipboard().clear()
    panel.recipe.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert words[:2] == ["embedseg", "train"], notification_manager.records[-1].message
    with pytest.raises(SystemExit) as ended:
        main([*words[1:], "--no-progress"])
    assert ended.value.code in (0, None)
    return words[words.index("--output") + 1]


def run_script(panel, tmp_path):
    """Run the script that was saved; returns where its model is."""
    output = panel.output.path()
    panel.recipe.save_script(tmp_path / "recipe.py")
    exec(compile((tmp_path / "recipe.py").read_text(), "recipe", "exec"), {})
    return output


def last_words() -> str:
    return notification_manager.records[-1].message


def use_folder(panel, folder, qtbot):
    panel.settings.preset.setCurrentText("few")
    panel.from_folder.setChecked(True)
    panel.folder.setText(str(folder))
    panel.folder.editingFinished.emit()
    qtbot.waitUntil(panel.train.isEnabled, timeout=20_000)


def test_a_folder_gives_the_same_model_by_command_and_script(panel, dataset, qtbot, tmp_path) -> None:
    use_folder(panel, dataset, qtbot)
    trained = train(panel, qtbot)
    by_command = run_command(panel)
    panel.output.suggest("again", anew=True)
    by_script = run_script(panel, tmp_path)
    assert are_same(trained, by_command)
    assert are_same(trained, by_script)


def test_settings_without_an_option_are_in_the_script_alone(panel, dataset, qtbot, tmp_path) -> None:
    use_folder(panel, dataset, qtbot)
    panel.settings.form.set_values({"learning_rate": 0.001})
    panel.recipe.copy_command()
    assert "no option for learning_rate; save a script" in last_words()
    panel.recipe.save_script(tmp_path / "recipe.py")
    assert "'learning_rate': 0.001" in (tmp_path / "recipe.py").read_text()


def test_layers_of_files_give_the_same_model_by_script(viewer, panel, dataset, qtbot, tmp_path) -> None:
    image, labels = (dataset / part / "cells 1.tif" for part in ("images", "masks"))
    viewer.open(image, plugin="napari")
    viewer.open(labels, plugin="napari", layer_type="labels")
    square = np.array([[0, 0], [0, 40], [60, 40], [60, 0]])
    shapes = viewer.add_shapes([square], shape_type="rectangle")
    panel.pairs.rows[0].region.choose(shapes)
    panel.settings.preset.setCurrentText("few")
    qtbot.waitUntil(panel.train.isEnabled, timeout=20_000)
    trained = train(panel, qtbot)
    assert are_same(trained, run_script(panel, tmp_path))
    panel.recipe.copy_command()
    assert "folder with images/ and masks/" in last_words()


def test_layers_that_are_not_in_a_file_must_be_saved_first(viewer, panel, dataset, blobs, qtbot, tmp_path) -> None:
    image, labels = (dataset / part / "cells 0.tif" for part in ("images", "masks"))
    viewer.open(image, plugin="napari")
    painted = viewer.add_labels(blobs(2)[1], name="painted")
    panel.recipe.save_script(tmp_path / "recipe.py")
    assert "Save painted first" in last_words()
    viewer.layers.remove(painted)
    (opened,) = viewer.open(labels, plugin="napari", layer_type="labels")
    panel.recipe.save_script(tmp_path / "recipe.py")
    assert (tmp_path / "recipe.py").exists()
    (tmp_path / "recipe.py").unlink()
    opened.data_setitem((np.array([0]), np.array([0])), 9)
    panel.recipe.save_script(tmp_path / "recipe.py")
    assert "save the layer first" in last_words()
    assert not (tmp_path / "recipe.py").exists()


def test_pixels_without_a_number_are_the_same_in_layer_and_file(blobs, tmp_path) -> None:
    image, labels = blobs(2)
    image = image.astype(np.float32)
    image[:5, :5] = np.nan
    files = PairFiles(tmp_path / "image.tif", tmp_path / "labels.tif", "YX")
    write_image(files.image, image, "YX")
    write_labels(files.labels, labels, "YX")
    request = TrainingRequest(
        TrainingConfig(),
        [ArrayPair("cells", image, labels, "YX", None, None)],
        folder=None,
        start_from=None,
        device="cpu",
        output=tmp_path / "m.embedseg",
    )
    assert "image.tif" in of_training(request, [files]).script
    image[0, 0] = 0
    with pytest.raises(DataError, match="save the layer first"):
        of_training(request, [files])


def test_a_session_gives_the_same_model_by_command_and_script(viewer, open_panel, blobs, qtbot, tmp_path) -> None:
    panel = open_panel(LABEL)
    paint_truth(panel, begin(viewer, panel, blobs))
    panel.settings.choose_start(None)
    by_command = run_command(panel)
    panel.output.suggest("by script", anew=True)
    by_script = run_script(panel, tmp_path)
    panel.output.suggest("in the panel", anew=True)
    panel.preview.preview_on.setChecked(False)
    trained = train(panel, qtbot)
    assert are_same(trained, by_command)
    assert are_same(trained, by_script)
