"""Where the annotation is kept, sessions to go on with, and rounds of training to go back to."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.annotation.session import list_sessions
from embedseg_napari.core.annotation.session_folder import STATE
from embedseg_napari.viewer.session_keeper import read_state

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.viewer.annotation_box import AnnotationBox
    from embedseg_napari.viewer.session_keeper import SessionKeeper

MOST_SESSIONS, MOST_LETTERS = 15, 24


class SessionBox(QWidget):
    """Two lines and up to three buttons.

    Parameters
    ----------
    keeper : SessionKeeper
        Keeps the annotation.
    box : AnnotationBox
        Says which image is annotated.
    """

    resume_wanted = Signal(object)
    """Folder of a session."""
    round_wanted = Signal(int)

    def __init__(self, keeper: SessionKeeper, box: AnnotationBox) -> None:
        super().__init__()
        self.keeper, self.box = keeper, box
        self.line = QLabel()
        self.line.setWordWrap(True)
        self.rounds = QLabel()
        self.rounds.setWordWrap(True)
        self.found: Path | None = None
        """Latest session of the chosen image."""
        self.again = QPushButton("Resume")
        self.again.setToolTip("Go on with the annotation of this image that was kept last.")
        self.others = QPushButton("Resume session…")
        self.others.setToolTip("Go on with any session; its image is opened if it is not here.")
        self.back = QPushButton("Go back to round…")
        self.back.setToolTip("Bring back the annotation and the model of an earlier round.")
        self.sessions_menu, self.rounds_menu = QMenu(self), QMenu(self)
        self.others.setMenu(self.sessions_menu)
        self.back.setMenu(self.rounds_menu)
        row = QHBoxLayout()
        for button in (self.again, self.others, self.back):
            row.addWidget(button)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.rounds)
        layout.addLayout(row)
        self.sessions_menu.aboutToShow.connect(self.list_sessions)
        self.again.clicked.connect(lambda _: self.resume_wanted.emit(self.found))
        keeper.saved.connect(lambda _: self.refresh())
        self.refresh()

    def find(self) -> None:
        """Look for an earlier session of the image that was chosen."""
        layers = self.box.layers
        self.found = None
        if layers.image is not None and layers.frame is not None and layers.labels is None:
            self.found = next(iter(self.keeper.matching(layers.image.name, layers.shape)), None)
        self.refresh()

    def refresh(self) -> None:
        """Say how things stand."""
        place = self.keeper.place
        rounds = [] if place is None else place.rounds
        is_offered = self.found is not None and self.box.layers.labels is None
        self.again.setVisible(is_offered)
        if is_offered and self.found is not None:
            self.line.setText(
                f"This image was annotated before: session {_short(self.found.name)}, {_time_of(self.found)}."
            )
        elif place is not None and place.session is not None:
            self.line.setText(f"Session {_short(place.folder.name)}: saved at {datetime.now():%H:%M:%S}.")
            self.line.setToolTip(str(place.folder))
        else:
            self.line.setText("What you paint is kept in a session, saved every 10 seconds.")
            self.line.setToolTip(str(self.keeper.folder))
        self.rounds.setText(
            "\n".join(f"Round {one.number}: {one.n_objects} objects, {one.seconds / 60:.1f} min" for one in rounds[-5:])
        )
        self.rounds.setVisible(bool(rounds))
        self.back.setVisible(bool(rounds))
        self.rounds_menu.clear()
        for one in reversed(rounds):
            action = self.rounds_menu.addAction(f"Round {one.number}: {one.n_objects} objects")
            action.triggered.connect(lambda _, number=one.number: self.round_wanted.emit(number))

    def list_sessions(self) -> None:
        """Fill the menu of sessions."""
        self.sessions_menu.clear()
        folders = list_sessions(self.keeper.folder)[:MOST_SESSIONS]
        for folder in folders:
            state = read_state(folder)
            images = "damaged" if state is None else ", ".join(image.name for image in state.images)
            action = self.sessions_menu.addAction(f"{folder.name} ({images}), {_time_of(folder)}")
            action.triggered.connect(lambda _, folder=folder: self.resume_wanted.emit(folder))
        if not folders:
            self.sessions_menu.addAction("No sessions yet").setEnabled(False)


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _time_of(folder: Path) -> str:
    files = [folder / STATE, *folder.glob("annotations/*/*.npz")]
    return f"{datetime.fromtimestamp(max(file.stat().st_mtime for file in files)):%Y-%m-%d %H:%M}"
