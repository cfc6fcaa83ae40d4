"""What a corrector's training looks like from inside: errors per refinement step, time step and frequency band."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from irno_graph.data import Moments
from irno_graph.graph import Graph, mass_mean, mass_norm
from irno_graph.refine import IRNO, norm_penalty, refine
from irno_graph.refine.certificate import FAR, contraction
from irno_graph.rollout import stream
from irno_graph.spectral import octaves
from irno_graph.training.pairs import TrajectorySet

AT_ONCE = 16  # samples refined at once
SEEN = 2  # samples of a set whose contraction is estimated
POWER = 4  # iterations of that estimate
Energies = Callable[[Tensor], Tensor]  # of fields [..., nodes, channels], [..., bands, channels]
Draw = Callable[[Graph, Mapping[str, Tensor], Sequence[float]], Any]


@dataclass(frozen=True)
class Watched:
    """A validation set, or a part of it, as `Monitor` looks at it.

    Attributes:
        part: trajectories; the graph is one of its own, since what validation keeps with a graph has no gradients.
        energies: band energies of its fields.
    """

    part: TrajectorySet
    energies: Energies

    @staticmethod
    def of(
        part: TrajectorySet,
        trajectories: int,
        bands: Callable[[Graph], Energies] = lambda graph: octaves(graph).band_energy,
    ) -> Watched:
        """The first `trajectories` of a set."""
        graph = part.graph.clone()
        return Watched(TrajectorySet(graph, part.states[:trajectories]), bands(graph))


class Monitor(lightning.Callback):
    """Logs, at every `every`-th validation, to all loggers of the trainer:

    - `step_error/k`: root mean square error of h_k over that of h_0, one time step from the truth.
    - `band_error_base/b`, `band_error_refined/b`: |P_b (h - y)| / |P_b (y - mean)| for each band b, of h_0 and h_K.
    - `time_error_base/n`, `time_error_refined/n`: error of rollouts after n time steps; the mean over n of the second
      is `valid_rollout` of the same trajectories.
    - `refinement/alpha`; `refinement/contraction`: observed |h_{k+1} - h_k| / |h_k - h_{k-1}| on the way to the limit;
      `refinement/q`: |dT/dh| at the truth, estimated from below (`refine.norm_penalty`). Below 1 the steps contract.
    - for TensorBoard a picture of the first trajectory, where there is something to draw it with.

    Channels are in units of `deviation`, infinite what is not finite.

    Args:
        model: base, corrector, alpha and K.
        sets: what is looked at.
        mean: of each channel in the training data, `[channels]`.
        deviation: standard deviation, likewise.
        every: how many validations from one look to the next, the first among them.
        draw: (graph, {"truth", "base", "refined": `[times, nodes, channels]`}, times) -> a figure of matplotlib.

    Raises:
        ValueError: if `every` is below 1 or there is no set.
    """

    def __init__(
        self,
        model: IRNO,
        sets: Sequence[Watched],
        *,
        mean: Tensor,
        deviation: Tensor,
        every: int = 1,
        draw: Draw | None = None,
    ) -> None:
        if every < 1 or not sets:
            raise ValueError(
                f"`every` and the number of `sets` should be at least 1, got {every}, {len(sets)}."
            )
        self.model, self.sets, self.every, self.draw = model, list(sets), every, draw
        self.mean, self.deviation, self.validations = mean, deviation, 0

    def state_dict(self) -> dict[str, Any]:
        """How many validations there were: a resumed run looks at those that an undisturbed one does."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.validations = int(state_dict["validations"])

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Look, where it is due."""
        if trainer.sanity_checking:
            return
        self.validations += 1
        if (self.validations - 1) % self.every:
            return
        was_training = self.model.training
        self.model.eval()
        if trainer.is_global_zero:
            module.log_dict(self.look(), rank_zero_only=True)
            self._show(trainer)
        self.model.train(was_training)

    def look(self) -> dict[str, float]:
        """All that is logged, by name."""
        with (
            torch.inference_mode(False),
            torch.no_grad(),
        ):  # what q is the derivative of was made under neither
            parts = [self._steps_and_bands(), self._time_steps(), self._contraction()]
        found = {name: value for part in parts for name, value in part.items()}
        return {name: math.inf if math.isnan(value) else value for name, value in found.items()}

    def _steps_and_bands(self) -> dict[str, float]:
        wrong: Tensor | float = 0.0
        energy: Tensor | float = 0.0
        for one in self.sets:
            graph = one.part.graph
            for x, y in _pairs(one.part):
                states, unit = self.model(x, graph).states, self.deviation.to(y)
                errors = (states - y) / unit  # [steps + 1, samples, nodes, channels]
                wrong = wrong + mass_mean(errors.double().square(), graph).mean(dim=-1).sum(dim=-1)
                known = (y - self.mean.to(y)) / unit
                three = torch.stack([errors[0], errors[-1], known]).double()
                energy = energy + one.energies(three).clamp_min(0.0).sum(dim=(1, -1))  # [3, bands]
        assert isinstance(wrong, Tensor)
        assert isinstance(energy, Tensor)
        bands = (energy[:2] / energy[2].clamp_min(torch.finfo(energy.dtype).tiny)).sqrt()
        return {
            **_numbered("step_error", (wrong / wrong[0]).sqrt()),
            **_numbered("band_error_base", bands[0]),
            **_numbered("band_error_refined", bands[1]),
        }

    def _time_steps(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, steps in (("base", 0), ("refined", None)):
            curves = []
            for one in self.sets:
                graph, truth = one.part.graph, one.part.states.to(one.part.graph.pos.device)
                snapshots = stream(self.model, truth[:, 0], graph, truth.shape[1] - 1, steps=steps)
                errors = [
                    mass_norm(now.state - truth[:, now.number], graph) / self.deviation.to(truth)
                    for now in snapshots
                ]
                curves.append(torch.stack(errors)[1:].mean(dim=(1, 2)))  # [time_steps]
            shortest = min(len(curve) for curve in curves)
            means = torch.stack([curve[:shortest] for curve in curves]).mean(dim=0)
            found |= _numbered(f"time_error_{name}", means, first=1)
        return found

    def _contraction(self) -> dict[str, float]:
        model, seen, norms = self.model, [], []
        for one in self.sets:
            graph = one.part.graph
            x, y = (field[:SEEN] for field in next(_pairs(one.part)))
            phi, start = model.correction(x, graph), model(x, graph, steps=0).value
            space = model.space(start, graph)
            out = refine(phi, start, graph, steps=FAR * max(model.steps, 1), alpha=model.alpha)
            seen.append(contraction(out.states, space).mean())
            generator = torch.Generator(x.device).manual_seed(0)
            with torch.enable_grad():
                q = norm_penalty(phi, y, space, alpha=model.alpha, power=POWER, generator=generator)
            norms.append(q.detach().sqrt().mean())
        means = {"contraction": torch.stack(seen).mean(), "q": torch.stack(norms).mean()}
        return {"refinement/alpha": model.alpha} | {
            f"refinement/{name}": float(v) for name, v in means.items()
        }

    def _show(self, trainer: lightning.Trainer) -> None:
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if self.draw is None or not boards:
            return
        part = self.sets[0].part
        truth = part.states[0].to(part.graph.pos.device)
        states = {"truth": truth}
        for name, steps in (("base", 0), ("refined", None)):
            snapshots = list(stream(self.model, truth[0], part.graph, len(truth) - 1, steps=steps))
            states[name] = torch.stack([now.state for now in snapshots])
        try:
            figure = self.draw(part.graph, states, [now.time for now in snapshots])
        except (ImportError, ValueError) as error:
            warnings.warn(f"no pictures in TensorBoard: {error}", stacklevel=2)
            self.draw = None
            return
        for board in boards:
            board.experiment.add_figure("rollout", figure, global_step=trainer.global_step)


def watching(
    model: IRNO,
    valid: Sequence[TrajectorySet],
    train: Moments,
    *,
    every: int,
    trajectories: int,
    draw: Draw | None = None,
) -> tuple[Monitor, ...]:
    """The monitor of a run, on the first `trajectories` of each validation set; none where `every` is 0."""
    if not every:
        return ()
    sets = [Watched.of(part, trajectories) for part in valid]
    return (Monitor(model, sets, mean=train.mean, deviation=train.std, every=every, draw=draw),)


def _pairs(part: TrajectorySet) -> Iterator[tuple[Tensor, Tensor]]:
    """All pairs of neighbouring snapshots, some at once, on the graph's device."""
    x, y = part.states[:, :-1].flatten(0, 1), part.states[:, 1:].flatten(0, 1)
    for first in range(0, len(x), AT_ONCE):
        yield tuple(field[first : first + AT_ONCE].to(part.graph.pos.device) for field in (x, y))  # type: ignore[misc]


def _numbered(name: str, values: Tensor, first: int = 0) -> dict[str, float]:
    return {f"{name}/{place}": value for place, value in enumerate(values.tolist(), first)}
