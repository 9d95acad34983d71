"""One panel after the other shows its layers; what it hid and showed is given back."""

from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.viewer.layers import PART_OF, PREVIEW, RESULT, SEGMENTED
from embedseg_napari.viewer.stage import Scene, bring_up, is_of_another, meet, stage_of


class Panel:
    """Whose scene it is."""


@pytest.fixture
def stage(layer_viewer):
    for name in ("one", "two"):
        layer_viewer.add_image(np.zeros((4, 4)), name=f"image {name}")
        layer_viewer.add_labels(np.ones((4, 4), int), name=name)
    layer_viewer.add_labels(np.ones((4, 4), int), name="elsewhere", translate=(9, 9))
    return stage_of(layer_viewer)


def seen(viewer):
    return {layer.name for layer in viewer.layers if layer.visible and not layer.name.startswith("image")}


def scene(viewer, name, **options):
    return Scene(viewer.layers[f"image {name}"], [viewer.layers[name]], **options)


def test_each_scene_gives_back_what_the_one_before_hid(layer_viewer, stage):
    one, two = Panel(), Panel()
    viewer, layers = layer_viewer, layer_viewer.layers
    layers["two"].visible = layers["image two"].visible = False
    assert stage.show(two, scene(viewer, "two")) == [layers["one"]]
    assert seen(viewer) == {"two", "elsewhere"}
    assert layers["image two"].visible
    assert stage.n_hidden == 1
    assert stage.show(one, scene(viewer, "one")) == [layers["image two"], layers["two"]]
    assert seen(viewer) == {"one", "elsewhere"}
    assert layers.index(layers["image one"]) > layers.index(layers["image two"])
    assert stage.n_hidden == 0, "the user did not see it"
    stage.leave(two)
    assert stage.n_hidden == 0
    assert seen(viewer) == {"one", "elsewhere"}
    stage.leave(one)
    assert seen(viewer) == {"one", "elsewhere"}
    assert not layers["image two"].visible


def test_what_the_user_shows_and_hides_is_so_when_the_panel_comes_back(layer_viewer, stage):
    one, two = Panel(), Panel()
    viewer, layers = layer_viewer, layer_viewer.layers
    stage.show(one, scene(viewer, "one", subject=1))
    layers["two"].visible, layers["image one"].visible = True, False
    stage.show(two, scene(viewer, "two"))
    assert seen(viewer) == {"two", "elsewhere"}
    assert not layers["image one"].visible
    stage.show(one, scene(viewer, "one", subject=1))
    assert seen(viewer) == {"one", "two", "elsewhere"}
    assert not layers["image one"].visible
    # Of another subject it is no part, but what was hidden was in the way.
    stage.show(one, scene(viewer, "one", subject=2))
    assert seen(viewer) == {"one", "elsewhere"}
    assert not layers["image one"].visible
    stage.leave(one)
    assert seen(viewer) == {"one", "two", "elsewhere"}


def test_own_layers_stay_and_others_give_way_wherever_they_are(layer_viewer, stage):
    panel, viewer, layers = Panel(), layer_viewer, layer_viewer.layers
    own, other = layers["two"], layers["elsewhere"]
    stage.show(panel, scene(viewer, "one", is_own=lambda one: one == own, gives_way=lambda one: one == other))
    assert seen(viewer) == {"one", "two"}
    stage.leave(panel)
    assert seen(viewer) == {"one", "two", "elsewhere"}


def test_layers_that_come_or_go_meanwhile_do_so_for_the_scenes_after(layer_viewer, stage):
    panel, viewer, layers = Panel(), layer_viewer, layer_viewer.layers
    stage.show(panel, scene(viewer, "one"))
    # Of a run of another panel.
    new = viewer.add_labels(np.ones((4, 4), int), name="new")
    assert stage.set_visible(new, True)
    assert stage.set_visible(layers["two"], False)
    assert stage.set_visible(layers["elsewhere"], False)
    assert not stage.set_visible(layers["elsewhere"], True)
    assert not stage.is_changing
    assert seen(viewer) == {"one", "elsewhere"}
    stage.leave(panel)
    assert seen(viewer) == {"one", "elsewhere", "new"}
    stage.show(panel, scene(viewer, "one"))
    viewer.layers.remove(new)
    assert stage.n_hidden == 0


