"""Packages of bioimage.io (https://bioimage.io): models that other programs can run.

A package holds the network as TorchScript, from normalised images to the maps: offsets and margins in pixels, axes
(z, y, x), then the seed map. Normalisation is a step of the package's description. How maps become objects is beyond
what that can describe, so the model file lies in the package as well, and importing reads only this: TorchScript is
code, and importing a model never runs any.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import warnings
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import DataError, ModelError, SettingsError
from embedseg_napari.core.files.archives import UNREADABLE, open_archive, read_member
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.model.model_file import MAX_BYTES
from embedseg_napari.core.networks.embedding import decode_by
from embedseg_napari.core.networks.network import STRIDE
from embedseg_napari.core.runs import unheard
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.config import NormalizationConfig
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.model.model import Model

MEMBER = "model.embedseg"
"""The model file in a package."""
TEST_SIDE = {2: (128, 128), 3: (16, 64, 64)}
"""Pixels of the generated image that a package is tested with, axes (z, y, x)."""
PAPER = (
    "Lalit et al. 2022, EmbedSeg: Embedding-based Instance Segmentation for Biomedical Microscopy Data",
    "10.1016/j.media.2022.102523",
)
FORMAT = "0.5.4"
LEAST_RANGE = 1e-6
"""Added to what intensities are divided by; the smallest the format allows is far below any real range."""
LICENCES = (
    "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "MIT", "BSD-2-Clause", "BSD-3-Clause",
    "Apache-2.0", "GPL-3.0-only", "GPL-3.0-or-later", "LGPL-3.0-only", "MPL-2.0", "Unlicense",
)  # fmt: skip
"""Licences that the description can name; others are told in the documentation."""
SHORTEST_NAME, LONGEST_NAME = 5, 128


class _Maps(nn.Module):
    """From normalised images to offsets, margins and seed map, as channels."""

    spacing: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network
        self.ndim = model.config.ndim
        self.margin_scale = model.config.prediction.margin_scale
        # A buffer, not a constant: it moves with the network to whatever device a program chooses.
        self.register_buffer("spacing", torch.tensor(model.config.grid_spacing))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, (Z,) Y, X) to (B, 2 * ndim + 1, (Z,) Y, X)."""
        offsets, margins, seeds = decode_by(self.network(x), self.spacing, self.ndim)
        return torch.cat([offsets, self.margin_scale * margins, seeds[:, None]], 1)


def write_package(
    model: Model,
    path: str | Path,
    *,
    image: np.ndarray | None = None,
    authors: Sequence[str] = (),
    overwrite: bool = True,
) -> Path:
    """Write a model as a bioimage.io package.

    Parameters
    ----------
    model : Model
        On the CPU.
    path : path
        Target, ends in `.zip`.
    image : ndarray, shape (C, (Z,) Y, X), optional
        Image the package is tested with and shows on its cover, cropped to multiples of 8; generated nuclei if missing.
    authors : sequence of str, optional
        Names; default one that says that the authors are not known.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SettingsError
        If the description cannot say how the model normalises.
    DataError
        If the image does not fit, or the file cannot be written.
    """
    path, normalization = Path(path), model.config.normalization
    _preprocessing(normalization, "")
    tested = _test_image(model) if image is None else _cropped(image, model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segmentation = model.predict(tested, model.config.axes, precision="float32", on_event=unheard, progress=False)
        np.save(folder / "test_input.npy", tested[None].astype(np.float32))
        network = _Maps(model).eval()
        with torch.inference_mode():
            maps = network(torch.from_numpy(normalize(tested, normalization))[None])
        np.save(folder / "test_output.npy", maps.numpy())
        _write_cover(folder / "cover.png", tested, segmentation)
        _trace(network, tested, folder / "weights.pt")
        model_path = model.path
        model.save(folder / MEMBER)
        model.path = model_path
        (folder / "README.md").write_text(_documentation(model), encoding="utf-8")
        described = _describe(model, folder, tested, list(authors) or ["not known"])
        (folder / "rdf.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")

        def write(target: Path) -> None:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(folder.iterdir()):
                    archive.write(file, file.name)

        write_atomically(path, write, overwrite=overwrite)
    return path


def read_package(path: str | Path) -> Model:
    """Read the model file in a package that :func:`write_package` made; nothing else in it is looked at.

    Raises
    ------
    ModelError
        If it is no such package, or what it holds is damaged or too large.
    """
    path = Path(path)
    try:
        with open_archive(path) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == MEMBER]
            if len(names) != 1:
                raise ModelError(
                    f"{path}: contains no {MEMBER}. Only packages exported by this program can be imported: the "
                    "network in other packages is code, which is never run."
                )
            content = read_member(archive, names[0], sum(MAX_BYTES.values()))
    except UNREADABLE as error:
        raise ModelError(f"{path}: is not a bioimage.io package, or is damaged ({error}).") from error
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / MEMBER
        file.write_bytes(content)
        try:
            model = load_model(file, device="cpu")
        except ModelError as error:
            raise ModelError(str(error).replace(str(file), f"{path}: {MEMBER} in it")) from error
    model.path = None
    return model


