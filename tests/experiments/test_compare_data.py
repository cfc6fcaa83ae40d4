"""Data of comparisons: nodes on their grid, pairs of snapshots, coarse and fine fields, what is refused."""

from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from irno_graph.data.sphere import ShallowWater
from irno_graph.data.sphere.file import Layout, write
from irno_graph.experiments.compare.config import PartConfig, ProblemConfig
from irno_graph.experiments.compare.kinds import make_base
from irno_graph.experiments.compare.problem import on_grid, read_pairs, read_problem
from irno_graph.experiments.config import ConfigError
from irno_graph.graph import Graph
from irno_graph.graph.resolution import Resolution
from irno_graph.mesh import Mesh, periodic_delaunay


@pytest.mark.parametrize("case", ["cells of a periodic box", "corners of an open one"])
def test_nodes_in_any_order_come_to_the_grid(case):
    places = [
        (np.arange(count) + 0.5) / count if "cells" in case else np.arange(count) / 4 for count in (6, 5)
    ]
    x, y = (axis.ravel() for axis in np.meshgrid(*places, indexing="ij"))  # y runs fastest
    points = np.stack([x, y], axis=1)
    shuffle = np.random.default_rng(0).permutation(len(points))
    points = points[shuffle]
    period = (1.0, 1.0) if "cells" in case else None
    if period is not None:
        graph = Graph.from_mesh(
            Mesh(points, [("triangle", periodic_delaunay(points, period))], period=period)
        )
    else:
        graph = Graph.from_points(torch.from_numpy(points), neighbours=4)
    states = torch.from_numpy(points @ np.array([[1.0], [10.0]])).float()
    moved, grid = on_grid(states[None], graph)
    assert grid.grid_shape == (5, 6)
    assert grid.period == period
    expected = grid.pos @ torch.tensor([[1.0], [10.0]], dtype=torch.float64)
    torch.testing.assert_close(moved[0].double(), expected, atol=1e-5, rtol=0)


def test_pairs_are_snapshots_so_far_apart_on_the_grid(tmp_path):
    places = (np.arange(6) + 0.5) / 6
    x, y = (axis.ravel() for axis in np.meshgrid(places, places, indexing="ij"))
    points = np.random.default_rng(0).permutation(np.stack([x, y], axis=1))
    times = np.arange(5.0)
    u = times[:, None, None] + points[:, :1] + 10 * points[:, 1:]  # [times, nodes, 1]
    with h5py.File(tmp_path / "u.nc", "w") as stored:
        stored["u"] = np.stack([u, u + 100]).astype(np.float32)
        stored["x"] = points[None, None]
    part = PartConfig(path=str(tmp_path / "u.nc"), first=1, count=1)
    pairs, names = read_pairs(ProblemConfig(kind="evolution", apart=2), part)
    assert (len(pairs), names) == (3, ("u0",))
    expected = 100 + pairs.graph.pos @ torch.tensor([[1.0], [10.0]], dtype=torch.float64)
    for number in range(3):
        torch.testing.assert_close(pairs.x[number].double(), expected + number, atol=1e-4, rtol=0)
        torch.testing.assert_close(pairs.y[number].double(), expected + number + 2, atol=1e-4, rtol=0)


def test_super_resolution_starts_from_the_coarse_fields(tmp_path):
    generator = np.random.default_rng(0)
    fields = [
        {"fine": generator.normal(size=(3, 8, 16, 3)), "coarse": generator.normal(size=(3, 4, 8, 3))}
        for _ in range(3)
    ]
    with h5py.File(tmp_path / "sphere.nc", "w") as stored:
        write(stored, Layout(8, 16, "legendre-gauss", (4, 8)), np.arange(3.0), fields, 3)
    part = PartConfig(path=str(tmp_path / "sphere.nc"), first=1)
    pairs, names = read_pairs(ProblemConfig(kind="super-resolution"), part)
    assert names == ("height", "vorticity", "divergence")
    assert pairs.coarse is not None
    coarse = Resolution(pairs.coarse, pairs.graph).lower(pairs.x)
    for number, (sample, time) in enumerate([(1, 1), (1, 2), (2, 1), (2, 2)]):
        own = {name: values[time].reshape(-1, 3) for name, values in fields[sample].items()}
        np.testing.assert_allclose(coarse[number], own["coarse"], atol=1e-5)
        np.testing.assert_allclose(pairs.y[number], own["fine"], atol=1e-6)
    base = make_base("wdsr", {"hidden": 2, "blocks": 0}, 3, 3, pairs.graph, coarse=pairs.coarse)
    assert base(pairs.x, pairs.graph).shape == pairs.y.shape
    with pytest.raises(ConfigError, match="super-resolution"):
        make_base("wdsr", {}, 3, 3, pairs.graph)


