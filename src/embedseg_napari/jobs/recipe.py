"""How a result was made: to run it again, and to write it down in a paper."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.documents import Unreadable, parse_json, read_text
from embedseg_napari.core.files.units import MICROMETRE
from embedseg_napari.core.model.model_file import software_version
from embedseg_napari.core.wording import readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.model.model import Model

FOLDER = "recipes"
"""Folder beside label images, with a recipe of each."""
VERSIONS = ("numpy", "scipy", "scikit-image", "torch", "openvino")
SWITCHES = {
    "tta": ("--tta", "--no-tta"),
    "find_scale": ("--find-scale", "--keep-scale"),
    "drop_border_objects": ("--drop-border-objects", "--keep-border-objects"),
    "fill_holes": ("--fill-holes", "--no-fill-holes"),
    "report": ("--report", "--no-report"),
}
"""Options that are on or off."""
REFERENCES = (
    "M. Lalit, P. Tomancak, F. Jug: EmbedSeg: Embedding-based Instance Segmentation for Biomedical Microscopy Data. "
    "Medical Image Analysis 81, 102523, 2022.",
    "D. Neven, B. De Brabandere, M. Proesmans, L. Van Gool: Instance Segmentation by Jointly Optimizing Spatial "
    "Embeddings and Clustering Bandwidth. CVPR, 2019.",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What does the same without a viewer."""

    command: str
    """For a shell; empty where the command line has no words for it."""
    no_command: str
    """Why there is no command, in a sentence; empty where there is one."""
    script: str
    """In Python."""


@dataclass(frozen=True, slots=True)
class SegmentRecipe:
    """What was segmented, with what."""

    image: Path
    """The image's file."""
    model: str
    """Name of a bundled model, or a file."""
    output: Path
    """Folder of label images."""
    axes: str | None = None
    channel: int | str = "all"
    spacing: tuple[float, ...] | None = None
    """Micrometres per pixel (z, y, x) in place of what the file says."""
    device: str = "auto"
    changes: Mapping[str, Any] | None = None
    """Settings that replace those stored with the model."""
    region: Mapping[str, tuple[int, int]] | None = None
    """First pixel, and one past the last, along some axes: the part that was segmented."""
    planes: bool = False
    """Whether each object is written whole, as a plane."""


def predict_words(
    model: str,
    inputs: Sequence[Path],
    output: Path,
    *,
    axes: str | None = None,
    channel: int | str = "all",
    spacing: Sequence[float] | None = None,
    device: str = "auto",
    changes: Mapping[str, Any] | None = None,
    tables: bool = False,
    save_maps: bool = False,
    planes: bool = False,
    report: bool | None = None,
) -> list[str]:
    """The words of ``embedseg predict``."""
    words = ["embedseg", "predict", model, *map(str, inputs), "--output", str(output)]
    words += [] if axes is None else ["--axes", axes]
    words += [] if channel == "all" else ["--channel", str(channel)]
    words += [] if spacing is None else ["--spacing", ",".join(f"{step:.17g}" for step in spacing)]
    words += [] if device == "auto" else ["--device", device]
    for name, value in (changes or {}).items():
        if value is None:
            continue
        if name in SWITCHES:
            words.append(SWITCHES[name][not value])
        else:
            text = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    words += ["--csv"] * tables + ["--save-maps"] * save_maps + ["--planes"] * planes
    return words if report is None else [*words, SWITCHES["report"][not report]]


def of_words(words: Sequence[str]) -> Recipe:
    """The recipe of what a command does: the command itself, and a script that runs it."""
    arguments = "".join(f"        {word!r},\n" for word in words[1:])
    script = f"from embedseg_napari.cli import main\n\nmain(\n    [\n{arguments}    ]\n)\n"
    return Recipe(shlex.join(words), "", script)


