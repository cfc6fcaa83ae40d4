import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from irno_graph.data import Moments
from irno_graph.data.sphere.file import Layout, write
from irno_graph.experiments.compare import CompareConfig, read_compare_config, run_compare
from irno_graph.experiments.compare import run as running
from irno_graph.experiments.compare.config import CorrectorFitConfig, PartConfig, ProblemConfig
from irno_graph.experiments.compare.fitting import fit_corrector
from irno_graph.experiments.compare.kinds import (
    BASES,
    CORRECTORS,
    count,
    make_base,
    make_corrector,
    width_for,
)
from irno_graph.experiments.compare.problem import Pairs, Problem, on_grid, read_pairs, read_problem
from irno_graph.experiments.compare.scores import band_energies, kept_bytes, scores
from irno_graph.experiments.config import ConfigError
from irno_graph.graph import Graph
from irno_graph.graph.resolution import Resolution
from irno_graph.mesh import Mesh, periodic_delaunay
from irno_graph.refine import IRNO
from irno_graph.refine.kinds import KINDS

FILE = """
name: tiny
folder: {folder}
seeds: [0]
problem:
  kind: darcy
  train: {{path: {data}, first: 0, count: 24}}
  valid: {{path: {data}, first: 24, count: 8}}
  tests:
    same: {{path: {data}, first: 32, count: 8}}
bases:
  fno: {{}}
  tfno: {{}}
base: {{seconds: 0.2, batch_size: 8, validate_every: 2}}
correctors:
  unet: {{depth: 1}}
  message-passing: {{layers: 1}}
corrector: {{parameters: 400, seconds: 0.1, optimizer_steps: 3, batch_size: 8, steps: 2}}
"""


class Pointwise(nn.Module):
    """A base that is a linear map at each node."""

    def __init__(self, in_channels, channels, graph):
        super().__init__()
        self.sizes = in_channels, channels
        self.map = nn.Linear(in_channels, channels)

    def forward(self, x, graph):
        return self.map(x)

    def config(self):
        return {"sizes": list(self.sizes)}

    @classmethod
    def from_config(cls, config):
        return cls(config["sizes"][0], config["sizes"][1], None)


class Other(Pointwise):
    def forward(self, x, graph):
        return self.map(x).tanh()


@pytest.fixture
def file(tmp_path, monkeypatch):
    for name, kind in (("fno", Pointwise), ("tfno", Other)):
        monkeypatch.setitem(BASES, name, kind)
        monkeypatch.setitem(KINDS, kind.__name__, kind)
    running._problem.cache_clear()
    x = torch.randint(0, 2, (40, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    walls = torch.linspace(0, np.pi, 9)[:-1].sin()
    y = walls[:, None] * walls * (1 + x.mean(dim=(1, 2), keepdim=True) + 0.1 * x)
    torch.save({"x": x, "y": y}, tmp_path / "darcy.pt")
    path = tmp_path / "compare.yaml"
    path.write_text(FILE.format(folder=tmp_path / "run", data=tmp_path / "darcy.pt"))
    return path


def test_every_part_is_measured_and_answers_fit_each_other(file):
    steps: list[tuple[int, int]] = []
    result = run_compare(read_compare_config(file), progress=lambda *done: steps.append(done))
    assert json.loads(json.dumps(result)) == result
    assert steps[-1] == (20, 20)
    for base, other in (("fno", "tfno"), ("tfno", "fno")):
        own = result["scores"][base]
        alone = own["base"]["0"]["same"]["base"]["vrmse"]
        foreign = result["scores"][other]["base"]["0"]["same"]["base"]["vrmse"]
        assert alone != foreign
        for kind in ("unet", "message-passing"):
            scored = own[kind]["0"]["same"]
            assert scored["time"]["curve"][0] == pytest.approx(alone, rel=1e-6)
            assert scored["time"]["curve"][2] == pytest.approx(scored["time"]["vrmse"], rel=1e-6)
            assert len(scored["time"]["curve"]) == 5
            assert scored["refines"][other]["curve"][0] == pytest.approx(foreign, rel=1e-6)
            assert result["corrector"][base][kind]["0"]["steps_at"]["steps"] == 3
            assert result["costs"][base][kind]["0"]["step_seconds"] > 0
        seen = result["seen"][base]["base"]["0"]
        assert seen["train"] != seen["valid"]
        trained, control = (result[what][base]["base"]["0"]["valid"] for what in ("base", "control"))
        assert min(error for _, error in control) <= min(error for _, error in trained) * (1 + 1e-6)


def test_a_run_goes_on_and_trains_anew_only_what_changed(file, tmp_path):
    run_compare(read_compare_config(file), report=lambda _: None)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    run_compare(read_compare_config(file), report=lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == files
    changed = read_compare_config(file, ("corrector.alpha=0.3",))
    run_compare(changed, report=lambda _: None)
    same = {path.name for path, time in files.items() if path.stat().st_mtime_ns == time}
    trained = [f"{what}-{base}-0.json" for what in ("base", "seen") for base in ("fno", "tfno")]
    assert same == {*trained, "base-fno-0.safetensors", "base-tfno-0.safetensors"}


def test_no_worker_does_no_work():
    with pytest.raises(ValueError, match="workers"):
        run_compare(CompareConfig(), workers=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("bases.fno.hiden=3", "hiden"),
        ("correctors.unet.base_channels=3", "base_channels"),
        ("problem.train.count=400", "40 samples"),
        ("problem.kind=evolution", "snapshots"),
        ("problem.kind=super-resolution", "two grids"),
    ],
)
def test_what_does_not_fit_the_data_is_named(file, change, message):
    with pytest.raises(ConfigError, match=message):
        run_compare(
            read_compare_config(file, (change, "problem.valid.first=400", "problem.tests.same.first=500"))
            if "count=400" in change
            else read_compare_config(file, (change,)),
            report=lambda _: None,
        )


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("corrector.alpha=2", "corrector.alpha"),
        ("corrector.parameters=0", "corrector.parameters"),
        ("base.seconds=0", "base.seconds"),
        ("seeds=[1,1]", "seeds"),
        ("problem.kind=heat", "problem.kind"),
        ("problem.generator=heat", "problem.generator"),
        ("bases.dno={}", "bases"),
        ("correctors.gnn={}", "correctors"),
        ("corrector.spectral_loss=wavelet", "corrector.spectral_loss"),
        ("problem.valid.first=20", "in common"),
        ("corrector.stepz=1", "stepz"),
    ],
)
def test_what_a_file_has_wrong_is_named(file, change, key):
    with pytest.raises(ConfigError, match=key):
        read_compare_config(file, (change,))


