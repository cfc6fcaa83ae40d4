"""Errors of fields on graphs: mass-weighted, per channel, per graph; RIGNO's and IRNO's own; of flows, per group."""

from irno_graph.metrics.errors import (
    anomaly_correlation,
    channel_errors,
    chunk_errors,
    mean_of_medians,
    median_of_means,
    official_vrmse,
    relative_l1,
    relative_l2,
    vrmse,
)
from irno_graph.metrics.flow import FlowReport, flow_report, fluctuation_errors

__all__ = [
    "FlowReport",
    "anomaly_correlation",
    "channel_errors",
    "chunk_errors",
    "flow_report",
    "fluctuation_errors",
    "mean_of_medians",
    "median_of_means",
    "official_vrmse",
    "relative_l1",
    "relative_l2",
    "vrmse",
]
