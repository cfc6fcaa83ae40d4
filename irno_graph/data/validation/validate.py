"""All checks that fit a source, after one pass over it."""

from __future__ import annotations

from collections.abc import Callable

from irno_graph.data.readers.source import FieldSource
from irno_graph.data.validation.field_checks import (
    channels_check,
    duplicates_check,
    standstill_check,
    times_check,
    values_check,
)
from irno_graph.data.validation.findings import Finding
from irno_graph.data.validation.flow_checks import (
    axes_check,
    conservation_checks,
    energy_check,
    positivity_check,
    start_check,
)
from irno_graph.data.validation.flow_figures import FlowNames
from irno_graph.data.validation.scan import Record, periodic, scan


def validate(
    source: FieldSource,
    *,
    samples: int | None = None,
    gamma: float = 1.4,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """One finding per check; the source is read once, one sample and a few snapshots at a time.

    All data: values that can be read and are finite, times, constant channels, samples and snapshots that are there
    twice. Flows in planes and volumes, told by the names of a velocity, or of a momentum and a density
    (`flow_figures.FlowNames`): the divergence of the first snapshot in four ways to read the axes, and the conservation
    of momentum over time; with rho of mass, with p or E of energy; E against p and rho; positivity; and what CE-Gauss
    starts from, where the flow starts with constant density and pressure.
    Means over the domain are weighted by the masses of the graph's nodes.

    Args:
        source: of the data, as `irno_graph.data.readers.open_data` gives it.
        samples: how many to read, spread evenly; None reads all. Duplicates are found among those.
        gamma: ratio of specific heats.
        progress: called as progress(done, total) after every sample.

    Raises:
        ValueError: if `samples` is not positive, or `gamma` not above 1.
    """
    if not gamma > 1:
        raise ValueError(f"`gamma` should be above 1, got {gamma}: air has 1.4.")
    names = FlowNames.of(source.channels)
    scanned = scan(source, samples, names=names, gamma=gamma, progress=progress)
    found = [
        values_check(scanned, source.channels),
        times_check(source.times),
        channels_check(scanned, source.channels),
        duplicates_check(scanned),
        standstill_check(scanned, source),
    ]
    if scanned.no_graph:
        found.append(Finding("flow", f"not checked: {scanned.no_graph}", "a graph of the nodes", "look"))
    elif names is not None:
        found += _flow_findings(scanned.records, source, names, gamma)
    return [finding for finding in found if finding is not None]


def _flow_findings(
    records: list[Record], source: FieldSource, names: FlowNames, gamma: float
) -> list[Finding | None]:
    flows = [record for record in records if record.flow]
    axes = axes_check(flows, "grid" if hasattr(source, "axes") else "points")
    excuse = None if periodic(source) else "the box is not periodic"
    if not names.certain and (axes is None or axes.verdict == "look"):
        excuse = excuse or "u and v may be no velocity"
    found = [axes, *conservation_checks(flows, excuse)]
    return [*found, energy_check(flows, gamma), positivity_check(flows), start_check(flows, gamma)]
