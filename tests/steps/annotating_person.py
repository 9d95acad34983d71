"""A person at Label & Train: moves the mouse and presses keys; the truth only plays the eye."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = float(os.environ.get("EMBEDSEG_STORY_MINUTES", "0.25"))
PICTURES = os.environ.get("EMBEDSEG_STORY_PICTURES", "")
WAIT = 240_000
NO_KEY = Qt.KeyboardModifier.NoModifier
LEFT = Qt.MouseButton.LeftButton


@dataclass
class Person:
    """Looks at the window, moves the mouse and presses keys.

    What lies where is known from the truth, as an eye would see it; the product never gets it.
    """

    viewer: Any
    qtbot: Any
    drag: Callable[..., None]
    ndim: int
    panel: Any
    n_pictures: int = 0
    painted: dict[int, int] = field(default_factory=dict)
    """By true object: label it was painted with in the image in front."""

    @property
    def canvas(self):
        return self.viewer.__wrapped__.window._qt_viewer.canvas.native

    @property
    def labels(self):
        return self.panel.annotation.layers.labels

    def picture(self, name: str) -> None:
        """Keep what the window looks like, if pictures are wanted."""
        if PICTURES:
            self.qtbot.wait(300)
            self.n_pictures += 1
            path = Path(PICTURES) / f"{self.ndim}d-{self.n_pictures:02d}-{name}.png"
            self.viewer.screenshot(str(path), canvas_only=False, flash=False)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NO_KEY) -> None:
        """Press a key with the pointer over the canvas."""
        self.qtbot.keyClick(self.canvas, key, modifier)

    def click(self, button) -> None:
        """Click a button that can be seen and used."""
        assert button.isVisible(), button.text()
        assert button.isEnabled(), f"{button.text()}: {self.panel.reason.text()}"
        self.qtbot.mouseClick(button, LEFT)

    def look_at(self, z: int) -> None:
        """Move the slider to a plane."""
        if self.ndim == 3:
            self.viewer.dims.set_point(0, z * self.labels.scale[0])

    def go_near(self, area: tuple[int, int, int, int]) -> None:
        """Move the view to an area, with room around it."""
        top, left, bottom, right = area
        y, x = self.labels.scale[-2:]
        # Since napari 0.9 the camera belongs to the viewer's scene.
        camera = getattr(self.viewer, "scene", self.viewer).camera
        camera.center = (0, y * (top + bottom) / 2, x * (left + right) / 2)
        sides = y * (bottom - top) / self.canvas.height(), x * (right - left) / self.canvas.width()
        camera.zoom = 0.6 / max(sides)

    def cover(self, mask: np.ndarray) -> None:
        """Paint a patch (y, x) with the brush in one stroke, row by row and not over its edge."""
        radius = self.labels.brush_size / 2
        inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        inside = inside >= min(radius + 0.5, inside.max())
        way: list[tuple[int, int]] = []
        rows = np.flatnonzero(inside.any(1))
        for turn, row in enumerate(sorted({*rows[:: max(1, int(1.4 * radius))], rows[-1]})):
            columns = np.flatnonzero(inside[row])[[0, -1]][:: -1 if turn % 2 else 1]
            for column in columns:
                # A hand does not move less.
                if not way or abs(row - way[-1][0]) + abs(column - way[-1][1]) >= 2:
                    way.append((int(row), int(column)))
        # Between two moves napari paints a straight line.
        self.drag(self.labels, *way, n_moves=1)

    def paint(self, truth: np.ndarray, identity: int, n_planes: int = 3) -> None:
        """Paint an object: in a volume on some planes, with the planes between filled."""
        self.press(Qt.Key.Key_N)
        self.painted[identity] = int(self.labels.selected_label)
        planes = np.flatnonzero((truth == identity).reshape(len(truth), -1).any(1)) if self.ndim == 3 else [0]
        n_planes = n_planes if self.ndim == 3 else 1
        ends = (planes[0] + 1, planes[-1] - 1) if n_planes > 1 else (planes[len(planes) // 2],) * 2
        for z in np.unique(np.linspace(*ends, n_planes).round().astype(int)):
            self.look_at(z)
            self.cover(self.seen(truth, z) == identity)
        if self.ndim == 3 and n_planes > 1:
            self.click(self.panel.annotation.fill)

    def seen(self, array: np.ndarray, z: int) -> np.ndarray:
        """The plane that is displayed."""
        return array[z] if self.ndim == 3 else array

    def draw_rectangle(self, z: int, box: tuple[int, int, int, int]) -> None:
        """Draw what is fully annotated; the brush comes back by itself."""
        self.look_at(z)
        self.click(self.panel.annotation.region)
        self.drag(self.labels, box[:2], box[2:])
        self.qtbot.waitUntil(lambda: self.viewer.layers.selection.active == self.labels)
        assert self.labels.mode == "paint"

    def go_to_object(self) -> None:
        """Leave out places where nothing was found."""
        queue = self.panel.review.queue
        for _ in queue.doubts:
            if queue.has_object:
                return
            self.press(Qt.Key.Key_J)
        raise AssertionError("nothing was found in the image")

    def overlap(self, truth: np.ndarray, identity: int) -> float:
        """IoU of a painted object with the true one."""
        mine, true = self.panel.annotation.layers.array() == self.painted[identity], truth == identity
        return float((mine & true).sum() / (mine | true).sum())

    def beside(self, label: int) -> tuple[int, int]:
        """Where the brush makes an object of the annotation larger, away from the others in the plane displayed."""
        plane = self.seen(self.panel.annotation.layers.array(), int(self.viewer.dims.current_step[0]))
        near = ndimage.distance_transform_edt(plane != label) <= self.labels.brush_size / 2
        room = ndimage.distance_transform_edt(~((plane != 0) & (plane != label)))
        free = near & (plane == 0)
        assert free.any()
        y, x = np.unravel_index(np.where(free, room, 0).argmax(), plane.shape)
        return int(y), int(x)

    def stroke(self, key: Qt.Key, z: int, *way: tuple[int, int]) -> np.ndarray:
        """Split or merge by a drag of the mouse, then take it back; what was made of the annotation is returned."""
        before = self.panel.annotation.layers.array().copy()
        self.look_at(z)
        self.press(key)
        self.drag(self.labels, *way)
        after = self.panel.annotation.layers.array().copy()
        assert not np.array_equal(after, before), notification_manager.records[-1].message
        self.undo()
        assert np.array_equal(self.panel.annotation.layers.array(), before)
        return after

    def undo(self) -> None:
        self.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def train(self, minutes: float) -> None:
        """Set the minutes, press Train and wait until steps are made."""
        form = self.panel.settings.form
        form.set_values({"minutes": minutes})
        form.changed.emit()
        self.panel.annotation.count()
        self.click(self.panel.train)
        self.qtbot.waitUntil(lambda: bool(self.panel.progress.plot.losses), timeout=WAIT)

    def wait_for_round(self) -> None:
        """Wait until a round has ended and what it found was ranked."""
        self.qtbot.waitUntil(lambda: not self.panel.is_training, timeout=int(60_000 * MINUTES) + WAIT)
        self.wait_for_doubts()

    def wait_for_doubts(self) -> None:
        review = self.panel.review
        self.qtbot.waitUntil(lambda: review.queue is not None and not review.is_searching, timeout=WAIT)
