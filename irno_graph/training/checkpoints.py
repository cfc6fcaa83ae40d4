"""Checkpoints of training runs: one safetensors file each, whose header holds everything that is no tensor as JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from irno_graph.files import atomic_path, existing_file
from irno_graph.refine.hashes import tensors_hash

FORMAT = 1
HEADER = "irno_graph_checkpoint"
PACKAGES = ("irno-graph", "torch", "lightning", "safetensors")
KEYS = {"versions", "about", "hash", "content"}
STORED = (torch.complex128,)  # that safetensors has no name for: kept as pairs of real numbers


class CheckpointError(ValueError):
    """A file that is no checkpoint of this version, or content that cannot be kept in one."""


class SafeCheckpoints(CheckpointIO):
    """Lightning's checkpoints as safetensors and JSON: whole or not there, and nothing in them is executed.

    Args:
        about: what a checkpoint says of its run: settings, commit; anything JSON can hold.
    """

    def __init__(self, about: dict[str, Any] | None = None) -> None:
        self.about = about or {}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write it, see `write_checkpoint`."""
        write_checkpoint(path, checkpoint, self.about)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read it, on the CPU."""
        return read_checkpoint(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete it, if it is there."""
        Path(path).unlink(missing_ok=True)


def write_checkpoint(
    path: str | os.PathLike[str], content: dict[str, Any], about: dict[str, Any] | None = None
) -> Path:
    """Write nested dicts, lists and tuples of tensors, numbers, strings and None; the file is whole or not there.

    Raises:
        CheckpointError: if something else is in it, saying where.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_packed(content, "", tensors, {}))
    description = {
        "format": FORMAT,
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "about": about or {},
        "hash": _hash(text, tensors),
        "content": text,
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER: json.dumps(description)})
    return Path(path)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_checkpoint` wrote, bit by bit, tensors on the CPU.

    Raises:
        CheckpointError: if the file is foreign, damaged or of another version.
        MissingFileError: if there is none.
    """
    description, tensors = _opened(existing_file(path))
    if _hash(description["content"], tensors) != description["hash"]:
        raise CheckpointError(f"`{path}` is damaged, its content has another hash: delete it, or restore it.")
    return _unpacked(json.loads(description["content"]), tensors)


def describe_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Format, versions and what the run says of itself (settings, commit)."""
    description, _ = _opened(existing_file(path))
    return {name: description[name] for name in ("format", "versions", "about")}


def _opened(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = {} if header is None else json.loads(header)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(
            f"`{path}` should be a checkpoint of a training run, got: {error}: delete it to begin anew, or restore it."
        ) from error
    found = description.get("format") if isinstance(description, dict) else description
    if found != FORMAT or KEYS - set(description):
        raise CheckpointError(
            f"`{path}` should be a checkpoint of format {FORMAT}, got {found}: it is something else, or of another "
            "version."
        )
    return description, tensors


def _hash(text: str, tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(f"{text}{tensors_hash(tensors)}".encode()).hexdigest()


def _packed(value: Any, place: str, tensors: dict[str, Tensor], seen: dict[Any, str]) -> Any:
    """As JSON has it: lists stay lists, and what JSON lacks is an object with one key, its kind."""
    if isinstance(value, Tensor):
        return _packed_tensor(value, place, tensors, seen)
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
    if isinstance(value, list | tuple):
        items = [_packed(item, f"{place}/{i}", tensors, seen) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        pairs = [
            [_packed(key, f"{place}/key", tensors, seen), _packed(item, f"{place}/{key}", tensors, seen)]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    raise CheckpointError(
        f"a checkpoint should hold tensors, numbers, strings, None, lists, tuples and dicts, got "
        f"{type(value).__name__} at `{place}`: a callback's `state_dict` should give it as one of these."
    )


def _packed_tensor(value: Tensor, place: str, tensors: dict[str, Tensor], seen: dict[Any, str]) -> Any:
    if value.layout != torch.strided or value.is_quantized:
        raise CheckpointError(f"a checkpoint should hold dense tensors, got {value.layout} at `{place}`.")
    same = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride(), value.device)
    name = seen.get(same) if value.numel() else None
    if name is None:
        name = place
        while name in tensors:
            name += "'"
        seen[same] = name
        plain = value.detach().resolve_conj().resolve_neg()
        plain = torch.view_as_real(plain) if value.dtype in STORED else plain
        tensors[name] = plain.cpu().contiguous().clone()
    return {"complex" if value.dtype in STORED else "tensor": name}


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, own),) = value.items()
    if kind == "tensor":
        return tensors[own]
    if kind == "complex":
        return torch.view_as_complex(tensors[own])
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(own))[0]
    if kind == "tuple":
        return tuple(_unpacked(item, tensors) for item in own)
    return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in own}
