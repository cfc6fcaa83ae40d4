"""Hashes of weights, and of what a model file says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

SEAL = "description_hash"


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a module's parameters and buffers."""
    return tensors_hash(module.state_dict())


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """The same of tensors by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def description_hash(description: Mapping[str, Any]) -> str:
    """SHA-256 over what JSON holds, as canonical JSON: names sorted, no spaces, ASCII; without its entry `SEAL`.

    >>> description_hash({"a": 1, "b": [2.5]}) == description_hash({"b": [2.5], "a": 1, SEAL: "any"})
    True
    """
    entries = {name: value for name, value in description.items() if name != SEAL}
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
