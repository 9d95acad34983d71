"""Where annotations are kept: images of the session, sessions to go on with, and rounds of training to go back to."""

from __future__ import annotations

import os
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from embedseg_napari.core.session.folder import STATE, last_saved, list_sessions, read_state
from embedseg_napari.core.session.state import spatial_shape
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.label.handed_on import write_all
from embedseg_napari.viewer.label.round_words import comparison_words, round_line, start_name, start_round
from embedseg_napari.viewer.label.time_points import image_axes, is_frame_name
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, button, short
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from embedseg_napari.core.session.state import Round
    from embedseg_napari.viewer.label.annotate_box import AnnotationBox
    from embedseg_napari.viewer.label.autosave import Autosave

MOST_SESSIONS = 15


class SessionBox(QWidget):
    """The session's images, a line about it, its rounds, and buttons.

    Parameters
    ----------
    autosave : Autosave
        Keeps the annotation.
    box : AnnotationBox
        Says which image is annotated.
    """

    resume_wanted = Signal(object)
    """Folder of a session."""
    round_wanted = Signal(int)
    undo_wanted = Signal()
    start_wanted = Signal(object)
    """File of the model to start the next round from, instead of that of the latest round, which is worse."""
    image_wanted = Signal(str)
    """Name of an image of the session."""
    new_wanted = Signal()

    def __init__(self, autosave: Autosave, box: AnnotationBox) -> None:
        super().__init__()
        self.autosave, self.box = autosave, box
        self.is_training = False
        self._saved: tuple[Path | None, datetime] = None, datetime.now()
        """Folder of the session that was saved last, and when."""
        self.line = Sentence()
        self.images = ChoiceBox()
        self.images.setAccessibleName("Images of the session")
        self.images.setPlaceholderText("Images of this session…")
        self.images.setToolTip("Choose an image of this session to continue with; it is opened if necessary.")
        self.names: list[str] = []
        self.rounds = Sentence()
        self.rounds.setToolTip(
            "What each round learned from, and how long it took. With ten objects or more, some are held out of the "
            "training; the model finds one if a prediction covers it with an IoU of at least 0.5."
        )
        self.compared = Sentence()
        self.compared.setToolTip(
            "Annotated objects that a prediction covers with an IoU of at least 0.5, by the model the round started "
            "from and by the round's own, and all that they find in these images, right or wrong. Held-out objects "
            "were not trained on."
        )
        self.leave = button("", "Go back to what the round started from.", self._leave)
        self.found: Path | None = None
        """Latest session of the chosen image."""
        self.again = button(
            "Resume",
            "Continue the latest saved annotation of this image.",
            lambda: self.resume_wanted.emit(self.found),
        )
        self.others = QPushButton("Resume session…")
        self.others.setToolTip("Continue any saved session; its image is opened if necessary.")
        self.back = QPushButton("Go back to round…")
        self.back.setToolTip("Restore the annotations of all images, and the model, of an earlier round.")
        self.new = button(
            "New session",
            "Save and close this session, and remove its annotation layers from the viewer. The next stroke begins "
            "a new session.",
            self.new_wanted.emit,
        )
        self.export = button(
            "Export data set…",
            "Write the annotated images of this session to a new or empty folder, as a data set for training: "
            "images/, masks/ and, where something is not annotated, ignore/.",
            self._export,
        )
        self.sessions_menu, self.rounds_menu = QMenu(self), QMenu(self)
        self.others.setMenu(self.sessions_menu)
        self.back.setMenu(self.rounds_menu)
        buttons = QGridLayout()
        buttons.addWidget(self.again, 0, 0, 1, 2)
        buttons.addWidget(self.others, 1, 0)
        buttons.addWidget(self.export, 1, 1)
        buttons.addWidget(self.back, 2, 0, 1, 2)
        top = QHBoxLayout()
        top.addWidget(self.line, 1)
        top.addWidget(self.new)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        for widget in (self.images, self.rounds, self.compared, self.leave):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        self.sessions_menu.aboutToShow.connect(self.list_sessions)
        self.images.activated.connect(lambda row: self.image_wanted.emit(self.names[row]))
        autosave.saved.connect(self._note_saved)
        autosave.failed.connect(self.refresh)
        self.refresh()

    def find(self) -> None:
        """Look for an earlier session of the image that was chosen, or of a frame of it."""
        layers, image = self.box.layers, self.box.layers.image
        self.found = None
        if image is not None and layers.labels is None and (layers.frame is not None or self.box.is_movie):
            is_name = partial(is_frame_name, image) if self.box.is_movie else image.name.__eq__
            shape = spatial_shape(image_axes(image), array_of(image).shape)
            self.found = next(iter(self.autosave.matching(is_name, shape)), None)
        self.refresh()

    def _note_saved(self, _: object) -> None:
        session = self.autosave.session
        self._saved = None if session is None else session.folder, datetime.now()
        self.refresh()

    def refresh(self) -> None:
        """Say how things stand."""
        session = self.autosave.session
        is_begun, rounds = session is not None and session.is_begun, () if session is None else session.rounds
        if self.found is not None and not os.path.isfile(self.found / STATE):
            # It was deleted since.
            self.found = None
        is_offered = self.found is not None and self.box.layers.labels is None
        self.again.setVisible(is_offered)
        if session is not None and session.is_lost:
            name = short(session.folder.name)
            # While a model trains, its session stays.
            way_out = "" if self.is_training else ", or press New session"
            self.line.setText(f"The folder of session {name} is gone, and nothing is saved: put it back{way_out}.")
            self.line.setToolTip(str(session.folder))
        elif is_offered and self.found is not None:
            what = "A frame of this time-lapse" if self.box.is_movie else "This image"
            self.line.setText(f"{what} was annotated before: session {short(self.found.name)}, {_time_of(self.found)}.")
        elif session is not None and is_begun:
            folder, at = self._saved
            when = f": saved at {at:%H:%M:%S}" if folder == session.folder else ""
            self.line.setText(f"Session {short(session.folder.name)}{when}.")
            self.line.setToolTip(str(session.folder))
        else:
            self.line.setText("What you paint is saved in a session, every 10 seconds.")
            self.line.setToolTip(str(self.autosave.folder))
        self.rounds.setText("\n".join(round_line(one) for one in rounds[-5:]))
        self.rounds.setVisible(bool(rounds))
        self.back.setVisible(bool(rounds))
        self._show_comparison(rounds)
        self.new.setEnabled(is_begun and not self.is_training)
        self.export.setVisible(is_begun)
        self.rounds_menu.clear()
        for one in reversed(rounds):
            action = self.rounds_menu.addAction(round_line(one))
            action.triggered.connect(lambda _, number=one.number: self.round_wanted.emit(number))
        if session is not None and session.can_undo_restore:
            undo = self.rounds_menu.addAction("Undo going back (discards what was painted since)")
            undo.triggered.connect(lambda _: self.undo_wanted.emit())
        self._list_images()

    def _show_comparison(self, rounds: Sequence[Round]) -> None:
        """Say how the latest round compares with where it started, and offer to go back where it is worse."""
        latest = rounds[-1] if rounds else None
        text = "" if latest is None else comparison_words(latest, rounds)
        is_worse = latest is not None and latest.comparison is not None and latest.comparison.verdict == "worse"
        self.compared.say(text, is_wrong=is_worse)
        self.compared.setVisible(bool(text))
        self.leave.setVisible(is_worse)
        if latest is not None and is_worse:
            name = start_name(latest, rounds)
            self.leave.setText(f"Go back to {name}")
            self.leave.setToolTip(
                f"Start the next round from {name}, and look for doubtful objects with it. All that is annotated stays."
            )

    def _leave(self) -> None:
        """Ask for the model that the latest round started from; its copy in the session, if the file is gone."""
        session = self.autosave.session
        assert session is not None
        latest = session.rounds[-1]
        start, earlier = Path(latest.started_from), start_round(latest, session.rounds)
        if earlier is not None and not os.path.isfile(start):
            start = session.folder / earlier.model_file
        self.start_wanted.emit(start)

    def set_training(self, is_active: bool) -> None:
        """While a model trains, its session stays."""
        self.is_training = is_active
        for one in (self.again, self.others, self.back, self.leave):
            one.setEnabled(not is_active)
        self.refresh()

    def _export(self) -> None:
        """Write the session's annotated images as a data set, in a thread."""
        folder = QFileDialog.getExistingDirectory(self, "New or empty folder for the data set")
        self.box.layers.settling.emit()
        # While a model trains, its session stays.
        write = self.autosave.save_now if self.is_training else partial(write_all, self.autosave)
        if not folder or not write() or (session := self.autosave.session) is None:
            return
        pictures = dict(self.autosave.pictures)

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, int]:
            yield from ()
            return session.export_dataset(Path(folder), pictures)

        run_in_background(run, on_result=lambda n: show_info(f"Exported: {count(n, 'image')}."))

    def _list_images(self) -> None:
        """The images of the session with their number of objects; the one in front is chosen."""
        autosave = self.autosave
        counts = {} if autosave.session is None else dict.fromkeys(autosave.session.image_names, 0)
        counts |= {name: one.n_objects for name, one in autosave.counts.items() if name in counts}
        front, now = autosave.name() if autosave.is_kept() else None, self.box.counts
        if self.box.layers.labels is not None and now is not None and (front is not None or now.labelled_pixels):
            # It joins when it is written for the first time.
            front = autosave.name()
            counts[front] = now.n_objects
        names, texts = list(counts), [f"{name} · {count(n, 'object')}" for name, n in counts.items()]
        if texts != [self.images.itemText(i) for i in range(self.images.count())]:
            self.images.clear()
            self.images.addItems(texts)
            self.names = names
        self.images.setCurrentIndex(names.index(front) if front in names else -1)
        self.images.setVisible(len(names) > 1 or (bool(names) and front is None))

    def list_sessions(self) -> None:
        """Fill the menu of sessions."""
        self.sessions_menu.clear()
        folders = list_sessions(self.autosave.folder)[:MOST_SESSIONS]
        for folder in folders:
            state = read_state(folder)
            images = "damaged" if state is None else ", ".join(image.name for image in state.images)
            action = self.sessions_menu.addAction(f"{folder.name} ({images}), {_time_of(folder)}")
            action.triggered.connect(lambda _, folder=folder: self.resume_wanted.emit(folder))
        if not folders:
            self.sessions_menu.addAction("No sessions yet").setEnabled(False)


def _time_of(folder: Path) -> str:
    return f"{datetime.fromtimestamp(last_saved(folder)):%Y-%m-%d %H:%M}"
