"""What the Train panel looks at before a training, while what is wanted changes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.jobs.train import TrainingRequest
from embedseg_napari.viewer.train.preflight_box import PreflightBox
from embedseg_napari.viewer.worker import RunState

WAIT = 20_000


@dataclass(frozen=True)
class SlowRequest(TrainingRequest):
    """Of images so large that their objects are measured without end."""

    has_begun: threading.Event = field(default_factory=threading.Event)

    def read(self, tell=None, should_stop=None, kept_in=None):
        self.has_begun.set()
        while not should_stop():
            time.sleep(0.01)
        raise Stopped("Stopped while the objects were measured.")


@pytest.fixture
def box(qtbot):
    box = PreflightBox()
    qtbot.addWidget(box)
    yield box
    box.close_down()


@pytest.fixture
def looking(box, qtbot, tmp_path):
    """A look at a folder of large images that goes on."""
    request = SlowRequest(TrainingConfig(), (), tmp_path / "slow", None, "cpu", tmp_path / "m.embedseg")
    box.look_at(request)
    qtbot.waitUntil(request.has_begun.is_set, timeout=WAIT)
    return request


def test_a_look_at_other_data_does_not_wait_for_the_one_before(box, looking, qtbot, blobs, tmp_path):
    image, labels = blobs(2)
    for part, write, array in (("images", write_image, image), ("masks", write_labels, labels)):
        (tmp_path / "set" / part).mkdir(parents=True)
        write(tmp_path / "set" / part / "a.tif", array, "YX")
    box.look_at(TrainingRequest(looking.config, (), tmp_path / "set", None, "cpu", looking.output))
    qtbot.waitUntil(lambda: box.findings is not None, timeout=WAIT)
    assert not box.findings.problem


def test_a_look_at_what_is_not_there_any_more_ends(box, looking, qtbot):
    box.refuse("Choose a folder.")
    qtbot.waitUntil(lambda: not box.background.is_active, timeout=WAIT)
    assert box.reason() == "Choose a folder."


def test_another_setting_does_not_begin_a_look_at_the_same_data_anew(box, looking):
    box.look_at(replace(looking, config=TrainingConfig(learning_rate=0.01)))
    assert box.background.state is RunState.RUNNING
