"""What a model file says of refinements, bases, correctors, schedules, solvers and guards, and what is built of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from torch import nn

from irno_graph.bases import FNO as FNOBase
from irno_graph.bases import (
    RIGNO,
    SFNO,
    TFNO,
    WDSR,
    HighFrequencyScaled,
    OnGrid,
    PlainFNO,
    Standardised,
    Stepped,
)
from irno_graph.correctors import (
    FNO,
    ConvNeXt,
    EdgeMessagePassing,
    MessagePassing,
    MultiscaleMessagePassing,
    ResNet,
    UNet,
)
from irno_graph.refine.given import Given, LeftOut
from irno_graph.refine.guard import FEATURES, Guard
from irno_graph.refine.irno import IRNO
from irno_graph.refine.limits import MOST_NESTED, MOST_STEPS, StorageError, check_settings
from irno_graph.refine.refined import RefinedBase
from irno_graph.refine.scaling import Scaling
from irno_graph.refine.schedules import Averaged, Constant, Decaying, Harmonic
from irno_graph.refine.solvers import Aitken, Anderson

OWN = "own"  # in place of a base's kind: the user's, not in the file
UNITS = ("input_mean", "input_std", "mean", "std", "error")  # of a scaling
KINDS: dict[str, Any] = {
    "FNOBase": FNOBase,
    "PlainFNO": PlainFNO,
    "RIGNO": RIGNO,
    "SFNO": SFNO,
    "TFNOBase": TFNO,
    "WDSR": WDSR,
    "EdgeMessagePassing": EdgeMessagePassing,
    "MessagePassing": MessagePassing,
    "MultiscaleMessagePassing": MultiscaleMessagePassing,
    "UNet": UNet,
    "ResNet": ResNet,
    "ConvNeXt": ConvNeXt,
    "FNO": FNO,
}
WRAPPERS: dict[str, Any] = {  # of a base
    "HighFrequencyScaled": HighFrequencyScaled,
    "OnGrid": OnGrid,
    "Standardised": Standardised,
    "Stepped": Stepped,
}
CHOICES: dict[str, Any] = {
    kind.__name__: kind for kind in (Constant, Decaying, Harmonic, Averaged, Aitken, Anderson)
}


def is_own(base: nn.Module) -> bool:
    """Whether a base is the user's, or holds a module or function of the user's."""
    if type(base) is RefinedBase:
        return is_own(base.model.base) or not _is_of(KINDS, base.model.corrector)
    return is_own(base.base) if _is_of(WRAPPERS, base) else not _is_of(KINDS, base)  # type: ignore[arg-type]


def described(module: nn.Module, depth: int = 0) -> dict[str, Any]:
    """Kind and settings in JSON form; `depth` is the number of modules around it.

    Raises:
        StorageError: if it is not one of KINDS, a wrapper around one, or a refined model as a base; if more than
            `MOST_NESTED` of these are around each other.
    """
    _check_depth(depth)
    found: dict[str, Any] = {"kind": _kind(module)}
    if type(module) is RefinedBase:
        return found | {"config": {}} | described_refinement(module.model, depth + 1)
    if _is_of(WRAPPERS, module):
        return found | {"config": module.config(), "base": described(module.base, depth + 1)}  # type: ignore
    if not _is_of(KINDS, module):
        raise StorageError(
            f"only {sorted(KINDS)} of this library can be saved, got {found['kind']}: save its weights yourself."
        )
    return found | {"config": module.config()}  # type: ignore[operator]


def built(entry: dict[str, Any], path: Path, depth: int = 0) -> nn.Module:
    """What `described` described, with weights yet to come.

    Raises:
        StorageError: for a kind that is not known, settings of other types than its own, or more than `MOST_NESTED`
            modules around each other.
    """
    _check_depth(depth)
    name = entry["kind"]
    if name == RefinedBase.__name__:
        return RefinedBase(built_refinement(entry, path, depth + 1))
    kind = WRAPPERS.get(name) or KINDS.get(name)
    if kind is None:
        known = sorted({*KINDS, *WRAPPERS, RefinedBase.__name__})
        raise StorageError(f"`{path}` holds a {name!r:.60}, known kinds are {known}.")
    check_settings(kind, entry["config"])
    if name in WRAPPERS:
        return kind.from_config(entry["config"], built(entry["base"], path, depth + 1))
    return kind.from_config(entry["config"])


def described_refinement(model: IRNO, depth: int = 0) -> dict[str, Any]:
    """Base, corrector, alpha, steps, units and the hash of the base's weights in JSON form.

    Raises:
        StorageError: if a part of it cannot be described.
    """
    scaling = model.scaling
    if math.isnan(model.alpha):
        raise StorageError(
            '`alpha` is "auto" and not chosen yet: `refine.choose_alpha` gives it to the model.'
        )
    if model.steps > MOST_STEPS:
        raise StorageError(f"`steps` of a file should be at most {MOST_STEPS}, got {str(model.steps)[:20]}")
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
        "base": {OWN: name} if is_own(base) else described(base, depth),
        "corrector": described(model.corrector, depth),
        "alpha": model.alpha if model.schedule is None else choice(model.schedule),
        "steps": model.steps,
        "scaling": None if scaling is None else _units(scaling),
        "base_hash": base_hash,
        **({} if model.solver is None else {"solver": choice(model.solver)}),
        **({} if model.guard is None else {"guard": dataclasses.asdict(model.guard)}),
    }


def built_refinement(entry: dict[str, Any], path: Path, depth: int = 0) -> IRNO:
    """What `described_refinement` described, with weights yet to come.

    Raises:
        StorageError: for a part that cannot be.
    """
    scaling, own = entry["scaling"], entry["base"].get(OWN)
    return IRNO(
        built(entry["base"], path, depth) if own is None else LeftOut(str(own), entry["base_hash"]),
        built(entry["corrector"], path, depth),
        alpha=chosen(entry["alpha"]),
        steps=entry["steps"],
        scaling=None if scaling is None else Scaling.identity(scaling["in_channels"], scaling["channels"]),
        solver=chosen(entry.get("solver")),
        guard=guard_of(entry.get("guard")),
    )


def _check_depth(depth: int) -> None:
    if depth > MOST_NESTED:
        raise StorageError(f"at most {MOST_NESTED} bases should be around each other, got more")


def _units(scaling: Scaling) -> dict[str, Any]:
    values = {name: getattr(scaling, name).tolist() for name in UNITS}
    return {"in_channels": len(values["input_mean"]), "channels": len(values["mean"]), **values}


def _kind(module: nn.Module) -> str:
    return str(getattr(type(module), "kind", type(module).__name__))


def _is_of(kinds: dict[str, Any], module: nn.Module) -> bool:
    return type(module) is kinds.get(_kind(module))


def choice(value: Any) -> Any:
    """A number as it is, a schedule or solver as a dict of its settings."""
    if not callable(value) and not dataclasses.is_dataclass(value):
        return value
    kind = type(value).__name__
    if CHOICES.get(kind) is not type(value):
        raise StorageError(f"only {sorted(CHOICES)} can be saved with a model, got {value}: use one of them.")
    fields = dataclasses.fields(value)
    return {"kind": kind, **{field.name: choice(getattr(value, field.name)) for field in fields}}


def chosen(entry: Any) -> Any:
    """What `choice` described."""
    if not isinstance(entry, dict):
        return entry
    settings = {name: value for name, value in entry.items() if name != "kind"}
    check_settings(CHOICES[entry["kind"]], settings)
    return CHOICES[entry["kind"]](**{name: chosen(value) for name, value in settings.items()})


def guard_of(entry: dict[str, Any] | None) -> Guard | None:
    """A guard from its settings in JSON form."""
    if entry is None:
        return None
    check_settings(Guard, entry)
    settings: dict[str, Any] = {
        name: tuple(part) if isinstance(part, list) else part for name, part in entry.items()
    }
    sizes = {name: len(part) for name, part in settings.items() if isinstance(part, tuple)}
    if set(sizes.values()) != {len(FEATURES)}:
        raise StorageError(f"a guard has {len(FEATURES)} features, got {sizes}")
    return Guard(**settings)
