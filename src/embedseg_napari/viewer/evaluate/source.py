"""What is compared with what: two Labels layers, or two folders; and why it cannot be, if so."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from embedseg_napari.core.axes import ordered, reorder, result_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.machine import fits_machine
from embedseg_napari.core.wording import shape_words
from embedseg_napari.jobs.evaluate import why_not_comparable
from embedseg_napari.jobs.recipe import of_words
from embedseg_napari.jobs.training_pairs import FRAMES, VOLUME
from embedseg_napari.viewer.files.live import COPIES
from embedseg_napari.viewer.fully_annotated import annotation_of
from embedseg_napari.viewer.labelled_images import named_like, ordered_labels
from embedseg_napari.viewer.layers import (
    ANNOTATION,
    EDITED,
    FOUND,
    RESULT,
    SEGMENTED,
    array_of,
    axes_of_file,
    first_along,
    is_users,
    object_axis,
    one_each_axes,
    picture_of,
    unchanged_file,
)
from embedseg_napari.viewer.neighbours import are_of_other_frames, image_below, lie_apart
from embedseg_napari.viewer.provenance import origin_of
from embedseg_napari.viewer.stage import Scene
from embedseg_napari.viewer.widgets.boxes import ChoiceBox, Sentence, add_row
from embedseg_napari.viewer.widgets.folder_field import FolderField
from embedseg_napari.viewer.widgets.labels_hint import LabelsHint
from embedseg_napari.viewer.widgets.layer_box import CHOOSE, LayerBox

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from embedseg_napari.jobs.recipe import Recipe

TRUE_WORDS = ("truth", "true", "gt", "mask", "manual", "annot")

MISTAKES = "mistakes"
"""What the overlay's metadata say it is, under `layers.RESULT`."""


