"""RIGNO as a base operator: regional graph, normalisation and time stepper around the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from irno_graph.bases.rigno.boxed import build, regional_graph
from irno_graph.bases.rigno.network import Architecture, RIGNONetwork
from irno_graph.bases.rigno.options import Domain, flat, read_options
from irno_graph.bases.rigno.regional import RegionalGraph, RegionalSettings
from irno_graph.bases.rigno.stepper import Stepper, named_stepper
from irno_graph.bases.rigno.weights import load_flax
from irno_graph.graph import Graph, graph_list, interpolate
from irno_graph.graph.walls import wall_channels
from irno_graph.nn.fields import check_field, per_graph_of_sample


class RIGNO(nn.Module):
    """RIGNO: what its network answers, times standard deviation plus mean, is what the stepper makes the new state of.

    Args:
        in_channels: state channels, then coefficients.
        channels: state channels.
        architecture: sizes of the network.
        regional: how regional graphs are built.
        periodic: whether the operator is for periodic graphs (it decides the coordinate features).
        dim: space dimension of the graphs, 2 or 3.
        domain: (low, high) corners of the box that graphs lie in; None is a graph's period, or its bounding box.
        stepper: "derivative" u + lead_time y, "residual" u + y, or "output" y.
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
        dim: int = 2,
        domain: Domain | None = None,
        stepper: Stepper | str = Stepper.DERIVATIVE,
        time_span: tuple[float, float] = (0.0, 1.0),
        lead_time: float = 0.1,
    ) -> None:
        super().__init__()
        self.in_channels, self.channels = in_channels, channels
        self.architecture = architecture or Architecture()
        self.regional_settings = regional or RegionalSettings()
        first, last = time_span
        if not last > first:
            raise ValueError(
                f"`time_span` should be (first, last), got {time_span}: the last time comes later."
            )
        self.periodic, self.dim = periodic, dim
        self.domain = None if domain is None else (tuple(domain[0]), tuple(domain[1]))
        self.stepper = named_stepper(stepper)
        self.time_span, self.lead_time = time_span, lead_time
        per_axis = 2 * self.regional_settings.coordinate_frequencies if periodic else 1
        places = dim * per_axis + (wall_channels(dim) if self.regional_settings.walls else 0)
        self.network = RIGNONetwork(
            in_channels, channels, architecture=self.architecture, coordinate_channels=places, dim=dim
        )
        self.input_mean: Tensor
        self.input_std: Tensor
        self.target_mean: Tensor
        self.target_std: Tensor
        self.register_buffer("input_mean", torch.zeros(in_channels))
        self.register_buffer("input_std", torch.ones(in_channels))
        self.register_buffer("target_mean", torch.zeros(channels))
        self.register_buffer("target_std", torch.ones(channels))

    def config(self) -> dict[str, object]:
        """What `RIGNO.from_config` needs to build the same operator, without its weights."""
        return {
            "in_channels": self.in_channels,
            "channels": self.channels,
            "architecture": asdict(self.architecture),
            "regional": asdict(self.regional_settings),
            "periodic": self.periodic,
            "dim": self.dim,
            "domain": None if self.domain is None else [list(corner) for corner in self.domain],
            "stepper": str(self.stepper),
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

    @staticmethod
    def from_flax(
        config: Mapping[str, Any],
        params: Mapping[str, Any],
        *,
        statistics: Mapping[str, Any] | None = None,
        stepper: Stepper | str | None = None,
    ) -> RIGNO:
        """The operator that the reference implementation (JAX) trained, weight for weight.

        Args:
            config: the reference's `configs.json`, or a dictionary with the keys `model` (its model arguments) and
                `builder` (its graph builder's), `nvar`, `ncoef` and `domain`.
            params: path -> array, such as `encoder/gnn/encoder_edges_p2r/layers_0/kernel`.
            statistics: as in its `stats.pkl`, u, c, res, der -> mean, std and t -> min, max, nested or flat (`u/mean`).
                None leaves inputs and targets as they are.
            stepper: "der", "res", "out" or a name of ours; None is what `config` says.

        Raises:
            ValueError: if `config` lacks an entry, or `params` do not fit it.
        """
        params = {path.removeprefix("params/"): value for path, value in flat(params).items()}
        options = read_options(config, params)
        named = stepper or options.stepper
        operator = RIGNO(
            options.channels + options.coefficients,
            options.channels,
            architecture=options.architecture,
            regional=options.regional,
            periodic=options.periodic,
            domain=options.domain,
            stepper=named,
            time_span=options.time_span,
            lead_time=options.lead_time,
        )
        load_flax(operator.network, params)
        if statistics is not None:
            _take_statistics(operator, flat(statistics))
        return operator.eval()

    def set_statistics(
        self, input_mean: Tensor, input_std: Tensor, target_mean: Tensor, target_std: Tensor
    ) -> None:
        """Set mean and standard deviation of the inputs `[in_channels]` and of the stepper's targets `[channels]`.

        A standard deviation of 0 becomes 1.
        """
        for name, value in (
            ("input_mean", input_mean),
            ("input_std", torch.where(input_std == 0, 1.0, input_std)),
            ("target_mean", target_mean),
            ("target_std", torch.where(target_std == 0, 1.0, target_std)),
        ):
            getattr(self, name).copy_(value)

    def regional_graph(self, graph: Graph) -> RegionalGraph:
        """The regional graph of `graph` (a union for a batch), built once for each graph."""
        return regional_graph(graph, self.regional_settings, self.periodic, self.domain)

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Tensor | float | None = None,
        lead_time: Tensor | float | None = None,
        query: Tensor | None = None,
    ) -> Tensor:
        """State `[..., nodes, channels]` at `time + lead_time` from x `[..., nodes, in_channels]` at `time`.

        The network computes in the type of its weights, the answer has the type of x.

        `time` and `lead_time` are scalars or have x's leading dimensions, in the problem's unit of time; on a batch of
        graphs they may have one more, `[..., graphs]`. With `query`
        `[points, dim]` the answer is at these points; x is interpolated to them (`irno_graph.graph.interpolate`).

        Raises:
            ValueError: if x does not fit the graph or the operator's channels.
        """
        check_field(x, graph, self.in_channels, "x")
        if graph.dim != self.dim:
            raise ValueError(
                f"this operator is for graphs in {self.dim} dimensions, got {graph.dim}: build it with `dim`."
            )
        leading = x.shape[:-2]
        flat_x = x.reshape(-1, *x.shape[-2:]).to(self.input_mean.dtype)  # [samples, nodes, in_channels]
        graphs = len(graph_list(graph))
        tau = per_graph_of_sample(self.lead_time if lead_time is None else lead_time, leading, graphs, flat_x)
        start = per_graph_of_sample(0.0 if time is None else time, leading, graphs, flat_x)
        at_query = None if query is None else interpolate(flat_x, graph, query)
        regional = self.regional_graph(graph) if query is None else self._to_query(graph, query)
        y = self.answer(flat_x, regional, time=start, lead_time=tau, at_query=at_query)
        y = (y * self.target_std + self.target_mean).to(x.dtype)
        state = (x.reshape(flat_x.shape) if at_query is None else at_query.to(x.dtype))[..., : self.channels]
        tau = regional.of_nodes(tau.to(x.dtype))
        return self.stepper.apply(state, y, tau).reshape(*leading, -1, self.channels)

    def _to_query(self, graph: Graph, query: Tensor) -> RegionalGraph:
        """The regional graph with edges to the query points."""
        built = build(graph, self.regional_settings, self.periodic, self.domain, query.detach().cpu().numpy())
        return built.to(graph.pos.device)

    def answer(
        self,
        x: Tensor,
        regional: RegionalGraph,
        *,
        time: Tensor,
        lead_time: Tensor,
        at_query: Tensor | None = None,
    ) -> Tensor:
        """The network's answer y `[samples, nodes, channels]`, standardised, to x in physical units.

        Args:
            x: `[samples, nodes, in_channels]`.
            regional: regional graph of the nodes.
            time: `[samples]`, or `[samples, graphs]` on a union of graphs, in the problem's unit.
            lead_time: the same.
            at_query: `[samples, points, in_channels]`, x at the query points of `regional` where it has any.
        """
        first, last = self.time_span
        inside = None if at_query is None else (at_query - self.input_mean) / self.input_std
        return self.network(
            (x - self.input_mean) / self.input_std,
            regional,
            time=(time - first) / (last - first),
            lead_time=lead_time / (last - first),
            at_query=inside,
        )

    def loss(self, answer: Tensor, x: Tensor, new: Tensor, lead_time: Tensor) -> Tensor:
        """Mean square difference of `answer` and what it should be for the state `new` at the lead time.

        Args:
            answer: of `self.answer(x, ...)`, `[samples, nodes, channels]`.
            x: `[samples, nodes, in_channels]` in physical units.
            new: the true state `[samples, nodes, channels]`.
            lead_time: `[samples]`, or `[samples, nodes]`: see `RegionalGraph.of_nodes`.
        """
        target = self.stepper.target(x[..., : self.channels], new, lead_time)
        return (answer - (target - self.target_mean) / self.target_std).square().mean()