def test_what_is_empty_so_far_is_hidden_too(layer_viewer, stage):
    seeds = layer_viewer.add_points(np.empty((0, 2)), name="seeds", metadata={RESULT: PREVIEW})
    stage.show(panel := Panel(), scene(layer_viewer, "one"))
    seeds.data = [[1, 1]]
    assert seen(layer_viewer) == {"one", "elsewhere"}
    stage.leave(panel)
    assert "seeds" in seen(layer_viewer)


def test_a_panel_without_a_scene_leaves_all_as_it_is_and_is_told_apart(layer_viewer, stage):
    one, viewer, layers = Panel(), layer_viewer, layer_viewer.layers
    stage.show(one, scene(viewer, "one"))
    stage.rest()
    assert seen(viewer) == {"one", "elsewhere"}
    # What is shown now is not meant for the panel before.
    layers["two"].visible = True
    stage.show(one, scene(viewer, "one"))
    assert seen(viewer) == {"one", "elsewhere"}
    stage.rest()
    stage.leave(one)
    assert seen(viewer) == {"one", "two", "elsewhere"}


def test_what_gave_way_to_an_image_that_is_gone_is_seen_again_where_no_scene_follows(layer_viewer, stage):
    viewer = layer_viewer
    stage.show(Panel(), scene(viewer, "one"))
    stage.rest()
    viewer.layers.remove("one")
    assert seen(viewer) == {"elsewhere"}
    viewer.layers.remove("image one")
    assert seen(viewer) == {"two", "elsewhere"}


def test_the_layer_in_hand_is_one_that_is_seen(layer_viewer, stage):
    viewer, layers = layer_viewer, layer_viewer.layers
    layers.selection.active = layers["two"]
    stage.show(panel := Panel(), scene(viewer, "one"))
    assert layers.selection.active == layers["one"]
    layers.selection.active = layers["elsewhere"]
    stage.show(panel, scene(viewer, "two"))
    assert layers.selection.active == layers["elsewhere"]
    # Of a panel that has only an image as yet, that.
    layers.selection.active = layers["two"]
    stage.show(Panel(), Scene(layers["image one"]))
    assert layers.selection.active == layers["image one"]
    stage.hand_back()
    assert layers.selection.active == layers["two"]


def test_what_was_in_hand_comes_back_with_what_was_hidden(layer_viewer, stage):
    viewer, layers, one, two = layer_viewer, layer_viewer.layers, Panel(), Panel()
    layers.selection.active = layers["two"]
    stage.show(one, scene(viewer, "one"))
    assert layers.selection.active == layers["one"]
    stage.hand_back()
    assert layers.selection.active == layers["two"]
    stage.show(two, scene(viewer, "one"))
    layers.selection.active = layers["elsewhere"]
    stage.hand_back()
    assert layers.selection.active == layers["elsewhere"], "the user selected it"
    # The panel goes on to other layers.
    stage.leave()
    layers.selection.active = layers["one"]
    for name in ("two", "one", "two"):
        stage.show(one, scene(viewer, name))
    assert layers.selection.active == layers["two"]
    stage.hand_back()
    assert layers.selection.active == layers["one"]
    stage.leave()
    # One scene after the other: what is in hand is seen.
    layers.selection.active = layers["two"]
    stage.show(one, scene(viewer, "one"))
    stage.hand_back()
    assert layers.selection.active == layers["two"]
    stage.show(two, scene(viewer, "one"))
    assert layers.selection.active == layers["one"]
    viewer.layers.remove(layers["two"])
    stage.hand_back()
    assert layers.selection.active == layers["one"]


