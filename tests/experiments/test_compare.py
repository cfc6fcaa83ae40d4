"""Runs of comparisons: what they measure, how they go on, what is wrong with their files."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from irno_graph.experiments.compare import CompareConfig, read_compare_config, run_compare
from irno_graph.experiments.compare import run as running
from irno_graph.experiments.compare.fitting import answers
from irno_graph.experiments.compare.kinds import (
    BASES,
    CORRECTORS,
    WIDEST,
    count,
    make_corrector,
    width_for,
)
from irno_graph.experiments.config import ConfigError
from irno_graph.graph import Graph
from irno_graph.metrics import vrmse
from irno_graph.refine import load
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
    config = read_compare_config(file)
    result = run_compare(config, progress=lambda *done: steps.append(done))
    shop = running.Workshop(config)
    problem = shop.problem()
    assert json.loads(json.dumps(result)) == result
    assert steps[-1] == (20, 20)
    assert result["samples"] == {"same": 8}
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
        for part, pairs in (("train", problem.train), ("valid", problem.valid)):
            answer = answers(load(shop.file(f"base-{base}-0")), pairs)
            assert seen[part] == pytest.approx(float(vrmse(answer, pairs.y, pairs.graph).mean()), rel=1e-5)
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


def test_the_control_is_trained_on_for_a_correctors_time_on_other_batches(file, monkeypatch):
    config = read_compare_config(file)
    shop = running.Workshop(config)
    shop.do(running.Unit("base", "fno", 0))
    calls = []

    def fit(base, problem, settings, seed, *, seconds=None):
        calls.append((settings, seed, seconds))
        torch.testing.assert_close(
            base.state_dict(), load(shop.file("base-fno-0")).state_dict(), rtol=0, atol=0
        )
        with torch.no_grad():
            next(base.parameters()).zero_()
        return {"seconds": 1.0}

    monkeypatch.setattr(running, "fit_base", fit)
    shop.do(running.Unit("control", "fno", 0))
    assert calls == [(config.base, 1000, config.corrector.seconds)]
    assert not next(load(shop.file("control-fno-0")).parameters()).any()
    assert next(load(shop.file("base-fno-0")).parameters()).any()


def test_a_correctors_weights_at_both_marks_are_stored_and_costs_measured(file, monkeypatch):
    shop = running.Workshop(read_compare_config(file, ("problem.tests.same.count=5",)))
    unit = running.Unit("corrector", "fno", 0, "unet")
    shop.do(running.Unit("base", "fno", 0))
    sizes = {"steps": 1.0, "time": 2.0}

    def fit(model, problem, settings, seed):
        assert (settings, seed) == (shop.config.corrector, 0)
        weights = model.corrector.state_dict().items()
        kept = {
            mark: {name: torch.full_like(own, size) for name, own in weights} for mark, size in sizes.items()
        }
        return kept, {"seconds": 1.0}

    monkeypatch.setattr(running, "fit_corrector", fit)
    shop.do(unit)
    for mark, size in sizes.items():
        model = shop.model(unit, mark)
        assert (model.alpha, model.steps) == (0.4, 2)
        assert all(bool((own == size).all()) for own in model.corrector.parameters())
    measured = []

    def costs(model, pairs, batch):
        measured.append((bool((next(model.corrector.parameters()) == 2).all()), len(pairs.x), batch))
        return {}

    monkeypatch.setattr(running, "costs", costs)
    shop.do(unit._replace(what="costs"))
    assert measured == [(True, 5, 8)]  # at equal time, on the test
    width, parameters = shop.widths()["unet"]
    assert shop.found(unit) == {"seconds": 1.0, "parameters": parameters, "width": width}


def test_units_come_after_what_they_need_and_seeds_are_measured_once():
    config = CompareConfig(seeds=[4, 5], bases={"fno": {}, "tfno": {}}, correctors={"unet": {}})
    stages = list(running._stages(config))
    assert [{unit.what for unit in stage} for stage in stages] == [
        {"base"}, {"control", "corrector"}, {"seen", "scores"}, {"costs"},
    ]  # fmt: skip
    assert [len(stage) for stage in stages] == [4, 8, 12, 2]
    assert {unit.seed for unit in stages[-1]} == {4}
    units = [unit for stage in stages for unit in stage]
    assert len({unit.name for unit in units}) == len(units)


def test_workers_measure_costs_one_after_another(file, monkeypatch):
    seen = []

    def each(shop, units, workers):
        seen.append((units[0].what, len(units), workers))
        yield from units

    monkeypatch.setattr(running, "_each", each)
    monkeypatch.setattr(running, "_collected", lambda *_: {})
    run_compare(read_compare_config(file), workers=3)
    assert seen == [("base", 2, 3), ("control", 6, 3), ("seen", 8, 3), ("costs", 4, 1)]


def test_a_complex_parameter_counts_twice_and_widths_have_an_end():
    module = nn.Linear(2, 3)
    assert count(module) == 9
    module.phases = nn.Parameter(torch.zeros(4, dtype=torch.complex64))
    assert count(module) == 17
    assert width_for(10**6, lambda width: nn.Linear(width, 1)) == WIDEST


@pytest.mark.parametrize(("name", "options"), [("unet", {"depth": 1}), ("message-passing", {"layers": 1})])
def test_correctors_on_the_sphere_are_of_its_two_axes_or_its_three_coordinates(name, options):
    graph = Graph.from_sphere(8, 16)
    corrector = make_corrector(name, options, 3, 2, graph, width=4)
    x, h = torch.randn(2, 128, 3), torch.randn(2, 128, 2)
    assert corrector(x, h, graph).shape == h.shape


@pytest.mark.parametrize("name", sorted(CORRECTORS))
def test_the_width_gives_the_nearest_number_of_parameters(name):
    graph = Graph.from_grid((8, 8))
    make = lambda width: make_corrector(name, {}, 1, 1, graph, width=width)  # noqa: E731
    width = width_for(3000, make)
    apart = {other: abs(count(make(other)) - 3000) for other in range(1, width + 4)}
    assert apart[width] == min(apart.values())


def test_the_first_test_set_counts_whatever_its_name(file):
    content = file.read_text()
    same = next(line + "\n" for line in content.splitlines() if line.startswith("    same:"))
    file.write_text(content.replace(same, same.replace("same", "zebra") + same.replace("same", "ant")))
    assert list(running.Workshop(read_compare_config(file)).problem().tests) == ["zebra", "ant"]
