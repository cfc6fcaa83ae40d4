"""Which values of an experiment's models are possible, and what the others should be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from irno_graph.bases.rigno import Stepper

if TYPE_CHECKING:
    from irno_graph.experiments.config import ExperimentConfig, FitConfig

Rule = tuple[str, bool, str]  # key, whether its value is possible, what it should be
BASES = ("rigno", "fno")
CORRECTORS = ("multiscale", "flat", "edges")
LOSSES = ("eigenbasis", "magnitude", "chebyshev", "bands")
COUNTS = {
    "base": ("hidden", "processor_steps", "draws", "grid", "modes", "layers"),
    "corrector": (
        *("hidden", "layers", "levels", "steps", "truncate", "refresh_every", "loss_modes"),
        "monitor_trajectories",
    ),
}
NOT_NEGATIVE = (
    *("edge_hidden", "modes", "single_steps", "past_steps", "rollout_trajectories", "refresh_trajectories"),
    *("beta_spectral", "beta_fp", "beta_jacobian", "beta_norm", "p_start", "p_end"),
    *("input_noise", "monitor_every"),
)


def rules_of_models(config: ExperimentConfig) -> Iterator[Rule]:
    """The rules for base, corrector and their training."""
    base, corrector, data = config.base, config.corrector, config.data
    yield "threads", config.threads >= 0, "0 (torch chooses) or more"
    longest = round(data.final_time / data.save_every)
    few = f"a number of snapshots, 1 up to the {longest} after the first one"
    yield "base.kind", base.kind in BASES, "one of " + ", ".join(BASES)
    yield "base.longest_lead", 1 <= base.longest_lead <= longest, few
    yield "base.edge_masking", 0 <= base.edge_masking < 1, "a number in [0, 1)"
    yield "base.stepper", base.stepper in tuple(Stepper), "one of " + ", ".join(Stepper)
    yield "corrector.spectral_loss", corrector.spectral_loss in LOSSES, "one of " + ", ".join(LOSSES)
    yield "corrector.kind", corrector.kind in CORRECTORS, "one of " + ", ".join(CORRECTORS)
    yield "corrector.alpha", 0 < corrector.alpha <= 1, "a number in (0, 1]"
    yield "corrector.pushforward", 0 <= corrector.pushforward <= 1, "a number in [0, 1]"
    for part, names in COUNTS.items():
        for name in names:
            yield f"{part}.{name}", getattr(getattr(config, part), name) >= 1, "1 or more"
    yield from _of_grids(config) if base.kind == "fno" else ()
    for name in NOT_NEGATIVE:
        yield f"corrector.{name}", getattr(corrector, name) >= 0, "0 or more"
    for part in ("base", "corrector"):
        fit: FitConfig = getattr(config, part).fit
        for name in ("epoch_batches", "validate_every", "optimizer_steps", "batch_size"):
            yield f"{part}.fit.{name}", getattr(fit, name) >= 1, "1 or more"
        yield f"{part}.fit.schedule", fit.schedule in ("annealed", "rigno"), "annealed or rigno"
        yield f"{part}.fit.learning_rate", 0 < fit.learning_rate < math.inf, "positive"
        yield f"{part}.fit.tail", 0 <= fit.tail < 1, "a number in [0, 1)"


def _of_grids(config: ExperimentConfig) -> Iterator[Rule]:
    """What a base on a grid needs, and cannot have."""
    base, of = config.base, "with base.kind fno"
    most = (base.grid + 1) // 2
    yield "base.kind", not config.data.walled, f"rigno with the flow {config.data.flow}"
    yield "base.grid", base.grid >= 4, f"4 or more {of}"
    yield (
        "base.modes",
        base.modes <= most,
        f"at most {most}, which a grid of {base.grid} cells a side resolves",
    )
    yield "base.longest_lead", base.longest_lead == 1, f"1 {of}, which knows one lead time"
    yield "base.fractional", not base.fractional, f"false {of}, which knows one lead time"
    yield "base.edge_masking", base.edge_masking == 0, f"0 {of}, which has no edges"
    yield "base.recompute", not base.recompute, f"false {of}, which keeps all that it needs"
    yield "base.fit.compiled", not base.fit.compiled, f"false {of}, whose transforms are not compiled"
