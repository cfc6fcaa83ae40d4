"""Checkpoints of the official IRNO code, read into the names of this package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from irno_graph.correctors.grid.blocks import Norm
from irno_graph.files import existing_file

Key = tuple[str, tuple[int, ...]]  # name in this package, shape


@dataclass(frozen=True)
class Official:
    """What a checkpoint of the official code holds.

    Attributes:
        in_channels: channels of x.
        channels: channels of h.
        base_channels: channels at full resolution.
        depth: how often the resolution is halved.
        norm: kind of the norms.
        steps: K of the training, None where the checkpoint does not tell.
        tensors: weights by their names in `UNet`.
    """

    in_channels: int
    channels: int
    base_channels: int
    depth: int
    norm: Norm
    steps: int | None
    tensors: dict[str, Tensor]


def read_official(checkpoint: str | os.PathLike[str] | Mapping[str, Any], *, trust: bool = False) -> Official:
    """Read a checkpoint of the official code: a dict of `model_state_dict` and `K`, among other things.

    The layout is that of `RefinementOperator` in models/model.py of
    https://github.com/xiaotianliu-dartmouth/Iterative_Refinement_Neural_Operator (commit 5733ad1). With b channels at
    full resolution and depth d, in the plane:

    - `encoders.i`, b 2^i channels: 0 convolution of width 3, 1 norm, 2 GELU, 3 convolution, 4 norm, 5 GELU; then the
      maxima of 2 x 2 points;
    - `bottleneck`, b 2^d channels, likewise;
    - `upconvs.i`: 0 bilinear interpolation with aligned corners, 1 convolution of width 3 to half the channels;
    - `decoders.i`, like an encoder, of [upconvs.i, the skip]; `output`, a convolution of width 1.

    The norm is a layer norm over channels (`encoders.0.1.norm.weight`), a batch norm (there is a `running_mean`) or a
    group norm of 8 groups, fewer where 8 does not divide the channels; the number of groups, the padding (circular in
    its configuration), alpha and the units of the fields are not in a checkpoint. Names may begin with `module.`.

    Args:
        checkpoint: a loaded dict, of the weights alone too, a .safetensors file of them, or a .pt or .pth file.
        trust: whether a .pt or .pth file may be read. These are pickles; they are read with `weights_only=True`, which
            executes nothing but what PyTorch allows, and numbers of numpy, in which the official code keeps its loss.

    Raises:
        ValueError: if the file is missing, is a pickle that is not trusted, or cannot be read; if a weight is missing,
            has another shape or is not known, naming the first one.
    """
    loaded = checkpoint if isinstance(checkpoint, Mapping) else _loaded(existing_file(checkpoint), trust)
    state = loaded.get("model_state_dict", loaded)
    if not isinstance(state, Mapping):
        raise ValueError(f"`model_state_dict` should be a dict of tensors, got {type(state).__name__}.")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    depth = sum(name.startswith("encoders.") and name.endswith(".0.weight") for name in state)
    first = _tensor(state, "encoders.0.0.weight", 4)
    last = _tensor(state, "output.weight", 4)
    base, channels = first.shape[0], last.shape[0]
    norm: Norm = "layer" if "encoders.0.1.norm.weight" in state else "group"
    if "encoders.0.1.running_mean" in state:
        norm = "batch"
    wanted = _names(base, depth, norm, first.shape[1], channels)
    for name, (_, shape) in wanted.items():
        found = _tensor(state, name, len(shape))
        if found.shape != shape:
            raise ValueError(
                f"`{name}` should have shape {list(shape)} in a U-Net of {base} channels and depth {depth}, got "
                f"{list(found.shape)}: it is not a checkpoint of the layout of `read_official`."
            )
    for name in state:
        if name not in wanted:
            raise ValueError(
                f"`{name}` is not known in a U-Net of depth {depth} with norm '{norm}': it is not a checkpoint of "
                "the layout of `read_official`."
            )
    if first.shape[1] <= channels:
        raise ValueError(
            f"`encoders.0.0.weight` should take x and the {channels} channels of h, got {first.shape[1]} channels."
        )
    steps = loaded.get("K")
    return Official(
        in_channels=first.shape[1] - channels,
        channels=channels,
        base_channels=base,
        depth=depth,
        norm=norm,
        steps=int(steps) if isinstance(steps, int) else None,
        tensors={own: state[name] for name, (own, _) in wanted.items()},
    )


def _tensor(state: Mapping[str, Any], name: str, dimensions: int) -> Tensor:
    value = state.get(name)
    if not isinstance(value, Tensor) or value.dim() != dimensions:
        came = "nothing" if value is None else f"{type(value).__name__} {list(getattr(value, 'shape', []))}"
        raise ValueError(
            f"`{name}` should be a tensor of {dimensions} dimensions, got {came}: it is not a checkpoint of the "
            "layout of `read_official`."
        )
    return value


def _names(base: int, depth: int, norm: Norm, inputs: int, channels: int) -> dict[str, Key]:
    """Name in this package and shape of every entry of a checkpoint."""
    widths = [base * 2**level for level in range(depth + 1)]
    names: dict[str, Key] = {}
    for level, (above, width) in enumerate(zip([inputs, *widths], widths, strict=False)):
        names |= _block(f"encoders.{level}" if level < depth else "bottleneck", above, width, norm)
    for level, width in enumerate(widths[-2::-1]):
        names |= _convolution(f"upconvs.{level}.1", f"rises.{level}.conv", 2 * width, width)
        names |= _block(f"decoders.{level}", 2 * width, width, norm)
    return names | {
        "output.weight": ("last.weight", (channels, base, 1, 1)),
        "output.bias": ("last.bias", (channels,)),
    }


def _block(prefix: str, above: int, width: int, norm: Norm) -> dict[str, Key]:
    names: dict[str, Key] = {}
    for number, channels in enumerate((above, width)):
        names |= _convolution(
            f"{prefix}.{3 * number}", f"{prefix}.convolutions.{number}.conv", channels, width
        )
        theirs = f"{prefix}.{3 * number + 1}" + (".norm" if norm == "layer" else "")
        own = f"{prefix}.norms.{number}"
        for name in ("weight", "bias", *(("running_mean", "running_var") if norm == "batch" else ())):
            names[f"{theirs}.{name}"] = (f"{own}.{name}", (width,))
        if norm == "batch":
            names[f"{theirs}.num_batches_tracked"] = (f"{own}.num_batches_tracked", ())
    return names


def _convolution(theirs: str, own: str, channels: int, out: int) -> dict[str, Key]:
    return {
        f"{theirs}.weight": (f"{own}.weight", (out, channels, 3, 3)),
        f"{theirs}.bias": (f"{own}.bias", (out,)),
    }


def _loaded(path: Path, trust: bool) -> Mapping[str, Any]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"`{path}` should be a safetensors file, got: {error}.") from error
    if not trust:
        raise ValueError(
            f"`{path}` is a pickle, which is read with `trust=True` alone: pass it if you know where the file is from."
        )
    scalar: Any = np.float32(0).__reduce__()[0]
    allowed: list[Any] = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    allowed += [np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64))]
    try:
        with torch.serialization.safe_globals(allowed):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged or foreign file, whatever the unpickler meets
        raise ValueError(f"`{path}` should be a checkpoint of tensors and numbers, got: {error}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"`{path}` should hold a dict, got {type(found).__name__}.")
    return found
