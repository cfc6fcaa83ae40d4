"""Options of every run, each against a slow loop of its own."""

import warnings
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn

import irno_graph as ig
from irno_graph.bases.rigno import RIGNO, Architecture
from irno_graph.correctors import MultiscaleMessagePassing
from irno_graph.losses import RefinementLoss, SpectralLoss
from irno_graph.mesh import periodic_box
from irno_graph.refine import LeftOut, Scaling
from irno_graph.training.base_task import BaseTask, set_statistics
from irno_graph.training.corrector_task import CorrectorTask, Samples
from irno_graph.training.fit import fit
from irno_graph.training.options import FitOptions
from irno_graph.training.pairs import BatchPlan, Task, TrajectorySet
from irno_graph.training.schedule import Schedule
from irno_graph.training.unrolling import Unrolling

X = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
Y = X.sum(dim=1, keepdim=True).sin()


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings(action="ignore"):
        yield


class Line(lightning.LightningModule):
    """A line through points; remembers its weights after each step, and what validation saw."""

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.rate = nn.Linear(3, 1), rate
        self.path: list[Tensor] = []
        self.validated: list[Tensor] = []
        self.errors: list[float] = []
        self.autocast: set[bool] = set()

    def training_step(self, task: Task, _: int) -> Tensor:
        self.autocast.add(torch.is_autocast_enabled("cpu"))
        return (self.net(X[task.samples]) - Y[task.samples]).square().mean()

    def on_train_batch_end(self, *_: Any) -> None:
        self.path.append(self.net.weight.detach().clone())

    def on_validation_epoch_start(self) -> None:
        self.autocast.add(torch.is_autocast_enabled("cpu"))
        self.validated.append(self.net.weight.detach().clone())
        self.log("valid_rollout", self.errors.pop(0) if self.errors else 0.0)

    def validation_step(self, *_: object) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.rate)


def run(folder: Path, task: Line, batch_size: int = 4, steps: int = 12, **options: Any) -> Line:
    length: dict[str, Any] = {"total_steps": steps, "epoch_batches": 4, "validate_every": 1}
    fit(task, BatchPlan([16], batch_size, 1), folder, options=FitOptions(**options), **length)
    return task


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path, monkeypatch):
    """Batches of 4, two for a step, against batches of 8 of the same samples in the same order."""
    order = torch.randperm(16)

    def planned(plan: BatchPlan, epoch: int) -> None:
        plan.tasks = [Task(0, part, 0) for part in order.split(plan.batch_size)]

    monkeypatch.setattr(BatchPlan, "set_epoch", planned)
    large = run(tmp_path / "large", Line(), batch_size=8)
    small = run(tmp_path / "small", Line(), accumulate=2)
    assert (len(large.path), len(small.path)) == (12, 24)
    torch.testing.assert_close(small.net.weight, large.net.weight, rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match=r"`accumulate`.*got 5 for 4"):
        run(tmp_path / "more", Line(), accumulate=5)


def test_averaged_weights_are_validated_and_kept(tmp_path):
    task = run(tmp_path, Line(), ema=0.7)
    average, seen = task.path[0], []
    for number, weight in enumerate(task.path):
        average = 0.7 * average + 0.3 * weight
        if number % 4 == 3:
            seen.append(average)
    assert len(task.path) == 12
    torch.testing.assert_close(task.net.weight.detach(), average)
    for found, expected in zip(task.validated, seen, strict=True):
        torch.testing.assert_close(found, expected)
    assert not torch.allclose(average, task.path[-1], atol=1e-3)


@pytest.mark.parametrize("ema", [0.0, 0.7])
def test_the_weights_with_the_smallest_error_are_kept(tmp_path, ema):
    task = Line()
    task.errors = [0.5, 0.2, 0.3]
    run(tmp_path, task, ema=ema, keep_best=True)
    assert torch.equal(task.net.weight.detach(), task.validated[1])
    assert not torch.equal(task.validated[1], task.validated[2])
    task = Line()
    task.errors = [float("nan")] * 3
    with pytest.raises(FloatingPointError, match="finite once"):
        run(tmp_path / "nan", task, keep_best=True)


def test_a_run_ends_when_patience_does(tmp_path):
    task = Line()
    task.errors = [0.5, 0.6, 0.4, 0.4, float("nan"), 0.1]
    run(tmp_path, task, steps=40, patience=2)
    assert len(task.path) == 4 * 5


