"""A Fourier neural operator as the base of a training config."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_runs import config
from torch import nn

import irno_graph as ig
from irno_graph.bases import PlainFNO, Standardised, Stepped
from irno_graph.bases.rigno import Stepper
from irno_graph.experiments import train as training
from irno_graph.experiments.config import ConfigError, read_config
from irno_graph.experiments.parts import new_base
from irno_graph.experiments.sets import read_sets
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box
from irno_graph.refine.kinds import described
from irno_graph.training.base_task import validation_errors
from irno_graph.training.pairs import BatchPlan, Task, TrajectorySet, square_symmetries
from irno_graph.training.schedule import Schedule
from irno_graph.training.stepped_task import SteppedTask, on_square, standardised_step

FNO = ["base.kind=fno", "base.grid=12", "base.modes=4", "base.layers=2"]
SCHEDULE = Schedule(1e-3, 10, 0.2, 0.0, "annealed")


def run(path: Path, stage: str, *changes: str) -> Path:
    with warnings.catch_warnings(action="ignore"):
        (file,) = training.train(path, stage=stage, changes=[*FNO, *changes], report=lambda line: None)
    return file


def waves(pos: torch.Tensor, times: int = 3) -> torch.Tensor:
    """Scalars and a velocity [times, nodes, 4] that belong to places, not to nodes."""
    x, y = (2 * torch.pi * pos).float().unbind(-1)
    phase = torch.arange(times)[:, None]
    fields = [torch.sin(x - phase), torch.cos(x + 2 * y), torch.sin(y + phase), torch.cos(x - y + phase)]
    return torch.stack([own.expand(times, -1) for own in fields], dim=-1)


def task(stepper: Stepper = Stepper.DERIVATIVE, sets: int = 1) -> SteppedTask:
    graphs = [Graph.from_mesh(periodic_box(90, seed=seed)) for seed in range(sets)]
    train = [TrajectorySet(graph, waves(graph.pos)[None]) for graph in graphs]
    network = PlainFNO(4, 4, hidden=6, modes=3, layers=2)
    base = standardised_step(on_square(network, train, side=12), train, stepper=stepper, lead_time=0.5)
    return SteppedTask(base, train, train, schedule=SCHEDULE)


def loss(own: SteppedTask, turn: int, group: int = 0) -> float:
    """Over all pairs of a set, turned by one of the symmetries."""
    seed = next(n for n in range(99) if np.random.default_rng(n).integers(8) == turn)
    own.log = lambda *_, **__: None  # type: ignore[method-assign]
    with torch.no_grad():
        return float(own.training_step(Task(group, torch.arange(2), seed), 0))


@pytest.mark.parametrize("stepper", Stepper)
def test_answers_of_the_mean_change_have_an_error_of_one(stepper):
    """In units of the targets' deviation over the training set, per channel; the true changes have none."""
    own = task(stepper)
    inner = own.base.base
    assert isinstance(inner, Standardised)
    states = own.train_sets[0].states[0].double()
    target = {"output": states[1:], "residual": states.diff(dim=0), "derivative": states.diff(dim=0) / 0.5}
    flat = target[stepper].flatten(0, 1)
    deviation = flat.std(dim=0, correction=0)
    still = deviation < 1e-6  # the second channel, but for "output"
    torch.testing.assert_close(inner.mean.double(), flat.mean(dim=0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(inner.std[~still].double(), deviation[~still], rtol=1e-5, atol=0)
    flat = states.flatten(0, 1)
    torch.testing.assert_close(inner.input_mean.double(), flat.mean(dim=0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(inner.input_std.double(), flat.std(dim=0, correction=0), rtol=1e-5, atol=0)
    for value in inner.base.base.last.parameters():  # type: ignore[union-attr]
        nn.init.zeros_(value)
    assert bool(still.any()) == (stepper != Stepper.OUTPUT)
    assert loss(own, 0) == pytest.approx(float((~still).float().mean()), rel=1e-4)
    truth = target[stepper].float()
    own.base.base = Standardised(
        ig.bases.Callable(lambda x, graph: (truth - inner.mean) / inner.std),
        **dict(inner.named_buffers(recurse=False)),
    )
    assert loss(own, 0) < 1e-9


@pytest.mark.parametrize("turn", range(8))
def test_batches_are_turned_with_their_mesh(turn):
    """v'(p') = M v(p) at p' = M (p - c) + c: what is drawn is the same flow on the turned graph."""
    own = task()
    seed = next(n for n in range(99) if np.random.default_rng(n).integers(8) == turn)
    x, y, graph = own.drawn(Task(0, torch.arange(2), seed))
    matrix = square_symmetries()[turn].double()
    back = (graph.pos - 0.5) @ matrix + 0.5
    expected = waves(back)
    expected[..., 1:3] = expected[..., 1:3] @ matrix.float().T
    torch.testing.assert_close(x, expected[:2], rtol=0, atol=1e-5)
    torch.testing.assert_close(y, expected[1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(graph.mass.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_sets_without_a_common_period_and_bases_of_another_kind_are_refused():
    own = task()
    part = own.train_sets[0]
    flat = TrajectorySet(Graph.from_grid((9, 10)), part.states)
    for sets in ([flat], [part, flat]):
        with pytest.raises(ValueError, match=r"one periodic square, got the periods .*None"):
            on_square(PlainFNO(4, 4), sets, side=12)
    with pytest.raises(ValueError, match="should have a Standardised one within, got PlainFNO"):
        SteppedTask(Stepped(PlainFNO(4, 4)), [part], [part], schedule=SCHEDULE)


def heat(nodes: int, seed: int, count: int) -> TrajectorySet:
    """Waves of four directions with random amplitudes in each channel, which decay as e^(-|k|^2 t / 2)."""
    graph = Graph.from_mesh(periodic_box(nodes, seed=seed))
    k = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    phase = 2 * torch.pi * graph.pos.float() @ k.T  # [nodes, waves]
    shapes = torch.stack([phase.sin(), phase.cos()])  # [2, nodes, waves]
    size = torch.randn(count, 1, 2, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    decay = torch.exp(-0.5 * torch.arange(4)[:, None] * 0.5 * k.square().sum(dim=1))  # [times, waves]
    states = (size * shapes[None, None, ..., None] * decay[None, :, None, None, :, None]).sum(dim=(2, 4))
    return TrajectorySet(graph, states)


def test_the_heat_equation_is_learned():
    """On another mesh than the training's, and through rollouts: a fifth of the error of leaving states as they are."""
    train, valid = [heat(300, 0, 16)], [heat(260, 1, 4)]
    torch.manual_seed(0)
    network = PlainFNO(4, 4, hidden=12, modes=3, layers=2)
    base = standardised_step(
        on_square(network, train, side=16), train, stepper=Stepper.RESIDUAL, lead_time=0.5
    )
    own = SteppedTask(base, train, valid, schedule=SCHEDULE)
    own.log = lambda *_, **__: None  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(base.parameters(), lr=0.01)
    plan = BatchPlan([part.pairs() for part in train], 8, seed=0)
    for epoch in range(14):
        plan.set_epoch(epoch)
        for one in plan.tasks:
            optimizer.zero_grad()
            own.training_step(one, 0).backward()
            optimizer.step()
    found, still = (validation_errors(step, valid, own.spread) for step in (base, lambda x, graph: x))
    assert found[0] < 0.2 * still[0]
    assert found[1] < 0.2 * still[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A config whose folder has a base and a model."""
    path = config(tmp_path_factory.mktemp("fno"), base=8, corrector=5)
    run(path, "base")
    run(path, "corrector")
    return path


def test_base_corrector_and_control_are_trained_and_saved(trained):
    folder = trained.parent / "run"
    base, model = (ig.load(folder / f"{name}.safetensors") for name in ("base", "model"))
    assert (base.lead_time, str(base.stepper), model.lead_time) == (0.1, "derivative", 0.1)
    assert model.base_hash == ig.IRNO(base, model.corrector).base_hash  # the corrector left the base alone
    with h5py.File(trained.parent / "data" / "train-0.nc") as a:
        x = torch.from_numpy(np.asarray(a["u"])[:, 0, :, :4])
    graph = Graph.from_mesh(periodic_box(80, seed=1))
    with torch.no_grad():
        assert torch.equal(model(x, graph, steps=0).value, base(x, graph))
        again = ig.load(ig.save(base, folder / "again.safetensors"))
        assert torch.equal(again(x, graph), base(x, graph))
    assert torch.isfinite(ig.rollout(model, x, graph, time_steps=2).states).all()
    control = ig.load(run(trained, "control"))
    assert ig.IRNO(control, model.corrector).base_hash != model.base_hash
    for name, value in base.named_buffers():  # the control keeps the base's units
        assert torch.equal(control.get_buffer(name), value), name


def test_a_control_of_another_kind_is_refused(trained):
    with pytest.raises(ValueError, match=r"should go on from a RIGNO, as `base.kind` says, got Stepped"):
        run(trained, "control", "base.kind=rigno")


def test_a_run_that_was_cut_off_ends_where_an_undisturbed_one_does(trained, tmp_path, monkeypatch):
    class Cut(Exception):
        pass

    import irno_graph.training.fit as fitting

    plan = fitting.PlanEpoch

    class Stop(plan):  # type: ignore[misc, valid-type]
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 1:
                raise Cut
            super().on_train_epoch_start(trainer, module)

    again = (f"folder={tmp_path}/cut",)
    monkeypatch.setattr(fitting, "PlanEpoch", Stop)
    with pytest.raises(Cut):
        run(trained, "base", *again)
    monkeypatch.setattr(fitting, "PlanEpoch", plan)
    resumed, whole = ig.load(run(trained, "base", *again)), ig.load(trained.parent / "run/base.safetensors")
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_the_config_says_what_it_is(tmp_path):
    path = config(tmp_path)
    sizes = ["base.hidden=5", "base.modes=3", "base.layers=1", "base.stepper=residual"]
    wanted = read_config(path, [*FNO, *sizes])
    base = new_base(wanted, read_sets(wanted, "train", "cpu", lambda line: None))
    said = described(base)
    assert said["config"] == {"stepper": "residual", "lead_time": 0.1}
    assert said["base"]["base"]["config"]["grid"]["shape"] == [12, 12]
    assert said["base"]["base"]["config"]["order"] == 3
    network = {"in_channels": 4, "channels": 4, "hidden": 5, "modes": 3, "layers": 1, "dim": 2}
    assert said["base"]["base"]["base"]["config"] == network


IMPOSSIBLE = [
    ("base.grid=3", "base.grid", "4 or more with base.kind fno, got 3"),
    ("base.modes=7", "base.modes", "at most 6, which a grid of 12 cells a side resolves, got 7"),
    ("base.modes=0", "base.modes", "1 or more, got 0"),
    ("base.layers=0", "base.layers", "1 or more, got 0"),
    ("base.longest_lead=2", "base.longest_lead", "1 with base.kind fno, which knows one lead time, got 2"),
    ("base.fractional=true", "base.fractional", "false with base.kind fno"),
    ("base.edge_masking=0.5", "base.edge_masking", "0 with base.kind fno, which has no edges"),
    ("base.recompute=true", "base.recompute", "false with base.kind fno"),
    ("base.fit.compiled=true", "base.fit.compiled", "false with base.kind fno"),
    ("data.flow=ce-gauss-obstacles", "base.kind", "rigno with the flow ce-gauss-obstacles, got 'fno'"),
    ("base.kind=tfno", "base.kind", "one of rigno, fno, got 'tfno'"),
]


@pytest.mark.parametrize(("change", "key", "message"), IMPOSSIBLE)
def test_options_that_it_does_not_have_are_refused(tmp_path, change, key, message):
    path = config(tmp_path)
    assert read_config(path, FNO).base.kind == "fno"
    with pytest.raises(ConfigError, match=f"key `{key}` should be {message}"):
        read_config(path, [*FNO, change])
