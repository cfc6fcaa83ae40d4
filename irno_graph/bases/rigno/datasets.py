"""What the reference's code, not its files, knows of its data sets.

Source: RIGNO (arXiv 2501.19205), appendix on data sets, and the reference implementation's metadata.
"""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[tuple[float, ...], tuple[float, ...]]
UNIT: Box = ((0.0, 0.0), (1.0, 1.0))


@dataclass(frozen=True)
class DatasetInfo:
    """Facts of one data set.

    Attributes:
        periodic: whether its domain is.
        domain: corners of the box of its points.
        time_span: first and last time, None for a steady problem.
        active: numbers of the channels that are predicted.
        chunks: the group of each active channel; errors are taken per group.
        mean: of each active channel, as published with the data, and `std` its standard deviation.
    """

    periodic: bool
    domain: Box
    time_span: tuple[float, float] | None
    active: tuple[int, ...]
    chunks: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _scalar(domain: Box, span: tuple[float, float] | None, mean: float, std: float) -> DatasetInfo:
    return DatasetInfo(False, domain, span, (0,), (0,), (mean,), (std,))


def _euler(pressure: float) -> DatasetInfo:
    mean, std = (0.80, 0.0, 0.0, pressure), (0.31, 0.391, 0.356, 0.185)
    return DatasetInfo(True, UNIT, (0.0, 1.0), (0, 1, 2, 3), (0, 1, 1, 2), mean, std)


_NAVIER_STOKES = DatasetInfo(True, UNIT, (0.0, 1.0), (0, 1), (0, 0), (0.0, 0.0), (0.391, 0.356))
_BOTH = {
    **{f"NS-{kind}": _NAVIER_STOKES for kind in ("Gauss", "PwC", "SL", "SVS")},
    "CE-Gauss": _euler(2.513),
    "CE-RP": _euler(0.215),
    "ACE": _scalar(UNIT, (0.0, 0.0002), 0.002484262, 0.65351176),
    "Wave-Layer": _scalar(UNIT, (0.0, 1.0), 0.0346744322, 0.1044242175),
}
DATASETS = {
    **{f"unstructured/{name}": info for name, info in _BOTH.items()},
    **{f"poseidon/{name}": info for name, info in _BOTH.items()},
    "unstructured/Heat-L-Sines": _scalar(UNIT, (0.0, 0.002), -0.009399102, 0.020079814),
    "unstructured/Wave-C-Sines": _scalar(((-0.5, -0.5), (1.5, 1.5)), (0.0, 0.1), 0.0, 0.011314605),
    "unstructured/Poisson-Gauss": _scalar(UNIT, None, 0.00056034584, 0.02401226127),
    "unstructured/AF": _scalar(((-3.0, -3.0), (5.0, 3.0)), None, 0.9637927980, 0.1183082280),
    "unstructured/Elasticity": _scalar(UNIT, None, 187.477, 127.046),
}
