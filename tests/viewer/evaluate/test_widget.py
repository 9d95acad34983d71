"""The Evaluate panel, opened through the manifest and driven by its buttons."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_steps import PANEL, press, spoiled

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.viewer.layers import ANNOTATION, FOUND, RESULT, SEGMENTED
from embedseg_napari.viewer.worker import RunState


def test_says_what_it_needs(panel, viewer) -> None:
    assert not panel.evaluate.isEnabled()
    assert "two Labels layers" in panel.reason.text()
    viewer.add_labels(np.zeros((8, 8), np.int32), name="a")
    viewer.add_labels(np.zeros((9, 8), np.int32), name="b")
    assert not panel.evaluate.isEnabled()
    assert "9 x 8" in panel.source.complaint.text()
    assert not panel.source.complaint.isHidden()


def test_truth_is_known_by_its_name(panel, viewer) -> None:
    first = viewer.add_labels(np.zeros((8, 8), np.int32), name="labels")
    second = viewer.add_labels(np.zeros((8, 8), np.int32), name="nuclei masks")
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (second, first)


def test_what_a_network_found_is_not_taken_for_the_truth(panel, viewer) -> None:
    found = viewer.add_labels(np.zeros((8, 8), np.int32), name="a labels", metadata={RESULT: FOUND})
    own = viewer.add_labels(np.zeros((8, 8), np.int32), name="a [1]")
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (own, found)


def test_the_users_labels_come_before_what_a_session_annotates(viewer, open_panel) -> None:
    own = viewer.add_labels(np.zeros((8, 8), np.int32), name="a [1]")
    found = viewer.add_labels(np.zeros((8, 8), np.int32), name="a labels", metadata={RESULT: FOUND})
    viewer.add_labels(np.zeros((8, 8), np.int32), name="a annotation", metadata={ANNOTATION: "of a"})
    source = open_panel(PANEL).source
    assert (source.truth.layer(), source.predicted.layer()) == (own, found)


def test_the_place_of_channels_in_a_result_is_no_axis_of_its_objects(panel, viewer, qtbot) -> None:
    true = np.zeros((3, 1, 24, 24), np.int32)
    true[..., 2:8, 2:8], true[..., 2:8, 12:20], true[..., 12:20, 5:15] = 1, 2, 3
    viewer.add_labels(true, name="truth", axis_labels="tcyx")
    found = viewer.add_labels(spoiled(true), name="found", axis_labels="tcyx", metadata={RESULT: FOUND})
    assert [one.shape for one in panel.source.arrays()] == [(3, 24, 24), (3, 24, 24)]
    press(panel.evaluate, panel, qtbot)
    assert panel.mistakes.shown.has_frames
    overlay = panel.mistakes.overlay
    assert overlay.data.shape == found.data.shape
    panel.mistakes.objects.selectRow(0)


def test_an_annotated_frame_is_no_truth_of_its_movie(viewer, open_panel) -> None:
    found = viewer.add_labels(np.ones((4, 9, 9), int), name="movie labels", metadata={RESULT: FOUND})
    viewer.add_labels(np.ones((9, 9), int), name="frame annotation", metadata={ANNOTATION: "frame"})
    panel = open_panel(PANEL)
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (None, found)
    tracked = viewer.add_labels(np.ones((4, 9, 9), int), name="movie labels tracked", metadata={RESULT: FOUND})
    assert {panel.source.truth.layer(), panel.source.predicted.layer()} == {found, tracked}


def test_parts_at_different_places_are_not_compared(panel, viewer) -> None:
    """As where *Correct what is in view* is pressed for each of two label images, and the view was moved between."""
    image = viewer.add_image(np.zeros((9, 20)))

    def part(name: str, start: int):
        of = {SEGMENTED: str(image.unique_id)}
        return viewer.add_labels(np.ones((9, 8), int), name=name, translate=(0, start), metadata=of)

    here, there = part("one", 0), part("other", 4)
    panel.source.choose(here, there)
    assert "one and other lie at different places" in panel.source.complaint.text()
    assert not panel.evaluate.isEnabled()
    # A pair that fits is proposed instead as soon as there is one.
    same = part("same", 4)
    assert {panel.source.truth.layer(), panel.source.predicted.layer()} == {there, same}
    assert panel.evaluate.isEnabled()


def test_what_is_judged_stays_where_the_truth_goes_and_the_other_way_round(panel, viewer) -> None:
    mine, other = (viewer.add_labels(np.ones((8, 8), int), name=name) for name in ("mine", "other"))
    found, newer = (
        viewer.add_labels(np.ones((8, 8), int), name=name, metadata={RESULT: FOUND}) for name in ("found", "newer")
    )
    panel.source.choose(mine, found)
    viewer.layers.remove(mine)
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (other, found)
    viewer.layers.remove(found)
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (other, newer)


def test_the_chosen_pair_is_seen_and_what_would_cover_it_is_not(panel, viewer, qtbot) -> None:
    truth, one, other = (viewer.add_labels(np.ones((8, 8), int), name=name) for name in ("truth", "one", "other"))
    panel.source.choose(truth, other)
    assert [layer.visible for layer in (truth, one, other)] == [True, False, True]
    panel.source.choose(truth, one)
    assert [layer.visible for layer in (truth, one, other)] == [True, True, False]
    one.visible = False
    panel.take_front(False)
    assert [layer.visible for layer in (truth, one, other)] == [True, False, True]
    panel.take_front(True)
    assert [layer.visible for layer in (truth, one, other)] == [True, False, False]
    panel.source.choose(truth, other)
    press(panel.evaluate, panel, qtbot)
    viewer.layers["Mistakes"].visible = False
    assert [layer.visible for layer in (truth, one, other)] == [True, False, True]
    panel.source.use_folders.click()
    viewer.layers.remove(other)
    assert [layer.visible for layer in (truth, one)] == [True, False]


@pytest.mark.usefixtures("whole_window")
def test_scores_overlay_and_table_of_layers(panel, pair, viewer, qtbot) -> None:
    truth, predicted = pair
    press(panel.evaluate, panel, qtbot)
    assert panel.run.state is RunState.DONE
    expected = match(truth.data, predicted.data)
    assert list(panel.scores.rows) == expected
    assert panel.scoring.table.item(0, 1).text() == f"{expected[0].ap:.3f}"
    overlay = viewer.layers["Mistakes"]
    np.testing.assert_array_equal(overlay.scale, predicted.scale)
    np.testing.assert_array_equal(overlay.translate, predicted.translate)
    assert {2, 3} <= set(np.unique(overlay.data))
    assert panel.mistakes.objects.model().rowCount() == len(panel.scores.errors.findings)
    assert viewer.layers.selection.active != overlay

    # A second run updates the layer and compares the same two.
    press(panel.evaluate, panel, qtbot)
    assert len(viewer.layers) == 3
    assert panel.source.predicted.layer() == predicted


def test_frames_are_scored_one_by_one(panel, viewer, blobs, qtbot) -> None:
    true = np.stack([blobs(2)[1]] * 2)
    predicted = np.stack([spoiled(true[0]), true[1]])
    viewer.add_labels(true, name="truth", axis_labels=("t", "y", "x"))
    viewer.add_labels(predicted, name="labels", axis_labels=("t", "y", "x"))
    assert panel.source.has_frames()
    press(panel.evaluate, panel, qtbot)
    assert [image.rows[0].ap == 1 for image in panel.scores.images] == [False, True]
    assert panel.tabs.isTabVisible(2)
    missed = next(f for f in panel.scores.errors.findings if f.true_ids == (1,))
    assert missed.center[0] == 0


def test_a_frame_is_gone_to_where_its_time_point_lies(panel, viewer, blobs, qtbot) -> None:
    true = np.stack([blobs(2)[1]] * 4)
    options = {"axis_labels": ("t", "y", "x"), "scale": (300, 0.5, 0.5), "translate": (600, 0, 0)}
    viewer.add_labels(true, name="truth", **options)
    labels = viewer.add_labels(np.stack([true[0], true[0], spoiled(true[0]), true[0]]), name="labels", **options)
    press(panel.evaluate, panel, qtbot)
    for frame in (2, 0, 3):
        panel.images.image_chosen.emit(panel.scores.images[frame])
        assert labels.world_to_data(viewer.dims.point)[0] == frame


def test_scores_that_cannot_be_saved_are_said_to_be(panel, pair, qtbot, tmp_path) -> None:
    press(panel.evaluate, panel, qtbot)
    (tmp_path / "file").write_text("")
    panel.scoring.write(tmp_path / "file" / "scores.csv")
    assert str(tmp_path / "file") in panel.status.text()
    assert "Saved" not in panel.status.text()


def test_frames_that_only_the_truth_names(panel, viewer, blobs) -> None:
    true = np.stack([blobs(2)[1]] * 2)
    truth = viewer.add_labels(true, name="truth", axis_labels=("t", "y", "x"))
    found = viewer.add_labels(true, name="labels")
    panel.source.choose(truth, found)
    assert panel.source.has_frames()


def test_a_binary_truth_is_refused(panel, pair, viewer, qtbot) -> None:
    truth, _ = pair
    truth.data = (truth.data > 0).astype(np.uint8) * 255
    press(panel.evaluate, panel, qtbot)
    assert "binary mask" in panel.status.text()


def test_a_binary_truth_of_two_objects_is_spoken_of(panel, pair, viewer, qtbot) -> None:
    truth, _ = pair
    data = np.zeros(truth.data.shape, np.uint8)
    data[..., 2:10, 2:10] = data[..., 20:30, 20:30] = 1
    truth.data = data
    press(panel.evaluate, panel, qtbot)
    assert "count as one object" in panel.status.text()


def test_removed_and_changed_layers(panel, pair, viewer, qtbot) -> None:
    truth, predicted = pair
    press(panel.evaluate, panel, qtbot)
    truth.data = truth.data.copy()
    assert "changed since" in panel.status.text()
    viewer.layers.remove("Mistakes")
    viewer.layers.remove(predicted)
    panel.mistakes.objects.selectRow(0)
    viewer.layers.remove(truth)
    panel.mistakes.objects.selectRow(1)
    assert "removed" in panel.status.text()
    assert not panel.evaluate.isEnabled()


def test_scores_of_others_than_are_chosen_are_said_to_be(panel, pair, viewer, qtbot, tmp_path) -> None:
    truth, predicted = pair
    press(panel.evaluate, panel, qtbot)
    assert panel.old.isHidden()
    other = viewer.add_labels(truth.data.copy(), name="other")
    panel.source.truth.choose(other)
    assert panel.old.text().startswith(f"What is below is of {truth.name} and {predicted.name}; press Evaluate")
    panel.source.truth.choose(truth)
    assert panel.old.isHidden()
    for field, name in ((panel.source.true_folder, "masks"), (panel.source.predicted_folder, "found")):
        (tmp_path / name).mkdir()
        field.edit.setText(str(tmp_path / name))
    panel.source.use_folders.click()
    assert not panel.old.isHidden()
    panel.source.use_layers.click()
    panel.source.truth.choose(other)
    press(panel.evaluate, panel, qtbot)
    assert panel.old.isHidden()


def test_closing_the_panel_while_it_works(panel, pair, viewer) -> None:
    panel.evaluate.click()
    viewer.window.remove_dock_widget(panel)
    assert not panel.run.is_active or panel.run.state is RunState.STOPPING
    viewer.add_labels(np.zeros((4, 4), np.int32))


def test_planes_in_layers_are_spoken_of(panel, viewer, blobs, qtbot) -> None:
    true = blobs(2)[1]
    planes = np.stack([np.where(true == k, k, 0) for k in range(1, true.max() + 1)])
    panel.source.choose(viewer.add_labels(planes, name="truth"), viewer.add_labels(planes[::-1], name="labels"))
    press(panel.evaluate, panel, qtbot)
    # A notification would be cut off.
    assert "planes of one object each" in panel.status.text()
    panel.source.use_folders.click()
    assert not panel.status.text(), "it is not of folders"


def test_the_plot_follows_the_theme(panel, viewer) -> None:
    viewer.theme = "light"
    light = panel.scoring.plot.view.backgroundBrush().color().lightness()
    viewer.theme = "dark"
    assert panel.scoring.plot.view.backgroundBrush().color().lightness() < light


def test_no_command_is_given_for_labels_that_were_changed_since_they_were_read(panel, viewer, folders, qtbot) -> None:
    from qtpy.QtWidgets import QApplication

    paths = folders[0] / "masks" / "a.tif", folders[1] / "a.tif"
    truth, predicted = (
        viewer.add_labels(read_image(path, labels=True).array, name=name, metadata={"path": str(path)})
        for path, name in zip(paths, ("truth", "prediction"), strict=True)
    )
    panel.source.choose(truth, predicted)
    panel.recipe.copy_command()
    command = QApplication.clipboard().text()
    assert str(paths[1]) in command
    predicted.fill((0, 0), 99)
    panel.recipe.copy_command()
    assert QApplication.clipboard().text() == command
    assert "prediction changed since it was saved" in panel.recipe.line.text()


def test_the_command_names_the_axes_that_files_have(panel, viewer, folders) -> None:
    import shlex

    from qtpy.QtWidgets import QApplication

    panel.source.choose(
        *(
            viewer.add_labels(
                read_image(path, labels=True).array[None],
                name=name,
                metadata={"path": str(path)},
                axis_labels=("z", "y", "x"),
            )
            for path, name in ((folders[0] / "masks" / "a.tif", "truth"), (folders[1] / "a.tif", "prediction"))
        )
    )
    panel.recipe.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert words[words.index("--axes") + 1] == "YX"


def test_the_command_gives_the_same_scores(panel, folders, qtbot) -> None:
    import shlex

    from qtpy.QtWidgets import QApplication

    panel.source.use_folders.setChecked(True)
    panel.source.true_folder.edit.setText(str(folders[0]))
    panel.source.predicted_folder.edit.setText(str(folders[1]))
    panel.recipe.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert words == ["embedseg", "evaluate", "--truth", str(folders[0]), "--predicted", str(folders[1])]
