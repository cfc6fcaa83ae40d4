"""Numbers of comparisons: intervals are Student's, shares have a base to be shares of."""

from math import inf, nan

import numpy as np
import pytest
from scipy import stats

from irno_graph.report.compare_facts import _difference, error_text, percent_text
from irno_graph.report.compare_numbers import Interval, fall, interval, left, left_bands


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_interval_is_that_of_students_t(count: int) -> None:
    values = np.random.default_rng(count).normal(3.0, 2.0, count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    found = interval(values)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high), rel=1e-10)


def test_one_value_has_no_interval() -> None:
    assert np.isnan(interval([2.0]).half)
    assert not interval([2.0]).holds_zero
    assert percent_text([2.0]) == "2.0"
    assert error_text([0.0123]) == "0.0123"


def test_errors_are_shown_to_three_digits() -> None:
    half = stats.t.ppf(0.975, 1) * 0.001 / 2
    assert error_text([0.0120, 0.0130]) == f"0.0125 ± {half:.4f}"
    assert error_text([1234.0, 1234.0]) == "1234 ± 0"
    assert error_text([0.0, 0.0]) == "0.000 ± 0.000"
    assert error_text([float("nan")]) == "-"


def test_the_fall_compares_the_least_errors_before_and_after_three_quarters_of_the_time() -> None:
    fit = {"seconds": 80.0, "valid": [[0.0, 1.0], [50.0, 0.5], [60.0, 0.6], [61.0, 0.4], [80.0, 0.45]]}
    assert fall(fit) == pytest.approx(20.0)  # 0.5 to 0.4
    fit["valid"][3][1] = 0.7  # type: ignore[index]
    fit["valid"][4][1] = 0.7  # type: ignore[index]
    assert fall(fit) == 0.0
    fit["valid"] = [[0.0, 1.0], [60.0, 0.5], [61.0, 0.4]]  # the first three quarters include their end
    assert fall(fit) == pytest.approx(20.0)


def test_a_band_without_an_error_of_the_base_has_no_share() -> None:
    alone, refined = [{"bands": [4.0, 0.0]}], [{"bands": [1.0, 1.0]}]
    np.testing.assert_array_equal(left_bands(refined, alone), [[25.0, np.nan]])


def test_what_is_left_is_a_share_of_the_same_seeds_base() -> None:
    found = left([{"vrmse": 1.0}, {"vrmse": 3.0}], [{"vrmse": 2.0}, {"vrmse": 4.0}])
    np.testing.assert_array_equal(found, [50.0, 75.0])
    assert np.isnan(left([{"vrmse": 1.0}], [{"vrmse": 0.0}])).all()


@pytest.mark.parametrize("value", [inf, nan])
def test_values_that_are_not_finite_have_no_interval(value: float) -> None:
    found = interval([1.0, value, 2.0])
    assert not np.isfinite(found.mean)
    assert np.isnan(found.half)
    assert not found.holds_zero
    said = _difference("a", "b", np.array([1.0, value]))
    assert said.endswith("points; not all are finite, which gives no interval.")


def test_zero_is_within_an_interval_up_to_its_ends() -> None:
    assert [Interval(mean, 2.0).holds_zero for mean in (-2.5, -2.0, 0.0, 2.0, 2.5)] == [
        False, True, True, True, False,
    ]  # fmt: skip
    half = stats.t.ppf(0.975, 2) * stats.sem([1.0, 2.0, 3.0])
    said = _difference("a", "b", np.array([1.0, 2.0, 3.0]))
    assert said == f"a less b, seed by seed: +2.0 ± {half:.1f} points; the interval contains 0."
    assert _difference("a", "b", np.array([1.5])) == (
        "a less b, seed by seed: +1.5 points; one seed gives no interval."
    )
