"""Bases, correctors and losses that a config describes."""

from __future__ import annotations

from torch import nn

from irno_graph.bases import RIGNO, PlainFNO, Stepped
from irno_graph.bases.rigno import Architecture, RegionalSettings, Stepper
from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.correctors.corrector import GraphCorrector
from irno_graph.experiments.config import CorrectorConfig, ExperimentConfig
from irno_graph.losses import (
    BandFilterLoss,
    ChebyshevSpectralLoss,
    SpectralLoss,
    coefficient_distance,
    magnitude_distance,
)
from irno_graph.training.base_task import set_statistics
from irno_graph.training.pairs import TrajectorySet
from irno_graph.training.stepped_task import on_square, standardised_step


def new_base(config: ExperimentConfig, sets: list[TrajectorySet]) -> RIGNO | Stepped:
    """The base with its first weights and the statistics of the training sets.

    Raises:
        ValueError: if it is for a periodic square, and the sets are not in one.
    """
    wanted, lead_time = config.base, config.data.save_every
    if wanted.kind == "fno":
        network = PlainFNO(4, 4, hidden=wanted.hidden, modes=wanted.modes, layers=wanted.layers)
        on_grid = on_square(network, sets, side=wanted.grid)
        return standardised_step(on_grid, sets, stepper=Stepper(wanted.stepper), lead_time=lead_time)
    base = RIGNO(
        4,
        4,
        architecture=Architecture(
            processor_steps=wanted.processor_steps,
            node_hidden=wanted.hidden,
            edge_hidden=wanted.hidden,
            use_time=False,
        ),
        regional=RegionalSettings(walls=config.data.walled),
        periodic=not config.data.walled,
        stepper=wanted.stepper,
        lead_time=lead_time,
    )
    set_statistics(base, sets, wanted.longest_lead)
    return base


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
