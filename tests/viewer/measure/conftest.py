"""The Measure panel, opened through the manifest."""

from __future__ import annotations

import pytest


@pytest.fixture
def panel(open_panel):
    return open_panel("EmbedSeg: Measure")
