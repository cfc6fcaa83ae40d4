"""Inputs of training samples as a rollout meets them, against linear operators with known best correctors."""

import pytest
import torch
from torch import Tensor, nn

from irno_graph import IRNO, Graph, Scaling
from irno_graph.training.noise import MetInputs
from irno_graph.training.pairs import TrajectorySet

GRAPH = Graph.from_grid((6, 6), period=(1.0, 1.0))
TRUE, BASE, ALPHA = 1.1, 0.9, 0.5
SIZES = torch.tensor([0.5, 3.0])  # standard deviations of the channels


class Linear(nn.Module):
    """Phi = weight x, in units in which x has deviation 1 and Phi that of x."""

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: Tensor, h: Tensor, graph: Graph) -> Tensor:
        return self.weight * x


def refined(weight: float = 0.0) -> IRNO:
    """u -> (BASE + ALPHA weight) u."""
    zero = torch.zeros(2)
    units = Scaling(input_mean=zero, input_std=SIZES, mean=zero, std=SIZES, error=SIZES)
    return IRNO(lambda x, graph: BASE * x, Linear(weight), alpha=ALPHA, steps=1, scaling=units)


def flows(trajectories: int = 40, times: int = 4) -> TrajectorySet:
    """u_n = TRUE^n u_0 with normal u_0."""
    generator = torch.Generator().manual_seed(0)
    start = SIZES * torch.randn(trajectories, 1, GRAPH.num_nodes, 2, generator=generator)
    return TrajectorySet(GRAPH, start * TRUE ** torch.arange(times).reshape(-1, 1, 1))


