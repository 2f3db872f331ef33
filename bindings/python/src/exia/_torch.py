"""Tensors of PyTorch in objects: their data lie in the file as a numpy array's do.

By itself torch pickles a tensor with a copy of its data, into which nobody can map.
"""

from __future__ import annotations

import sys
from typing import Any


def reduce_tensor(obj: Any) -> tuple[Any, ...] | None:
    """Tell how a tensor is pickled by way of an array; None: leave it to torch."""
    torch: Any = sys.modules.get("torch")  # whoever has a tensor has imported it
    if torch is None or type(obj) is not torch.Tensor:
        return None
    if obj.layout != torch.strided or obj.device.type != "cpu" or not obj.is_contiguous():
        return None
    if obj.requires_grad or obj.is_conj() or obj.is_neg() or obj.__dict__:
        return None
    try:
        return tensor_of, (obj.numpy(),)
    except TypeError:  # numpy has no such dtype
        pass
    try:
        bits = {1: torch.uint8, 2: torch.int16}[obj.element_size()]
        return tensor_of, (obj.view(bits).numpy(), str(obj.dtype).removeprefix("torch."))
    except (KeyError, RuntimeError, TypeError):  # quantized, for one
        return None


def tensor_of(array: Any, dtype: str | None = None) -> Any:
    """Make a tensor on an array's memory.  This name is in stored files: it stays."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    tensor = torch.from_numpy(array)
    return tensor if dtype is None else tensor.view(getattr(torch, dtype))
