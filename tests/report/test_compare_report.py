"""The report of comparisons: tables hold the numbers that went in, seeds are paired."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.container import BarContainer
from scipy import stats

from irno_graph.experiments.compare.kinds import CORRECTORS, ON_GRIDS
from irno_graph.report import compare_numbers
from irno_graph.report.compare_figures import COLOURS, TOP, bands_figure, pareto_figure
from irno_graph.report.compare_numbers import Comparison, family, interval
from irno_graph.report.compare_report import write_compare_report

KINDS = ("unet", "fno", "multi-scale")
SHARES = {"unet": 0.80, "fno": 0.90, "multi-scale": 0.75}  # of the base's error, at equal time
SLOPES = {"unet": -0.02, "fno": 0.0, "multi-scale": 0.01}  # of the shares, per seed
K = 3


def scores(vrmse: float, bands: tuple[float, ...], acc: float | None, curve: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"vrmse": vrmse, "relative_l2": 0.5 * vrmse, "bands": list(bands)}
    if acc is not None:
        found["acc"] = acc
    if curve:
        found["curve"] = [vrmse * 2 ** (1 - k / K) for k in range(2 * K + 1)]
    return found


def share(kind: str, seed: int) -> float:
    return SHARES[kind] + SLOPES[kind] * seed


def result(
    seeds: int = 3,
    bases: tuple[str, ...] = ("fno", "tfno"),
    tests: tuple[str, ...] = ("near", "far"),
    acc: bool = False,
    kinds: tuple[str, ...] = KINDS,
    name: str = "toy",
) -> dict[str, Any]:
    """The base's VRMSE is 0.1 (1 + seed); twice that on "far", three times with the base tfno."""
    own = 0.9 if acc else None
    corrector = {
        "parameters": 900, "seconds": 9.0, "optimizer_steps": 50, "batch_size": 8, "learning_rate": 1e-3,
        "average": 0.99, "alpha": 0.4, "steps": K, "spectral_loss": "sphere" if acc else "fft",
    }  # fmt: skip
    made: dict[str, Any] = {
        "command": shlex.join(["irno-graph", "compare", f"{name}.yaml"]),
        "config": {
            "name": name, "title": "", "seeds": list(range(seeds)), "problem": {"generator": ""},
            "base": {"seconds": 60.0}, "corrector": corrector,
        },
        "commit": "0123456789abcdef", "hardware": {"processor": "chip", "threads": 1, "torch": "2"},
        "samples": dict.fromkeys(tests, 7), "channels": ["u"],
        "correctors": {kind: {"width": 5, "parameters": 890} for kind in kinds},
    }  # fmt: skip
    for what in ("base", "control", "corrector", "seen", "scores", "costs"):
        made[what] = {base: {} for base in bases}
    for base in bases:
        error = {
            test: [(1 + (test == "far")) * (3 if base == "tfno" else 1) * 0.1 * (1 + s) for s in range(seeds)]
            for test in tests
        }
        fit = {"seconds": 80.0, "optimizer_steps": 40, "parameters": 777, "ended": "time"}
        fit["valid"] = [[0.0, 1.0], [50.0, 0.5], [70.0, 0.4], [80.0, 0.45]]
        made["base"][base]["base"] = {str(s): fit | ({"ended": "plateau"} if s else {}) for s in range(seeds)}
        made["seen"][base]["base"] = {str(s): {"train": 0.05, "valid": 0.1 * (1 + s)} for s in range(seeds)}
        made["scores"][base]["base"] = {
            str(s): {
                test: {
                    "base": scores(error[test][s], (4.0, 2.0, 0.0), own),
                    "control": scores(0.95 * error[test][s], (3.0, 1.0, 0.0), own),
                }
                for test in tests
            }
            for s in range(seeds)
        }
        for kind in kinds:
            made["corrector"][base][kind] = {str(s): {"steps_at": {"time": 100 + s}} for s in range(seeds)}
            made["costs"][base][kind] = {
                "0": {"base_seconds": 0.001, "step_seconds": 0.002, "kept_bytes": 3e6}
            }
            made["scores"][base][kind] = {
                str(s): {
                    test: {
                        "time": scores(share(kind, s) * error[test][s], (2.0, 1.9, 0.1), own, True),
                        "steps": scores(0.99 * error[test][s], (4.0, 2.0, 0.0), own, True),
                        "refines": {
                            other: scores(
                                1.5 * (1 / 3 if base == "tfno" else 3) * error[test][s], (4, 2, 0), own
                            )
                            for other in bases
                            if other != base
                        },
                    }
                    for test in tests
                }
                for s in range(seeds)
            }
    return made


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Rows of the tables below each heading, columns by their names."""
    found: dict[str, list[dict[str, str]]] = {}
    heading, head = "", None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = None
        elif head is None:
            head = cells
        elif not set(line) <= set("|-: "):
            found.setdefault(heading, []).append(dict(zip(head, cells, strict=True)))
    return found


def written(tmp_path: Path, *results: dict[str, Any]) -> str:
    out = tmp_path / "report.md"
    write_compare_report(results, out)
    return out.read_text(encoding="utf-8")


def test_correctors_on_grids_are_those_of_the_experiment() -> None:
    assert compare_numbers.ON_GRIDS == ON_GRIDS
    assert set(COLOURS) == set(CORRECTORS)
    assert [family(kind) for kind in KINDS] == ["grids", "grids", "graphs"]


def test_seeds_are_paired() -> None:
    """What is left depends on the seed linearly, errors of bases do by a factor of three, which drops out."""
    own = Comparison(result())
    for kind in KINDS:
        expected = [100 * share(kind, seed) for seed in range(3)]
        np.testing.assert_allclose(own.left("tfno", kind, "time"), expected, rtol=1e-12)
    assert own.best("fno", "time", KINDS) == "multi-scale"
    assert own.best("fno", "time", ("unet", "fno")) == "unet"


def test_what_is_not_finite_is_not_the_best() -> None:
    made = result()
    for seed in "012":
        made["scores"]["fno"]["unet"][seed]["near"]["time"]["vrmse"] = float("nan")
    own = Comparison(made)
    assert own.best("fno", "time", ("unet", "fno")) == "fno"
    assert own.best("fno", "time", ("unet",)) == "unet"


@pytest.mark.parametrize(
    ("generator", "loss", "acc", "expected"),
    [("", "fft", False, False), ("shallow-water", "", False, True), ("", "sphere", False, True), ("", "", True, True)],
)  # fmt: skip
def test_the_sphere_is_known_by_its_generator_its_loss_or_its_scores(
    generator: str, loss: str, acc: bool, expected: bool
) -> None:
    made = result(acc=acc)
    made["config"]["problem"]["generator"] = generator
    made["config"]["corrector"]["spectral_loss"] = loss
    assert Comparison(made).on_sphere is expected


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("compare"), result())


def test_tables_hold_the_numbers_that_went_in(text: str) -> None:
    found = tables(text)
    t = stats.t.ppf(0.975, 2)
    rows = {(row["base"], row[""]): row for row in found["Errors, far"]}
    assert list(rows)[:5] == [("fno", name) for name in ("base alone", "control", *KINDS)]
    assert rows["fno", "base alone"]["VRMSE"] == f"0.400 ± {t * 0.2 / 3**0.5:.3f}"
    assert rows["tfno", "base alone"]["VRMSE"] == f"1.20 ± {t * 0.6 / 3**0.5:.2f}"
    assert rows["tfno", "base alone"]["relative L2"] == f"0.600 ± {t * 0.3 / 3**0.5:.3f}"
    assert rows["tfno", "control"]["left, equal time"] == "95.0 ± 0.0"
    assert rows["tfno", "control"]["left, equal steps"] == "-"
    unet = rows["tfno", "unet"]
    assert unet["left, equal time"] == f"78.0 ± {t * 2 / 3**0.5:.1f}"  # 80, 78, 76
    assert unet["left, equal steps"] == "99.0 ± 0.0"
    assert (unet["low"], unet["mid"], unet["high"]) == ("50.0 ± 0.0", "95.0 ± 0.0", "-")
    assert "ACC" not in unet
    correctors = {row["corrector"]: row for row in found["Correctors"]}
    assert correctors["unet"]["optimiser steps in equal time"] == "101"
    assert (correctors["unet"]["ms per step"], correctors["unet"]["MB kept"]) == ("2", "3")
    base = found["Bases"][0]
    assert (base["parameters"], base["s"], base["ended by"]) == ("777", "80", "plateau: 2, time: 1")
    assert base["last quarter"] == "20.0 ± 0.0 %"
    assert base["VRMSE, training pairs"] == "0.0500 ± 0.0000"
    assert base["validation pairs"] == f"0.200 ± {interval([0.1, 0.2, 0.3]).half:.3f}"
    assert base["near"] == f"0.200 ± {t * 0.1 / 3**0.5:.3f}"
    for row in found["Transfer"]:
        assert row["left"] == "150.0 ± 0.0"
    pairs = [(row["trained on"], row["refines"]) for row in found["Transfer"]]
    assert pairs == 3 * [("fno", "tfno"), ("tfno", "fno")]
    past = found[f"Steps past K = {K}"][0]
    assert [past[f"k = {k}"] for k in (1, 3, 6)] == ["79.4 ± 0.0", "50.0 ± 0.0", "25.0 ± 0.0"]


def test_sentences_name_the_best_of_both_families_and_the_paired_difference(text: str) -> None:
    sentence = next(line for line in text.splitlines() if line.startswith("- fno, equal time"))
    half = stats.t.ppf(0.975, 2) * stats.sem([-5.0, -2.0, 1.0])  # 75 - 80, 76 - 78, 77 - 76
    assert "multi-scale leaves the least of the base's error, 76.0" in sentence
    assert "Of those on grids, unet leaves the least, 78.0" in sentence
    assert f"multi-scale less unet, seed by seed: -2.0 ± {half:.1f} points" in sentence
    assert "the interval contains 0." in sentence.partition("The control")[0]
    assert "control, seed by seed: -19.0 ± 2.5 points; the interval does not contain 0." in sentence


def test_one_seed_one_base_and_one_family_are_enough(tmp_path: Path) -> None:
    text = written(tmp_path, result(seeds=1, bases=("sfno",), tests=("only",), acc=True, kinds=("unet",)))
    found = tables(text)
    assert "Transfer" not in found
    assert "Of those on" not in text
    assert "one seed gives no interval" in text
    assert found["Errors, only"][2]["left, equal time"] == "80.0"
    assert (found["Errors, only"][2]["ACC"], found["Errors, only"][2]["RFNE"]) == ("0.900", "0.0400")
    assert not any("±" in cell for row in found["Errors, only"] for cell in row.values())


def test_a_test_set_without_acc_has_no_such_column(tmp_path: Path) -> None:
    own = result(acc=True)
    for base in own["scores"].values():
        for seeds in base.values():
            for tests in seeds.values():
                for entry in tests["far"].values():
                    entry.pop("acc", None)
    found = tables(written(tmp_path, own))
    assert "ACC" in found["Errors, near"][0]
    assert "ACC" not in found["Errors, far"][0]
    assert found["Errors, far"][0]["low"] == "-"
    assert found["Errors, far"][1]["low"] == "75.0 ± 0.0"


def test_every_picture_is_written_and_shown(tmp_path: Path) -> None:
    results = [result(seeds=1), result(seeds=1, name="on a/sphere", bases=("sfno",), acc=True)]
    out = tmp_path / "report.md"
    pictures = write_compare_report(results, out)
    text = out.read_text(encoding="utf-8")
    assert text.count("`irno-graph compare toy.yaml`") == 1
    assert text.count("`irno-graph compare 'on a/sphere.yaml'`") == 1
    assert {picture.name for picture in pictures} == {
        f"report_{name}_{what}.png" for name in ("toy", "on-a-sphere") for what in ("pareto", "bands")
    }
    assert all(picture.is_file() and f"]({picture.name})" in text for picture in pictures)
    assert {file.name for file in tmp_path.iterdir()} == {"report.md", *(file.name for file in pictures)}


@pytest.mark.parametrize("results", [[], [result(), result()], [result(name="a b"), result(name="a/b")]])
def test_results_of_one_name_are_refused(results: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different names"):
        write_compare_report(results, tmp_path / "report.md")
    assert not list(tmp_path.iterdir())


def test_lines_of_error_against_time_go_from_the_base_by_steps() -> None:
    own = result()
    own["costs"]["fno"]["unet"]["0"]["base_seconds"] = 0.0005  # the shortest one counts
    first, second = pareto_figure(Comparison(own)).axes
    steps = np.arange(2 * K + 1)
    times, errors = np.asarray(first.lines[0].get_xydata()).T
    np.testing.assert_allclose(times, 0.5 + 2.0 * steps)
    mean = np.mean([0.1 * (1 + seed) * share("unet", seed) for seed in range(3)])
    np.testing.assert_allclose(errors, mean * 2 ** (1 - steps / K))
    assert [line.get_linestyle() for line in first.lines[:3]] == ["--", "--", "-"]
    assert [line.get_markevery() for line in first.lines[:3]] == 3 * [[K]]
    marks = np.concatenate([np.asarray(line.get_xydata()) for line in first.lines[3:5]])
    np.testing.assert_allclose(marks, [[0.5, 0.2], [0.5, 0.19]])
    assert np.asarray(second.lines[0].get_xydata())[0, 0] == pytest.approx(1.0)


def test_lines_that_leave_are_cut_off() -> None:
    own = result(bases=("fno",))
    own["scores"]["fno"]["unet"]["0"]["near"]["time"]["curve"][-1] = 50.0
    low, high = pareto_figure(Comparison(own)).axes[0].get_ylim()
    assert high == pytest.approx(TOP * 0.2)
    assert 0 < low < 0.2 * share("multi-scale", 1) / 2  # the least error is in the picture


def test_bars_are_what_is_left_in_each_band() -> None:
    axis = bands_figure(Comparison(result())).axes[1]
    groups = [bars for bars in axis.containers if isinstance(bars, BarContainer)]
    heights = [[bar.get_height() for bar in bars] for bars in groups]
    np.testing.assert_allclose(heights, [[75.0, 50.0, np.nan], *[[50.0, 95.0, np.nan]] * len(KINDS)])
    assert axis.get_ylim()[0] == 0
