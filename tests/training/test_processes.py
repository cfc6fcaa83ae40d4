"""A batch shared by processes: the mean of their gradients is the whole batch's, and a whole run of two ends alike."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from tiny_runs import config
from torch import Tensor, nn

import irno_graph as ig
from irno_graph.bases.rigno import RIGNO, Architecture
from irno_graph.correctors import MultiscaleMessagePassing
from irno_graph.experiments.train import train
from irno_graph.graph import Graph
from irno_graph.losses import RefinementLoss, SpectralLoss
from irno_graph.mesh import periodic_box
from irno_graph.refine import LeftOut, Scaling
from irno_graph.training.answers import Answers, answers_scaling
from irno_graph.training.answers_fit import AnswersFit, AnswersTask
from irno_graph.training.base_task import BaseTask, set_statistics
from irno_graph.training.corrector_task import CorrectorTask, Samples
from irno_graph.training.fit import PlanEpoch
from irno_graph.training.lead_times import LeadTimes
from irno_graph.training.pairs import BatchPlan, Task, TrajectorySet
from irno_graph.training.processes import Share, first_process_first, join_processes, rank_and_size
from irno_graph.training.schedule import Schedule
from irno_graph.training.unrolling import Unrolling

RATE = Schedule(1e-3, 10)


def made_part() -> TrajectorySet:
    states = torch.randn(4, 4, 40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return TrajectorySet(Graph.from_mesh(periodic_box(40, seed=4)), states)


@pytest.fixture(scope="module")
def part() -> TrajectorySet:
    return made_part()


def base_task(part: TrajectorySet, **options: bool) -> BaseTask:
    sizes = Architecture(processor_steps=1, node_hidden=6, edge_hidden=6, use_time=False)
    base = RIGNO(4, 4, architecture=sizes, stepper="residual", lead_time=0.1)
    set_statistics(base, [part], 2)
    task = BaseTask(
        base.double(),
        [part],
        [part],
        schedule=RATE,
        edge_masking=0.4,
        lead_times=LeadTimes(2, warmup=0.0, **options),
    )
    task.epoch = task.epochs
    return task


def fractional_task(part: TrajectorySet) -> BaseTask:
    return base_task(part, fractional=True)


def corrector_task(part: TrajectorySet, single_steps: int = 0) -> CorrectorTask:
    corrector = MultiscaleMessagePassing(4, 4, hidden=6, levels=2, modes=4)
    model = ig.IRNO(LeftOut("base"), corrector.double(), alpha=0.3, steps=2, scaling=Scaling.identity(4, 4))
    for own in corrector.parameters():
        nn.init.normal_(own, std=0.3)
    x, y = part.states[:, :-1].flatten(0, 1), part.states[:, 1:].flatten(0, 1)
    return CorrectorTask(
        model.double(),
        [part],
        [part],
        samples=[[Samples(x, 0.8 * y, y)]],
        loss=RefinementLoss(SpectralLoss(6), beta_fp=0.5),
        schedule=RATE,
        unrolling=Unrolling(beta_jacobian=0.2, beta_norm=0.3, past_steps=1, single_steps=single_steps),
    )


def single_step_task(part: TrajectorySet) -> CorrectorTask:
    return corrector_task(part, single_steps=5)


def answers_task(part: TrajectorySet) -> AnswersTask:
    y = part.states.flatten(0, 1)
    answers = Answers(part.graph, y, 0.7 * y + 0.1, y)
    corrector = MultiscaleMessagePassing(4, 4, hidden=6, levels=2).double()
    model = ig.IRNO(LeftOut("operator"), corrector, alpha=0.5, steps=2, scaling=answers_scaling([answers]))
    for own in corrector.parameters():
        nn.init.normal_(own, std=0.3)
    return AnswersTask(model.double(), [answers], [answers], AnswersFit(beta_fp=0.5, loss_modes=6))


TASKS: list[Callable[[TrajectorySet], lightning.LightningModule]] = [
    base_task,
    fractional_task,
    corrector_task,
    single_step_task,
    answers_task,
]


def gradients(
    task: lightning.LightningModule, batch: Task, share: Share, monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    monkeypatch.setattr(Share, "own", staticmethod(lambda: share))
    for name in ("log", "log_dict"):
        monkeypatch.setattr(task, name, lambda *_: None)
    task.zero_grad(set_to_none=True)
    loss = task.training_step(batch, 0)
    assert isinstance(loss, Tensor)
    loss.backward()
    return [own.grad.clone() for own in task.parameters() if own.grad is not None]


@pytest.mark.parametrize("make", TASKS)
@pytest.mark.parametrize("samples", [8, 5, 3])
def test_shares_have_the_gradient_of_the_whole_on_average(part, make, samples, monkeypatch):
    """DDP takes the mean over the processes, so that it is that over the samples: with 5 or 3 for two, too.

    Of 8, 5 and 3 samples 2, 2 and 1 are in the fixed-point share and the penalties.
    """
    torch.manual_seed(1)
    task = make(part)
    batch = Task(0, torch.randperm(12)[:samples], 11)
    whole = gradients(task, batch, Share(), monkeypatch)
    halves = [gradients(task, batch, Share(rank, 2), monkeypatch) for rank in range(2)]
    assert len(whole) > 10
    assert not all(torch.allclose(one, other) for one, other in zip(*halves, strict=True))
    for expected, *own in zip(whole, *halves, strict=True):
        torch.testing.assert_close(
            sum(own) / 2, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max() + 1e-3)
        )


def test_two_ranks_over_gloo_have_the_gradient_of_the_whole_batch(tmp_path):
    outs = [tmp_path / f"{rank}.json" for rank in range(2)]
    folders = [str(Path(ig.__file__).parents[1]), str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": os.pathsep.join(folders)}
    script = str(Path(__file__).with_name("one_share.py"))
    started = [
        subprocess.Popen(
            [sys.executable, script, str(rank), "2", str(tmp_path / "store"), str(out)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank, out in enumerate(outs)
    ]
    for process in started:
        _, said = process.communicate(timeout=900)
        assert process.returncode == 0, said
    for out in outs:
        found = json.loads(out.read_text())
        assert len(found) == len(TASKS)
        for name, own in found.items():
            assert own["mean"] < 1e-10 < 1e-6 < own["alone"], name


def test_shares_are_disjoint_and_whole():
    for total in range(1, 9):
        for size in range(1, 4):
            shares = [Share(rank, size) for rank in range(size)]
            found = torch.cat([own.of(torch.arange(total)) for own in shares])
            assert sorted(found.tolist()) == list(range(total))
            assert [own.count(total) for own in shares] == [
                len(own.of(torch.arange(total))) for own in shares
            ]
            assert np.isclose(sum(own.weight(total) for own in shares), size)


def test_a_function_of_a_share_alone_is_zero_elsewhere():
    found = Share(1, 3).alone(lambda rows: 10 * rows)(torch.arange(5.0))
    assert found.tolist() == [0, 10, 0, 0, 40]


def test_alone_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes("cpu") == "cpu"
    assert rank_and_size() == (0, 1)
    with first_process_first() as first:
        assert first


def test_a_batch_with_a_sample_for_each_process_is_asked_for(monkeypatch):
    plan = BatchPlan([3, 8], 4, 0)
    trainer = type("Trainer", (), {"current_epoch": 0})()
    PlanEpoch(plan).on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    monkeypatch.setattr("irno_graph.training.fit.rank_and_size", lambda: (0, 4))
    with pytest.raises(ValueError, match=r"got 3 for 4 processes"):
        PlanEpoch(plan).on_train_epoch_start(trainer, None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_of_two_processes_ends_as_one_of_one_does(tmp_path):
    """To the rounding of float32 sums, in other orders; the first process makes the data and alone writes."""
    for name in ("one", "two"):
        path = config(tmp_path / name, base=7, corrector=7)
        text = path.read_text().replace(
            "epoch_batches: 4", "epoch_batches: 4, ema: 0.5, keep_best: true, validate_every: 1"
        )
        path.write_text(text.replace("refresh_every: 1", "refresh_every: 1, beta_jacobian: 0.1"))
    expected = train(tmp_path / "one" / "tiny.yaml", report=lambda line: None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *("-m", "irno_graph", "train", "two/tiny.yaml"),
        ],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(ig.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Written:") == 1
    assert len(list((tmp_path / "two" / "run").rglob("metrics.csv"))) == 2
    for file in expected:
        found = ig.load(tmp_path / "two" / "run" / file.name)
        for name, value in ig.load(file).state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
