"""What `metrics.flow_report` says of the last states of rollouts, over all trajectories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irno_graph.data.sets import FieldStatistics
from irno_graph.experiments.evaluation import CHANNELS
from irno_graph.graph import Graph
from irno_graph.metrics import FlowReport, flow_report
from irno_graph.refine import IRNO
from irno_graph.spectral import octaves

MEASURES = ("relative", "scaled", "published", "bands", "kept")


class LastStates:
    """Reports of rollouts by name; its call is the `look` of `compare_rollouts`.

    Bands are octaves: up to 1/8, 1/4, 1/2 and all of the highest frequency of the graph.

    Args:
        graph: of the nodes.
        statistics: of the training data.
    """

    def __init__(self, graph: Graph, statistics: FieldStatistics) -> None:
        self.graph, self.statistics = graph, statistics
        self.reports: dict[str, list[FlowReport]] = {}
        self.time_step = 0
        self._bank = octaves(graph)

    @classmethod
    def of_model(cls, model: IRNO, graph: Graph) -> LastStates:
        """With the mean and the deviation of the model's training data.

        Raises:
            ValueError: if the model has no scaling that holds them.
        """
        if model.scaling is None:
            raise ValueError(
                "`model` should have a scaling with the moments of its training data, got none: make a `LastStates` "
                "with statistics."
            )
        known = FieldStatistics.of(CHANNELS, model.scaling.mean.cpu(), model.scaling.std.cpu())
        return cls(graph, known)

    def __call__(self, rollout: str, states: Tensor, truth: Tensor) -> None:
        """Note the last of `states` `[time_steps, samples, nodes, channels]`."""
        self.time_step = len(states)
        report = flow_report(
            states[-1], truth[-1], self.graph, CHANNELS, self.statistics, energies=self._bank.band_energy
        )
        self.reports.setdefault(rollout, []).append(report)

    def to_json(self) -> dict[str, Any]:
        """Means over the samples: rollout to measure (`MEASURES`) to group to a number, or one per band.

        None where a rollout has ended. `frequencies` are the upper edges of the bands; `share` is the mean part of the
        truth's energy in each band, per group.
        """
        edges = self._bank.edges[0, 1:].tolist()
        rollouts = {
            name: {measure: _means(own, measure) for measure in MEASURES}
            for name, own in self.reports.items()
        }
        first = next(iter(self.reports.values()), [])
        return {
            "time_step": self.time_step,
            "frequencies": edges,
            "share": _means(first, "share"),
            "rollouts": rollouts,
        }


def _means(reports: list[FlowReport], measure: str) -> dict[str, Any]:
    parts: list[dict[str, Tensor]] = [getattr(report, measure) for report in reports]
    means = {group: torch.cat([part[group] for part in parts]).mean(dim=0) for group in parts[0]}
    return {
        group: _number(mean) if mean.dim() == 0 else [_number(value) for value in mean]
        for group, mean in means.items()
    }


def _number(value: Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None
