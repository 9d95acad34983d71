"""Threads hand over quickly while somebody wants it, and as before when nobody does any longer."""

from __future__ import annotations

import sys
import threading

import pytest

from embedseg_napari.core.turns import SECONDS, short_turns


def test_turns_are_short_until_the_last_one_ends():
    before = sys.getswitchinterval()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with short_turns():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with short_turns():
        thread.start()
        inside.wait()
    assert sys.getswitchinterval() == pytest.approx(SECONDS)
    leave.set()
    thread.join()
    assert sys.getswitchinterval() == before
