"""From which model a round starts, in the Label & Train panel."""

from __future__ import annotations

import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, paint

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.mark.parametrize("chosen", ["the user's file", "the session's file"])
@pytest.mark.parametrize("unsure", ["the user's file", "the session's file"])
def test_the_latest_model_is_not_offered_again_where_segment_was_unsure_of_it(
    label_panel, add_image, qtbot, chosen, unsure
):
    panel = label_panel
    layer = add_image("cells")
    annotate(panel, layer)
    paint(panel, 3)
    panel.train.click()
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass
    files = {"the user's file": panel.saved.path, "the session's file": panel.autosave.session.latest_model()}
    panel.settings.choose_start(files[chosen])
    assert panel.settings.start_from() == files[chosen]
    panel.take_over(layer, unsure=files[unsure])
    assert panel.settings.start_from() not in files.values()
    # Of another model it says nothing.
    panel.settings.choose_start(files[chosen])
    panel.take_over(layer, unsure=files[unsure].with_name("other.embedseg"))
    assert panel.settings.start_from() == files[chosen]
