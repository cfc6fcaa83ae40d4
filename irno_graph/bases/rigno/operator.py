"""RIGNO as a base operator: regional graph, normalisation and time stepper around the network."""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor, nn

from irno_graph.bases.rigno.network import Architecture, RIGNONetwork
from irno_graph.bases.rigno.regional import RegionalGraph, RegionalSettings, union
from irno_graph.graph import Graph, graph_list
from irno_graph.graph.cache import per_graph
from irno_graph.nn.fields import check_field, per_sample


class RIGNO(nn.Module):
    """RIGNO with the time-derivative stepper: u(t + tau) = u(t) + tau (sigma y + mu), y the network's output.

    Args:
        in_channels: state channels, then coefficients.
        channels: state channels.
        architecture: sizes of the network.
        regional: how regional graphs are built.
        periodic: whether the operator is for periodic graphs (it decides the coordinate features).
        time_span: (first, last) time of the problem, which normalises `time` and `lead_time`.
        lead_time: the default lead time.

    Source: RIGNO (arXiv 2501.19205).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        architecture: Architecture | None = None,
        regional: RegionalSettings | None = None,
        periodic: bool = True,
        time_span: tuple[float, float] = (0.0, 1.0),
        lead_time: float = 0.1,
    ) -> None:
        super().__init__()
        self.in_channels, self.channels = in_channels, channels
        self.architecture = architecture or Architecture()
        self.regional_settings = regional or RegionalSettings()
        self.periodic, self.time_span, self.lead_time = periodic, time_span, lead_time
        coordinates = 4 * self.regional_settings.coordinate_frequencies if periodic else 2
        self.network = RIGNONetwork(
            in_channels, channels, architecture=self.architecture, coordinate_channels=coordinates
        )
        self.input_mean: Tensor
        self.input_std: Tensor
        self.rate_mean: Tensor
        self.rate_std: Tensor
        self.register_buffer("input_mean", torch.zeros(in_channels))
        self.register_buffer("input_std", torch.ones(in_channels))
        self.register_buffer("rate_mean", torch.zeros(channels))
        self.register_buffer("rate_std", torch.ones(channels))

    def config(self) -> dict[str, object]:
        """What `RIGNO.from_config` needs to build the same operator, without its weights."""
        return {
            "in_channels": self.in_channels,
            "channels": self.channels,
            "architecture": asdict(self.architecture),
            "regional": asdict(self.regional_settings),
            "periodic": self.periodic,
            "time_span": list(self.time_span),
            "lead_time": self.lead_time,
        }

    @staticmethod
    def from_config(config: dict) -> RIGNO:
        """Build the operator that `config()` describes."""
        options = dict(config)
        options["architecture"] = Architecture(**options["architecture"])
        options["regional"] = RegionalSettings(**options["regional"])
        options["time_span"] = tuple(options["time_span"])
        return RIGNO(options.pop("in_channels"), options.pop("channels"), **options)

    def set_statistics(
        self, input_mean: Tensor, input_std: Tensor, rate_mean: Tensor, rate_std: Tensor
    ) -> None:
        """Set mean and standard deviation of the inputs `[in_channels]` and of the time derivative `[channels]`."""
        for name, value in (
            ("input_mean", input_mean),
            ("input_std", input_std),
            ("rate_mean", rate_mean),
            ("rate_std", rate_std),
        ):
            getattr(self, name).copy_(value)

    def regional_graph(self, graph: Graph) -> RegionalGraph:
        """The regional graph of `graph` (a union for a batch), built once for each graph."""
        return _regional_graph(graph, self.regional_settings, self.periodic)

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Tensor | float | None = None,
        lead_time: Tensor | float | None = None,
    ) -> Tensor:
        """State `[..., nodes, channels]` at `time + lead_time` from x `[..., nodes, in_channels]` at `time`.

        The network computes in the type of its weights, the answer has the type of x.

        `time` and `lead_time` are scalars or have x's leading dimensions, in the problem's unit of time.

        Raises:
            ValueError: if x does not fit the graph or the operator's channels.
        """
        check_field(x, graph, self.in_channels, "x")
        leading = x.shape[:-2]
        flat = x.reshape(-1, *x.shape[-2:]).to(self.input_mean.dtype)  # [samples, nodes, in_channels]
        samples = flat.shape[0]
        tau = per_sample(self.lead_time if lead_time is None else lead_time, leading, flat)
        start = per_sample(0.0 if time is None else time, leading, flat)
        rate = self.rate(flat, self.regional_graph(graph), time=start, lead_time=tau)
        change = (tau.view(samples, 1, 1) * rate).reshape(*leading, -1, self.channels)
        return x[..., : self.channels] + change.to(x.dtype)

    def rate(self, u: Tensor, regional: RegionalGraph, *, time: Tensor, lead_time: Tensor) -> Tensor:
        """Mean time derivative `[samples, nodes, channels]` over the lead time, in physical units."""
        first, last = self.time_span
        y = self.network(
            (u - self.input_mean) / self.input_std,
            regional,
            time=(time - first) / (last - first),
            lead_time=lead_time / (last - first),
        )
        return y * self.rate_std + self.rate_mean


@per_graph
def _regional_graph(graph: Graph, settings: RegionalSettings, periodic: bool) -> RegionalGraph:
    built = [
        RegionalGraph.build(
            part.pos.cpu().numpy(), domain=_domain(part, periodic), periodic=periodic, **asdict(settings)
        )
        for part in graph_list(graph)
    ]
    return union(built).to(graph.pos.device)


def _domain(graph: Graph, periodic: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    period = graph.period
    if periodic:
        if period is None or any(length is None for length in period):
            raise ValueError(
                f"this operator is for graphs that are periodic in every axis, got period={period}."
            )
        return tuple(0.0 for _ in period), tuple(float(length) for length in period)
    return tuple(graph.pos.amin(dim=0).tolist()), tuple(graph.pos.amax(dim=0).tolist())
