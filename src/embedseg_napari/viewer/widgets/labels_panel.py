"""What panels have in common that look at the objects of a Labels layer: its choice, a run, and whether it changed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtWidgets import QFormLayout, QLayout, QVBoxLayout, QWidget

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.viewer.labelled_images import labelled_picture
from embedseg_napari.viewer.layers import is_users_or_found, one_each_axes, picture_of
from embedseg_napari.viewer.neighbours import image_below
from embedseg_napari.viewer.pixel_changes import PixelChanges
from embedseg_napari.viewer.provenance import origin_of
from embedseg_napari.viewer.stage import Scene
from embedseg_napari.viewer.widgets.axis_question import AxisQuestion
from embedseg_napari.viewer.widgets.boxes import Sentence, add_row
from embedseg_napari.viewer.widgets.dock_panel import DockPanel
from embedseg_napari.viewer.widgets.labels_hint import LabelsHint
from embedseg_napari.viewer.widgets.layer_box import LayerBox
from embedseg_napari.viewer.widgets.run_controls import RunControls
from embedseg_napari.viewer.widgets.scroll import FittingScroll

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Layer
    from napari.viewer import Viewer
    from qtpy.QtGui import QEnterEvent


class LabelsPanel(DockPanel):
    """Base of these panels: their layers and settings on top, a run below, and then what comes of it.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are looked at.
    title : str
        Text of the start button.
    cancel_tip : str
        Says what is left after a stop.
    labels_tip : str
        Says what the Labels layer is chosen for.
    image_tip : str, optional
        The same of its image; without it none is asked for.
    """

    no_labels = "Open or make a Labels layer."
    """What is said where none can be chosen."""
    asks_planes = True
    """Whether it matters if planes of labels are slices of one volume or stand by themselves."""

    def __init__(self, viewer: Viewer, title: str, cancel_tip: str, labels_tip: str, image_tip: str = "") -> None:
        super().__init__(viewer)
        self.controls = RunControls(title, cancel_tip, parent=self)
        self.labels = LayerBox(
            viewer, Labels, labels_tip, is_wanted=self.is_wanted, is_proposed=lambda layer: not self.problem_of(layer)
        )
        self.image = LayerBox(viewer, Image, image_tip, nothing="no image")
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.hint = LabelsHint(viewer)
        add_row(self.form, "Labels", self.labels.native)
        self.form.addRow(self.hint)
        if image_tip:
            add_row(self.form, "Image", self.image.native)
        self.question = AxisQuestion()
        self.whose = Sentence()
        """Says of which labels the result is, where others are chosen."""
        self._pixels = PixelChanges(self._take_change)
        self._is_old = False
        """Whether the labels changed since they were looked at."""
        self._was_old = False
        """The same of an earlier result, which stays where no other one comes of a run."""
        self._said_unfit = ""
        active = viewer.layers.selection.active
        if active in self.labels.layers and not self.problem_of(active):
            self.labels.choose(active)
        self._propose_image()

    def _lay_out(self, foot: QWidget | QLayout) -> QVBoxLayout:
        """Layers, settings and the run above what is added to the returned layout; `foot` stays in sight below."""
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(self.form)
        layout.addWidget(self.question)
        layout.addLayout(self.controls.buttons())
        layout.addWidget(self.controls.progress)
        layout.addWidget(self.controls.status)
        layout.addWidget(self.whose)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(2, 4, 2, 4)
        outer.addWidget(FittingScroll(content), 1)
        if isinstance(foot, QLayout):
            outer.addLayout(foot)
        else:
            outer.addWidget(foot)
        return layout

    def _listen(self) -> None:
        """Follow layers and run, once all of the panel is there."""
        self.controls.run_button.clicked.connect(self.start)
        self.controls.cancel_button.clicked.connect(self.controls.cancel)
        self.controls.changed.connect(self._show_state)
        self.controls.finished.connect(self._take_end)
        self.labels.changed.connect(self._propose_image)
        for box in (self.labels, self.image):
            box.changed.connect(self._ask_planes)
        self.labels.changed.connect(self._show_state)
        self.image.changed.connect(self._show_state)
        self.labels.changed.connect(self._say_whose)
        for box in (self.labels, self.image):
            box.changed.connect(lambda _: self.show_scene())
        self.viewer.layers.events.removed.connect(self._take_removed)
        self.hint.watch(self._lacks_labels)
        self.hint.converted.connect(self.labels.choose)
        self.labels.changed.connect(self._drop_hint)
        self._ask_planes()

    # What each panel does its own way

    @property
    def subject(self) -> Labels | None:
        """The layer that there is a result of."""
        raise NotImplementedError

    def start(self) -> None:
        """Look at the chosen layer."""
        raise NotImplementedError

    def _show_state(self, *_: object) -> None:
        raise NotImplementedError

    def _tell_old(self) -> None:
        """The labels are not those any longer that there is a result of."""
        raise NotImplementedError

    def _take_removed(self, event: Any) -> None:
        raise NotImplementedError

    def is_wanted(self, layer: Layer) -> bool:
        """Whether a Labels layer can be chosen."""
        return is_users_or_found(layer)

    def problem_of(self, layer: Labels) -> str:
        """Why the objects of a layer cannot be looked at; empty where they can. Such a layer is not proposed."""
        try:
            picture_of(layer)
            one_each_axes(layer.axis_labels, layer.name)
        except EmbedSegError as error:
            return str(error)
        return ""

    # Layers

    def reset_choices(self, event: object = None) -> None:
        """List the layers anew; an image that has come since may be that of the labels."""
        before = self.image.layers
        super().reset_choices(event)
        self.image.choose_under(self.labels.layer(), [one for one in self.image.layers if one not in before])
        self._say_whose()
        if self.labels.layer() is None and not self.is_closed:
            # What is there now may be what cannot be looked at.
            self._show_state()

    def _lacks_labels(self) -> bool:
        """Whether there are no labels yet that can be looked at; they may have been opened as an image."""
        layer = self.labels.layer()
        return layer is None or bool(self.problem_of(layer))

    def _drop_hint(self, *_: object) -> None:
        if self.hint.layer is not None and not self._lacks_labels():
            self.hint.look_at(None)

    def _propose_image(self, *_: object) -> None:
        """Choose the image that the labels lie on; without one, brightness would be left out unasked."""
        self.image.choose_under(self.labels.layer())

    def _ask_planes(self, *_: object) -> None:
        """Ask what planes of labels are where neither they nor their image say it, nor what found them."""
        layer, image = self.labels.layer(), self.image.layer()
        is_open = False
        if layer is not None and self.asks_planes and origin_of(layer) is None and not self.problem_of(layer):
            with contextlib.suppress(EmbedSegError):
                is_open = image is None or labelled_picture(image, layer).axes_guessed
        self.question.ask_about(layer if is_open else None)

    def layer_boxes(self) -> tuple[LayerBox, ...]:
        """Boxes in which a layer is chosen."""
        return self.labels, self.image

    def _problem(self) -> str:
        """Why nothing can be done with what is chosen; empty where it can."""
        # Where none is chosen, those that are there cannot be looked at.
        layer = self.labels.layer() or next(iter(self.labels.layers), None)
        return self.no_labels if layer is None else self.problem_of(layer) or self.question.problem()

    def _say_whose(self, *_: object) -> None:
        """Say whose result it is that is still there after other labels were chosen."""
        chosen = self.labels.layer()
        words = "" if chosen is None or chosen == self.subject else self._words_of_other(chosen)
        self.whose.say(words)
        self.whose.setVisible(bool(words))

    def _words_of_other(self, chosen: Labels) -> str:
        """What is said while there is no result of the labels that are chosen."""
        subject = self.subject
        if subject is None or subject not in self.viewer.layers:
            return ""
        return f"This is of {subject.name}; for {chosen.name}, press {self.controls.run_button.text()}."

    def _say_problem(self, problem: str) -> None:
        """Say why nothing can be done, until it can."""
        if problem:
            self.controls.say(problem, problem != self.no_labels)
        elif self._said_unfit and self.controls.status.text() == self._said_unfit:
            self.controls.say("")
        self._said_unfit = problem

    def scene(self) -> Scene | None:
        """The chosen labels on their image."""
        return self.scene_of(self.labels.layer())

    def scene_of(
        self,
        labels: Labels | None,
        *others: Layer | None,
        is_own: Callable[[Layer], bool] | None = None,
        anew: object = None,
    ) -> Scene | None:
        """Labels on their image, and what belongs to them, as far as it is there; None where the labels are not.

        Parameters
        ----------
        labels : Labels, optional
            What the panel is about.
        *others : Layer
            What is shown, too.
        is_own : callable, optional
            Says which layers stay as they are.
        anew : object
            Another one shows them also where the user has hidden them.
        """
        if labels is None or labels not in self.viewer.layers:
            return None
        chosen = self.image.layer() if labels == self.labels.layer() else None
        image = chosen or image_below(labels, list(self.viewer.layers))
        shown = [layer for layer in (labels, *others) if layer is not None and layer in self.viewer.layers]
        subject = (id(anew), *(layer.unique_id for layer in shown))
        return Scene(image, shown, is_own or (lambda _: False), subject=subject)

    # A run

    def _begin(
        self,
        layer: Labels,
        run: Callable[[Callable[[], bool]], Generator[Any, None, Any]],
        take: Callable[[Any], None],
        doing: str,
    ) -> None:
        """Look at a layer; what is painted from now on is not in the result, which is then not taken."""
        self._was_old = self._is_old
        self._follow(layer)

        def take_result(result: Any) -> None:
            if layer not in self.viewer.layers:
                self.controls.say("The layer was removed in the meantime, and what was found out of it discarded.")
            elif self._is_old:
                title = self.controls.run_button.text()
                self.controls.say(f"The labels changed in the meantime; press {title} again.", True)
            else:
                try:
                    take(result)
                except EmbedSegError as error:
                    self.controls.fail(error)
                else:
                    self._was_old = False

        self.controls.start(run, self._take_event, take_result)
        self.controls.progress.setFormat(doing)
        self.controls.say(f"{doing}…")

    def _take_event(self, event: Any) -> None:
        """Show how many parts, or frames, are done."""
        self.controls.progress.setRange(0, event.n_parts)
        self.controls.progress.setValue(event.done)

    def _take_end(self) -> None:
        if self._pixels.layer != self.subject:
            self._follow(self.subject)
        self._is_old |= self._was_old
        self._say_whose()
        self._show_state()

    def _follow(self, layer: Labels | None) -> None:
        """Notice when the pixels of a layer change."""
        self._pixels.follow(layer)
        self._is_old = False

    def _take_change(self, _: Any = None) -> None:
        self._is_old = True
        if self.subject is not None and self._pixels.layer == self.subject and self.controls.current is None:
            self._tell_old()

    def enterEvent(self, event: QEnterEvent) -> None:
        """Notice what was undone in a layer that is hidden, as that is which was tracked."""
        self._pixels.look()
        super().enterEvent(event)

    def release(self) -> None:
        """Follow the viewer no longer."""
        self.controls.close_down()
        self.hint.close_down()
        self._follow(None)
        self.viewer.layers.events.removed.disconnect(self._take_removed)