def _test_image(model: Model) -> np.ndarray:
    """Nuclei of the size that the model knows."""
    config = model.config
    shape = TEST_SIDE[config.ndim]
    extent = float(np.mean(config.object_sizes.mean[-2:])) if config.object_sizes.mean else 16.0
    image = nuclei(shape, diameter=float(np.clip(extent, 6, min(shape[-2:]) / 3)), seed=0).image
    return np.repeat(image[None], config.n_channels, 0)


def _cropped(image: np.ndarray, model: Model) -> np.ndarray:
    config = model.config
    if image.ndim != config.ndim + 1 or len(image) != config.n_channels:
        raise DataError(
            f"The test image has the shape {image.shape}; give {config.axes}, {count(config.n_channels, 'channel')}."
        )
    sides = [min(side // STRIDE * STRIDE, 256) for side in image.shape[1:]]
    if min(sides) == 0:
        raise DataError(f"The test image has the shape {image.shape}; give at least {STRIDE} pixels each way.")
    return image[(slice(None), *(slice(side) for side in sides))]


def _trace(network: _Maps, tested: np.ndarray, path: Path) -> None:
    like = torch.zeros(1, *tested.shape)
    with torch.inference_mode(), warnings.catch_warnings():
        # There is no other format yet that programs of the field run.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        traced: Any = torch.jit.trace(network, like, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path))


def _write_cover(path: Path, image: np.ndarray, segmentation: Segmentation) -> None:
    """Left the image, right its objects; of a volume the brightest of each column."""
    from imageio.v3 import imwrite
    from skimage.color import label2rgb

    labels = segmentation.labels
    plane = image[0].astype(float)
    if plane.ndim == 3:
        plane, labels = plane.max(0), labels.max(0)
    low, high = np.percentile(plane, [1, 99.8])
    gray = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
    left = np.repeat(gray[..., None], 3, -1)
    right = label2rgb(labels, gray, alpha=0.4, bg_label=0)
    # The site wants covers of 2:1; enlarged so that pixels can be seen.
    both = np.concatenate([left, right], 1)
    grown = np.kron(both, np.ones((max(1, 512 // both.shape[1]),) * 2 + (1,)))
    imwrite(path, (255 * np.clip(grown, 0, 1)).astype(np.uint8))


def _documentation(model: Model) -> str:
    config, prediction = model.config, model.config.prediction
    space = "y, x" if config.ndim == 2 else "z, y, x"
    sizes = " x ".join(f"{side:.0f}" for side in config.object_sizes.mean)
    is_greedy = prediction.seeds == "greedy"
    seeds = f"seeds above {prediction.seed_threshold:g}" if is_greedy else "local maxima of the smoothed seed map"
    lines = [
        f"# {config.name or 'EmbedSeg model'}",
        config.description or "Instance segmentation by spatial embeddings (EmbedSeg).",
        "## Input and output",
        f"Images of {count(config.n_channels, 'channel')}, sides multiples of {STRIDE}. The channels of the output are "
        f"offsets ({space}) and margins ({space}) in pixels, and the seed map from 0 to 1. A pixel belongs to an "
        "object if its position plus its offset lies within the margins of the object's centre.",
        f"Objects start at {seeds} among pixels above {prediction.foreground_threshold:g}; to obtain them, import this "
        "package into embedseg-napari.",
    ]
    if sizes:
        lines.append(f"The objects in training were {sizes} pixels ({space}) on average.")
    scale = config.reference_scale * prediction.scale
    if scale != 1:
        lines.append(f"Resize images by the factor {scale:.3g} first, and the maps back.")
    if prediction.find_scale:
        lines.append("embedseg-napari looks for a better scale in each image; other programs show it as it is.")
    if config.license:
        lines.append(f"Licence: {config.license}")
    lines += [
        "## Validation",
        "The test tensors are maps that embedseg-napari computed with the same weights. Compare objects with the truth "
        "by average precision: `embedseg evaluate`.",
    ]
    return "\n\n".join(lines) + "\n"


def _describe(model: Model, folder: Path, tested: np.ndarray, authors: list[str]) -> dict[str, Any]:
    """The package's `rdf.yaml`, format 0.5 (https://bioimage-io.github.io/spec-bioimage-io)."""
    config = model.config
    space = "zyx"[-config.ndim :]
    description = config.description or "Instance segmentation by spatial embeddings (EmbedSeg)."
    channels = config.channel_names or [f"channel {number}" for number in range(config.n_channels)]
    maps = [*(f"offset {axis}" for axis in space), *(f"margin {axis}" for axis in space), "seed map"]
    sides = [
        {"type": "space", "id": axis, "size": {"min": min(2 * STRIDE, side), "step": STRIDE}}
        for axis, side in zip(space, tested.shape[1:], strict=True)
    ]
    same = [{"type": "space", "id": axis, "size": {"tensor_id": "image", "axis_id": axis}} for axis in space]

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}

    def tensor(name: str, channel_names: Sequence[str], axes: list[dict[str, Any]], test: str) -> dict[str, Any]:
        names = {"type": "channel", "channel_names": [re.sub(r"\W+", "_", one) for one in channel_names]}
        data = {"type": "float32"}
        return {"id": name, "axes": [{"type": "batch"}, names, *axes], "test_tensor": file(test), "data": data}

    image = tensor("image", channels, sides, "test_input.npy")
    described: dict[str, Any] = {
        "type": "model",
        "format_version": FORMAT,
        "name": _title(config.name),
        "description": description[:1024],
        "authors": [{"name": name} for name in authors],
        "cite": [{"text": PAPER[0], "doi": PAPER[1]}],
        "tags": ["instance-segmentation", "embedseg", "pytorch", f"{config.ndim}d", "cells", "nuclei", "napari"],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "documentation": file("README.md"),
        "covers": [file("cover.png")],
        "attachments": [file(MEMBER)],
        "inputs": [image | {"preprocessing": _preprocessing(config.normalization, space)}],
        "outputs": [tensor("maps", maps, same, "test_output.npy")],
        "weights": {
            "torchscript": file("weights.pt") | {"pytorch_version": torch.__version__.partition("+")[0]},
        },
    }
    licence = licence_id(config.license)
    if licence is not None:
        described["license"] = licence
    return described


def _title(name: str) -> str:
    """The name in the letters and the length that the format allows."""
    title = re.sub(r"[^A-Za-z0-9_+\- ()]+", " ", name).strip()
    return (title if len(title) >= SHORTEST_NAME else f"EmbedSeg {title or 'model'}")[:LONGEST_NAME]


def licence_id(text: str) -> str | None:
    """The identifier that a licence text begins with, also as people write it: CC BY 4.0."""
    plain = re.sub(r"[\s_-]+", "-", text.strip()).lower()
    for known in sorted(LICENCES, key=len, reverse=True):
        if re.match(re.escape(known.lower()) + r"(?![\w.])", plain):
            return known
    return None


def _preprocessing(config: NormalizationConfig, space: str) -> list[dict[str, Any]]:
    """Steps of the description. Spoiled pixels are beyond what it can describe; limits hold for percentiles."""
    if config.method == "percentile":
        kwargs = {"axes": list(space), "min_percentile": config.low, "max_percentile": config.high, "eps": LEAST_RANGE}
        limits = [] if config.clip is None else [{"id": "clip", "kwargs": {"min": -config.clip, "max": config.clip}}]
        return [{"id": "scale_range", "kwargs": kwargs}, *limits]
    if config.method == "mean-std":
        return [{"id": "zero_mean_unit_variance", "kwargs": {"axes": list(space), "eps": LEAST_RANGE}}]
    raise SettingsError(
        "This model divides images by the largest value of their data type; a bioimage.io package cannot describe that."
    )
