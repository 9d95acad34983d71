"""What a person does in the Measure panel."""

from __future__ import annotations


def measure(panel, qtbot) -> None:
    panel.start()
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)


def export(panel, qtbot, path, kind: str) -> None:
    panel.files.write_objects(path, kind)
    qtbot.waitUntil(lambda: not panel.files.run.is_active, timeout=20_000)
