"""How well the ranking of predicted objects by doubt finds the wrong ones; and the fit of its weights.

    python benchmarks/doubt.py DATASET [--model nuclei-2d] [--images 50] [--noise 0] [--fit]

DATASET is a folder with `images/` and `masks/`. An object is wrong if its IoU with every true object is below 0.5. For
each term and for the combination: AUROC, the precision among the k most doubtful objects, k being the number of wrong
ones, and the share of the wrong ones among the most doubtful tenth. The combination is also measured as a person meets
it, image by image. `--noise` adds noise, in standard deviations of the image, so that the model errs otherwise. With
`--fit`, weights fitted on a random half of the images are printed, and what they give on the other half.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata, spearmanr

from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.evaluation.matching import match, overlaps
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.review.doubt import BIAS, WEIGHTS, image_doubt, rank_doubt
from embedseg_napari.core.review.views import disagreeing_views

TERMS = list(WEIGHTS)
SPLITS = 30


def best_iou(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Best IoU of each predicted object with a true one."""
    found = overlaps(truth, labels)
    best = np.zeros(labels.max())
    np.maximum.at(best, found.predicted_ids[found.predicted_index] - 1, found.iou)
    return best


def auroc(score: np.ndarray, is_wrong: np.ndarray) -> float:
    n = np.count_nonzero(is_wrong)
    if n in (0, len(is_wrong)):
        return np.nan
    return float((rankdata(score)[is_wrong].sum() - n * (n + 1) / 2) / (n * (len(is_wrong) - n)))


def precision_among(score: np.ndarray, is_wrong: np.ndarray) -> float:
    """Share of wrong ones among the first k, k being the number of wrong ones."""
    return float(is_wrong[np.argsort(-score, kind="stable")[: np.count_nonzero(is_wrong)]].mean())


