"""A batch shared by processes: the mean of their gradients is the whole batch's, and a whole run of two ends alike."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from shared_tasks import TASKS, made_part
from tiny_runs import config
from torch import Tensor

import irno_graph as ig
from irno_graph.experiments.train import train
from irno_graph.training.fit import PlanEpoch
from irno_graph.training.pairs import BatchPlan, Task, TrajectorySet
from irno_graph.training.processes import Share, first_process_first, join_processes, rank_and_size


@pytest.fixture(scope="module")
def part() -> TrajectorySet:
    return made_part()


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


@pytest.mark.slow
def test_two_ranks_over_gloo_have_the_gradient_of_the_whole_batch(tmp_path):
    outs = [tmp_path / f"{rank}.json" for rank in range(2)]
    folders = [str(Path(ig.__file__).parents[1]), str(Path(__file__).parents[1])]
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
