"""The network that is trained, its optimiser, the running average of its weights, and one step of all three."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from embedseg_napari.core import device as devices
from embedseg_napari.core.device import is_out_of_memory
from embedseg_napari.core.errors import ComputeError
from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss_terms
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.networks.memory_order import channels_last, memory_format
from embedseg_napari.core.networks.synced_norm import sync_norms
from embedseg_napari.core.runs import n_machines, n_processes
from embedseg_napari.core.training.readback import LossReader

if TYPE_CHECKING:
    from collections.abc import Generator

    import lightning_fabric
    from torch import Tensor, nn

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.network import EmbeddingNetwork
    from embedseg_napari.core.training.crops.ahead import BatchesAhead
    from embedseg_napari.core.training.crops.sampler import Batch
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
    keeps_norms : bool
        Whether batch norm goes on with the statistics of that model, instead of those of each batch.
    """

    def __init__(
        self, config: TrainingConfig, plan: TrainingPlan, start_from: Model | None, *, keeps_norms: bool = False
    ) -> None:
        self.config, self.keeps_norms = config, keeps_norms
        self.fabric = launch_fabric(config, plan)
        network = initial_network(config, plan, start_from)
        self.bare = network.to(self.fabric.device).to(memory_format=memory_format(plan.statistics.ndim))  # type: ignore[call-overload]
        self.average = MovingAverage(self.bare, config.average_decay)
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        parameters = [p for p in network.parameters() if p.requires_grad]
        # All weights in one launch.
        fused = True if devices.queues_work(self.fabric.device) else None
        optimizer = kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)
        if self.fabric.world_size > 1:
            sync_norms(self.bare, self.fabric.device)
        self.network, self.optimizer = self.fabric.setup(self.bare, optimizer)
        self.losses = LossReader(self.fabric.device)

    def step(self, batches: BatchesAhead, plan: TrainingPlan, learning_rate: float, step: int) -> list[list[float]]:
        """Make one step over ``virtual_batches`` batches.

        Returns
        -------
        list of list of float
            The loss, and its instance, variance and seed terms, of the steps whose losses are known by now: on a CPU
            this one, on a GPU earlier ones, as it is not waited for.

        Raises
        ------
        ComputeError
            If memory runs out, or a loss is no number.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.bare.train()
        if self.keeps_norms:
            for norm in (module for module in self.bare.modules() if isinstance(module, _BatchNorm)):
                norm.eval()
        device = self.fabric.device
        try:
            # Dropout draws from torch's global generator: seed it for this step only, and give it back as it was.
            inputs = batches.take(step)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), quick_convolutions(device):
                # Dropout hides other pixels from each process.
                torch.manual_seed(inputs.seed + self.fabric.global_rank)
                losses = self._accumulate_gradients(inputs.batches, plan)
            if self.fabric.world_size > 1:
                losses = cast("Tensor", self.fabric.all_reduce(losses, reduce_op="mean"))
            self.losses.put(step, losses)
            known = self.losses.take()
            self.optimizer.step()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise ComputeError(
                    "The device ran out of memory; turn on low_memory, or take a smaller crop or batch "
                    "(virtual batches make up for it)."
                ) from error
            if self.fabric.world_size > 1:
                raise ComputeError(
                    f"The computation failed, here or in another process of this training ({error}). What was saved "
                    "can be resumed."
                ) from error
            raise ComputeError(f"The computation failed: {error}") from error
        self.optimizer.zero_grad()
        self.average.update_parameters(self.bare)
        return known

    def _accumulate_gradients(self, batches: list[Batch], plan: TrainingPlan) -> Tensor:
        """Loss and its three terms of each batch, shape (batches, 4)."""
        n_batches = len(batches)
        losses = []
        for index, batch in enumerate(batches):
            images = channels_last(batch.images)
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
                    # Crops come with the centres of what they hold.
                    check=False,
                )
                self.fabric.backward(terms.total / n_batches)
            losses.append(torch.stack([term.detach() for term in terms]))
        return torch.stack(losses)

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

    @property
    def is_finite(self) -> bool:
        """Whether all weights of the averaged network are numbers."""
        return all(bool(value.isfinite().all()) for value in self.average.module.state_dict().values())

    def load_state_dict(self, tensors: dict[str, dict[str, Tensor]], n_steps: int) -> None:
        """Put back what :meth:`state_dict` gave after `n_steps` steps."""
        self.bare.load_state_dict(tensors["network"])
        # Older versions left the average out where `average_decay` is 0.
        self.average.module.load_state_dict(tensors["average"] or tensors["network"])
        self.average.n_seen = 1 + n_steps
        state: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in tensors["optimizer"].items():
            index, _, name = key.partition(".")
            state[int(index)][name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": dict(state)})


def shares_training(config: TrainingConfig) -> bool:
    """Whether this process is one of several that make the same training: torchrun starts them for nothing else."""
    return config.devices > 1 or "TORCHELASTIC_RUN_ID" in os.environ


def launch_fabric(config: TrainingConfig, plan: TrainingPlan) -> lightning_fabric.Fabric:
    """Take the devices of a training, in silence."""
    import lightning_fabric

    devices: Any = max(1, n_processes() // n_machines()) if shares_training(config) else 1
    if plan.device.type == "cuda" and plan.device.index is not None and devices == 1:
        devices = [plan.device.index]
    # Fabric logs its precision and its processes to the console; our events say the same.
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        fabric = lightning_fabric.Fabric(
            accelerator=plan.device.type,
            devices=devices,
            num_nodes=n_machines() if shares_training(config) else 1,
            precision=FABRIC_PRECISION[plan.precision],
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


@contextlib.contextmanager
def quick_convolutions(device: torch.device) -> Generator[None, None, None]:
    """Let cuDNN try which of its programs is quickest for the sizes of a training, which are always the same.

    It computes float32 by TensorFloat-32 where the GPU can, as PyTorch's defaults have it.
    """
    cudnn: Any = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = device.type == "cuda" or before
    try:
        yield
    finally:
        cudnn.benchmark = before


class MovingAverage(AveragedModel):
    """Exponential moving average of a network's weights and batch norm statistics, in evaluation mode.

    Parameters
    ----------
    network : nn.Module
        Before its first step; its weights count as the first that were averaged.
    decay : float
        Share of the old average that is kept at each step; with 0 the average follows the network exactly.

    Attributes
    ----------
    n_seen : int
        Networks that were averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.decay = decay
        self.n_seen = 1
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take a network's weights into the average; the count stays on the host, so that no GPU is waited for."""
        averages = [*self.module.parameters(), *self.module.buffers()]
        values = [value.detach() for value in (*model.parameters(), *model.buffers())]
        floats = [value.is_floating_point() for value in averages]
        # Early on the average follows closely, or it would remember the random start for hundreds of steps.
        weight = 1.0 - min(self.decay, (1 + self.n_seen) / (10 + self.n_seen))
        pairs = list(zip(averages, values, strict=True))
        weighed = list(itertools.compress(pairs, floats))
        torch._foreach_lerp_([a for a, _ in weighed], [v for _, v in weighed], weight)
        if copied := [pair for pair, is_float in zip(pairs, floats, strict=True) if not is_float]:
            torch._foreach_copy_([a for a, _ in copied], [v for _, v in copied])
        self.n_seen += 1
