"""What a model file says of its model, in rows of words."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from irno_graph.refine.irno import IRNO

DATA = (
    "data",
    "files",
    "train",
    "trained_on",
    "valid",
    "calibrated_on",
    "converted_from",
)  # entries of `about`
HASHES = ("base_hash", "weights_hash", "description_hash")
UNKNOWN = "not said"


class Fact(NamedTuple):
    """A row: the name of what it is, and what it is."""

    name: str
    text: str


def facts(description: dict[str, Any], weights: dict[str, int]) -> list[Fact]:
    """The rows.

    Args:
        description: of `refine.storage.describe`, which has compared its hashes.
        weights: numbers that were trained, of each part ("base", "corrector", or "module" of a part alone).
    """
    found = []
    for part in ("base", "corrector", "module"):
        if part in description:
            found.append(Fact(part, _part(description[part], weights.get(part, 0))))
    if "corrector" in description:
        found += _refinement(description)
    about = description.get("about") or {}
    versions = description.get("versions") or {}
    return [
        *found,
        *_data(about),
        Fact("about", ", ".join(about) or "nothing"),
        Fact("versions", words(versions) or UNKNOWN),
        Fact("saved at", description.get("commit") or UNKNOWN),
        *(Fact(name.replace("_", " "), str(description[name])) for name in HASHES if description.get(name)),
    ]


def weights_of(model: nn.Module) -> dict[str, int]:
    """How many numbers were trained, in base and corrector, or in the one part that there is."""
    parts = (
        {"base": model.base, "corrector": model.corrector} if isinstance(model, IRNO) else {"module": model}
    )
    return {name: sum(value.numel() for value in part.parameters()) for name, part in parts.items()}


def words(value: Any) -> str:
    """JSON as words.

    >>> words({"points": "mesh", "seeds": [1, 2], "fit": {"rate": 0.5}, "none": None})
    'points mesh, seeds 1 2, fit (rate 0.5)'
    """
    if isinstance(value, dict):
        parts = [
            f"{name} ({words(part)})" if isinstance(part, dict) else f"{name} {words(part)}"
            for name, part in value.items()
            if part not in (None, {}, [])
        ]
        return ", ".join(parts)
    if isinstance(value, list):
        nested = any(isinstance(part, dict | list) for part in value)
        return ("; " if nested else " ").join(map(words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def kind_of(part: dict[str, Any]) -> str:
    """The name of a base's or corrector's class, wrappers outside.

    >>> kind_of({"kind": "OnGrid", "base": {"kind": "FNO"}}), kind_of({"own": "Mine"})
    ('OnGrid(FNO)', 'Mine (not in the file)')
    >>> kind_of({"kind": "RefinedBase", "base": {"kind": "RIGNO"}, "corrector": {"kind": "FNO"}})
    'RefinedBase(RIGNO + FNO)'
    """
    if "own" in part:
        return f"{part['own']} (not in the file)"
    inner = " + ".join(kind_of(part[name]) for name in ("base", "corrector") if name in part)
    return f"{part['kind']}({inner})" if inner else str(part["kind"])


def _part(part: dict[str, Any], count: int) -> str:
    if "own" in part:
        return kind_of(part)
    settings = [words(part["config"])]
    inner = part.get("base")
    while inner is not None:
        settings.append(words(inner["config"]))
        inner = inner.get("base")
    return f"{kind_of(part)}, {count} weights: {'; '.join(filter(None, settings))}"


def _refinement(description: dict[str, Any]) -> list[Fact]:
    alpha, scaling, guard = (description.get(name) for name in ("alpha", "scaling", "guard"))
    found = [Fact("alpha", _choice(alpha)), Fact("steps", str(description["steps"]))]
    if description.get("solver"):
        found.append(Fact("solver", _choice(description["solver"])))
    if guard:
        found.append(Fact("guard", f"after {guard['steps']} steps, {100 * guard['rate']:g} % false alarms"))
    sizes = {} if scaling is None else scaling
    values = {name: part for name, part in sizes.items() if isinstance(part, list)}
    text = words(values) if values else f"{words(sizes)}, its numbers are among the weights"
    return [*found, Fact("scaling", text if sizes else "none: the corrector sees physical units")]


def _choice(entry: Any) -> str:
    if not isinstance(entry, dict):
        return words(entry)
    settings = ", ".join(f"{name}={_choice(part)}" for name, part in entry.items() if name != "kind")
    return f"{entry['kind']}({settings})"


def _data(about: dict[str, Any]) -> list[Fact]:
    """What the model was trained on, and at which commit, as far as `about` says it."""
    config = about.get("config")
    entries = {**(config if isinstance(config, dict) else {}), **about}
    known = {name: entries[name] for name in DATA if entries.get(name)}
    named = {"data": "trained on", "files": "trained on"}
    found = [Fact(named.get(name, name.replace("_", " ")), words(part)) for name, part in known.items()]
    found = found or [Fact("trained on", UNKNOWN)]
    return [*found, *([Fact("trained at", words(about["commit"]))] if about.get("commit") else [])]
