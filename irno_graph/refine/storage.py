"""Refined models on disk: one safetensors file whose header holds a JSON description."""

from __future__ import annotations

import json
import os
from collections.abc import Callable as Function
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from irno_graph.files import MissingFileError, atomic_path, existing_file
from irno_graph.graph import Graph
from irno_graph.refine.given import LeftOut
from irno_graph.refine.hashes import SEAL, description_hash, tensors_hash, weights_hash
from irno_graph.refine.irno import IRNO
from irno_graph.refine.kinds import OWN, built, built_refinement, described, described_refinement
from irno_graph.refine.limits import StorageError, Within, difference
from irno_graph.refine.origin import commit, versions

FORMAT = 2
UNSEALED = 1  # the format before: nothing but the weights had a hash
HEADER = "irno_graph"
SHIPPED = Path(__file__).parents[1] / "models"
ASIDE = ("format", "versions", "commit", "about", "weights_hash", SEAL)  # not of the model itself


def save(model: nn.Module, path: str | os.PathLike[str], *, about: dict[str, Any] | None = None) -> Path:
    """Write `model` to `path` (suffix .safetensors), atomically.

    Beside the weights the file says what they are of: kinds and sizes, alpha, steps, the units that the corrector
    works in, versions and the git commit of the code, and hashes of the base, of all weights and of all that it says.

    A base that is not the library's own, a function, your module, or a `GridBase` around it, stays out of the file, as
    do its weights: the file has their hash, and `load(path, base=...)` takes the base from you.

    Args:
        model: an `IRNO`, or a base or corrector alone, of this library's kinds, since loading builds them anew.
        path: of the file.
        about: anything JSON can hold: training config, seeds, data, figures.

    Raises:
        ValueError: if a corrector, schedule, solver, or a base alone is of a kind that cannot be described, or JSON
            cannot hold `about`.
    """
    tensors = model.state_dict()
    description = {
        "format": FORMAT,
        **_described(model),
        "versions": versions(),
        "commit": commit(),
        "about": about or {},
    }
    if OWN in description.get("base", {}):
        tensors = {name: value for name, value in tensors.items() if not name.startswith("base.")}
    description["weights_hash"] = tensors_hash(tensors)
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    target, text = Path(path), _sealed(description)
    with atomic_path(target) as temporary:
        save_file(stored, temporary, metadata={HEADER: text})
    return target


def load(
    path_or_name: str | os.PathLike[str], *, base: nn.Module | Function[[Tensor, Graph], Tensor] | None = None
) -> Any:
    """Read what `save` wrote, or a shipped model by its name (`ig.load("ce-gauss-small")`), on the CPU.

    Nothing in the file is executed, and no more memory is taken than a model of the file's size needs. Its hashes tell
    damage and changes by mistake; they are no signature: whoever wants to can write another model with its own hashes.

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
        with Within(tensors, description):
            model = _model(description, path)
        _cast(model, next(value.dtype for value in tensors.values() if value.is_floating_point()))
        model.load_state_dict(tensors)
        found = json.loads(json.dumps(_described(model)))
    except ImportError:  # of an extra that its kinds need
        raise
    except Exception as error:  # whatever constructors meet in settings that are not their own
        raise StorageError(f"`{path}` does not describe a model of this version: {error}") from error
    if weights_hash(model) != description["weights_hash"]:
        raise StorageError(f"`{path}` describes a model with other types of numbers: fetch it again.")
    said = {name: value for name, value in description.items() if name not in ASIDE}
    if where := difference(said, found):
        raise StorageError(f"`{path}` says of `{where}` what its model is not: fetch it again.")
    if base is not None:
        _put(base, model, path)
    return model.eval()


def _model(description: dict[str, Any], path: Path) -> nn.Module:
    """As described, with weights yet to come."""
    return (
        built(description["module"], path) if "module" in description else built_refinement(description, path)
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
    try:
        shipped = SHIPPED / f"{path_or_name}.safetensors"
        if Path(path_or_name).suffix == "" and shipped.is_file():
            return shipped
        return existing_file(path_or_name)
    except MissingFileError as error:
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
        raise MissingFileError(f"{error} Shipped models: {names}.") from error
    except OSError as error:
        raise StorageError(f"`{path_or_name}` should be a model file, got: {error}") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors, both as they were saved."""
    try:
        with safe_open(path, framework="pt") as file:
            description = _opened((file.metadata() or {}).get(HEADER), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = tensors_hash(tensors)
    except StorageError:
        raise
    except Exception as error:  # whatever a reader meets in a damaged or foreign file
        raise StorageError(f"`{path}` should be a model written by irno_graph.save, got: {error}") from error
    if found != description.get("weights_hash"):
        raise StorageError(
            f"the weights in `{path}` do not have the hash they were saved with: fetch it again."
        )
    return description, tensors


def _opened(text: str | None, path: Path) -> dict[str, Any]:
    """The description in a header, if it is as it was sealed."""
    if text is None:
        raise StorageError(f"`{path}` is a safetensors file of something else: it has no `{HEADER}` entry.")
    description = json.loads(text, object_pairs_hook=_distinct)
    form = description.get("format") if isinstance(description, dict) else None
    if type(form) is not int or form not in (UNSEALED, FORMAT):
        raise StorageError(
            f"`{path}` should have format {FORMAT}, got {description!r:.80}: use a matching version."
        )
    sealed = description_hash(description) if form == FORMAT else None
    if description.get(SEAL) != sealed:
        raise StorageError(
            f"what `{path}` says of its model does not have the hash it was saved with: fetch it again."
        )
    return description


def _sealed(description: dict[str, Any]) -> str:
    """Its JSON, with the hash of all that it says, the hash of the weights within."""
    try:
        plain = json.loads(json.dumps(description))
    except (TypeError, ValueError) as error:
        raise StorageError(f"`about` should be what JSON can hold: {error}.") from error
    return json.dumps(plain | {SEAL: description_hash(plain)})


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name that is there twice among {sorted(found)}")
    return found


def _described(model: nn.Module) -> dict[str, Any]:
    """Kinds, settings and units."""
    return described_refinement(model) if isinstance(model, IRNO) else {"module": described(model)}
