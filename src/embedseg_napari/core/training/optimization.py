"""The network that is trained, its optimiser, the running average of its weights, and one step of all three."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel

from embedseg_napari.core.device import is_out_of_memory
from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss_terms
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.networks.network import memory_format

if TYPE_CHECKING:
    import lightning_fabric
    import numpy as np
    from torch import Tensor, nn

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.network import EmbeddingNetwork
    from embedseg_napari.core.training.crops.sampler import CropSampler
    from embedseg_napari.core.training.planning import TrainingPlan

FABRIC_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


class Optimization:
    """Network, optimiser and averaged weights of one training.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    plan : TrainingPlan
        Device, number format, size of objects.
    start_from : Model, optional
        Model whose weights training starts from.
    """

    def __init__(self, config: TrainingConfig, plan: TrainingPlan, start_from: Model | None) -> None:
        self.config = config
        self.fabric = launch_fabric(config, plan)
        network = initial_network(config, plan, start_from)
        self.bare = network.to(self.fabric.device).to(memory_format=memory_format(plan.statistics.ndim))  # type: ignore[call-overload]
        self.average = moving_average(self.bare, config.average_decay)
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        parameters = [p for p in network.parameters() if p.requires_grad]
        optimizer = kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.network, self.optimizer = self.fabric.setup(self.bare, optimizer)

    def step(
        self, sampler: CropSampler, plan: TrainingPlan, learning_rate: float, rng: np.random.Generator
    ) -> list[float]:
        """Make one step over ``virtual_batches`` batches.

        Returns
        -------
        list of float
            The loss, and its instance, variance and seed terms.

        Raises
        ------
        ComputeError
            If memory runs out, or the loss is no number.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.bare.train()
        device = self.fabric.device
        try:
            # Dropout draws from torch's global generator: seed it for this step only, and give it back as it was.
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(int(rng.integers(2**62)))
                losses = self._accumulate_gradients(sampler, plan, rng)
            if not math.isfinite(losses[0]):
                raise ComputeError(
                    f"The loss became {losses[0]} at step {int(self.average.n_averaged) - 1}; train with a lower "
                    "learning rate, or in float32."
                )
            self.optimizer.step()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise ComputeError(
                    "The device ran out of memory; turn on low_memory, or take a smaller crop or batch "
                    "(virtual batches make up for it)."
                ) from error
            raise ComputeError(f"The computation failed: {error}") from error
        self.optimizer.zero_grad()
        self.average.update_parameters(self.bare)
        return losses

    def _accumulate_gradients(self, sampler: CropSampler, plan: TrainingPlan, rng: np.random.Generator) -> list[float]:
        n_batches = self.config.virtual_batches
        losses = [0.0] * 4
        for index in range(n_batches):
            batch = sampler.draw(plan.batch_size, rng)
            images = batch.images.contiguous(memory_format=memory_format(plan.statistics.ndim))
            with self.fabric.no_backward_sync(self.network, enabled=index < n_batches - 1):
                terms = spatial_embedding_loss_terms(
                    self.network(images),
                    batch.instances,
                    batch.centers,
                    plan.model_config.grid_spacing,
                    plan.foreground_weight,
                    (self.config.weight_instance, self.config.weight_variance, self.config.weight_seed),
                    batch.ignore,
                    # With a time budget nothing waits for the compiler; by epochs a training must be repeatable.
                    wait=self.config.epochs is not None,
                )
                self.fabric.backward(terms.total / n_batches)
            losses = [a + float(b.detach()) / n_batches for a, b in zip(losses, terms, strict=True)]
        return losses

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """All tensors that a resumed training needs."""
        state = self.optimizer.state_dict()["state"]
        return {
            "network": self.bare.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizer": {
                f"{index}.{name}": torch.as_tensor(value)
                for index, values in state.items()
                for name, value in values.items()
            },
        }

    def load_state_dict(self, tensors: dict[str, dict[str, Tensor]], n_steps: int) -> None:
        """Put back what :meth:`state_dict` gave after `n_steps` steps."""
        self.bare.load_state_dict(tensors["network"])
        # Older versions left the average out where `average_decay` is 0.
        self.average.module.load_state_dict(tensors["average"] or tensors["network"])
        self.average.n_averaged.fill_(1 + n_steps)
        state: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in tensors["optimizer"].items():
            index, _, name = key.partition(".")
            state[int(index)][name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": dict(state)})


def launch_fabric(config: TrainingConfig, plan: TrainingPlan) -> lightning_fabric.Fabric:
    """Take the devices of a training, in silence."""
    import lightning_fabric

    devices: Any = config.devices
    if plan.device.type == "cuda" and plan.device.index is not None and devices == 1:
        devices = [plan.device.index]
    # Fabric logs its precision and its processes to the console; our events say the same.
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        fabric = lightning_fabric.Fabric(
            accelerator=plan.device.type, devices=devices, precision=FABRIC_PRECISION[plan.precision]
        )
        fabric.launch()
    finally:
        logger.setLevel(level)
    return fabric


def initial_network(config: TrainingConfig, plan: TrainingPlan, start_from: Model | None) -> EmbeddingNetwork:
    """The network with the weights of the start model, or random ones and margins that fit the objects."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build_network(plan.model_config.architecture, plan.statistics.ndim, plan.model_config.n_channels)
    network.gradient_checkpointing = config.low_memory
    network.scale_dropout(config.dropout)
    if start_from is not None:
        network.load_state_dict(start_from.network.state_dict())
    elif config.initial_margin == "object":
        margins = [0.5 * plan.scale * extent for extent in plan.statistics.sizes.mean]
        network.set_initial_margin(margins, plan.model_config.grid_spacing)
    return network


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a network's weights and batch norm statistics, in evaluation mode.

    Parameters
    ----------
    network : nn.Module
        Before its first step; its weights count as the first that were averaged.
    decay : float
        Share of the old average that is kept at each step; with 0 the average follows the network exactly.
    """

    def update(averages: Any, values: Any, n_averaged: Tensor | int) -> None:
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, values)
            return
        # Early on the average follows closely, or it would remember the random start for hundreds of steps.
        n = int(n_averaged)
        torch._foreach_lerp_(averages, values, 1.0 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    average.n_averaged.fill_(1)
    average.eval().requires_grad_(False)
    return average
