"""Correctors and losses that a config describes."""

from __future__ import annotations

from torch import nn

from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.experiments.config import CorrectorConfig
from irno_graph.losses import (
    BandFilterLoss,
    ChebyshevSpectralLoss,
    SpectralLoss,
    coefficient_distance,
    magnitude_distance,
)


def new_corrector(wanted: CorrectorConfig, *, walls: bool = False) -> GraphCorrector:
    """The corrector with its first weights; `walls`: whether it is told where the boundary is."""
    options = Options(edge_hidden=wanted.edge_hidden, walls=walls)
    if wanted.kind == "multiscale":
        return MultiscaleMessagePassing(
            4,
            4,
            hidden=wanted.hidden,
            layers=wanted.layers,
            levels=wanted.levels,
            modes=wanted.modes,
            options=options,
        )
    kind = MessagePassing if wanted.kind == "flat" else EdgeMessagePassing
    return kind(4, 4, hidden=wanted.hidden, layers=wanted.layers, options=options)


def spectral_loss(wanted: CorrectorConfig) -> nn.Module | None:
    """The spectral term of the loss; None where its weight is 0."""
    if wanted.beta_spectral == 0:
        return None
    first, last = wanted.p_start, wanted.p_end
    if wanted.spectral_loss == "bands":
        return BandFilterLoss(p_start=first, p_end=last)
    if wanted.spectral_loss == "chebyshev":
        return ChebyshevSpectralLoss(p_start=first, p_end=last)
    distance = magnitude_distance if wanted.spectral_loss == "magnitude" else coefficient_distance
    return SpectralLoss(wanted.loss_modes, distance=distance, p_start=first, p_end=last)