def test_constant_truth_is_refused(tmp_path):
    u = np.random.default_rng(0).normal(size=(3, 3, 36, 2))
    u[2, 1, :, 1] = 4.0
    with h5py.File(tmp_path / "u.nc", "w") as stored:
        stored["u"] = u.astype(np.float32)
        stored["x"] = Graph.from_grid((6, 6), period=(1.0, 1.0)).pos.numpy()[None, None]
    one = PartConfig(path=str(tmp_path / "u.nc"), count=2)
    last = replace(one, first=2, count=0)
    read_problem(ProblemConfig(train=one, valid=one, tests={"first": one}))
    with pytest.raises(ConfigError, match="constant `u1` in sample 0"):
        read_problem(ProblemConfig(train=one, valid=one, tests={"first": one, "last": last}))


def test_darcys_first_channel_is_x_and_the_others_are_y(tmp_path):
    x, y = torch.rand(6, 5, 5), torch.rand(6, 5, 5)
    torch.save({"x": x, "y": y}, tmp_path / "darcy.pt")
    part = PartConfig(path=str(tmp_path / "darcy.pt"), first=2, count=3)
    pairs, names = read_pairs(ProblemConfig(kind="darcy"), part)
    assert (len(pairs), len(names), pairs.coarse) == (3, 1, None)
    torch.testing.assert_close(pairs.x.flatten(), x[2:5].flatten())
    torch.testing.assert_close(pairs.y.flatten(), y[2:5].flatten())


def test_statistics_are_the_training_sets(tmp_path):
    x, y = torch.rand(6, 5, 5), torch.rand(6, 5, 5)
    torch.save({"x": x, "y": y}, tmp_path / "darcy.pt")
    parts = [PartConfig(path=str(tmp_path / "darcy.pt"), first=first, count=2) for first in (0, 2, 4)]
    config = ProblemConfig(kind="darcy", train=parts[0], valid=parts[1], tests={"one": parts[2]})
    problem = read_problem(config)
    assert problem.sizes == (1, 1)
    for moments, values in ((problem.of_x, x[:2]), (problem.of_y, y[:2])):
        assert float(moments.mean) == pytest.approx(float(values.mean()), rel=1e-5)
        assert float(moments.std) == pytest.approx(float(values.std(correction=0)), rel=1e-5)
    torch.testing.assert_close(problem.valid.y.flatten(), y[2:4].flatten())
    torch.testing.assert_close(problem.tests["one"].y.flatten(), y[4:].flatten())


def test_sets_of_other_channels_are_refused(tmp_path):
    for name, channels in (("two", 2), ("three", 3)):
        with h5py.File(tmp_path / f"{name}.nc", "w") as stored:
            stored["u"] = np.random.default_rng(0).normal(size=(2, 3, 36, channels)).astype(np.float32)
            stored["x"] = Graph.from_grid((6, 6), period=(1.0, 1.0)).pos.numpy()[None, None]
    two, three = (PartConfig(path=str(tmp_path / f"{name}.nc")) for name in ("two", "three"))
    with pytest.raises(ConfigError, match="`far` should have the channels of `train`"):
        read_problem(ProblemConfig(train=two, valid=two, tests={"near": two, "far": three}))


@pytest.mark.parametrize(
    ("generator", "make", "message"),
    [
        ("ce-gauss", {"trajectory": 1}, "options of `ce-gauss`, got: .*trajectory"),
        (
            "shallow-water",
            {"trajectories": 1, "flow": {"winds": 1}},
            "options of `shallow-water`, got: .*winds",
        ),
    ],
)
def test_what_a_generator_does_not_know_is_named(tmp_path, generator, make, message):
    said: list[str] = []
    part = PartConfig(path=str(tmp_path / "made" / "a.nc"), make=make)
    with pytest.raises(ConfigError, match=message):
        read_pairs(ProblemConfig(generator=generator), part, said.append)
    assert said == [f"generating {tmp_path / 'made' / 'a.nc'}"]
    with pytest.raises(ValueError, match=r"a\.nc"):
        read_pairs(ProblemConfig(), part)


def test_a_file_that_is_not_there_is_made_as_its_part_says(tmp_path, monkeypatch):
    made: dict[str, Any] = {}

    def generate(path, *, flow, coarse, **options):
        made.update(options, flow=flow, coarse=coarse)
        with h5py.File(path, "w") as stored:
            sphere = {"fine": np.random.default_rng(0).normal(size=(3, 8, 16, 3))}
            write(stored, Layout(8, 16, "legendre-gauss"), np.arange(3.0), [sphere], 1)

    monkeypatch.setattr("irno_graph.data.sphere.generate", generate)
    options = {"trajectories": 1, "seed": 7, "coarse": [4, 8], "flow": {"wind": 12.0}}
    part = PartConfig(path=str(tmp_path / "sphere.nc"), make=options)
    config = ProblemConfig(generator="shallow-water")
    pairs, _ = read_pairs(config, part, lambda _: None)
    assert len(pairs) == 2
    assert made == {"trajectories": 1, "seed": 7, "coarse": (4, 8), "flow": ShallowWater(wind=12.0)}
    assert options["flow"] == {"wind": 12.0}  # the config stays as it was
    made.clear()
    read_pairs(config, part)
    assert not made