def test_what_the_user_takes_back_by_hand_is_as_the_scene_has_it(layer_viewer, stage):
    one, viewer, layers = Panel(), layer_viewer, layer_viewer.layers
    stage.show(one, scene(viewer, "one"))
    layers["two"].visible = True
    stage.show(one, scene(viewer, "one"))
    layers["two"].visible = False
    stage.leave()
    layers["two"].visible = True
    stage.show(one, scene(viewer, "one"))
    assert seen(viewer) == {"one", "elsewhere"}


def test_a_layer_that_is_empty_as_yet_gives_way(layer_viewer, stage):
    centres = layer_viewer.add_points(ndim=2, metadata={RESULT: PREVIEW})
    stage.show(Panel(), scene(layer_viewer, "one"))
    assert not centres.visible


def test_an_image_is_brought_up_with_what_was_found_in_it_and_own_layers_stay(layer_viewer):
    layers = layer_viewer.layers
    for name in ("one", "two"):
        image = layer_viewer.add_image(np.zeros((4, 4)), name=name)
        for kind in ("labels", "more labels"):
            found = layer_viewer.add_labels(np.ones((4, 4), int), name=f"{name} {kind}")
            found.metadata[SEGMENTED] = str(image.unique_id)
    layer_viewer.add_image(np.zeros((4, 4)), name="other channel", blending="additive")
    layer_viewer.add_image(np.zeros((4, 4)), name="elsewhere", translate=(9, 9))
    layer_viewer.add_labels(np.ones((4, 4), int), name="mine")
    own = ["other channel", "elsewhere", "mine"]
    one, two = (["one", "one labels", "one more labels"], ["two", "two labels", "two more labels"])
    bring_up(layers, layers["one"])
    assert [layer.name for layer in layers] == [*two, *one, *own]
    layers.move(layers.index(layers["two"]), 6)
    bring_up(layers, layers["two"])
    assert [layer.name for layer in layers] == [*one, *two, *own]


def test_labels_that_fit_another_image_do_not_cover_the_one_that_is_brought_up(layer_viewer):
    layers, small, large = layer_viewer.layers, np.zeros((3, 8, 8), int), np.zeros((2, 12, 12), int)
    for name, image in (("small", small), ("large", large)):
        layer_viewer.add_image(image.astype(float), name=name)
        layer_viewer.add_labels(image, name=f"truth of {name}")
    layer_viewer.add_labels(small[0, :4], name="a part")

    bring_up(layers, layers["small"])
    assert [layer.name for layer in layers][-3:] == ["small", "truth of small", "a part"]

    bring_up(layers, layers["large"])
    assert [layer.name for layer in layers] == ["small", "truth of small", "large", "truth of large", "a part"]


def test_the_image_of_a_panel_is_looked_at_also_on_other_planes(layer_viewer):
    one, two = Panel(), Panel()
    deep = layer_viewer.add_image(np.zeros((40, 9, 9)))
    flat = layer_viewer.add_image(np.zeros((4, 9, 9)))
    stage, dims = stage_of(layer_viewer), layer_viewer.dims
    dims.set_point(0, 30)
    stage.show(one, Scene(flat, subject=1))
    assert dims.point[0] == pytest.approx(1.5, abs=0.5)
    dims.set_point(0, 30)
    stage.show(one, Scene(flat, subject=1))
    assert dims.point[0] == 30, "the user went there"
    layer_viewer.layers.selection.active = deep
    stage.show(one, Scene(flat, subject=2))
    assert dims.point[0] == 30, "and goes on with another layer"
    stage.show(two, Scene(deep))
    assert dims.point[0] == 30


def test_nothing_hidden_stays_in_hand_where_only_an_image_is_shown(layer_viewer, stage):
    layers = layer_viewer.layers
    layers.selection.active = layers["one"]
    stage.show(Panel(), Scene(layers["image two"], gives_way=lambda layer: layer == layers["one"]))
    assert layers.selection.active == layers["image two"]
    stage.leave()
    stage.hand_back()
    assert layers.selection.active == layers["one"]