@pytest.mark.parametrize("name", sorted(CORRECTORS))
def test_the_width_gives_the_nearest_number_of_parameters(name):
    graph = Graph.from_grid((8, 8))
    make = lambda width: make_corrector(name, {}, 1, 1, graph, width=width)  # noqa: E731
    width = width_for(3000, make)
    apart = {other: abs(count(make(other)) - 3000) for other in range(1, width + 4)}
    assert apart[width] == min(apart.values())


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


@pytest.mark.parametrize("period", [(2.0, 1.0), None, (2.0, None)])
def test_bands_hold_all_energy_and_a_mode_has_its_own(period):
    grid = Graph.from_grid((12, 16), extent=(2.0, 1.0), period=period)
    field = torch.randn(3, 192, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = (grid.mass[:, None] * field**2).sum(dim=(1, 2))
    torch.testing.assert_close(band_energies(field, grid).sum(dim=-1), total)
    constant = torch.ones(1, 192, 1, dtype=torch.float64)
    checkered = 1 - 2 * ((torch.arange(192) + torch.arange(192) // 16) % 2).double().view(1, -1, 1)
    share = band_energies(torch.cat([constant, checkered]), grid)
    share = share / share.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(share[0], torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    assert float(share[1, 2]) > 0.9


def test_what_a_backward_pass_keeps_is_counted_once():
    x, weight = torch.randn(1000), torch.randn(1000, requires_grad=True)
    assert kept_bytes(lambda: (x * weight).sum()) == 4000  # x alone: d(x w)/dw
    assert kept_bytes(lambda: ((x * weight).sigmoid() + weight * x).sum()) == 8000  # x once, and the sigmoid


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


def test_the_first_test_set_counts_whatever_its_name(file, tmp_path):
    content = file.read_text()
    same = next(line + "\n" for line in content.splitlines() if line.startswith("    same:"))
    file.write_text(content.replace(same, same.replace("same", "zebra") + same.replace("same", "ant")))
    result = run_compare(read_compare_config(file), report=lambda _: None)
    assert list(result["samples"]) == ["zebra", "ant"]


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


def _problem(seed=0):
    generator = torch.Generator().manual_seed(seed)
    grid = Graph.from_grid((6, 6), period=(1.0, 1.0))
    x = torch.randn(16, 36, 1, generator=generator)
    pairs = Pairs(grid, x, 2 * x + 0.5)
    return Problem(pairs, pairs, {"same": pairs}, ("u",), Moments.of([x]), Moments.of([pairs.y]))


def _model():
    torch.manual_seed(0)
    corrector = make_corrector("message-passing", {"layers": 1}, 1, 1, Graph.from_grid((6, 6)), width=4)
    return IRNO(lambda x, graph: 1.5 * x, corrector, alpha=0.5, steps=2)


def test_training_is_the_same_for_a_seed_and_learns():
    settings = CorrectorFitConfig(seconds=1e-9, optimizer_steps=60, batch_size=8, learning_rate=0.02)
    problem, found = _problem(), []
    for seed in (3, 3, 4):
        model = _model()
        kept, about = fit_corrector(model, problem, settings, seed)
        assert about["steps_at"] == {"steps": 60, "time": 1}
        found.append(kept)
        model.corrector.load_state_dict(kept["steps"])
        pairs = problem.tests["same"]
        with torch.no_grad():
            out = model(pairs.x, pairs.graph).states
        before, after = (scores(state, pairs, problem)["vrmse"] for state in (out[0], out[-1]))
        assert after < 0.6 * before
    for name in found[0]["steps"]:
        torch.testing.assert_close(found[0]["steps"][name], found[1]["steps"][name], rtol=0, atol=0)
    assert any(
        not torch.equal(found[0]["steps"][name], found[2]["steps"][name]) for name in found[0]["steps"]
    )


def test_scores_of_known_errors():
    problem = _problem()
    pairs = problem.tests["same"]
    exact = scores(pairs.y, pairs, problem)
    assert exact == {"vrmse": 0, "relative_l2": 0, "bands": [0, 0, 0]}
    mean = pairs.y.mean(dim=1, keepdim=True).expand_as(pairs.y)
    assert scores(mean, pairs, problem)["vrmse"] == pytest.approx(1, rel=1e-5)
    shifted = scores(pairs.y + 0.3, pairs, problem)
    assert shifted["bands"] == pytest.approx([0.3 / float(problem.of_y.std), 0, 0], abs=1e-6)
    doubled = replace(problem, of_y=Moments(problem.of_y.mean, 2 * problem.of_y.std))
    assert scores(pairs.y + 0.3, pairs, doubled)["bands"][0] == pytest.approx(shifted["bands"][0] / 2)
