"""What a run can say while it works.

Runs are generators of these frozen dataclasses; the value a run returns is its result. Events hold plain numbers,
strings and NumPy arrays, never tensors, modules or layers, so that any thread may keep them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from embedseg_napari.core.axes import Channel
    from embedseg_napari.core.maps import EmbeddingMaps


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence the user should see: what was guessed, what was reduced, what looks odd."""

    text: str
    level: str = "info"
    """``"info"`` or ``"warning"``."""


class EngineMessage(Message):
    """What runs the network, and in which number format: of a folder's images, said once is enough."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Advice(Message):
    """The one thing that there is to say of an image and what was found in it, and what would help."""

    action: str = ""
    """Short name of what would help, such as ``"Use scale 2"``; empty where nothing is known to."""
    model: str = ""
    """Model that would help, by its name; empty for the one that was used."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings of prediction that would help."""
    channel: Channel | None = None
    """What that model should see of the image, all channels or their mean, where it is not what was segmented."""
    labels: bool = False
    """Whether labelling some objects of the image, for a model of one's own, would help."""
    observed: str = ""
    """The text without what would help, to stand beside a button that says so; empty where it is the text."""


@dataclass(frozen=True, slots=True)
class PredictionStarted:
    """An image was understood and its prediction begins."""

    axes: str
    """Axes of the input, as given or guessed."""
    n_frames: int
    n_tiles: int
    """Network tiles in each frame, over all views of test-time augmentation."""


@dataclass(frozen=True, slots=True)
class TileFinished:
    """The network has seen one more tile."""

    frame: int
    tile: int
    """1 for the first tile of a frame."""
    n_tiles: int


@dataclass(frozen=True, slots=True)
class ClusteringStarted:
    """The maps of a frame are complete; its objects are being collected."""

    frame: int


@dataclass(frozen=True, slots=True)
class FrameFinished:
    """A frame (the whole image, if there is no time axis) has its labels."""

    frame: int
    n_frames: int
    n_objects: int


PredictionEvent = Message | PredictionStarted | TileFinished | ClusteringStarted | FrameFinished


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """The data was checked and read; training begins."""

    n_images: int
    n_validation_images: int
    n_objects: int
    crop_size: tuple[int, ...]
    """Pixels per axis (z, y, x)."""
    n_epochs: int | None
    """None where a time budget decides."""
    minutes: float | None
    steps_per_epoch: int
    device: str
    precision: str
    n_held_out_objects: int = 0
    """Objects of the training images that are scored and not trained on."""


@dataclass(frozen=True, slots=True)
class StepFinished:
    """One optimiser step was made."""

    epoch: int
    """0 for the first epoch."""
    step: int
    """Steps made since the start of training."""
    loss: float
    """Of this step; on a GPU, which is not waited for, of the last one that is known, a few steps earlier."""
    loss_instance: float
    loss_variance: float
    loss_seed: float
    learning_rate: float
    progress: float
    """Fraction of the whole training done, 0 to 1, by the epochs or by the clock."""


@dataclass(frozen=True, slots=True)
class PreviewReady:
    """What the current network makes of one image; a true prediction, never helped by the truth."""

    name: str
    image: np.ndarray = field(repr=False)
    """C(Z)YX as the network sees it (normalised)."""
    maps: EmbeddingMaps
    """What the network says about every pixel of the image."""
    labels: np.ndarray = field(repr=False)
    centers: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    step: int

    @property
    def seed_map(self) -> np.ndarray:
        """(Z)YX, 0 to 1."""
        return self.maps.seed_map


@dataclass(frozen=True, slots=True)
class EpochFinished:
    """All crops of one epoch were seen; the row that the history keeps."""

    epoch: int
    step: int
    seconds: float
    """Wall-clock seconds since training began, those before a resume included."""
    loss: float
    loss_instance: float
    loss_variance: float
    loss_seed: float
    learning_rate: float
    ap_50: float | None
    """Mean over the validation images of AP at IoU 0.5 of true predictions; None if not validated in this epoch.

    Where objects are held out instead of images: the fraction of them that is found at IoU 0.5."""
    ap_mean: float | None
    """The same, averaged over IoU 0.5, 0.55 ... 0.9."""
    is_best: bool


@dataclass(frozen=True, slots=True)
class LabelsUpdated:
    """Labels that were added or changed while training have joined it."""

    n_images: int
    """Training images from now on."""
    n_objects: int
    """Objects trained on from now on."""
    n_changed: int
    """Objects that are new, gone or have other pixels."""
    seconds: float
    """What taking them in cost."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The run folder holds a state to resume from."""

    folder: Path
    epoch: int


@dataclass(frozen=True, slots=True)
class TrainingFinished:
    """Training ended, by itself or by a stop; the model can be used."""

    stopped: bool
    best_score: float | None


TrainingEvent = (
    Message
    | TrainingStarted
    | StepFinished
    | PreviewReady
    | EpochFinished
    | LabelsUpdated
    | CheckpointSaved
    | TrainingFinished
)


@dataclass(frozen=True, slots=True)
class PairTried:
    """One more pair of thresholds has its score."""

    done: int
    n_pairs: int