def test_long_gradients_are_scaled_down_or_left(tmp_path):
    first = Line(rate=100.0)
    start = [own.detach().clone() for own in first.parameters()]
    for clip, same in ((0.0, True), (0.5, False)):
        task = Line(rate=100.0)
        run(tmp_path / str(clip), task, steps=1, batch_size=16, gradient_clip=clip)
        moved = (
            torch.cat([(a - b.detach()).flatten() for a, b in zip(start, task.parameters(), strict=True)])
            / 100.0
        )
        (first.net(X) - Y).square().mean().backward()
        gradient = torch.cat([own.grad.flatten() for own in first.parameters() if own.grad is not None])
        expected = gradient if same else gradient * (0.5 / gradient.norm())
        assert gradient.norm() > 0.6
        torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
        first.zero_grad()


@pytest.mark.parametrize(
    "wrong",
    [{"precision": "16"}, {"accumulate": 0}, {"gradient_clip": -1.0}, {"ema": 1.0}, {"patience": -1}],
)
def test_impossible_options_are_named(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` should be .*, got"):
        FitOptions(**wrong)


def test_training_alone_is_in_bfloat16(tmp_path):
    assert run(tmp_path / "a", Line(), steps=4, precision="bf16").autocast == {True, False}
    assert run(tmp_path / "b", Line(), steps=4).autocast == {False}


def tasks() -> list[lightning.LightningModule]:
    """A base's and a corrector's, with all losses and penalties."""
    torch.manual_seed(3)
    graph = ig.Graph.from_mesh(periodic_box(60, seed=4))
    part = TrajectorySet(graph, torch.randn(4, 3, 60, 4))
    sizes = Architecture(processor_steps=2, node_hidden=16, edge_hidden=16, use_time=False)
    base = RIGNO(4, 4, architecture=sizes, stepper="residual", lead_time=0.1)
    set_statistics(base, [part])
    corrector = MultiscaleMessagePassing(4, 4, hidden=16, levels=2, modes=8)
    for own in corrector.parameters():
        nn.init.normal_(own, std=0.2)
    model = ig.IRNO(LeftOut("base"), corrector, alpha=0.3, steps=2, scaling=Scaling.identity(4, 4))
    x, y = part.states[:, :-1].flatten(0, 1), part.states[:, 1:].flatten(0, 1)
    loss, rate = RefinementLoss(SpectralLoss(8), beta_fp=0.5), Schedule(1e-3, 10)
    unrolled = Unrolling(beta_jacobian=0.1)
    samples = [[Samples(x, 0.8 * y, y)]]
    return [
        BaseTask(base, [part], [part], schedule=rate),
        CorrectorTask(model, [part], [part], samples=samples, loss=loss, schedule=rate, unrolling=unrolled),
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_gradients_in_bfloat16_are_finite_and_near(number, monkeypatch):
    """To a few roundings of 2**-8; data are not rounded: fields are turned, and losses taken, in float32."""
    found = []
    for enabled in (False, True):
        task = tasks()[number]
        for name in ("log", "log_dict"):
            monkeypatch.setattr(task, name, lambda *_: None)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = task.training_step(Task(0, torch.arange(6), 7), 0)
        assert loss.dtype != torch.bfloat16
        loss.backward()
        gradient = torch.cat([own.grad.flatten() for own in task.parameters() if own.grad is not None])
        assert torch.isfinite(gradient).all()
        found.append((loss.detach(), gradient))
    (loss, gradient), (rough_loss, rough) = found
    assert 0 < abs(rough_loss - loss) < 0.02 * loss
    assert 1e-4 < (rough - gradient).norm() / gradient.norm() < 0.1


def test_fields_are_turned_in_full_precision(monkeypatch):
    task = tasks()[1]
    assert isinstance(task, CorrectorTask)
    seen: list[Any] = []
    states = task._states

    def watched(*given: Any) -> Any:
        seen.append(given)
        return states(*given)

    monkeypatch.setattr(task, "_states", watched)
    for name in ("log", "log_dict"):
        monkeypatch.setattr(task, name, lambda *_: None)
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            task.training_step(Task(0, torch.arange(6), 7), 0)
    for plain, rough in zip(seen[0][1:], seen[1][1:], strict=True):
        assert torch.equal(plain, rough)
