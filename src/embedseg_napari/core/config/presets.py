"""Settings of a training that go together."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {},
    "few": {
        "minutes": 3.0,
        "steps_per_epoch": 16,
        "batch_pixels": 65536,
        "reference_extent": 28.0,
        "validation_fraction": 0.0,
        "validation_objects": 0.1,
        "reached_seeds": True,
        "keep_start": True,
        "find_scale": True,
    },
    "paper": {
        "epochs": 200,
        "minutes": None,
        "architecture": "branched-erfnet",
        "steps_per_epoch": None,
        "reference_extent": None,
        "crop_context": False,
        "image_balance": 0.0,
        "batch_size": 16,
        "optimizer": "adam",
        "learning_rate": 5e-4,
        "start_rate": 1.0,
        "schedule": "polynomial",
        "warmup": 0.0,
        "average_decay": 0.0,
        "dropout": 1.0,
        "precision": "float32",
        "center_of": "fragment",
        "initial_margin": "constant",
        "grid_samples": 1024,
        "margin_scale": 1.0,
        "faint_seeds": 0.0,
        "augmentation": dict.fromkeys(("scale", "shift", "paste", "gain", "offset", "gamma", "noise"), 0.0),
    },
}
"""What each preset sets differently from the defaults of `TrainingConfig`."""
