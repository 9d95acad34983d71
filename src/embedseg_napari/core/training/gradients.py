"""Gradients of one optimiser step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss_terms
from embedseg_napari.core.networks.network import memory_format

if TYPE_CHECKING:
    import lightning_fabric
    import numpy as np

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.training.crops.sampler import CropSampler
    from embedseg_napari.core.training.planning import TrainingPlan


@dataclass(slots=True)
class Gradients:
    """Adds up the gradients of the batches of a step."""

    config: TrainingConfig
    plan: TrainingPlan
    fabric: lightning_fabric.Fabric
    network: Any
    """As set up by Fabric."""
    sampler: CropSampler

    def __call__(self, rng: np.random.Generator) -> list[float]:
        """Draw batches with `rng` and go backward; loss and its terms, averaged over the batches."""
        sums = [0.0] * 4
        parts = self.config.virtual_batches
        weights = (self.config.weight_instance, self.config.weight_variance, self.config.weight_seed)
        for part in range(parts):
            batch = self.sampler.draw(self.plan.batch_size, rng)
            images = batch.images.contiguous(memory_format=memory_format(batch.images.ndim - 2))
            with self.fabric.no_backward_sync(self.network, enabled=part < parts - 1):
                terms = spatial_embedding_loss_terms(
                    self.network(images),
                    batch.instances,
                    batch.centers,
                    self.plan.model_config.grid_spacing,
                    self.plan.foreground_weight,
                    weights,
                    batch.ignore,
                    # With a time budget nothing waits for the compiler; by epochs a training shall be repeatable.
                    wait=self.config.epochs is not None,
                )
                self.fabric.backward(terms.total / parts)
            sums = [a + float(b.detach()) / parts for a, b in zip(sums, terms, strict=True)]
        return sums
