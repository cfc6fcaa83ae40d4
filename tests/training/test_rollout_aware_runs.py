"""Whole runs of a corrector on changed inputs, with monitors: what is logged, and that a cut changes nothing."""

import csv
import warnings
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from tiny_runs import config

import irno_graph as ig
from irno_graph.experiments import train as training
from irno_graph.experiments.config import ConfigError, read_config
from irno_graph.experiments.train import train
from irno_graph.losses import RefinementLoss
from irno_graph.mesh import periodic_box
from irno_graph.refine import Scaling
from irno_graph.training import keeping
from irno_graph.training.corrector_task import CorrectorTask, met_states, true_pairs
from irno_graph.training.fit import fit
from irno_graph.training.noise import MetInputs
from irno_graph.training.pairs import Task, TrajectorySet
from irno_graph.training.schedule import Schedule

ON = ("corrector.input_noise=0.05", "corrector.pushforward=0.5", "corrector.monitor_every=1")


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings(action="ignore"):  # Lightning's own remarks are not ours to fail on
        yield


def silent(_: str) -> None:
    pass


def rows(folder: Path) -> list[dict[str, str]]:
    (log,) = (folder / "run" / "corrector" / "csv").rglob("metrics.csv")
    return read(log)


def read(log: Path) -> list[dict[str, str]]:
    """Those rows that a monitor wrote."""
    return [row for row in csv.DictReader(log.read_text().splitlines()) if row.get("step_error/0")]


def test_a_run_on_changed_inputs_logs_its_errors_and_draws_them(tmp_path: Path) -> None:
    drawn: list[tuple[Any, ...]] = []

    def draw(graph: Any, states: Any, times: Any) -> Any:
        from matplotlib.figure import Figure

        drawn.append((len(times), sorted(states), states["truth"].shape))
        return Figure(figsize=(1, 1))

    path = config(tmp_path, base=4, corrector=10)
    _, changed = train(path, changes=ON, report=silent, draw=draw)
    seen = rows(tmp_path)
    assert seen
    assert drawn == len(seen) * [(4, ["base", "refined", "truth"], (4, 80, 4))]
    last = seen[-1]
    assert float(last["step_error/0"]) == 1
    for name in ("step_error/2", "time_error_refined/3", "band_error_base/3", "refinement/q"):
        assert float(last[name]) > 0
    spread = sum(float(last[f"time_error_refined/{n}"]) for n in (1, 2, 3)) / 3
    assert spread == pytest.approx(float(last["valid_rollout"]), rel=1e-5)  # both sets are seen as a whole
    plain = config(tmp_path / "plain", base=4, corrector=10)
    _, other = train(plain, report=silent)
    names = ig.load(changed).corrector.state_dict()
    rest = ig.load(other).corrector.state_dict()
    assert any(not torch.equal(value, rest[name]) for name, value in names.items())
    (log,) = (tmp_path / "plain" / "run" / "corrector" / "csv").rglob("metrics.csv")
    assert "step_error" not in log.read_text()


def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at the start of the third epoch, after a refresh, with noise, pushforward and monitors."""
    monkeypatch.setattr(keeping.Last.__init__, "__defaults__", (0.0,))
    changes = (*ON, "corrector.monitor_every=2", "corrector.fit.validate_every=1")
    whole, cut = (config(tmp_path / name, base=4, corrector=14) for name in ("whole", "cut"))
    _, expected = train(whole, changes=changes, report=silent)
    train(cut, stage="base", changes=changes, report=silent)

    class Cut(lightning.Callback):
        def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
            if trainer.current_epoch == 2:
                raise KeyboardInterrupt

    def stopping(*arguments: Any, callbacks: Any, **options: Any) -> None:
        fit(*arguments, callbacks=(*callbacks, Cut()), **options)

    monkeypatch.setattr(training, "fit", stopping)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(cut, stage="corrector", changes=changes, report=silent)
    monkeypatch.setattr(training, "fit", fit)
    (found,) = train(cut, stage="corrector", changes=changes, report=silent)
    one, two = (ig.load(file).corrector.state_dict() for file in (expected, found))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    logs = [(tmp_path / name / "run" / "corrector" / "csv").rglob("metrics.csv") for name in ("whole", "cut")]
    looks = [{row["step"]: row["refinement/q"] for file in files for row in read(file)} for files in logs]
    assert looks[0] == looks[1]
    assert len(looks[0]) == 2


def test_monitors_do_not_change_the_weights(tmp_path: Path) -> None:
    found = []
    for name, changes in (("one", ()), ("two", ("corrector.monitor_every=1",))):
        _, file = train(config(tmp_path / name, base=4, corrector=10), changes=changes, report=silent)
        found.append(ig.load(file).corrector.state_dict())
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name])


def test_batches_have_changed_inputs_for_true_pairs_alone() -> None:
    """Samples of the second source, states of rollouts, keep theirs; what is drawn does not depend on the batch."""
    mesh = periodic_box(60, seed=1)
    graph = ig.Graph.from_mesh(mesh)
    part = TrajectorySet(graph, torch.randn(3, 4, 60, 4, generator=torch.Generator().manual_seed(0)))
    corrector = ig.correctors.MessagePassing(4, 4, hidden=4, layers=1)
    model = ig.IRNO(lambda x, graph: 0.5 * x, corrector, alpha=0.5, steps=2, scaling=Scaling.identity(4, 4))
    sources = [[true_pairs(model, part)], [met_states(model, part, torch.arange(3), 0)]]
    task = CorrectorTask(
        model, [part], [part], samples=sources, loss=RefinementLoss(), schedule=Schedule(1e-3, 10)
    )
    count = len(sources[0][0].x)
    numbers = torch.tensor([0, 1, 5, count, count + 2])
    plain = task.batch(Task(0, numbers, 7))
    task.inputs = MetInputs(pushforward=1.0)
    pushed = task.batch(Task(0, numbers, 7))
    same = [bool(torch.equal(one, two)) for one, two in zip(plain.x, pushed.x, strict=True)]
    assert same == [True, False, False, True, True]  # 0 is the first snapshot of a trajectory
    assert torch.equal(plain.y, pushed.y)
    for place, (trajectory, first) in ((1, (0, 1)), (2, (1, 2))):
        with torch.no_grad():
            own = model(part.states[trajectory, first - 1][None], graph).value[0]
        torch.testing.assert_close(pushed.x[place], own)
        torch.testing.assert_close(pushed.h0[place], 0.5 * own)
    task.inputs = MetInputs(noise=0.1)
    noisy = task.batch(Task(0, numbers, 7))
    assert ((noisy.x != plain.x).flatten(1).any(dim=1)).all()
    torch.testing.assert_close(noisy.h0, 0.5 * noisy.x)
    alone = task.batch(Task(0, numbers[3:4], 7))
    assert torch.equal(alone.x[0], noisy.x[3])


@pytest.mark.parametrize(
    "change",
    [
        "corrector.input_noise=-1",
        "corrector.pushforward=1.5",
        "corrector.monitor_every=-1",
        "corrector.monitor_trajectories=0",
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, change: str) -> None:
    with pytest.raises(ConfigError, match=change.partition("=")[0]):
        read_config(config(tmp_path), [change])
