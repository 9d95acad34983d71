"""The whole way on generated images: make them, train, segment the held-out ones, score, draw a picture.

Written as a user's script would be, on the public names of the package.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

import embedseg_napari as es
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import AlreadyExists, SettingsError
from embedseg_napari.core.evaluation.matching import matched_pairs, overlaps
from embedseg_napari.core.events import EpochFinished, Message, StepFinished, TrainingStarted
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.tiff import read_image, write_image, write_labels
from embedseg_napari.core.runs import never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

N_TRAINING = 16
N_HELD_OUT = 4
MODEL, OVERVIEW = "nuclei.embedseg", "overview.png"
SHAPE = (256, 256)
SMALL = {
    "crop_size": (96, 96),
    "batch_size": 2,
    "steps_per_epoch": 50,
    "learning_rate": 3e-3,
    "average_decay": 0.98,
    "augmentation": {"flips": True, "scale": 0.0, "shift": 0.1, "gain": 0.0, "offset": 0.0, "gamma": 0.0, "noise": 0.0},
}
"""Many small steps and little variety learn the most in two minutes; longer trainings do better with the defaults."""
PICTURE_ROWS = 3
ENLARGE = 2
GOOD = np.array([0.2, 0.9, 0.3])
WRONG = np.array([1.0, 0.25, 0.2])
TRUE = np.array([0.3, 0.75, 1.0])


def run(
    folder: str | Path,
    minutes: float = 2.0,
    report: Callable[[str], None] | None = None,
    *,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = never,
) -> dict[str, float]:
    """Train a small model from scratch on generated nuclei and compare it with thresholding.

    Parameters
    ----------
    folder : str or Path
        Where images (``train/``, ``held-out/``), the model, label images (``segmented/``) and ``overview.png`` go;
        made if missing.
    minutes : float
        How long to train.
    report : callable, optional
        Called with each line of the story; without it the demonstration is silent.
    overwrite : bool
        Whether files of these names, such as those of an earlier demonstration, may be replaced.
    should_stop : callable
        Looked at between steps and images; when it returns True the story ends with the model so far.

    Returns
    -------
    dict
        Mean AP at IoU 0.5 over the held-out images: ``"otsu"`` (Otsu's threshold and connected components) and
        ``"embedseg"``. Empty where it was stopped.

    Raises
    ------
    SettingsError
        If `minutes` is not positive.
    DataError
        If a file is there already and may not be replaced, or the folder cannot be written.
    """
    if minutes <= 0:
        raise SettingsError(f"{minutes} minutes: choose a positive number.")
    say = report or (lambda _: None)
    folder = Path(folder)
    if not overwrite:
        _refuse_existing(folder)
    held_out = _make_images(folder, overwrite)
    say(
        f"Made {N_TRAINING} images of crowded nuclei to train on, and {len(held_out)} others, {SHAPE[0]} x {SHAPE[1]} "
        f"pixels, in {folder}."
    )

    config = es.TrainingConfig.preset("fast", minutes=minutes, **SMALL)
    with _one_thread():
        result = es.train(
            folder / "train",
            config,
            output=folder / MODEL,
            overwrite=overwrite,
            on_event=_Progress(say),
            should_stop=should_stop,
            progress=False,
        )
    if result.path is not None:
        say(f"Saved the model as {result.path}.")
    if result.path is None or result.stopped:
        return {}

    model = es.load_model(result.path)
    scores: dict[str, list[float]] = {"otsu": [], "embedseg": []}
    rows = []
    for name in held_out:
        if should_stop():
            return {}
        picture = read_image(folder / "held-out" / "images" / name)
        truth = read_image(folder / "held-out" / "masks" / name).array
        simple = threshold_and_components(picture.array)
        found = model.predict(picture.array, picture.axes, spacing=picture.spacing, progress=False).labels
        target = folder / "segmented" / name
        write_labels(target, found, picture.axes, picture.spacing, picture.unit, overwrite=overwrite)
        scores["otsu"].append(es.match(truth, simple, [0.5], planes=False)[0].ap)
        scores["embedseg"].append(es.match(truth, found, [0.5], planes=False)[0].ap)
        rows.append(panels(picture.array, truth, simple, found))
    overview = folder / OVERVIEW
    _write_png(overview, np.concatenate(rows[:PICTURE_ROWS], axis=0), overwrite)

    means = {method: float(np.mean(values)) for method, values in scores.items()}
    trained = f"EmbedSeg after {result.model.config.training['steps']} training steps"
    say(f"AP at IoU 0.5 on the {len(held_out)} held-out images (1 is perfect):")
    say(f"  {'Otsu threshold + connected components':40} {means['otsu']:.3f}")
    say(f"  {trained:40} {means['embedseg']:.3f}")
    say(f"Picture (image, truth, threshold, EmbedSeg; right objects green, wrong ones red): {overview}")
    say("The same with your own images:")
    say("  embedseg train DATASET --output MODEL.embedseg")
    say("  embedseg predict MODEL.embedseg IMAGES... --output LABELS")
    say("  embedseg evaluate --truth MASKS --predicted LABELS")
    return means


def threshold_and_components(image: NDArray[Any]) -> NDArray[np.int32]:
    """Segment as many do first: smooth a little, Otsu's threshold, connected components, specks dropped.

    Parameters
    ----------
    image : ndarray, shape ((Z,) Y, X)
        Intensities.

    Returns
    -------
    ndarray of int32, shape ((Z,) Y, X)
        Labels, 0 is background.
    """
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image.astype(np.float32), 1.0)
    pieces, _ = ndimage.label(smooth > threshold_otsu(smooth))
    sizes = np.bincount(pieces.ravel())
    new_id = np.zeros(len(sizes), np.int32)
    kept = np.flatnonzero(sizes >= 20)
    kept = kept[kept > 0]
    new_id[kept] = np.arange(1, len(kept) + 1)
    labels: NDArray[np.int32] = new_id[pieces]
    return labels


@contextmanager
def _one_thread() -> Iterator[None]:
    # Batches this small gain little from more threads, and on a busy machine threads mostly wait for each other.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _images() -> list[tuple[str, str]]:
    """Part of the data and file name of each image."""
    parts = ["train"] * N_TRAINING + ["held-out"] * N_HELD_OUT
    return [(part, f"nuclei-{number:02}.tif") for number, part in enumerate(parts, 1)]


def _refuse_existing(folder: Path) -> None:
    images = [Path(part, kind, name) for part, name in _images() for kind in ("images", "masks")]
    segmented = [Path("segmented", name) for part, name in _images() if part == "held-out"]
    for name in (*images, *segmented, Path(MODEL), Path(MODEL).with_suffix(".run"), Path(OVERVIEW)):
        if (folder / name).exists():
            raise AlreadyExists(
                f"{folder / name}: exists already; choose another folder, or add --overwrite to replace it."
            )


def _make_images(folder: Path, overwrite: bool) -> list[str]:
    """Write the training set and the held-out images; names of the latter."""
    for number, (part, name) in enumerate(_images()):
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        sample = nuclei(SHAPE, seed=number)
        place = (sample.spacing, sample.unit)
        write_image(folder / part / "images" / name, sample.image, "YX", *place, overwrite=overwrite)
        write_labels(folder / part / "masks" / name, sample.labels, "YX", *place, overwrite=overwrite)
    (folder / "segmented").mkdir(exist_ok=True)
    return [name for part, name in _images() if part == "held-out"]


class _Progress:
    """Tells of a training about ten times."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.next = 0.1
        self.progress = 0.0

    def __call__(self, event: object) -> None:
        if isinstance(event, Message):
            self.say(event.text)
        elif isinstance(event, TrainingStarted):
            self.say(
                f"Training from scratch for {event.minutes:g} minutes on {event.n_objects} nuclei in {event.n_images} "
                f"images ({event.device}, {event.precision})."
            )
        elif isinstance(event, StepFinished):
            self.progress = event.progress
            if event.progress >= self.next:
                self.next += 0.1
                self.say(f"  {event.progress:4.0%}  step {event.step}, loss {event.loss:.3f}")
        elif isinstance(event, EpochFinished) and event.ap_50 is not None:
            self.say(f"  {self.progress:4.0%}  AP at IoU 0.5 on validation images {event.ap_50:.3f}")


def panels(image: NDArray[Any], truth: NDArray[Any], simple: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """Image, truth, threshold and EmbedSeg side by side, RGB in 0..1."""
    low, high = np.percentile(image, (1, 99.8))
    gray = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    side_by_side = [
        _outlined(gray, np.zeros_like(truth), []),
        _outlined(gray, truth, [(np.unique(truth)[1:], TRUE)]),
    ]
    for labels in (simple, found):
        shared = overlaps(truth, labels, planes=False)
        right = shared.predicted_ids[shared.predicted_index[matched_pairs(shared, 0.5)]]
        wrong = np.setdiff1d(shared.predicted_ids, right)
        side_by_side.append(_outlined(gray, labels, [(wrong, WRONG), (right, GOOD)]))
    return np.concatenate(side_by_side, axis=1)


def _outlined(
    gray: NDArray[np.float64],
    labels: NDArray[Any],
    colors: list[tuple[NDArray[Any], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    from skimage.segmentation import find_boundaries

    # Enlarged first, so that outlines are finer than pixels; one dark line keeps panels apart.
    big = np.repeat(np.repeat(labels, ENLARGE, 0), ENLARGE, 1)
    out = np.repeat(np.repeat(gray, ENLARGE, 0), ENLARGE, 1)[..., None] * np.ones(3)
    edges = find_boundaries(big, mode="inner")
    for ids, color in colors:
        out[edges & np.isin(big, ids)] = color
    return np.pad(out, ((2, 2), (2, 2), (0, 0)))


def _write_png(path: Path, rgb: NDArray[np.float64], overwrite: bool) -> None:
    from skimage.io import imsave

    pixels = np.round(255 * rgb).astype(np.uint8)
    write_atomically(path, lambda target: imsave(target, pixels, check_contrast=False), overwrite=overwrite)
