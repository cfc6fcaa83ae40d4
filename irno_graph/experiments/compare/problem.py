"""Pairs of input and truth on grids, read into memory; files that can be made are made where they are not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from irno_graph.correctors.grid.layout import layout_of
from irno_graph.data import Moments, sphere
from irno_graph.data.ce_gauss import generate
from irno_graph.data.readers import FieldSource, open_data
from irno_graph.data.readers.sphere_trajectories import SphereTrajectories
from irno_graph.data.sphere import ShallowWater
from irno_graph.experiments.compare.config import SPHERE, PartConfig, ProblemConfig
from irno_graph.experiments.config import ConfigError
from irno_graph.experiments.sets import Report
from irno_graph.graph import Graph
from irno_graph.graph.resolution import Resolution


@dataclass(frozen=True)
class Pairs:
    """Inputs and truths `[samples, nodes, channels]` on one graph."""

    graph: Graph
    x: Tensor
    y: Tensor
    coarse: Graph | None = None  # where x was lifted from

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Problem:
    """Training, validation and test pairs, in physical units.

    Attributes:
        train: pairs that are learned from.
        valid: pairs that choices are made on.
        tests: by name; the first one counts.
        channels: names of y's.
        of_x: statistics of the training inputs.
        of_y: those of the truths.
    """

    train: Pairs
    valid: Pairs
    tests: dict[str, Pairs]
    channels: tuple[str, ...]
    of_x: Moments
    of_y: Moments

    @property
    def sizes(self) -> tuple[int, int]:
        """Channels of x and of y."""
        return self.train.x.shape[-1], self.train.y.shape[-1]


def read_problem(config: ProblemConfig, report: Report = print) -> Problem:
    """The problem of a file.

    Raises:
        ValueError: if a file is missing and not made here, damaged, or has no grid.
    """
    (train, channels), (valid, _) = (
        read_pairs(config, part, report) for part in (config.train, config.valid)
    )
    tests = {name: read_pairs(config, part, report)[0] for name, part in config.tests.items()}
    for name, pairs in {"valid": valid, **tests}.items():
        if pairs.x.shape[-1] != train.x.shape[-1] or pairs.y.shape[-1] != train.y.shape[-1]:
            raise ConfigError(f"the set `{name}` should have the channels of `train`, got others.")
    for name, pairs in {"train": train, "valid": valid, **tests}.items():
        _check_varies(name, pairs.y, channels)
    return Problem(train, valid, tests, channels, Moments.of([train.x]), Moments.of([train.y]))


def read_pairs(
    config: ProblemConfig, part: PartConfig, report: Report = print
) -> tuple[Pairs, tuple[str, ...]]:
    """Pairs of one set, and the names of y's channels."""
    path = Path(part.path)
    if not path.exists() and config.generator:
        _make(config.generator, path, part.make, report)
    source = open_data(path, **({"unpickle": True} if path.suffix == ".pt" else {}))
    rows = slice(part.first, part.first + part.count if part.count else None)
    if len(source) < (rows.stop or 0) or not part.first < len(source):
        raise ConfigError(
            f"`{path}` has {len(source)} samples, the config wants {part.first}..{rows.stop or len(source)}: change "
            "`first` and `count`."
        )
    if config.kind == "super-resolution":
        return _coarse_and_fine(source, rows)
    states = source.read(rows)  # [samples, times, nodes, channels]
    states, graph = on_grid(states, source.graph())
    names = tuple(source.channels)
    if config.kind == "darcy":
        return Pairs(graph, states[:, 0, :, :1], states[:, 0, :, 1:]), names[1:]
    if states.shape[1] <= config.apart:
        raise ConfigError(
            f"`{path}` has {states.shape[1]} snapshots, `problem.apart` {config.apart} wants more of them."
        )
    x, y = states[:, : -config.apart].flatten(0, 1), states[:, config.apart :].flatten(0, 1)
    return Pairs(graph, x, y), names


def on_grid(states: Tensor, graph: Graph) -> tuple[Tensor, Graph]:
    """`states` `[..., nodes, channels]` and their graph on the grid that the nodes form, in its own order.

    Raises:
        ValueError: if the nodes form no grid.
    """
    if graph.grid_shape is not None or graph.sphere_shape:
        return states, graph
    found = layout_of(graph).parts[0]
    ordered = graph.pos[found.nodes]
    steps = [
        float(ordered[stride, axis] - ordered[0, axis]) for axis, stride in enumerate(_strides(found.shape))
    ]
    centred = abs(float(ordered[0, 0]) - 0.5 * steps[0]) < 0.1 * steps[0]
    counts = found.shape[::-1]
    period = graph.period or (None,) * graph.dim
    extent = tuple(
        step * (count if centred else count - 1) if length is None else float(length)
        for step, count, length in zip(steps, counts, period, strict=True)
    )
    grid = Graph.from_grid(found.shape, extent=extent, period=graph.period, centred=centred)
    grid.pos = grid.pos - grid.pos[0] + ordered[0].to(grid.pos)
    return states[..., found.nodes, :], grid


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Nodes between neighbours along x, y, z."""
    strides = [1]
    for count in shape[:0:-1]:
        strides.append(strides[-1] * count)
    return strides


def _coarse_and_fine(source: FieldSource, rows: slice) -> tuple[Pairs, tuple[str, ...]]:
    """Coarse fields lifted to the fine nodes, and the fine ones, at all times but the first, without divergence."""
    if not isinstance(source, SphereTrajectories) or source.coarse_shape is None:
        raise ConfigError(
            f"`{source.path}` should hold fields on two grids for super-resolution: make it with `coarse`."
        )
    graph, coarse = source.graph(), source.coarse_graph()
    x = Resolution(coarse, graph).lift(source.coarse(rows)[:, 1:].flatten(0, 1))
    return Pairs(graph, x, source.read(rows)[:, 1:].flatten(0, 1), coarse), source.channels


def _check_varies(name: str, truth: Tensor, channels: tuple[str, ...]) -> None:
    """An error over the standard deviation in space means nothing where there is none."""
    flat = (truth.std(dim=1) <= 1e-6 * truth.std(dim=(0, 1))).nonzero().tolist()
    if flat:
        sample, channel = flat[0]
        raise ConfigError(
            f"each true field of the set `{name}` should vary in space, got a constant `{channels[channel]}` in sample "
            f"{sample}: leave such samples out with `first` and `count`."
        )


def _make(generator: str, path: Path, options: dict[str, Any], report: Report) -> None:
    report(f"generating {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if generator == SPHERE:
            given = dict(options)
            flow = ShallowWater(**given.pop("flow", {}))
            coarse = given.pop("coarse", None)
            sphere.generate(path, flow=flow, coarse=None if coarse is None else tuple(coarse), **given)
        else:
            generate(path, flow=generator, points="grid", **options)
    except TypeError as error:
        raise ConfigError(
            f"`make` of `{path}` should hold options of `{generator}`, got: {error}."
        ) from error
