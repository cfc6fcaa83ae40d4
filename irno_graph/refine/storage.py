"""Refined models on disk: one safetensors file whose header holds a JSON description."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from irno_graph.bases import FNO as FNOBase
from irno_graph.bases import RIGNO, SFNO, TFNO, WDSR, HighFrequencyScaled, OnGrid, Standardised
from irno_graph.correctors import (
    FNO,
    ConvNeXt,
    EdgeMessagePassing,
    MessagePassing,
    MultiscaleMessagePassing,
    ResNet,
    UNet,
)
from irno_graph.files import MissingFileError, atomic_path, existing_file
from irno_graph.refine.guard import Guard
from irno_graph.refine.irno import IRNO, weights_hash
from irno_graph.refine.scaling import Scaling
from irno_graph.refine.schedules import Averaged, Constant, Decaying, Harmonic
from irno_graph.refine.solvers import Aitken, Anderson

FORMAT = 1
HEADER = "irno_graph"
SHIPPED = Path(__file__).parents[1] / "models"
KINDS: dict[str, Any] = {
    "FNOBase": FNOBase.from_config,
    "RIGNO": RIGNO.from_config,
    "SFNO": SFNO.from_config,
    "TFNOBase": TFNO.from_config,
    "WDSR": WDSR.from_config,
    "EdgeMessagePassing": EdgeMessagePassing.from_config,
    "MessagePassing": MessagePassing.from_config,
    "MultiscaleMessagePassing": MultiscaleMessagePassing.from_config,
    "UNet": UNet.from_config,
    "ResNet": ResNet.from_config,
    "ConvNeXt": ConvNeXt.from_config,
    "FNO": FNO.from_config,
}
WRAPPERS: dict[str, Any] = {  # of a base
    "HighFrequencyScaled": HighFrequencyScaled.from_config,
    "OnGrid": OnGrid.from_config,
    "Standardised": Standardised.from_config,
}
FOREIGN = ("Callable", "GridBase", "SphereBase", "SuperResolution")  # hold a module or function of the user's
CHOICES: dict[str, Any] = {
    kind.__name__: kind for kind in (Constant, Decaying, Harmonic, Averaged, Aitken, Anderson)
}


class StorageError(ValueError):
    """A file that is not a model of this library, or a damaged one."""


def save(model: nn.Module, path: str | os.PathLike[str], *, about: dict[str, Any] | None = None) -> Path:
    """Write `model` to `path` (suffix .safetensors), atomically.

    Args:
        model: an `IRNO`, or a base or corrector alone, of this library's kinds, since loading builds them anew.
        path: of the file.
        about: anything JSON can hold: training config, seeds, commit, figures.

    Raises:
        ValueError: if base, corrector, schedule or solver is of a kind that cannot be described.
    """
    description = {
        "format": FORMAT,
        **(_described_refinement(model) if isinstance(model, IRNO) else {"module": _described(model)}),
        "weights_hash": weights_hash(model),
        "versions": {name: metadata.version(name) for name in ("irno-graph", "torch", "torch-geometric")},
        "about": about or {},
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    target = Path(path)
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={HEADER: json.dumps(description)})
    return target


def load(path_or_name: str | os.PathLike[str]) -> Any:
    """Read what `save` wrote, or a shipped model by its name (`ig.load("ce-gauss-small")`), on the CPU.

    Nothing in the file is executed.

    Raises:
        ValueError: if there is no such file or shipped model, or the file is foreign, damaged or altered.
    """
    path = locate(path_or_name)
    description, tensors = _read(path)
    try:
        if "module" in description:
            model = _built(description["module"], path)
        else:
            scaling = description["scaling"]
            model = IRNO(
                _built(description["base"], path),
                _built(description["corrector"], path),
                alpha=_chosen(description["alpha"]),
                steps=description["steps"],
                scaling=None if scaling is None else Scaling.identity(**scaling),
                solver=_chosen(description.get("solver")),
                guard=_guard(description.get("guard")),
            )
        _cast(model, next(value.dtype for value in tensors.values() if value.is_floating_point()))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError, StopIteration) as error:
        raise StorageError(f"`{path}` does not describe a model of this version: {error}") from error
    if weights_hash(model) != description.get("weights_hash"):
        raise StorageError(
            f"the weights in `{path}` do not have the hash they were saved with: fetch it again."
        )
    return model.eval()


def _cast(model: nn.Module, dtype: torch.dtype) -> None:
    """Make what is real `dtype` and what is complex its complex counterpart: `Module.to` would drop imaginary parts."""

    def cast(value: torch.Tensor) -> torch.Tensor:
        if value.is_complex():
            return value.to(dtype.to_complex())
        return value.to(dtype) if value.is_floating_point() else value

    model._apply(cast)


def describe(path_or_name: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON description in a model file: kinds, sizes, alpha, steps, versions, and what `save` got as `about`."""
    return _read(locate(path_or_name))[0]