def _take_statistics(operator: RIGNO, statistics: Mapping[str, Any]) -> None:
    """Set the operator's statistics from the reference's, `u/mean` -> array and so on."""

    def vector(name: str, length: int = operator.channels) -> Tensor:
        if statistics.get(name) is None:
            raise ValueError(
                f"`statistics` should hold {name}, got {sorted(statistics)}: pass the whole of it."
            )
        value = torch.from_numpy(np.array(statistics[name], dtype=np.float32)).reshape(-1)
        if len(value) != length:
            raise ValueError(
                f"`statistics` should hold {length} numbers as {name}, got {len(value)}: they belong to another run."
            )
        return value

    def inputs(kind: str) -> Tensor:
        parts = [vector(f"u/{kind}")]
        if operator.in_channels > operator.channels:
            parts.append(vector(f"c/{kind}", operator.in_channels - operator.channels))
        return torch.cat(parts)

    kind = {Stepper.OUTPUT: "u", Stepper.RESIDUAL: "res", Stepper.DERIVATIVE: "der"}[operator.stepper]
    operator.set_statistics(inputs("mean"), inputs("std"), vector(f"{kind}/mean"), vector(f"{kind}/std"))
    if statistics.get("t/min") is not None and statistics.get("t/max") is not None:
        first, last = (float(vector(f"t/{end}", 1)) for end in ("min", "max"))
        if last > first:  # the reference keeps 0 ... 0 for steady problems
            operator.time_span = (first, last)
