"""What a computation asks of a device: how much it launches, and how often the host would wait for a result."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = {
    "alias", "as_strided", "detach", "expand", "lift_fresh", "permute", "select", "slice", "split", "split_with_sizes",
    "squeeze", "t", "transpose", "unbind", "unsqueeze", "view", "_reshape_alias", "_unsafe_view",
}  # fmt: skip
WAITS = {
    "_local_scalar_dense", "bincount", "equal", "is_nonzero", "item", "masked_select", "nonzero", "unique_consecutive",
    "unique_dim", "_unique", "_unique2",
}  # fmt: skip
"""Operations whose result, or its size, the host needs before it can go on."""


class DeviceWork(TorchDispatchMode):
    """Counts, for the thread that it is used in, operations that a GPU would launch and those it would be waited for.

    Attributes
    ----------
    n_launches : int
        Operations other than views.
    waits : Counter
        Names of those the host waits for, and how often.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_launches = 0
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count one operation and do it."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        self.n_launches += name not in VIEWS
        counts = name == "repeat_interleave" and func._overloadname == "Tensor" and kwargs.get("output_size") is None
        masks = name == "index" and any(i is not None and i.dtype.itemsize == 1 for i in args[1])
        if name in WAITS or counts or masks:
            self.waits[name] += 1
        return func(*args, **kwargs)