def locate(path_or_name: str | os.PathLike[str]) -> Path:
    """The file of a path or of a shipped model's name."""
    shipped = SHIPPED / f"{path_or_name}.safetensors"
    if Path(path_or_name).suffix == "" and shipped.is_file():
        return shipped
    try:
        return existing_file(path_or_name)
    except MissingFileError as error:
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
        raise MissingFileError(f"{error} Shipped models: {names}.") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header is None:
            raise StorageError(
                f"`{path}` is a safetensors file of something else: it has no `{HEADER}` entry."
            )
        description = json.loads(header)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise StorageError(f"`{path}` should be a model written by irno_graph.save, got: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise StorageError(
            f"`{path}` should have format {FORMAT}, got {description!r:.80}: use a matching version."
        )
    return description, tensors


def _described_refinement(model: IRNO) -> dict[str, Any]:
    scaling = model.scaling
    if math.isnan(model.alpha):
        raise StorageError(
            '`alpha` is "auto" and not chosen yet: `refine.choose_alpha` gives it to the model.'
        )
    return {
        "base": _described(model.base),
        "corrector": _described(model.corrector),
        "alpha": model.alpha if model.schedule is None else _choice(model.schedule),
        "steps": model.steps,
        "scaling": None
        if scaling is None
        else {"in_channels": len(scaling.input_mean), "channels": len(scaling.mean)},
        "base_hash": model.base_hash,
        **({} if model.solver is None else {"solver": _choice(model.solver)}),
        **({} if model.guard is None else {"guard": dataclasses.asdict(model.guard)}),
    }


def _described(module: nn.Module) -> dict[str, Any]:
    kind = getattr(type(module), "kind", type(module).__name__)
    if kind in WRAPPERS:
        return {"kind": kind, "config": module.config(), "base": _described(module.base)}  # type: ignore
    if kind in FOREIGN:
        raise StorageError(
            f"only what the library can build anew is saved, got {kind} around a module or function of your own: save "
            "its weights yourself."
        )
    if kind not in KINDS:
        raise StorageError(f"only {sorted(KINDS)} can be saved, got {kind}: save its weights yourself.")
    return {"kind": kind, "config": module.config()}  # type: ignore[operator]


def _choice(value: Any) -> Any:
    """A number as it is, a schedule or solver as a dict of its settings."""
    if not callable(value) and not dataclasses.is_dataclass(value):
        return value
    kind = type(value).__name__
    if CHOICES.get(kind) is not type(value):
        raise StorageError(f"only {sorted(CHOICES)} can be saved with a model, got {value}: use one of them.")
    fields = dataclasses.fields(value)
    return {"kind": kind, **{field.name: _choice(getattr(value, field.name)) for field in fields}}


def _chosen(entry: Any) -> Any:
    """What `_choice` described."""
    if not isinstance(entry, dict):
        return entry
    settings = {name: _chosen(value) for name, value in entry.items() if name != "kind"}
    return CHOICES[entry["kind"]](**settings)


def _guard(entry: dict[str, Any] | None) -> Guard | None:
    if entry is None:
        return None
    settings: dict[str, Any] = {
        name: tuple(part) if isinstance(part, list) else part for name, part in entry.items()
    }
    return Guard(**settings)


def _built(entry: dict[str, Any], path: Path) -> nn.Module:
    if entry["kind"] in WRAPPERS:
        return WRAPPERS[entry["kind"]](entry["config"], _built(entry["base"], path))
    if entry["kind"] not in KINDS:
        raise StorageError(f"`{path}` holds a {entry['kind']!r}, known kinds are {sorted(KINDS)}.")
    return KINDS[entry["kind"]](entry["config"])
