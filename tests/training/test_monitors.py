"""Monitors of training against models whose errors are known in closed form."""

import csv
import math
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from irno_graph import IRNO, EigenBasis, Graph
from irno_graph.data import Moments
from irno_graph.mesh import periodic_box
from irno_graph.report.training_picture import vorticity_picture
from irno_graph.spectral import octaves
from irno_graph.training.base_task import validation_errors
from irno_graph.training.monitors import Energies, Monitor, Watched
from irno_graph.training.pairs import TrajectorySet

GRAPH = Graph.from_mesh(periodic_box(64, seed=3))
BASIS = EigenBasis.compute(GRAPH, modes=12, cache=False)
TRUE, ALPHA, STEPS = 1.1, 0.25, 3
MODES = (1, 6, 11)  # one in each band
WRONG = torch.tensor([0.05, 0.2, -0.4], dtype=torch.float64)  # of the base at each of them
EDGES = [0.0, *(float(0.5 * (BASIS.frequencies[m] + BASIS.frequencies[m + 1])) for m in (3, 8)), 1e9]


class Base(nn.Module):
    """u -> TRUE u + WRONG u in every mode."""

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        modes = BASIS.vectors[:, list(MODES)].to(x)
        coefficients = (modes * BASIS.mass[:, None].to(x)).T @ x
        return TRUE * x + modes @ (WRONG.to(x)[:, None] * coefficients)


