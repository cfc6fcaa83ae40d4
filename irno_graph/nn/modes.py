"""Whether torch runs operations as they are written."""

from __future__ import annotations

import torch


def is_eager(device: str) -> bool:
    """Whether nothing stands between code and kernels: no compiler, no transform of `torch.func`, no autocast."""
    transformed = torch._C._are_functorch_transforms_active()  # as torch.autograd.Function asks, too
    return not (torch.compiler.is_compiling() or transformed or torch.is_autocast_enabled(device))
