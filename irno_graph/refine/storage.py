"""Refined models on disk: one safetensors file whose header holds a JSON description."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable as Function
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from irno_graph.files import MissingFileError, atomic_path, existing_file
from irno_graph.graph import Graph
from irno_graph.refine.given import Given, LeftOut
from irno_graph.refine.hashes import tensors_hash, weights_hash
from irno_graph.refine.irno import IRNO
from irno_graph.refine.kinds import StorageError, built, choice, chosen, described, guard_of, is_own
from irno_graph.refine.scaling import Scaling

FORMAT = 1
HEADER = "irno_graph"
OWN = "own"  # in place of a base's kind: the user's, not in the file
SHIPPED = Path(__file__).parents[1] / "models"


def save(model: nn.Module, path: str | os.PathLike[str], *, about: dict[str, Any] | None = None) -> Path:
    """Write `model` to `path` (suffix .safetensors), atomically.

    A base that is not the library's own, a function, your module, or a `GridBase` around it, stays out of the file, as
    do its weights: the file has their hash, and `load(path, base=...)` takes the base from you.

    Args:
        model: an `IRNO`, or a base or corrector alone, of this library's kinds, since loading builds them anew.
        path: of the file.
        about: anything JSON can hold: training config, seeds, commit, figures.

    Raises:
        ValueError: if a corrector, schedule, solver, or a base alone is of a kind that cannot be described.
    """
    description = {
        "format": FORMAT,
        **(_described_refinement(model) if isinstance(model, IRNO) else {"module": described(model)}),
        "versions": {name: metadata.version(name) for name in ("irno-graph", "torch", "torch-geometric")},
        "about": about or {},
    }
    tensors = model.state_dict()
    if OWN in description.get("base", {}):
        tensors = {name: value for name, value in tensors.items() if not name.startswith("base.")}
    description["weights_hash"] = tensors_hash(tensors)
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    target = Path(path)
    with atomic_path(target) as temporary:
        save_file(stored, temporary, metadata={HEADER: json.dumps(description)})
    return target


def load(
    path_or_name: str | os.PathLike[str], *, base: nn.Module | Function[[Tensor, Graph], Tensor] | None = None
) -> Any:
    """Read what `save` wrote, or a shipped model by its name (`ig.load("ce-gauss-small")`), on the CPU.

    Nothing in the file is executed.

    Args:
        path_or_name: of the file.
        base: the base of a model whose file does not have it, with the weights that the model was saved with. Without
            it such a model refines answers only (`refine.with_answers`, `irno-graph refine`).

    Raises:
        ValueError: if there is no such file or shipped model, the file is foreign, damaged or altered, or `base` has
            other weights or is in the file.
    """
    path = locate(path_or_name)
    description, tensors = _read(path)
    try:
        model = _model(description, path)
        _cast(model, next(value.dtype for value in tensors.values() if value.is_floating_point()))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError, StopIteration) as error:
        raise StorageError(f"`{path}` does not describe a model of this version: {error}") from error
    if weights_hash(model) != description.get("weights_hash"):
        raise StorageError(
            f"the weights in `{path}` do not have the hash they were saved with: fetch it again."
        )
    if base is not None:
        _put(base, model, path)
    return model.eval()


def _model(description: dict[str, Any], path: Path) -> nn.Module:
    """As described, with weights yet to come."""
    if "module" in description:
        return built(description["module"], path)
    scaling, own = description["scaling"], description["base"].get(OWN)
    return IRNO(
        built(description["base"], path) if own is None else LeftOut(str(own), description["base_hash"]),
        built(description["corrector"], path),
        alpha=chosen(description["alpha"]),
        steps=description["steps"],
        scaling=None if scaling is None else Scaling.identity(**scaling),
        solver=chosen(description.get("solver")),
        guard=guard_of(description.get("guard")),
    )


def _put(base: nn.Module | Function[[Tensor, Graph], Tensor], model: nn.Module, path: Path) -> None:
    """Give a model its base, if it is the one that was left out."""
    if not isinstance(model, IRNO) or not isinstance(model.base, LeftOut):
        raise StorageError(f"`{path}` has all that belongs to its model: leave `base` out.")
    new = IRNO(base, model.corrector).base
    if model.base.weights_hash not in (None, weights_hash(new)):
        raise StorageError(
            f"`base` should have the weights that the model in `{path}` was saved with, a {model.base.name}, got other "
            "ones: load them into it. To refine another base's answers, load without `base` and set `model.base`."
        )
    model.base = new


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
    base = model.base
    base_hash: str | None = model.base_hash
    if isinstance(base, Given):
        raise StorageError(
            "`with_answers` gave the model these answers for a base: save the model it was called on."
        )
    if isinstance(base, LeftOut):
        base_hash = base.weights_hash
    name = base.name if isinstance(base, LeftOut) else type(base).__name__
    return {
        "base": {OWN: name} if is_own(base) else described(base),
        "corrector": described(model.corrector),
        "alpha": model.alpha if model.schedule is None else choice(model.schedule),
        "steps": model.steps,
        "scaling": None
        if scaling is None
        else {"in_channels": len(scaling.input_mean), "channels": len(scaling.mean)},
        "base_hash": base_hash,
        **({} if model.solver is None else {"solver": choice(model.solver)}),
        **({} if model.guard is None else {"guard": dataclasses.asdict(model.guard)}),
    }