class ToTruth(nn.Module):
    """Phi = y - h, times a weight that is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor, h: Tensor, graph: Graph) -> Tensor:
        return self.weight.to(x) * (TRUE * x - h)


def flows(samples: int = 3, times: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
    """u_n = TRUE^n u_0, four channels, in the three modes, `[samples, times, nodes, 4]`."""
    generator = torch.Generator().manual_seed(0)
    start = BASIS.vectors[:, list(MODES)] @ torch.randn(samples, 1, 3, 4, generator=generator).double()
    return (start * TRUE ** torch.arange(times).double().reshape(-1, 1, 1)).to(dtype)


def exact(graph: Graph) -> Energies:
    return lambda field: BASIS.band_energy(field, EDGES)[..., :3, :]


def monitor(**options: Any) -> tuple[Monitor, TrajectorySet]:
    part = TrajectorySet(GRAPH, flows())
    model = IRNO(Base(), ToTruth(), alpha=ALPHA, steps=STEPS)
    given: dict[str, Any] = {"mean": torch.zeros(4), "deviation": torch.full((4,), 0.5), **options}
    return Monitor(model, [Watched.of(part, 2, exact)], **given), part


def test_every_error_is_the_one_that_was_built_in() -> None:
    found, part = monitor()
    seen = found.look()
    left = (1 - ALPHA) ** STEPS
    for k in range(STEPS + 1):
        assert seen[f"step_error/{k}"] == pytest.approx((1 - ALPHA) ** k)
    for band, wrong in enumerate(WRONG.abs().tolist()):
        assert seen[f"band_error_base/{band}"] == pytest.approx(wrong / TRUE)
        assert seen[f"band_error_refined/{band}"] == pytest.approx(left * wrong / TRUE)
    assert seen["refinement/alpha"] == ALPHA
    assert seen["refinement/contraction"] == pytest.approx(1 - ALPHA)
    assert seen["refinement/q"] == pytest.approx(1 - ALPHA)
    modes = BASIS.vectors[:, list(MODES)]
    coefficients = BASIS.transform(part.states[:2, 0])[:, list(MODES)]
    for name, share in (("base", 1.0), ("refined", left)):
        for n in range(1, 4):
            factor = (TRUE + share * WRONG) ** n - TRUE**n
            error = modes @ (factor[:, None] * coefficients)
            size = ((GRAPH.mass[:, None] * error**2).sum(dim=1) / GRAPH.mass.sum()).sqrt().mean() / 0.5
            assert seen[f"time_error_{name}/{n}"] == pytest.approx(float(size))
    assert len(seen) == STEPS + 1 + 6 + 6 + 3


def test_rollout_errors_are_those_of_the_validation() -> None:
    found, part = monitor()
    spread = Moments(torch.zeros(4), torch.full((4,), 0.5))
    few = TrajectorySet(part.graph, part.states[:2])
    _, rolled = validation_errors(lambda x, graph: found.model(x, graph).value, [few], spread)
    seen = found.look()
    assert sum(seen[f"time_error_refined/{n}"] for n in (1, 2, 3)) / 3 == pytest.approx(float(rolled))


def test_all_sets_count_by_their_samples() -> None:
    found, part = monitor()
    one, two = (Watched.of(TrajectorySet(GRAPH, part.states[rows]), 9, exact) for rows in ([0], [1, 2]))
    found.sets = [Watched.of(part, 3, exact)]
    whole = found.look()
    found.sets = [one, two]
    parts = found.look()
    for name in whole:
        if name.startswith(("step", "band")):
            assert parts[name] == pytest.approx(whole[name])


def test_means_of_the_data_are_no_energy() -> None:
    found, part = monitor(mean=torch.full((4,), 2.0))
    plain = monitor()[0].look()

    class Shifted(nn.Module):
        def forward(self, x: Tensor, graph: Graph) -> Tensor:
            return Base()(x - 2.0, graph) + 2.0

    class ToShifted(ToTruth):
        def forward(self, x: Tensor, h: Tensor, graph: Graph) -> Tensor:
            return super().forward(x - 2.0, h - 2.0, graph)

    found.model = IRNO(Shifted(), ToShifted(), alpha=ALPHA, steps=STEPS)
    found.sets = [Watched.of(TrajectorySet(GRAPH, part.states + 2.0), 2, exact)]
    assert found.look() == pytest.approx(plain)


def test_what_is_not_finite_is_infinite() -> None:
    found, _ = monitor()
    found.model = IRNO(lambda x, graph: x * torch.where(x.abs() > 1.0, torch.inf, 1e3), ToTruth(), alpha=0.1)
    seen = found.look()
    assert seen["time_error_base/3"] == math.inf
    assert not any(math.isnan(value) for value in seen.values())


def test_octaves_sum_to_the_energy() -> None:
    field = flows()[:, 0]
    energy = octaves(GRAPH).band_energy(field)
    assert energy.shape == (3, 4, 4)
    torch.testing.assert_close(energy.sum(dim=-2), (GRAPH.mass[:, None] * field**2).sum(dim=-2))
    every = EigenBasis.compute(GRAPH, modes=64, cache=False).vectors
    bands = octaves(GRAPH).band_energy(every)  # [bands, modes]
    assert bands[:, 0].argmax() == 0
    assert bands[:, 63].argmax() == 3
    assert (bands.argmax(dim=0).diff() >= 0).all()


class Task(lightning.LightningModule):
    def __init__(self, model: IRNO) -> None:
        super().__init__()
        self.model = model

    def training_step(self, *_: Any) -> Tensor:
        corrector = self.model.corrector
        assert isinstance(corrector, ToTruth)
        return (corrector.weight - 1.0).square()

    def validation_step(self, *_: Any) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trained(folder: Path, watch: Monitor, epochs: int, start: Path | None = None) -> list[dict[str, str]]:
    """Rows of metrics.csv that a monitor wrote."""
    loggers = [CSVLogger(folder, name="csv"), TensorBoardLogger(folder, name="", version="board")]
    data: Any = torch.utils.data.DataLoader([0, 1], batch_size=None)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        for message in (
            ".*many workers.*",
            ".*number of training batches.*",
            ".*in eval mode.*",
            ".*exists and is not empty.*",
            ".*LeafSpec.*",
        ):
            warnings.filterwarnings("ignore", message=message)
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=loggers,
            callbacks=[watch],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(Task(watch.model), data, data, ckpt_path=start, weights_only=False)
        trainer.save_checkpoint(folder / "last.ckpt")
    rows = csv.DictReader((Path(loggers[0].log_dir or "") / "metrics.csv").read_text().splitlines())
    return [row for row in rows if row.get("step_error/1")]


def test_values_are_read_back_from_both_logs(tmp_path: Path) -> None:
    watch, _ = monitor(every=2, draw=vorticity_picture)
    watch.model.train()
    rows = trained(tmp_path, watch, 3)
    assert [int(row["epoch"]) for row in rows] == [0, 2]
    expected = watch.look()
    for row in rows:
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected, rel=1e-5)
    board = EventAccumulator(str(tmp_path / "board"), {"images": 0, "scalars": 0})
    board.Reload()
    for name, value in expected.items():
        assert [event.value for event in board.Scalars(name)] == pytest.approx(2 * [value], rel=1e-5)
    images = board.Images("rollout")
    assert [image.step for image in images] == [2, 6]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")
    assert images[0].width > images[0].height
    assert watch.model.corrector.training


def test_a_resumed_run_looks_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", monitor(every=3)[0], 5)
    trained(tmp_path / "cut", monitor(every=3)[0], 2)
    rest = trained(tmp_path / "cut", monitor(every=3)[0], 5, tmp_path / "cut" / "last.ckpt")
    assert [row["epoch"] for row in whole] == ["0", "3"]
    assert [row["epoch"] for row in rest] == ["3"]


def test_without_matplotlib_there_is_one_warning_and_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.warns(UserWarning, match=r"no pictures in TensorBoard.*irno-graph\[viz\]") as said:
        rows = trained(tmp_path, monitor(draw=vorticity_picture)[0], 2)
    assert len(said) == 1
    assert len(rows) == 2


def test_other_processes_count_and_leave_the_model_in_its_mode() -> None:
    watch, _ = monitor()
    watch.model.train()
    trainer: Any = SimpleNamespace(sanity_checking=False, is_global_zero=False)
    watch.on_validation_epoch_end(trainer, nn.Module())  # type: ignore[arg-type]
    assert watch.state_dict() == {"validations": 1}
    assert watch.model.corrector.training


def test_monitors_refuse_what_makes_no_sense() -> None:
    for options in ({"every": 0},):
        with pytest.raises(ValueError, match="should be at least 1"):
            monitor(**options)
