"""Wrappers of bases: physical units, and high frequencies scaled by a fitted factor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.bases.callable import ask
from irno_graph.graph import Graph, graph_sum
from irno_graph.graph.cache import per_graph
from irno_graph.spectral import ChebyshevBank

Time = Tensor | float | None


class Standardised(nn.Module):
    """A base that works on standardised values, in physical units: h0 = mean + std * base((x - mean_x) / std_x).

    Args:
        base: of standardised fields.
        input_mean: of x `[in_channels]`.
        input_std: of x `[in_channels]`, positive.
        mean: of h0 `[channels]`.
        std: of h0 `[channels]`, positive.

    Raises:
        ValueError: if a mean and its deviation do not fit each other or a deviation is not positive.
    """

    def __init__(
        self, base: nn.Module, *, input_mean: Tensor, input_std: Tensor, mean: Tensor, std: Tensor
    ) -> None:
        super().__init__()
        self.base = base
        self.input_mean: Tensor
        self.input_std: Tensor
        self.mean: Tensor
        self.std: Tensor
        for place, spread, name in ((input_mean, input_std, "input_std"), (mean, std, "std")):
            if place.ndim != 1 or place.shape != spread.shape or not bool((spread > 0).all()):
                raise ValueError(
                    f"`{name}` should be {len(place.reshape(-1))} positive numbers, one per channel as its mean, got "
                    f"{spread.tolist()}."
                )
        values = {"input_mean": input_mean, "input_std": input_std, "mean": mean, "std": std}
        for name, value in values.items():
            self.register_buffer(name, value.detach().float().clone())

    def forward(self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None) -> Tensor:
        """h0 `[..., nodes, channels]` of x `[..., nodes, in_channels]`, both in physical units."""
        standard = (x - self.input_mean.to(x)) / self.input_std.to(x)
        value = ask(self.base, standard, graph, time=time, lead_time=lead_time)
        return value * self.std.to(value) + self.mean.to(value)

    def config(self) -> dict[str, Any]:
        """What `from_config` needs, without the base's own."""
        return {"in_channels": len(self.input_mean), "channels": len(self.mean)}

    @staticmethod
    def from_config(config: dict[str, Any], base: nn.Module) -> Standardised:
        """The wrapper that `config` describes around `base`; its statistics are loaded after."""
        zeros, ones = torch.zeros, torch.ones
        of_x, of_h = config["in_channels"], config["channels"]
        return Standardised(
            base, input_mean=zeros(of_x), input_std=ones(of_x), mean=zeros(of_h), std=ones(of_h)
        )


class HighFrequencyScaled(nn.Module):
    """A base whose answer has its high frequencies scaled: h0 = low + factor * high, per channel.

    low + high is the base's answer, high its part above `cut` in frequency, by a Chebyshev filter of the graph's
    Laplacian. It is the plainest form of high-frequency scaling, as something to compare a refinement with: the
    method of that name (Khodakarami et al. 2025) scales features inside a network during training, and its code was
    not at hand. A factor restores amplitudes that the base damps; what it gets wrong in phase it cannot mend.

    Args:
        base: any base.
        factor: `[channels]`; `fit` gives the best one.
        cut: frequency, the root of an eigenvalue, above 0.
        order: degree of the filter; the cut is as wide as `spectral.smooth_steps` says.

    Raises:
        ValueError: if `factor` is not one number per channel, or `cut` is not positive.
    """

    def __init__(self, base: nn.Module, factor: Tensor, *, cut: float, order: int = 64) -> None:
        super().__init__()
        if factor.ndim != 1:
            raise ValueError(f"`factor` should have shape [channels], got {list(factor.shape)}.")
        if not cut > 0:
            raise ValueError(f"`cut` should be a positive frequency, got {cut}.")
        self.base, self.cut, self.order = base, float(cut), order
        self.factor: Tensor
        self.register_buffer("factor", factor.detach().float().clone())

    @staticmethod
    def fit(
        base: nn.Module, samples: Iterable[tuple[Tensor, Tensor, Graph]], *, cut: float, order: int = 64
    ) -> HighFrequencyScaled:
        """The wrapper with the factor of least squares over (x, y, graph), y `[..., nodes, channels]` the truth.

        factor = <high, y - low> / <high, high> per channel, in the masses: over these samples no factor has a smaller
        error, 1 among them. Where the base has nothing high, it is 1. Times are not passed to the base.

        Raises:
            ValueError: if there are no samples.
        """
        product, square = torch.zeros(()), torch.zeros(())
        count = 0
        with torch.no_grad():
            for x, y, graph in samples:
                low, high = _parts(base(x, graph).double(), graph, cut, order)
                mass = graph.mass[:, None]
                for own, other in ((high, high), (high, y.double() - low)):
                    total = graph_sum(mass * own * other, graph)  # [..., graphs, channels]
                    total = total.reshape(-1, total.shape[-1]).sum(dim=0).cpu()
                    square, product = (square + total, product) if own is other else (square, product + total)
                count += 1
        if count == 0:
            raise ValueError("a factor needs samples (x, y, graph), got none: is the training split empty?")
        factor = torch.where(square > 0, product / square.clamp_min(1e-300), torch.ones_like(square))
        return HighFrequencyScaled(base, factor, cut=cut, order=order)

    def forward(self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None) -> Tensor:
        """h0 `[..., nodes, channels]` of x `[..., nodes, in_channels]`."""
        value = ask(self.base, x, graph, time=time, lead_time=lead_time)
        low, high = _parts(value, graph, self.cut, self.order)
        return low + self.factor.to(value) * high

    def config(self) -> dict[str, Any]:
        """What `from_config` needs, without the base's own."""
        return {"channels": len(self.factor), "cut": self.cut, "order": self.order}

    @staticmethod
    def from_config(config: dict[str, Any], base: nn.Module) -> HighFrequencyScaled:
        """The wrapper that `config` describes around `base`; its factor is loaded after."""
        return HighFrequencyScaled(
            base, torch.ones(config["channels"]), cut=config["cut"], order=config["order"]
        )


def _parts(field: Tensor, graph: Graph, cut: float, order: int) -> tuple[Tensor, Tensor]:
    """The parts of `field` below and above the frequency `cut`; their sum is the field."""
    high = _bank(graph, cut, order).filter(field)[..., 1, :, :]  # [..., nodes, channels]
    return field - high, high


@per_graph
def _bank(graph: Graph, cut: float, order: int) -> ChebyshevBank:
    return ChebyshevBank(graph, order=order, edges=[0.0, cut, 2 * cut])
