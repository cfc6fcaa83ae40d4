"""Inputs as a rollout will meet them, in place of true snapshots: with noise, or the model's own answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from irno_graph.refine import IRNO
from irno_graph.training.pairs import TrajectorySet


@dataclass(frozen=True)
class MetInputs:
    """Changes the inputs of a corrector's training samples; targets stay the true next snapshots.

    What is drawn for a sample depends on its number and a seed alone, not on the batch it is in: a resumed run, and one
    on several processes, draws the same.

    Attributes:
        noise: standard deviation of Gaussian noise on every value of the input, in units of the channel's standard
            deviation in the training data. The base answers the noisy input, the corrector learns to undo what is left.
            Source: Sanchez-Gonzalez et al. 2020 (arXiv 2002.09405), Pfaff et al. 2021 (arXiv 2010.03409).
        pushforward: probability that the input u_n of a true pair (u_n, u_{n+1}), n >= 1, becomes the model's own
            answer to u_{n-1}, without a gradient. Source: Brandstetter, Worrall, Welling 2022 (arXiv 2202.03376).

    Raises:
        ValueError: if `noise` is negative or `pushforward` no probability.
    """

    noise: float = 0.0
    pushforward: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.noise < float("inf"):
            raise ValueError(f"`noise` should be 0 (without) or more, got {self.noise}: change it.")
        if not 0.0 <= self.pushforward <= 1.0:
            raise ValueError(f"`pushforward` should be in [0, 1], got {self.pushforward}: change it.")

    @torch.no_grad()
    def of(
        self,
        model: IRNO,
        part: TrajectorySet,
        given: tuple[Tensor, Tensor],
        *,
        numbers: Tensor,
        pairs: Tensor,
        seed: int,
    ) -> tuple[Tensor, Tensor]:
        """Inputs x and the base's answers h_0, each `[samples, nodes, channels]`, after the change.

        Args:
            model: base, corrector and K; its scaling says what a channel's deviation is.
            part: the set that the samples are of.
            given: x and h_0 as they are.
            numbers: of the samples, `[samples]`.
            pairs: for a true pair its number, trajectory by trajectory, -1 for other samples; `[samples]`.
            seed: of the epoch and batch.
        """
        x, h0 = given
        changed = self._pushed(numbers, pairs, part.states.shape[1] - 1, seed)
        if bool(changed.any()):
            trajectory, first = _place(pairs[changed], part.states.shape[1] - 1)
            before = part.states[trajectory, first - 1].to(x)
            x = x.index_copy(0, changed.nonzero().squeeze(-1).to(x.device), model(before, part.graph).value)
        if self.noise > 0:
            assert model.scaling is not None
            x = x + self.noise * model.scaling.input_std.to(x) * _normal(x, numbers, seed)
            changed = torch.ones_like(changed)
        if not bool(changed.any()):
            return x, h0
        rows = changed.nonzero().squeeze(-1).to(x.device)
        return x, h0.index_copy(0, rows, model(x[rows], part.graph, steps=0).value)

    def _pushed(self, numbers: Tensor, pairs: Tensor, starts: int, seed: int) -> Tensor:
        """Which samples begin with the model's own answer, `[samples]`."""
        if self.pushforward == 0:
            return torch.zeros(len(pairs), dtype=torch.bool)
        coins = [np.random.default_rng((seed, number, 1)).uniform() for number in numbers.tolist()]
        later = (pairs >= 0) & (_place(pairs, starts)[1] > 0)
        return later & (torch.tensor(coins) < self.pushforward)


def _place(pairs: Tensor, starts: int) -> tuple[Tensor, Tensor]:
    """Trajectory and first snapshot of pairs by number, `starts` of them in a trajectory."""
    return torch.div(pairs, starts, rounding_mode="floor"), pairs % starts


def _normal(x: Tensor, numbers: Tensor, seed: int) -> Tensor:
    """Independent standard normal values like `x` `[samples, nodes, channels]`."""
    values = [
        np.random.default_rng((seed, number, 2)).standard_normal(tuple(x.shape[1:]), dtype=np.float32)
        for number in numbers.tolist()
    ]
    return torch.from_numpy(np.stack(values)).to(x)


AS_THEY_ARE = MetInputs()