def test_what_was_selected_does_not_come_back_where_the_user_has_gone_on_in_the_panel(layer_viewer, stage):
    layers, panel = layer_viewer.layers, Panel()
    layers.selection.active = layers["one"]
    stage.show(panel, scene(layer_viewer, "one", subject=1))
    stage.show(panel, scene(layer_viewer, "two", subject=2))
    stage.hand_back()
    assert layers.selection.active == layers["two"]


def test_layers_meet_whatever_their_unit(layer_viewer):
    one = layer_viewer.add_image(np.zeros((10, 10)), scale=(0.1, 0.1), units=("um", "um"))
    on_it, beside = (
        layer_viewer.add_image(np.zeros((10, 10)), scale=(100, 100), translate=(0, x), units=("nm", "nm"))
        for x in (500, 2000)
    )
    for other, is_met in ((on_it, True), (beside, False)):
        assert meet(one, other) is meet(other, one) is is_met


def test_images_that_begin_in_one_place_and_end_elsewhere_are_of_another(layer_viewer):
    def add(name, shape=(40, 50), **place):
        return layer_viewer.add_image(np.zeros(shape), name=name, **place)

    image = add("image")
    another = {
        "smaller": add("smaller", (20, 50)),
        "larger": add("larger", (60, 60)),
        "a volume": add("a volume", (3, 40, 40)),
        "other pixels": add("other pixels", (40, 50), scale=(0.5, 0.5)),
    }
    own = [
        add("channel", colormap="green", blending="additive"),
        add("volume", (3, 40, 50)),
        add("binned", (20, 25), scale=(2, 2)),
        add("put there", (20, 20), translate=(5, 5)),
        add("beside", (20, 20), translate=(0, 60)),
        add("part", (20, 20), metadata={PART_OF: {"image": str(image.unique_id), "start": [0, 0], "store": None}}),
        layer_viewer.add_labels(np.ones((40, 50), int), name="labels of image"),
        layer_viewer.add_labels(np.ones((5, 5), int), name="labels of neither"),
        layer_viewer.add_labels(
            np.ones((5, 5), int), name="found", metadata={RESULT: "result", SEGMENTED: str(image.unique_id)}
        ),
    ]
    their = [
        layer_viewer.add_labels(np.ones((20, 50), int), name="labels of smaller"),
        layer_viewer.add_points(
            np.ones((2, 2)), name="centres", metadata={RESULT: "result", SEGMENTED: str(another["larger"].unique_id)}
        ),
    ]
    names = {layer.name for layer in layer_viewer.layers if is_of_another(layer, image, layer_viewer.layers)}
    assert names == {*another, *(layer.name for layer in their)}
    stage = stage_of(layer_viewer)
    stage.show(Panel(), Scene(image, is_own=lambda layer: True, spared=another["a volume"]))
    assert {layer.name for layer in layer_viewer.layers if not layer.visible} == names - {"a volume"}
    assert all(layer.visible for layer in own)
    stage.leave()
    assert all(layer.visible for layer in layer_viewer.layers)


def test_the_view_goes_to_an_image_that_others_of_another_size_gave_way_to(layer_viewer):
    small, large = (layer_viewer.add_image(np.zeros((n, n))) for n in (40, 400))
    stage, panel, camera = stage_of(layer_viewer), Panel(), getattr(layer_viewer, "scene", layer_viewer).camera
    zooms = []
    for image in (small, large):
        stage.show(panel, Scene(image, subject=image.name))
        assert image.visible
        np.testing.assert_allclose(camera.center[-2:], (image.data.shape[0] - 1) / 2)
        zooms.append(camera.zoom)
    assert zooms[0] > 5 * zooms[1]
    # Where the user has gone since, nobody is led away.
    camera.zoom = 3
    stage.show(panel, Scene(large, subject=large.name))
    assert camera.zoom == 3
