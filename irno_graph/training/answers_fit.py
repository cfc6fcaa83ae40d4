"""Training of a corrector on the answers of any operator, given as fields: the operator itself is not needed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import lightning
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from irno_graph.graph import Graph
from irno_graph.losses import FFTSpectralLoss, RefinementLoss, SpectralLoss
from irno_graph.refine import IRNO, refine
from irno_graph.refine.hashes import tensors_hash
from irno_graph.training.answers import Answers, Batch, answers_scaling, errors_left
from irno_graph.training.fit import fit
from irno_graph.training.options import FitOptions, full_precision
from irno_graph.training.pairs import BatchPlan, Task
from irno_graph.training.processes import Share
from irno_graph.training.schedule import Schedule

FIXED_POINT_SHARE = 0.25  # of a batch, whose Phi(x, y) is computed
BEST = FitOptions(keep_best=True)


@dataclass(frozen=True)
class AnswersFit:
    """How a corrector is trained on answers.

    Attributes:
        optimizer_steps: length of the training.
        batch_size: samples of one graph.
        learning_rate: at its peak; it falls to almost nothing (`training.schedule.annealed`).
        weight_decay: of AdamW.
        spectral_loss: "eigenbasis", "fft" on periodic grids, or "" for none.
        loss_modes: of "eigenbasis".
        beta_spectral: weight of the spectral loss.
        beta_fp: weight of |Phi(x, y)|^2.
        validations: how often the validation error is looked at; the weights with the least one are kept.
        recompute: less memory in training for more time.
        seed: of the order of the samples.
        options: precision, clipping, averaged weights and so on; the best weights are always kept.
    """

    optimizer_steps: int = 2000
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    spectral_loss: str = "eigenbasis"
    loss_modes: int = 64
    beta_spectral: float = 1.0
    beta_fp: float = 0.01
    validations: int = 20
    recompute: bool = False
    seed: int = 0
    options: FitOptions = BEST

    def __post_init__(self) -> None:
        for name in ("optimizer_steps", "batch_size", "loss_modes", "validations"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` should be at least 1, got {getattr(self, name)}.")
        if self.spectral_loss not in ("eigenbasis", "fft", ""):
            raise ValueError(
                f"`spectral_loss` should be eigenbasis, fft or empty, got '{self.spectral_loss}'."
            )

    def criterion(self) -> RefinementLoss:
        """The loss."""
        spectral: nn.Module | None = None
        if self.spectral_loss:
            spectral = (
                SpectralLoss(self.loss_modes) if self.spectral_loss == "eigenbasis" else FFTSpectralLoss()
            )
        return RefinementLoss(spectral, beta_spectral=self.beta_spectral, beta_fp=self.beta_fp)


class Fitted(NamedTuple):
    """What came of a training.

    Attributes:
        left: error on the validation samples after k = 0, 1, ... K steps over that of the answers, channels in units
            of their standard deviation; the first is 1.
        steps: the k with the least one, which the model has for its own number of steps.
    """

    left: list[float]
    steps: int


class AnswersTask(lightning.LightningModule):
    """The loss of h_1 ... h_K in units of the operator's error."""

    def __init__(
        self, model: IRNO, train: Sequence[Answers], valid: Sequence[Answers], settings: AnswersFit
    ) -> None:
        super().__init__()
        self.corrector = model.corrector
        self._held = (model,)  # not registered: the base's weights stay out of the checkpoints
        self.train_sets, self.valid_sets, self.settings = train, valid, settings
        self.loss = settings.criterion()

    def training_step(self, task: Task, _: int) -> Tensor:
        """Loss of one batch, of this process's share of it."""
        part, share, total = self.train_sets[task.group], Share.own(), len(task.samples)
        states, y, defect = self._states(part.rows(share.of(task.samples)), part.graph, total)
        with full_precision(self.device):
            terms = self.loss(states, y, part.graph, defect)
        self.log_dict({f"loss_{name}": value.detach() for name, value in terms._asdict().items()})
        return share.weight(total) * terms.total

    def _states(self, own: Batch, graph: Graph, total: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """h_1 ... h_K, y, Phi(x, y) of this process's samples of `total`, in units of the operator's error."""
        model, share = self._held[0], Share.own()
        assert model.scaling is not None
        phi, unit = model.correction(own.x, graph, **own.times), model.scaling.error
        recompute = self.settings.recompute
        out = refine(phi, own.h, graph, steps=model.steps, alpha=model.alpha, recompute=recompute)
        some = math.ceil(FIXED_POINT_SHARE * total)
        few = share.count(some)
        defect = None
        if self.settings.beta_fp and few:
            times = {name: value[:few] for name, value in own.times.items()}
            defect = model.phi(own.x[:few], own.y[:few], graph, **times) / unit
            defect = defect * math.sqrt(share.weight(some) / share.weight(total))
        return out.states[1:] / unit, own.y / unit, defect

    def on_validation_epoch_start(self) -> None:
        """Log what is left of the answers' error."""
        self.log("valid_left", errors_left(self._held[0].eval(), self.valid_sets)[-1])

    def validation_step(self, *_: object) -> None:
        """Everything happens in `on_validation_epoch_start`."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a rate that falls."""
        own = self.settings
        schedule = Schedule(own.learning_rate, own.optimizer_steps, weight_decay=own.weight_decay)
        return schedule.optimizers(self.corrector.parameters())


def fit_corrector(
    model: IRNO,
    train: Sequence[Answers],
    valid: Sequence[Answers],
    folder: str | os.PathLike[str],
    *,
    settings: AnswersFit | None = None,
    about: dict[str, Any] | None = None,
) -> Fitted:
    """Train a model's corrector on an operator's answers; the weights with the least validation error are kept.

    The model gets its scaling, if it has none, and the number of steps with the least validation error, at most its
    own. Its base is not asked. A run that was cut off goes on from the checkpoint in `folder`, and ends with the
    weights that it would have had.

    Args:
        model: with a constant alpha.
        train: one set for each graph, on the model's device.
        valid: samples that the weights are chosen by: of other trajectories, if samples are states in time.
        folder: for the checkpoint and logs (CSV, TensorBoard).
        settings: see `AnswersFit`.
        about: what else the checkpoints say of themselves.

    Raises:
        ValueError: if there are no samples, sets differ in channels, the answers have no error, alpha is not constant,
            or `folder` holds a run of other settings or samples.
    """
    settings = settings or AnswersFit()
    if not train or not valid:
        raise ValueError("`train` and `valid` should have at least one set each.")
    if model.schedule is not None or model.solver is not None or math.isnan(model.alpha) or model.steps < 1:
        raise ValueError(
            f"`model` should have a constant alpha, no solver and at least 1 step, got {model.extra_repr()}."
        )
    if model.scaling is None:
        model.scaling = answers_scaling(train).to(train[0].graph.pos.device)
    lightning.seed_everything(settings.seed, verbose=False)
    task = AnswersTask(model, train, valid, settings)
    plan = BatchPlan([len(part.x) for part in train], settings.batch_size, settings.seed)
    options = replace(settings.options, keep_best=True)
    fit(
        task,
        plan,
        Path(folder),
        total_steps=settings.optimizer_steps,
        epoch_batches=len(plan),
        validate_every=max(
            1, settings.optimizer_steps * options.accumulate // settings.validations // len(plan)
        ),
        device=str(train[0].graph.pos.device),
        settings={
            **asdict(settings),
            "alpha": model.alpha,
            "steps": model.steps,
            "samples": _digest([*train, *valid]),
        },
        options=options,
        monitor="valid_left",
        about=about,
    )
    left = errors_left(model.eval(), valid)
    model.steps = min(range(1, len(left)), key=left.__getitem__)
    return Fitted(left, model.steps)


def _digest(sets: Sequence[Answers]) -> str:
    """Of all fields, so that no run goes on with others."""
    return tensors_hash({f"{i}{name}": getattr(part, name) for i, part in enumerate(sets) for name in "xhy"})
