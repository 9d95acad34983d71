"""``embedseg demo`` as a user types it."""

from __future__ import annotations

import signal
import sys

import pytest

from embedseg_napari.core.model.model import load_model


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_it_trains_ends_it_with_the_model_so_far(start, tmp_path, number):
    child = start("demo", tmp_path, "--minutes", 0.3)
    # The first line of that kind says that steps are made.
    for line in child.stdout:
        if "%  step" in line:
            break
    child.send_signal(number)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 128 + number, err
    assert "Traceback" not in err
    assert load_model(tmp_path / "nuclei.embedseg").config.training["steps"] >= 1
    assert "AP at IoU 0.5 on the" not in out
    assert not (tmp_path / "overview.png").exists()
