"""Whether torch runs operations as they are written."""

from __future__ import annotations

import torch


def is_eager(device: str) -> bool:
    """Whether nothing stands between code and kernels: no compiler, no transform of `torch.func`, no autocast."""
    return not (torch.compiler.is_compiling() or is_transformed() or torch.is_autocast_enabled(device))


def is_transformed() -> bool:
    """Whether a transform of `torch.func` is at work."""
    return torch._C._are_functorch_transforms_active()  # as torch.autograd.Function asks, too
