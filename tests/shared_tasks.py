"""Small training tasks of every kind, whose batches processes share."""

from collections.abc import Callable

import lightning
import torch
from torch import nn

import irno_graph as ig
from irno_graph.bases.rigno import RIGNO, Architecture
from irno_graph.correctors import MultiscaleMessagePassing
from irno_graph.graph import Graph
from irno_graph.losses import RefinementLoss, SpectralLoss
from irno_graph.mesh import periodic_box
from irno_graph.refine import LeftOut, Scaling
from irno_graph.training.answers import Answers, answers_scaling
from irno_graph.training.answers_fit import AnswersFit, AnswersTask
from irno_graph.training.base_task import BaseTask, set_statistics
from irno_graph.training.corrector_task import CorrectorTask, Samples
from irno_graph.training.lead_times import LeadTimes
from irno_graph.training.pairs import TrajectorySet
from irno_graph.training.schedule import Schedule
from irno_graph.training.unrolling import Unrolling

RATE = Schedule(1e-3, 10)


def made_part() -> TrajectorySet:
    states = torch.randn(4, 4, 40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return TrajectorySet(Graph.from_mesh(periodic_box(40, seed=4)), states)


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