class EvaluationSource(QWidget):
    """Truth and prediction, from layers or from folders.

    Parameters
    ----------
    viewer : napari viewer
        Whose Labels layers may be compared.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._can_stack = False
        self.use_layers, self.use_folders = QRadioButton("Layers"), QRadioButton("Folders")
        self.use_layers.setToolTip("Compare two Labels layers, and see the mistakes on the image.")
        self.use_folders.setToolTip("Compare the label images of two folders, paired by file name.")
        self.use_layers.setChecked(True)
        which = QHBoxLayout()
        which.addWidget(self.use_layers)
        which.addWidget(self.use_folders)
        which.addStretch(1)

        self.truth = LayerBox(viewer, Labels, "Labels layer with the true objects.", CHOOSE, _is_candidate)
        self.predicted = LayerBox(viewer, Labels, "Labels layer to be judged.", CHOOSE, _is_candidate)
        self.stack = ChoiceBox((VOLUME, FRAMES), "Whether the layers are a volume, or frames in which ids begin anew.")
        self.true_folder = FolderField(
            "Truth folder", "True label images, or stacks of one plane per object; masks/ inside it is found too."
        )
        self.predicted_folder = FolderField("Prediction folder", "Predicted label images of the same names.")
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.hint = LabelsHint(viewer)
        # What is annotated in a session is seldom all that is there.
        self.hint.watch(lambda: self.predicted.layer() is None or not self._has_own_truth())
        self.hint.converted.connect(self._take_converted)
        self.complaint = Sentence()
        self.part = Sentence("Only what is annotated counts: objects, painted background and fully annotated areas.")
        """Said where the truth is what a person annotates."""
        for text, field in (
            ("Truth", self.truth.native),
            ("Prediction", self.predicted.native),
            ("Stack of", self.stack),
            ("Truth", self.true_folder),
            ("Prediction", self.predicted_folder),
        ):
            add_row(self.form, text, field.edit if isinstance(field, FolderField) else field, field)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(which)
        layout.addLayout(self.form)
        layout.addWidget(self.hint)
        layout.addWidget(self.complaint)
        layout.addWidget(self.part)
        self.use_layers.toggled.connect(self._follow)
        for box in (self.truth, self.predicted):
            box.changed.connect(self._on_layers)
        for field in (self.true_folder, self.predicted_folder):
            field.changed.connect(self._follow)
        self.stack.currentIndexChanged.connect(self._follow)
        self.tell_apart()
        self._on_layers()

    def _take_converted(self, made: Labels) -> None:
        if not self._has_own_truth():
            self.truth.choose(made)

    def _has_own_truth(self) -> bool:
        truth = self.truth.layer()
        return truth is not None and is_users(truth)

    def tell_apart(self, stays: bool = False) -> None:
        """Choose two layers, never one twice, nor two of other sizes; where one was removed, the other one `stays`.

        The truth is known by its name, is the user's own, was corrected by hand, or lies below. To be judged is what
        was found in its image; of that what is seen, what was corrected, what was found last.
        """
        truth, predicted = self.truth.layer(), self.predicted.layer()
        layers = self.truth.layers
        is_pair = truth is not None and predicted is not None and truth != predicted
        if not layers or (is_pair and (stays or not self.is_layers() or not self.is_wrong())):
            return
        if len(layers) == 1:
            is_true = is_users(layers[0])
            self.truth.choose(layers[0] if is_true else None)
            self.predicted.choose(None if is_true else layers[0])
            return
        judged = predicted if stays and truth is None else None
        layers = [layer for layer in layers if layer != judged]
        # What is annotated in a session is seldom all that is there.
        own = [layer for layer in layers if is_users(layer)] if not stays or truth is None else [truth]
        own = own or [layer for layer in layers if EDITED in layer.metadata] or layers
        # The layers are listed from the top: the newest result comes first.
        truths = sorted(own, key=_is_named_true)[::-1]
        against = layers if judged is None else [judged]
        pairs = [(one, layer) for one in truths for layer in against if self._suit(one, layer)]
        true = min(
            pairs,
            key=lambda pair: (not _is_named_true(pair[0]), not self._is_found_under(*pair)),
            default=(None,),
        )[0]
        if true is None and not is_users(truths[0]):
            # A frame that was annotated is no truth of its movie.
            found = [layer for layer in layers if ANNOTATION not in layer.metadata]
            self.truth.choose(None)
            self.predicted.choose(judged or (found or layers)[0])
            return
        true = true or truths[0]
        others = [layer for layer in layers if layer != true]
        others.sort(
            key=lambda one: (
                not self._suit(true, one),
                is_users(one),
                ANNOTATION in one.metadata,
                not self._is_found_under(true, one),
                not one.visible,
                EDITED not in one.metadata,
            )
        )
        self.truth.choose(true)
        self.predicted.choose(judged or others[0])

    def _is_found_under(self, truth: Labels, predicted: Labels) -> bool:
        """Whether a layer was found in the image of the truth."""
        image = image_below(truth, list(self.truth.viewer.layers))
        return image is not None and predicted.metadata.get(SEGMENTED) == str(image.unique_id)

    def _suit(self, truth: Labels, predicted: Labels) -> bool:
        """Whether two layers may be compared: as large in some order of axes, own truth with planes, in one place."""
        there, here = (Counter(_shape_of_plane(layer)) for layer in (truth, predicted))
        is_as_large = here <= there and there.total() - here.total() <= int(is_users(truth))
        return truth != predicted and is_as_large and not self._lie_apart(truth, predicted)

    def _lie_apart(self, truth: Labels, predicted: Labels) -> bool:
        return lie_apart(truth, predicted, self.truth.viewer.layers)

    def _on_layers(self) -> None:
        truth, predicted = self.truth.layer(), self.predicted.layer()
        if predicted is not None:
            origin = origin_of(predicted)
            try:
                has_frames = bool(origin.segmentation.frames) if origin is not None else "T" in self._axes(None)
            except DataError:
                # `fault` says why.
                has_frames = False
            self.stack.setCurrentText(FRAMES if has_frames or predicted.ndim > 3 else VOLUME)
        self.stack.setEnabled(predicted is None or predicted.ndim == 3)
        self._can_stack = (
            truth is not None
            and predicted is not None
            and predicted.ndim >= 3
            and object_axis(predicted.axis_labels) is None
        )
        self._follow()

    def _follow(self) -> None:
        is_layers = self.use_layers.isChecked()
        for box in (self.truth, self.predicted):
            self.form.setRowVisible(box.native, is_layers)
        self.form.setRowVisible(self.stack, is_layers and self._can_stack)
        for field in (self.true_folder, self.predicted_folder):
            self.form.setRowVisible(field, not is_layers)
        fault = self.fault()
        # What is merely missing is said beside the button; what is wrong, here.
        self.complaint.say(fault, is_wrong=True)
        self.complaint.setVisible(bool(fault) and self.is_wrong())
        truth = self.truth.layer() if is_layers else None
        self.part.setVisible(not fault and truth is not None and ANNOTATION in truth.metadata)
        self.changed.emit()

    def is_layers(self) -> bool:
        """Whether layers are compared."""
        return self.use_layers.isChecked()

    def has_frames(self) -> bool:
        """Whether the layers' first axis counts separate images."""
        predicted = self.predicted.layer()
        return predicted is not None and "T" in self.axes()

    def are_planes(self) -> bool:
        """Whether the planes of the prediction hold one object each."""
        predicted = self.predicted.layer()
        return predicted is not None and object_axis(predicted.axis_labels) is not None

    def axes(self) -> str:
        """Axes of the prediction, in its own order; where its planes hold one object each, of a plane."""
        predicted = self.predicted.layer()
        assert predicted is not None
        return self._axes(self.stack.currentText() if predicted.ndim == 3 else None)

    def _axes(self, stack: str | None) -> str:
        truth, predicted = self.truth.layer(), self.predicted.layer()
        assert predicted is not None
        if of_plane := one_each_axes(predicted.axis_labels, predicted.name):
            return of_plane
        picture = picture_of(predicted, stack=stack)
        return (picture if truth is None else named_like(picture, predicted, truth, stack)).axes

    def arrays(self) -> tuple[Any, Any]:
        """Truth and prediction as T(Z)YX, planes of one object each before the spatial axes; nothing is read.

        Raises
        ------
        DataError
            If the two name different axes, or there are such planes of a prediction in each frame.
        """
        axes, truth, predicted = self.axes(), self.truth.layer(), self.predicted.layer()
        assert truth is not None
        assert predicted is not None
        array, channel = array_of(predicted), axes.find("C")
        if self.are_planes():
            return ordered_labels(truth, axes, predicted.name), array
        if channel >= 0 and array.shape[channel] == 1:
            # Results for an image with channels between other axes keep a place for them.
            array, axes = first_along(array, channel), result_axes(axes)
        return ordered_labels(truth, axes, predicted.name), reorder(array, axes, ordered(axes))

    def compared(self) -> tuple[Any, Any, NDArray[np.bool_] | None]:
        """Truth and prediction as `arrays`, their objects alone, and pixels of unknown class as `known`."""
        predicted, (true, found) = self.predicted.layer(), self.arrays()
        assert predicted is not None
        if ANNOTATION in predicted.metadata:
            found = annotation_of(predicted, np.asarray(found), self.truth.viewer.layers).objects()
        true, ignore = self.known(true)
        return true, found, ignore

    def known(self, true: Any) -> tuple[Any, NDArray[np.bool_] | None]:
        """Objects of the truth, whose array is given as T(Z)YX, and its pixels of unknown class.

        They are what is not annotated yet, in a layer that a person annotates an image with; None in others.
        """
        truth = self.truth.layer()
        if truth is None or ANNOTATION not in truth.metadata:
            return true, None
        annotation = annotation_of(truth, np.asarray(true), self.truth.viewer.layers)
        return annotation.objects(), annotation.unknown()

    def is_wrong(self) -> bool:
        """Whether something was chosen that cannot be used, rather than nothing yet."""
        if self.is_layers():
            truth, predicted = self.truth.layer(), self.predicted.layer()
            return truth is not None and predicted is not None and truth != predicted and bool(self.fault())
        return any(f.edit.text().strip() and f.fault() for f in (self.true_folder, self.predicted_folder))

    def fault(self) -> str:
        """Why there is nothing to compare; empty if there is."""
        if not self.is_layers():
            return self.true_folder.fault() or self.predicted_folder.fault()
        truth, predicted = self.truth.layer(), self.predicted.layer()
        if truth is None or predicted is None:
            return "Open two Labels layers, the truth and a prediction."
        if truth == predicted:
            return "Choose two different layers, the truth and a prediction."
        try:
            arrays = self.arrays()
            there, here = (tuple(int(n) for n in np.shape(array)) for array in arrays)
        except DataError as error:
            return str(error)
        n_bytes = sum(math.prod(one.shape) * np.dtype(one.dtype).itemsize for one in arrays)
        if not fits_machine(COPIES * n_bytes):
            return (
                f"{shape_words(here)} pixels of truth and prediction do not fit into memory as a whole; compare parts "
                "of them (Correct what is in view, for each), or smaller resolutions."
            )
        if not (fault := why_not_comparable(there, here, self.has_frames(), self.are_planes())) and self._lie_apart(
            truth, predicted
        ):
            is_frame = are_of_other_frames(truth, predicted, self.truth.viewer.layers)
            what = "are of different frames: choose" if is_frame else "lie at different places: choose"
            of = "one frame" if is_frame else "one part of an image"
            fault = f"{truth.name} and {predicted.name} {what} labels of {of}."
        return fault

    def scene(self) -> Scene | None:
        """Truth and prediction on their image; None where they are not chosen."""
        truth, predicted = self.truth.layer(), self.predicted.layer()
        layers = list(self.truth.viewer.layers)
        # One may be going just now.
        if not self.is_layers() or truth is None or predicted is None or not {truth, predicted} <= set(layers):
            return None
        image = image_below(predicted, layers)
        return Scene(image, (truth, predicted), subject=(truth.unique_id, predicted.unique_id))

    def recipe(self) -> Recipe:
        """What gives the same scores without a viewer.

        Raises
        ------
        DataError
            If there is nothing to compare, or a layer is from no file, or was changed since.
        """
        if fault := self.fault():
            raise DataError(fault)
        words = ["embedseg", "evaluate"]
        if not self.is_layers():
            paths = self.true_folder.path(), self.predicted_folder.path()
            return of_words([*words, "--truth", str(paths[0]), "--predicted", str(paths[1])])
        truth, predicted = self.truth.layer(), self.predicted.layer()
        assert truth is not None
        assert predicted is not None
        if ANNOTATION in truth.metadata:
            raise DataError(
                f"{truth.name} counts only where it is annotated, which its file would not say; the masks "
                "that Export data set… in Label & Train writes do."
            )
        places = ["--truth", str(unchanged_file(truth)), "--predicted", str(unchanged_file(predicted))]
        axes = axes_of_file(array_of(predicted).shape[self.are_planes() :], self.axes()).replace("C", "")
        return of_words([*words, *places, "--axes", axes])

    def choose(self, truth: Labels, predicted: Labels) -> None:
        """Compare two layers."""
        self.use_layers.setChecked(True)
        self.truth.choose(truth)
        self.predicted.choose(predicted)


def _shape_of_plane(layer: Labels) -> list[int]:
    """Shape of labels, or of each of their planes that hold one object each."""
    planes, shape = object_axis(layer.axis_labels), list(array_of(layer).shape)
    if planes is not None:
        del shape[planes]
    return shape


def _is_named_true(layer: Labels) -> bool:
    return any(word in layer.name.lower() for word in TRUE_WORDS)


def _is_candidate(layer: Labels) -> bool:
    """The overlay of mistakes and the previews of a training are Labels layers too, but nothing to compare."""
    return layer.metadata.get(RESULT, FOUND) == FOUND