def found_in_tenth(score: np.ndarray, is_wrong: np.ndarray) -> float:
    """Share of the wrong ones that the first tenth of all objects holds."""
    return float(is_wrong[np.argsort(-score, kind="stable")[: len(score) // 10]].sum() / is_wrong.sum())


def fit(terms: np.ndarray, is_wrong: np.ndarray) -> np.ndarray:
    """Weights and bias of a logistic regression, the weights not below 0 and drawn a little towards it."""

    def cost(w: np.ndarray) -> float:
        odds = terms @ w[:-1] + w[-1]
        return float(np.sum(np.logaddexp(0, odds) - is_wrong * odds) + 0.3 * np.sum(w[:-1] ** 2))

    bounds = [(0, None)] * terms.shape[1] + [(None, None)]
    return np.asarray(minimize(cost, np.zeros(terms.shape[1] + 1), bounds=bounds).x)


def measure(model: Model, folder: str, n_images: int, noise: float) -> dict[str, np.ndarray]:
    terms, wrong, image_of, per_image, missed = [], [], [], [], []
    seconds = 0.0
    for number, example in enumerate(load_folder(folder)[:n_images]):
        axes = "C" + "ZYX"[-example.ndim :]
        image = example.image.astype(np.float32)
        image += noise * image.std() * np.random.default_rng(number).standard_normal(image.shape, np.float32)
        segmentation = model.predict(image, axes)
        views = disagreeing_views(model, image, axes)
        start = time.perf_counter()
        doubts = rank_doubt(segmentation, views)
        seconds += time.perf_counter() - start
        iou = best_iou(example.instances, segmentation.labels)
        hits = overlaps(example.instances, segmentation.labels)
        is_found = np.zeros(len(hits.true_ids), bool)
        is_found[hits.true_index[hits.iou >= 0.5]] = True
        lost = set(hits.true_ids[~is_found].tolist())
        for doubt in doubts:
            if doubt.kind == "missed":
                values, counts = np.unique(example.instances[doubt.pixels], return_counts=True)
                is_hit = any(v in lost and c > 0.5 * counts.sum() for v, c in zip(values, counts, strict=True))
                missed.append((doubt.reasons["missed"], is_hit))
                continue
            terms.append([doubt.reasons[name] for name in TERMS])
            wrong.append(iou[doubt.label - 1] < 0.5)
            image_of.append(number)
        row = match(example.instances, segmentation.labels, (0.5,))[0]
        per_image.append((image_doubt(doubts), 1 - row.ap))
    print(f"ranking took {1000 * seconds / len(per_image):.0f} ms per image, views clustered\n")
    return {
        "terms": np.array(terms),
        "wrong": np.array(wrong, bool),
        "image": np.array(image_of),
        "images": np.array(per_image),
        "missed": np.array(missed, float).reshape(-1, 2),
    }


def report(found: dict[str, np.ndarray]) -> None:
    terms, wrong = found["terms"], found["wrong"]
    if not wrong.any():
        raise SystemExit(f"None of {len(wrong)} objects is wrong: nothing to find.")
    print(f"{len(wrong)} objects, {wrong.sum()} of them wrong, in {len(found['images'])} images\n")
    columns = {name: terms[:, index] for index, name in enumerate(TERMS)}
    columns["all"] = terms @ np.array(list(WEIGHTS.values())) + BIAS
    columns["all but views"] = columns["all"] - WEIGHTS["views"] * columns["views"]
    print("| term | AUROC | precision at k | wrong ones in the first tenth |")
    print("|---|---|---|---|")
    for name, values in columns.items():
        print(
            f"| {name} | {auroc(values, wrong):.3f} | {precision_among(values, wrong):.2f} "
            f"| {found_in_tenth(values, wrong):.2f} |"
        )
    each = [auroc(columns["all"][found["image"] == i], wrong[found["image"] == i]) for i in np.unique(found["image"])]
    each = [value for value in each if np.isfinite(value)]
    if each:
        print(f"\nwithin an image (mean over {len(each)} with both kinds): AUROC {np.mean(each):.3f}")
    doubt, error = found["images"].T
    print(f"images: rank correlation of their doubt with 1 - AP at 0.5: {spearmanr(doubt, error).statistic:.2f}")
    probability = 1 / (1 + np.exp(-columns["all"]))
    print(f"objects: mean score {probability.mean():.3f}, share of wrong ones {wrong.mean():.3f}")
    seediness, is_hit = found["missed"].T
    if len(is_hit):
        print(
            f"missed: {len(is_hit)} places, {is_hit.mean():.2f} of them in an object missed or badly outlined; "
            f"AUROC of their seediness {auroc(seediness, is_hit > 0):.2f}"
        )


def report_fit(found: dict[str, np.ndarray]) -> None:
    terms, wrong, image = found["terms"], found["wrong"], found["image"]
    rng, numbers = np.random.default_rng(0), np.unique(found["image"])
    fixed, fitted, weights = [], [], []
    for _ in range(SPLITS):
        is_train = np.isin(image, rng.permutation(numbers)[: len(numbers) // 2])
        if min(wrong[is_train].sum(), wrong[~is_train].sum()) < 5:
            continue
        weights.append(fit(terms[is_train], wrong[is_train]))
        fitted.append(auroc(terms[~is_train] @ weights[-1][:-1], wrong[~is_train]))
        fixed.append(auroc(terms[~is_train] @ np.array(list(WEIGHTS.values())), wrong[~is_train]))
    print(
        f"\nhalf against half, {len(fitted)} splits: AUROC of fitted weights {np.mean(fitted):.3f} +- "
        f"{np.std(fitted):.3f}, of the fixed ones {np.mean(fixed):.3f} +- {np.std(fixed):.3f}"
    )
    names = [*TERMS, "bias"]
    print("mean weights of the halves:", dict(zip(names, np.mean(weights, 0).round(1).tolist(), strict=True)))
    print("weights of all images:", dict(zip(names, fit(terms, wrong).round(1).tolist(), strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description="How well doubt finds wrong objects.")
    parser.add_argument("dataset", help="folder with images/ and masks/")
    parser.add_argument("--model", default="nuclei-2d", help="bundled model or file")
    parser.add_argument("--images", type=int, default=50, help="use the first so many")
    parser.add_argument("--noise", type=float, default=0.0, help="noise in standard deviations of the image")
    parser.add_argument("--fit", action="store_true", help="fit the weights anew")
    options = parser.parse_args()
    found = measure(load_model(options.model, "cpu"), options.dataset, options.images, options.noise)
    report(found)
    if options.fit:
        report_fit(found)


if __name__ == "__main__":
    main()
