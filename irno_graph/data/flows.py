"""The flows that are generated, CE-Gauss and its sisters: how each starts, is solved and sampled; seeds."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from irno_graph.data.euler import piecewise
from irno_graph.data.euler.initial import draw_vortices, initial_state

DEFAULT = "ce-gauss"
OBSTACLES = "ce-gauss-obstacles"  # of `irno_graph.data.unstructured`, between walls


@dataclass(frozen=True)
class Flow:
    """One data set: how its trajectories start, and how they are solved and sampled.

    Attributes:
        title: its published name.
        initial: primitives [4, resolution, resolution] from (seed, resolution, modes).
        modes: default number of modes of the interfaces, where the definition leaves it open; None where
            there are no such modes.
        smooth: whether fields stay smooth. Those that do are solved with CFL 1.4 and sampled by splines,
            others with CFL 0.7 and bilinearly, which neither overshoots nor loses positivity.
    """

    title: str
    initial: Callable[[int, int, int], np.ndarray]
    modes: int | None = None
    smooth: bool = False

    @property
    def cfl(self) -> float:
        """Courant number of the time steps."""
        return 1.4 if self.smooth else 0.7

    @property
    def sampling(self) -> str:
        """How fields are taken to the nodes, in words."""
        return "periodic B-spline of order 5" if self.smooth else "periodic bilinear from cell centres"


FLOWS = {
    DEFAULT: Flow(
        "CE-Gauss",
        lambda seed, resolution, _: initial_state(draw_vortices(seed), resolution),
        smooth=True,
    ),
    "ce-rp": Flow(
        "CE-RP",
        lambda seed, resolution, _: piecewise.riemann_problem(seed).cell_averages(resolution),
    ),
    "ce-crp": Flow(
        "CE-CRP",
        lambda seed, n, modes: piecewise.curved_riemann_problem(seed, modes).cell_averages(n),
        modes=2,
    ),
    "ce-kh": Flow(
        "CE-KH",
        lambda seed, n, modes: piecewise.shear_layers(seed, modes).cell_averages(n),
        modes=10,
    ),
    "ce-rpui": Flow(
        "CE-RPUI",
        lambda seed, n, modes: piecewise.uncertain_riemann_problem(seed, modes).cell_averages(n),
        modes=2,
    ),
}


def trajectory_seeds(seed: int, count: int, *, flow: str = DEFAULT) -> np.ndarray:
    """Positive 63-bit seeds [count] of trajectories 0 ... count - 1 of the base seed.

    Seed i depends on (seed, i) and the flow's name alone, so a longer set begins with the shorter one, and it
    is a hash of them, so sets of different base seeds or flows share no trajectory.

    >>> trajectory_seeds(0, 3)[:2].tolist() == trajectory_seeds(0, 2).tolist()
    True
    """
    find_flow(flow)
    return hashed_seeds(seed, count, *(() if flow == DEFAULT else (zlib.crc32(flow.encode()),)))


def hashed_seeds(seed: int, count: int, *words: int) -> np.ndarray:
    """Seeds [count] as `trajectory_seeds` has them, for the data set that `words` stand for.

    Raises:
        ValueError: if `seed` is not in [0, 2^32), or `count` is negative.
    """
    check_seed("seed", seed)
    if count < 0:
        raise ValueError(f"`count` should not be negative, got {count}: pass the number of trajectories.")
    found = [
        np.random.SeedSequence((seed, index, *words)).generate_state(1, np.uint64)[0]
        for index in range(count)
    ]
    return np.array([max(1, int(word) >> 1) for word in found], dtype=np.int64)


def find_flow(name: str) -> Flow:
    """The flow of this name.

    Raises:
        ValueError: if there is none.
    """
    if name not in FLOWS:
        raise ValueError(f"`flow` should be one of {', '.join(FLOWS)}, got '{name}': pick one of these.")
    return FLOWS[name]


def choose_modes(flow: str, modes: int | None) -> int:
    """`modes` or the flow's default; 0 for a flow without.

    Raises:
        ValueError: if it is not in 1 ... 16, or the flow has none.
    """
    default = find_flow(flow).modes
    if default is None:
        if modes is not None:
            raise ValueError(f"`modes` should be left out for {flow}, got {modes}: its interfaces have none.")
        return 0
    if modes is not None and not 1 <= modes <= 16:
        raise ValueError(f"`modes` should be in 1 ... 16, got {modes}: {default} is the default of {flow}.")
    return default if modes is None else modes


def check_seed(name: str, seed: int) -> None:
    """Check that a base seed is in [0, 2^32).

    Raises:
        ValueError: naming the argument, if it is not.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"`{name}` should be in [0, 2^32), got {seed}: pick a smaller one that is not negative."
        )
