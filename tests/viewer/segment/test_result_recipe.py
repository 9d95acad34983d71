"""What the Segment panel did, as a command and a script, and the way on to measurements."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication
from segment_steps import PANEL, finish

from embedseg_napari.cli import main
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.model.known_models import bundled_path


@pytest.fixture
def opened(viewer, tmp_path):
    """An image file in the viewer."""
    path = tmp_path / "some images" / "nuclei.tif"
    write_image(path, nuclei((128, 160), diameter=24, seed=2).image, "YX")
    (layer,) = viewer.open(path, plugin="napari")
    return layer


def test_command_and_script_give_the_labels_of_the_panel(viewer, opened, open_panel, qtbot, tmp_path, capsys) -> None:
    panel = open_panel(PANEL)
    panel.thresholds.set_values({**panel.thresholds.values(), "seed_threshold": 0.8})
    panel.start()
    finish(qtbot, panel)
    labels = panel.results.labels.data
    assert labels.max() > 3
    panel.recipe.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    assert ended.value.code in (0, None)
    made = tmp_path / "some images" / "labels" / "nuclei.tif"
    np.testing.assert_array_equal(read_image(made).array, labels)
    made.unlink()
    panel.recipe.save_script(tmp_path / "recipe.py")
    exec(compile((tmp_path / "recipe.py").read_text(), "recipe", "exec"), {})
    np.testing.assert_array_equal(read_image(made).array, labels)
    assert f"{labels.max()} objects; the labels are in {made}" in capsys.readouterr().out


def test_axes_of_one_pixel_are_left_out_as_files_are_read_without_them(viewer, opened, panel, fake, qtbot) -> None:
    file = {"path": opened.source.path}
    viewer.layers.remove(opened)
    viewer.add_image(opened.data[None, None], name="plane", axis_labels=("t", "z", "y", "x"), metadata=file)
    panel.start()
    finish(qtbot, panel)
    panel.recipe.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert words[words.index("--axes") + 1] == "YX"


def test_a_model_of_volumes_is_told_of_a_depth_of_one_plane(viewer, open_panel, fake, qtbot, tmp_path) -> None:
    write_image(tmp_path / "plane.tif", np.zeros((1, 24, 24), np.uint8), "ZYX")
    file = {"path": str(tmp_path / "plane.tif")}
    viewer.add_image(np.zeros((1, 24, 24), np.uint8), axis_labels=("z", "y", "x"), scale=(2, 1, 1), metadata=file)
    panel = open_panel(PANEL)
    panel.model.choose(bundled_path("nuclei-3d"))
    panel.start()
    finish(qtbot, panel)
    panel.recipe.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert words[words.index("--axes") + 1] == "ZYX"


def test_an_image_without_a_file_says_so(viewer, panel, fake, qtbot) -> None:
    viewer.add_image(np.zeros((24, 24)), name="cells")
    panel.start()
    finish(qtbot, panel)
    panel.recipe.copy_command()
    assert "Save cells" in notification_manager.records[-1].message


def test_another_image_takes_the_reason_away(viewer, panel, fake, qtbot) -> None:
    for name in ("cells", "others"):
        viewer.add_image(np.zeros((24, 24)), name=name)
        panel.start()
        finish(qtbot, panel)
    panel.recipe.copy_command()
    assert not panel.recipe.line.isHidden()
    panel.recipe.refresh()
    assert not panel.recipe.line.isHidden()
    viewer.layers.selection.active = viewer.layers["cells"]
    assert panel.recipe.line.isHidden()