def of_image(job: SegmentRecipe) -> Recipe:
    """The recipe of one image's labels."""
    words = predict_words(
        job.model,
        [job.image],
        job.output,
        axes=job.axes,
        channel=job.channel,
        spacing=job.spacing,
        device=job.device,
        changes=job.changes,
        planes=job.planes,
    )
    options = {name: value for name, value in (job.changes or {}).items() if value is not None}
    settings = "".join(f"    {name}={value!r},\n" for name, value in options.items())
    if job.spacing is None:
        units, size = "", "picture.spacing, picture.unit"
    else:
        units, size = "from embedseg_napari.core.files.units import in_unit\n", f"{job.spacing!r}, {MICROMETRE!r}"
        settings = f"    spacing=in_unit(spacing, unit, model.config.spacing_unit),\n{settings}"
    imports = "from embedseg_napari.core.files.tiff import read_image, write_labels\n"
    if job.planes:
        imports = (
            "from embedseg_napari.core.files.plane_stack import write_planes\n"
            "from embedseg_napari.core.files.tiff import read_image\n"
        )
    parts = [
        f"# Segments {job.image.name} with {Path(job.model).name}; made by embedseg-napari {software_version()}.\n"
        "import embedseg_napari as es\n"
        "from embedseg_napari.core.axes import guess_axes, result_axes\n"
        f"{imports}"
        f"{units}"
        "from embedseg_napari.jobs.segment import take_channel\n\n"
        f"picture = read_image({str(job.image)!r}, {job.axes!r})\n"
        f"spacing, unit = {size}\n"
        f"model = es.load_model({job.model!r}, device={job.device!r})\n"
        "axes = picture.axes or guess_axes(picture.array.shape, model.config.ndim, model.config.n_channels)\n"
    ]
    if job.region:
        parts.append(
            f"region = {dict(job.region)!r}  # first pixel, and one past the last\n"
            "part = picture.array[tuple(slice(*region.get(axis, (None,))) for axis in axes)]\n"
        )
    array = "part" if job.region else "picture.array"
    target = str(job.output / f"{job.image.stem}.tif")
    what, kept = "labels", "    interval=picture.interval,\n    keep_order=True,\n"
    written = "write_labels(\n    target,\n    segmentation.labels,\n"
    if job.planes:
        what, kept = "planes", ""
        written = (
            "planes = segmentation.planes\n"
            "write_planes(\n    target,\n    planes,\n    len(planes),\n    planes.shape[1:],\n"
        )
    parts.append(
        f"image, own = take_channel({array}, axes, {job.channel!r})\n"
        f"segmentation = model.predict(\n    image,\n    own,\n{settings})\n"
        f"target = {target!r}\n"
        f"{written}    result_axes(axes),\n    spacing,\n    unit,\n{kept}"
        "    overwrite=False,  # True replaces the result of an earlier run\n)\n"
        f'print(f"{{len(segmentation.scores)}} objects; the {what} are in {{target}}")\n'
    )
    if job.region:
        return Recipe(
            "", "The command line has no words for a part of an image; save a script instead.", "".join(parts)
        )
    return Recipe(shlex.join(words), "", "".join(parts))


