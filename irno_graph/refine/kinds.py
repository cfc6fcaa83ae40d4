"""What a model file says of bases, correctors, schedules, solvers and guards, and what is built of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

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
from irno_graph.refine.guard import FEATURES, Guard
from irno_graph.refine.limits import StorageError, check_settings
from irno_graph.refine.schedules import Averaged, Constant, Decaying, Harmonic
from irno_graph.refine.solvers import Aitken, Anderson

KINDS: dict[str, Any] = {
    "FNOBase": FNOBase,
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
}
CHOICES: dict[str, Any] = {
    kind.__name__: kind for kind in (Constant, Decaying, Harmonic, Averaged, Aitken, Anderson)
}


def is_own(base: nn.Module) -> bool:
    """Whether a base is the user's, or holds a module or function of the user's."""
    return is_own(base.base) if _is_of(WRAPPERS, base) else not _is_of(KINDS, base)  # type: ignore[arg-type]


def described(module: nn.Module) -> dict[str, Any]:
    """Kind and settings in JSON form.

    Raises:
        StorageError: if it is not one of KINDS, or a wrapper around one.
    """
    found: dict[str, Any] = {"kind": _kind(module)}
    if _is_of(WRAPPERS, module):
        return found | {"config": module.config(), "base": described(module.base)}  # type: ignore
    if not _is_of(KINDS, module):
        raise StorageError(
            f"only {sorted(KINDS)} of this library can be saved, got {found['kind']}: save its weights yourself."
        )
    return found | {"config": module.config()}  # type: ignore[operator]


def built(entry: dict[str, Any], path: Path) -> nn.Module:
    """What `described` described, with weights yet to come.

    Raises:
        StorageError: for a kind that is not known or settings of other types than its own.
    """
    name = entry["kind"]
    kind = WRAPPERS.get(name) or KINDS.get(name)
    if kind is None:
        raise StorageError(f"`{path}` holds a {name!r:.60}, known kinds are {sorted({*KINDS, *WRAPPERS})}.")
    check_settings(kind, entry["config"])
    if name in WRAPPERS:
        return kind.from_config(entry["config"], built(entry["base"], path))
    return kind.from_config(entry["config"])


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