def pairs_of(part: TrajectorySet, first: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, h_0, y and the numbers of true pairs; of all, or those that begin at snapshot `first`."""
    starts = part.states.shape[1] - 1
    numbers = torch.arange(part.pairs())
    numbers = numbers if first is None else numbers[numbers % starts == first]
    x, y = (part.states[:, rows].flatten(0, 1)[numbers] for rows in (slice(None, -1), slice(1, None)))
    return x, BASE * x, y, numbers


def test_without_options_nothing_is_changed() -> None:
    part = flows()
    x, h, _, numbers = pairs_of(part)
    new, answer = MetInputs().of(refined(), part, (x, h), numbers=numbers, pairs=numbers, seed=3)
    assert new is x
    assert answer is h


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_the_best_corrector_of_noisy_inputs_is_wieners(noise: float) -> None:
    """Of x = u + noise std n the best estimate of TRUE u is TRUE / (1 + noise^2) x, channel by channel."""
    part = flows(200)
    x, h, y, numbers = pairs_of(part, first=0)
    new, answer = MetInputs(noise=noise).of(refined(), part, (x, h), numbers=numbers, pairs=numbers, seed=3)
    torch.testing.assert_close(answer, BASE * new)  # the base answers the noisy input
    best = (new * y).sum(dim=(0, 1)) / new.square().sum(dim=(0, 1))
    torch.testing.assert_close(best, torch.full((2,), TRUE / (1 + noise**2)), rtol=0.05, atol=0)
    weight = ((y - answer) * new).sum(dim=(0, 1)) / (ALPHA * new.square().sum(dim=(0, 1)))
    torch.testing.assert_close(refined(float(weight[0]))(new, GRAPH).value[..., 0], best[0] * new[..., 0])
    added = ((new - x) / (noise * SIZES)).flatten(0, 1)
    torch.testing.assert_close(added.mean(dim=0), torch.zeros(2), atol=0.06, rtol=0)
    torch.testing.assert_close(added.std(dim=0), torch.ones(2), atol=0.05, rtol=0)
    assert abs(torch.corrcoef(added.T)[0, 1]) < 0.06


def test_noise_is_of_a_sample_and_a_seed() -> None:
    part = flows()
    x, h, _, numbers = pairs_of(part)
    noisy = MetInputs(noise=0.3)
    whole, _ = noisy.of(refined(), part, (x, h), numbers=numbers, pairs=numbers, seed=3)
    rows = torch.tensor([7, 2, 50])
    some, _ = noisy.of(refined(), part, (x[rows], h[rows]), numbers=rows, pairs=rows, seed=3)
    assert torch.equal(some, whole[rows])
    other, _ = noisy.of(refined(), part, (x[rows], h[rows]), numbers=rows, pairs=rows, seed=4)
    assert not torch.isclose(other - x[rows], some - x[rows]).any()
    added = whole - x
    assert not torch.isclose(added[0], added[1]).any()


@pytest.mark.parametrize("weight", [0.0, 0.4, -0.3])
def test_pushforward_begins_with_the_model_s_own_answer(weight: float) -> None:
    """x = c u_{n-1}, h_0 = BASE c u_{n-1}, c = BASE + ALPHA weight; first snapshots and other samples stay."""
    part, model = flows(), refined(weight)
    x, h, _, numbers = pairs_of(part)
    pairs = torch.where(numbers < 90, numbers, -1)
    new, answer = MetInputs(pushforward=1.0).of(model, part, (x, h), numbers=numbers, pairs=pairs, seed=3)
    moved = (numbers % 3 > 0) & (pairs >= 0)
    factor = BASE + ALPHA * weight
    torch.testing.assert_close(new[moved], factor / TRUE * x[moved])
    torch.testing.assert_close(answer[moved], BASE * factor / TRUE * x[moved])
    assert torch.equal(new[~moved], x[~moved])
    assert torch.equal(answer[~moved], h[~moved])
    assert not new.requires_grad
    assert not answer.requires_grad


def test_gradient_descent_with_pushforward_ends_at_the_true_factor() -> None:
    """The loss is (c c' - TRUE^2)^2 with c' = c held still, so c <- c - rate (c^2 - TRUE^2) c ends at c = TRUE.

    With a gradient through both steps the slope would be twice as large.
    """
    part, model = flows(), refined(0.1)
    x, h, y, numbers = pairs_of(part, first=1)
    corrector = model.corrector
    assert isinstance(corrector, Linear)
    size = (part.states[:, 0] / SIZES).square().mean()
    for _ in range(60):
        c = BASE + ALPHA * corrector.weight.detach()
        new, _ = MetInputs(pushforward=1.0).of(model, part, (x, h), numbers=numbers, pairs=numbers, seed=3)
        loss = ((model(new, GRAPH).value - y) / SIZES).square().mean()
        (slope,) = torch.autograd.grad(loss, corrector.weight)
        torch.testing.assert_close(slope, 2 * size * (c * c - TRUE**2) * c * ALPHA, rtol=1e-3, atol=1e-5)
        with torch.no_grad():
            corrector.weight.copy_(corrector.weight - 0.5 * slope / size)
    assert BASE + ALPHA * float(corrector.weight.detach()) == pytest.approx(TRUE, rel=1e-4)


def test_a_share_of_the_pairs_is_pushed_and_it_is_drawn_by_sample() -> None:
    part = flows(400, 3)
    x, h, _, numbers = pairs_of(part, first=1)
    pushed = MetInputs(pushforward=0.3)
    new, _ = pushed.of(refined(), part, (x, h), numbers=numbers, pairs=numbers, seed=3)
    moved = (new != x).flatten(1).any(dim=1)
    assert 0.2 < moved.float().mean() < 0.4
    rows = torch.arange(0, 400, 7)
    some, _ = pushed.of(
        refined(), part, (x[rows], h[rows]), numbers=numbers[rows], pairs=numbers[rows], seed=3
    )
    assert torch.equal(some, new[rows])
    other, _ = pushed.of(refined(), part, (x, h), numbers=numbers, pairs=numbers, seed=4)
    assert ((other != x).flatten(1).any(dim=1) != moved).any()


def test_noise_comes_on_top_of_the_model_s_own_answer() -> None:
    part, model = flows(), refined(0.4)
    x, h, _, numbers = pairs_of(part, first=2)
    both, plain = (
        MetInputs(noise=noise, pushforward=1.0).of(
            model, part, (x, h), numbers=numbers, pairs=numbers, seed=3
        )
        for noise in (0.2, 0.0)
    )
    alone, _ = MetInputs(noise=0.2).of(model, part, (x, h), numbers=numbers, pairs=numbers, seed=3)
    torch.testing.assert_close(both[0] - plain[0], alone - x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[1], BASE * both[0])


@pytest.mark.parametrize(
    "options", [{"noise": -0.1}, {"noise": float("nan")}, {"pushforward": 1.5}, {"pushforward": -0.1}]
)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` should be"):
        MetInputs(**options)
