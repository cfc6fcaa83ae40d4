import pytest

from irno_graph.experiments.compare.fairness import Plateau, nearest_width


def test_small_gains_add_up_against_the_last_mark() -> None:
    plateau = Plateau(3)
    assert [plateau.reached(e) for e in (1.0, 0.995, 0.98, 0.975, 0.974, 0.973)] == [False] * 5 + [True]


def test_the_width_is_the_nearest_of_all() -> None:
    def count(width: int) -> int:
        return 3 * width * width + 7 * width + 2

    for target in (12, 999, 1000, 50_000):
        best = min(range(1, 1025), key=lambda w: abs(count(w) - target))
        assert nearest_width(count, target) == best


def test_a_target_out_of_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a target"):
        nearest_width(lambda w: 10 * w, 5)