def file_hash(path: Path) -> str:
    """SHA-256 of a file; of an OME-Zarr, of the names and sums of its files, but labels and what systems hide."""
    if path.is_dir():
        is_hidden = re.compile(r"\.(?!z(array|attrs|group)$)").match
        inside = sorted(
            part.relative_to(path) for part in path.rglob("*") if part.is_file() and not is_hidden(part.name)
        )
        sums = [f"{file_hash(path / part)}  {part.as_posix()}" for part in inside if "labels" not in part.parts]
        return hashlib.sha256("\n".join(sums).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_words(path: Path) -> dict[str, str]:
    """What tells a file from any other."""
    return {"file": readable(path.name), "sha256": file_hash(path)}


def model_words(model: Model, source: str | Path) -> dict[str, str]:
    """What tells a model from any other."""
    path = model.path
    return {
        "name": readable(model.config.name or (Path(source).stem if path is None else path.stem)),
        "file": "" if path is None else readable(path.name),
        "sha256": "" if path is None else file_hash(path),
        "written_by": model.config.software_version,
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def record(
    model: Mapping[str, str],
    settings: PredictionConfig,
    image: Mapping[str, Any],
    labels: Mapping[str, Any],
    words: Sequence[str],
    **more: Any,
) -> str:
    """The recipe of a label image as JSON."""
    content = {
        "program": "embedseg-napari",
        "version": software_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "image": dict(image),
        "labels": dict(labels),
        "model": dict(model),
        "settings": settings.model_dump(mode="json"),
        **more,
        "versions": versions(),
        "command": readable(shlex.join(words)),
        "methods": methods_sentence(model, settings),
        "references": list(REFERENCES),
    }
    return json.dumps(content, indent=2) + "\n"


def methods_sentence(model: Mapping[str, str], settings: PredictionConfig) -> str:
    """One sentence for the methods section of a paper."""
    parts = [
        f"seed threshold {settings.seed_threshold:g}" if settings.seeds == "greedy" else "seeds at local maxima",
        f"foreground threshold {settings.foreground_threshold:g}",
        f"objects of more than {settings.min_object_size} pixels",
    ]
    parts += [f"of at most {settings.max_object_size} pixels"] if settings.max_object_size else []
    parts += [f"images resized by {settings.scale:g}"] if settings.scale != 1 else []
    parts += ["the scale found for each"] if settings.find_scale else []
    parts += ["averaged over flipped and turned views"] if settings.tta else []
    parts += ["objects at the border left out"] if settings.drop_border_objects else []
    parts += ["holes filled"] if settings.fill_holes else []
    digest = f", SHA-256 {model['sha256'][:12]}" if model.get("sha256") else ""
    return (
        "Objects were segmented with EmbedSeg (Lalit et al., 2022; Neven et al., 2019) as implemented in "
        f"embedseg-napari {software_version()}, with the model {model['name']} ({', '.join(parts)}{digest})."
    )


def recipe_of(labels: Path) -> Path:
    """Where the recipe of a label image lies."""
    return labels.parent / FOLDER / f"{labels.stem}.json"


def read_recipe(labels: Path) -> dict[str, Any] | None:
    """The recipe of a label image; None if it has none.

    Raises
    ------
    DataError
        If there is a file that is no recipe.
    """
    path = recipe_of(labels)
    if not path.exists():
        return None
    try:
        content = parse_json(read_text(path))
    except (Unreadable, OSError) as error:
        raise DataError(f"{path}: {error}.") from error
    if content.get("program") != "embedseg-napari":
        raise DataError(f"{path}: is no recipe of a label image.")
    return content


def recipe_rows(recipe: Mapping[str, Any], path: Path) -> list[tuple[str, str]]:
    """Rows of name and value that tell how the label image at a path was made; empty ones left out."""
    image, model, labels = (recipe.get(part) or {} for part in ("image", "model", "labels"))
    if not all(isinstance(part, dict) for part in (image, model, labels)):
        return []
    settings = recipe.get("settings")
    # Labels in a store may be too large to be summed; there it is noted when they are changed.
    is_changed = bool(recipe.get("changed")) if path.is_dir() else labels.get("sha256") != file_hash(path)
    rows = [
        ("Image", image.get("file")),
        ("SHA-256 of the image", image.get("sha256")),
        ("Axes", image.get("axes")),
        ("Objects", labels.get("n_objects")),
        ("Model", model.get("name")),
        ("SHA-256 of the model", model.get("sha256")),
        ("Settings", ", ".join(f"{name} {value}" for name, value in settings.items()) if settings else ""),
        ("Since then", "the label image was changed" if is_changed else ""),
        ("Made", recipe.get("created")),
        ("By", f"embedseg-napari {recipe.get('version')}"),
        ("Command", recipe.get("command")),
    ]
    return [(name, str(value)) for name, value in rows if value not in ("", None)]
