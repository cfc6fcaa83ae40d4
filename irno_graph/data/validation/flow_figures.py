"""Means of what a flow conserves, per snapshot, and its slopes in the four ways to read its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from irno_graph.data.sets.channels import ALIASES
from irno_graph.graph import Graph, gradient, mass_mean

VELOCITIES = ALIASES["velocity"]
MOMENTA = (("momentum_x", "momentum_y", "momentum_z"), ("rho_vx", "rho_vy", "rho_vz"))
SCALARS = {
    name: tuple(word for family in ALIASES[group] for word in family)
    for name, group in (("rho", "density"), ("p", "pressure"), ("energy", "energy"))
}
WAYS = {"(x, y)": (0, 1, 1.0), "(y, x)": (1, 0, 1.0), "(x, -y)": (0, 1, -1.0), "(y, -x)": (1, 0, -1.0)}


@dataclass(frozen=True)
class FlowNames:
    """Places of a flow's channels; None for those that are not there.

    Attributes:
        velocity: its components along x, y and, where there is one, z.
        rho: density.
        p: pressure.
        energy: per volume.
        momentum: whether `velocity` holds rho v, as files of conserved variables do.
        certain: False where u and v, without density or pressure, are all that tells of a flow.
    """

    velocity: tuple[int, ...]
    rho: int | None = None
    p: int | None = None
    energy: int | None = None
    momentum: bool = False
    certain: bool = True

    @classmethod
    def of(cls, channels: Sequence[str]) -> FlowNames | None:
        """The places among `channels`, whatever the case; None without a velocity, or a momentum and a density.

        >>> FlowNames.of(("Density", "velocity_x", "velocity_y")).velocity
        (1, 2)
        """
        lower = [name.lower() for name in channels]
        scalars: dict[str, int] = {}
        for name, words in SCALARS.items():
            found = [lower.index(word) for word in words if word in lower]
            if found:
                scalars[name] = found[0]
        for family in (*VELOCITIES, *(MOMENTA if "rho" in scalars else ())):
            if set(family[:2]) <= set(lower):
                places = tuple(lower.index(word) for word in family if word in lower)
                certain = family[0] != "u" or bool({"rho", "p"} & set(scalars))
                return cls(places, **scalars, momentum=family in MOMENTA, certain=certain)
        return None

    def velocity_of(self, values: Tensor) -> Tensor:
        """The velocity `[..., components]` of `values` `[..., channels]`."""
        found = values[..., list(self.velocity)]
        return found / values[..., [self.rho]] if self.momentum else found


def flow_figures(values: Tensor, graph: Graph, names: FlowNames, gamma: float) -> dict[str, np.ndarray]:
    """Figures `[times]` of `values` `[times, nodes, channels]`, weighted by the nodes' masses.

    Of what is conserved the means: `momentum_x` and so on (of rho v, with rho = 1 where there is none), with rho
    `mass`, with rho and p or E `energy` (of E, computed from p where there is none), and `..._noise` of each: the
    error that sampling at the nodes may make, the root of half the mean squared difference between neighbours over the
    number of nodes. `momentum_square` is the mean of |rho v|^2. Extremes are `rho_low`, `rho_high`, `p_low`, `p_high`;
    `p_mean` is a mean. With rho, p and E: `misfit_mean` and `misfit_square` of E - p / (gamma - 1) - rho |v|^2 / 2,
    `swapped_square` of that with p and E exchanged, `energy_square`, `p_square`, and `fit`, the mean of
    (E - rho |v|^2 / 2) p.
    """
    velocity = names.velocity_of(values)
    density = torch.ones_like(velocity[..., 0]) if names.rho is None else values[..., names.rho]
    momentum = density[..., None] * velocity
    kinetic = 0.5 * (momentum * velocity).sum(dim=-1)
    conserved = {f"momentum_{axis}": part for axis, part in zip("xyz", momentum.unbind(-1), strict=False)}
    others = {"momentum_square": momentum.square().sum(dim=-1)}
    extremes: dict[str, Tensor] = {}
    if names.rho is not None:
        conserved["mass"] = density
        extremes |= {"rho_low": density.amin(dim=-1), "rho_high": density.amax(dim=-1)}
    p = None if names.p is None else values[..., names.p]
    energy = None if names.energy is None else values[..., names.energy]
    if p is not None:
        others["p_mean"] = p
        extremes |= {"p_low": p.amin(dim=-1), "p_high": p.amax(dim=-1)}
    if names.rho is not None and energy is not None:
        conserved["energy"] = energy
        others["energy_square"] = energy.square()
    elif names.rho is not None and p is not None:
        conserved["energy"] = p / (gamma - 1) + kinetic
    if names.rho is not None and p is not None and energy is not None:
        others |= _equation_of_state(p, energy, kinetic, gamma)
    fields = conserved | others
    means = mass_mean(torch.stack(list(fields.values()), dim=-1), graph)  # [times, fields]
    found = {name: means[:, place].numpy() for place, name in enumerate(fields)}
    found |= {f"{name}_noise": _noise(values, graph) for name, values in conserved.items()}
    return found | {name: value.numpy() for name, value in extremes.items()}


def _equation_of_state(p: Tensor, energy: Tensor, kinetic: Tensor, gamma: float) -> dict[str, Tensor]:
    misfit = energy - p / (gamma - 1) - kinetic
    return {
        "misfit_mean": misfit,
        "misfit_square": misfit.square(),
        "swapped_square": (p - energy / (gamma - 1) - kinetic).square(),
        "p_square": p.square(),
        "fit": (energy - kinetic) * p,
    }


def _noise(field: Tensor, graph: Graph) -> np.ndarray:
    """Of the mean of `field` `[times, nodes]`, as for one random node in each of as many equal parts: `[times]`."""
    source, target = graph.edge_index
    steps = (field[:, source] - field[:, target]).square().mean(dim=1) / 2
    return (steps / len(graph.pos)).sqrt().numpy()


def slope_figures(values: Tensor, graph: Graph, names: FlowNames) -> dict[str, float]:
    """Mean squares of the divergence of one snapshot `[nodes, channels]` in all `WAYS`, and `all` of its gradient.

    If the file's axes are (y, x) where (x, y) is read, the true divergence is d_y vx + d_x vy of what is read; if an
    axis runs backwards, one sign changes. Empty where the graph is not of the plane.
    """
    if graph.dim != 2 or not len(graph.cell_kind):
        return {}
    slopes = gradient(names.velocity_of(values)[:, :2], graph)  # [nodes, components, axes]
    columns = {
        way: (slopes[:, 0, first] + sign * slopes[:, 1, second]).square()
        for way, (first, second, sign) in WAYS.items()
    }
    columns["all"] = slopes.square().sum(dim=(1, 2))
    means = mass_mean(torch.stack(list(columns.values()), dim=-1), graph)
    return {name: float(means[place]) for place, name in enumerate(columns)}
