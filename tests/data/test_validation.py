"""`validate`: a sound flow passes; each kind of damage is found, alone, with its known size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from flow_sources import MESH, MemorySource, carried, flows, write_flows_nc

from irno_graph.cli import run
from irno_graph.data.navier_stokes import generate
from irno_graph.data.readers import PoseidonData, RignoFile
from irno_graph.data.validation import Finding, scan, validate, worst
from irno_graph.data.validation.flow_checks import axes_check
from irno_graph.data.validation.flow_figures import FlowNames
from irno_graph.graph import Graph

SOUND = flows(MESH.points)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def not_ok(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in findings if finding.verdict != "ok"}


def test_a_state_that_is_only_carried_along_passes_every_check() -> None:
    findings = validate(MemorySource(SOUND))
    assert not_ok(findings) == {}
    assert set(by_name(findings)) == {
        "values", "times", "channels", "duplicates", "snapshots", "axes", "mass", "momentum", "energy",
        "equation of state", "positivity",
    }  # fmt: skip
    assert by_name(findings)["axes"].figures["(x, y)"] < 0.2


def test_exchanged_columns_of_the_points_are_found_out(tmp_path: Path) -> None:
    turned = write_flows_nc(tmp_path / "a.nc", SOUND, points=MESH.points[:, ::-1])
    assert not_ok(validate(RignoFile(turned))) == {"axes": "wrong"}
    assert not_ok(validate(RignoFile(write_flows_nc(tmp_path / "b.nc", SOUND)))) == {}


@pytest.mark.parametrize("stored", ["xy", "yx"])
def test_the_order_of_the_axes_of_a_grid_is_found_out(tmp_path: Path, stored: str) -> None:
    x, y = np.meshgrid((np.arange(24) + 0.5) / 24, (np.arange(24) + 0.5) / 24, indexing="ij")
    fields = flows(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(2, 4, 24, 24, 5).transpose(0, 1, 4, 2, 3)
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        names = [file.createDimension(f"d{axis}", size).name for axis, size in enumerate(fields.shape)]
        file.createVariable("data", "f4", names)[:] = fields if stored == "xy" else fields.swapaxes(3, 4)
    other = "yx" if stored == "xy" else "xy"
    verdicts = {
        order: not_ok(validate(PoseidonData(tmp_path / "a.nc", axes=order))) for order in ("xy", "yx")
    }
    assert verdicts == {stored: {}, other: {"axes": "wrong"}}
    assert not_ok(validate(PoseidonData(tmp_path / "a.nc"))) == {}


def test_an_axis_that_runs_backwards_is_looked_at() -> None:
    spoiled = SOUND.copy()
    spoiled[..., 2] *= -1
    findings = validate(MemorySource(spoiled))
    assert not_ok(findings) == {"axes": "look"}
    assert by_name(findings)["axes"].figures["(x, -y)"] < 0.2


@pytest.mark.parametrize("growth", [0.03, -0.2])
def test_lost_mass_is_reported_as_that_amount(growth: float) -> None:
    spoiled = SOUND.copy()
    spoiled[1, ..., 0] *= 1 + growth * np.arange(4)[:, None] / 3
    rho, vx, vy, p, _ = np.moveaxis(spoiled, -1, 0)
    spoiled[..., 4] = p / 0.4 + 0.5 * rho * (vx**2 + vy**2)
    findings = by_name(validate(MemorySource(spoiled)))
    assert findings["mass"].figures["drift"] == pytest.approx(abs(growth), rel=0.03)
    assert findings["mass"].verdict == "wrong"
    assert "sample 1" in findings["mass"].found
    assert findings["equation of state"].verdict == "ok"


def test_lost_momentum_and_energy_are_reported_as_those_amounts() -> None:
    mass = MemorySource(SOUND).graph().mass.numpy()
    spoiled = SOUND.copy()
    spoiled[0, 2:, :, 2] += 0.6
    spoiled[1, 3, :, 4] += 0.7
    findings = by_name(validate(MemorySource(spoiled)))
    rho, vx, vy = SOUND[0, 0, :, :3].T
    scale = np.sqrt(mass @ (rho**2 * (vx**2 + vy**2)) / mass.sum())
    assert findings["momentum"].figures["drift"] == pytest.approx(
        0.6 / scale, rel=0.03
    )  # the mean of rho is 1
    energy = mass @ SOUND[1, 0, :, 4] / mass.sum()
    assert findings["energy"].figures["drift"] == pytest.approx(0.7 / energy, rel=0.03)
    assert findings["momentum"].verdict == findings["energy"].verdict == "wrong"
    assert findings["mass"].verdict == "ok"


def test_what_leaves_an_open_box_is_no_fault() -> None:
    spoiled = SOUND.copy()
    spoiled[..., 0] *= 1 + 0.3 * np.arange(4)[:, None]
    source = MemorySource(spoiled)
    source.period = None
    assert by_name(validate(source))["mass"].verdict == "look"


def test_a_shifted_energy_is_reported_as_that_shift() -> None:
    spoiled = SOUND.copy()
    spoiled[..., 4] += 0.5
    findings = by_name(validate(MemorySource(spoiled)))
    assert findings["equation of state"].verdict == "wrong"
    assert findings["equation of state"].figures["mean"] == pytest.approx(0.5, rel=1e-5)
    assert findings["energy"].verdict == "ok"


def test_the_gamma_of_another_gas_is_found() -> None:
    rho, vx, vy, p, _ = np.moveaxis(SOUND, -1, 0)
    spoiled = SOUND.copy()
    spoiled[..., 4] = p / (5 / 3 - 1) + 0.5 * rho * (vx**2 + vy**2)
    found = by_name(validate(MemorySource(spoiled)))["equation of state"]
    assert found.verdict == "wrong"
    assert found.figures["gamma"] == pytest.approx(5 / 3, rel=1e-6)
    assert "exchanged" not in found.found
    assert by_name(validate(MemorySource(spoiled), gamma=5 / 3))["equation of state"].verdict == "ok"


def test_exchanged_pressure_and_energy_are_named() -> None:
    found = by_name(validate(MemorySource(SOUND[..., [0, 1, 2, 4, 3]])))["equation of state"]
    assert (found.verdict, "p and E are exchanged" in found.found) == ("wrong", True)


def test_damage_is_named_by_trajectory_and_file(tmp_path: Path) -> None:
    spoiled = flows(MESH.points, samples=5)
    spoiled[3, 1, 7, 2] = np.nan
    spoiled[4, 2, 5, 3] = -0.1
    spoiled[2] = spoiled[0]
    findings = by_name(validate(RignoFile(write_flows_nc(tmp_path / "a.nc", spoiled))))
    assert findings["values"].verdict == "wrong"
    assert f"trajectory 3 of `{tmp_path / 'a.nc'}` has values that are NaN" in findings["values"].found
    assert "not positive in samples 4" in findings["positivity"].found
    assert findings["positivity"].figures["p"] == pytest.approx(-0.1)
    assert findings["duplicates"].found == "equal samples: 2 is 0"


def test_what_is_there_twice_and_what_says_nothing() -> None:
    spoiled = np.random.default_rng(0).normal(size=(3, 4, 300, 2))
    spoiled[2, 0] = spoiled[1, 0]
    spoiled[0, 3] = spoiled[0, 2]
    spoiled[..., 1] = 3.5
    source = MemorySource(spoiled, channels=("a", "b"))
    source.times = np.array([0, 1, 2.5, 3])
    findings = validate(source)
    assert not_ok(findings) == dict.fromkeys(("times", "channels", "duplicates", "snapshots"), "look")
    named = by_name(findings)
    assert named["duplicates"].found == "equal first snapshots: 2 is 1"
    assert named["snapshots"].found == "equal to the snapshot before: sample 0 at time 3"
    assert named["channels"].found == "constant: b = 3.5"
    source.times = np.array([0, 1, 1, 2])
    assert by_name(validate(source))["times"].verdict == "wrong"


@pytest.mark.parametrize(
    ("pressure", "kinetic", "said", "verdict"),
    [
        (2.5, 0.0146 / 0.4, "as of periodised Gaussians", "ok"),
        (2.5, 0.0128 / 0.4, "as of Gaussians that are not", "ok"),
        (2.513, 0.0146 / 0.4, "p is as the published constant", "look"),
        (1.0, 0.0, "p is as neither", "look"),
    ],
)
def test_the_start_is_compared_with_ce_gauss(
    pressure: float, kinetic: float, said: str, verdict: str
) -> None:
    start = np.zeros((16, 1, 300, 4))
    start[..., 0], start[..., 3] = 0.1, pressure
    start[..., 1] = np.sqrt(2 * kinetic / 0.1)
    found = by_name(validate(MemorySource(start, channels=("rho", "vx", "vy", "p"))))["start"]
    assert (found.verdict, said in found.found) == (verdict, True), found
    assert found.figures["pressure"] == pytest.approx(pressure, rel=1e-6)
    assert found.figures["energy"] == pytest.approx(pressure + 0.4 * kinetic, rel=1e-6)


def test_few_snapshots_are_in_memory_and_the_findings_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = flows(MESH.points, samples=7, times=6)
    whole = MemorySource(fields)
    expected = validate(whole, samples=3)
    assert {index for index, _ in whole.asked} == {0, 3, 6}
    monkeypatch.setattr(scan, "BLOCK", 3100)  # two snapshots of 300 nodes and 5 channels
    pieces = MemorySource(fields)
    assert [one.found for one in validate(pieces, samples=3)] == [one.found for one in expected]
    assert max(len(range(6)[times]) for _, times in pieces.asked) == 2


def test_the_command_ends_with_code_1_where_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = write_flows_nc(tmp_path / "a.nc", SOUND)
    out = tmp_path / "findings.json"
    assert run(["data", "validate", str(sound), "--json", str(out)]) == 0
    assert "equation of state" in capsys.readouterr().out
    written = json.loads(out.read_text())["findings"]
    assert {one["verdict"] for one in written} == {"ok"}
    turned = write_flows_nc(tmp_path / "b.nc", SOUND, points=MESH.points[:, ::-1])
    assert run(["data", "validate", str(turned), "--samples", "1"]) == 1
    assert run(["data", "validate", str(turned), "--axes", "xy"]) == 2
    assert run(["data", "validate", str(turned), "--samples", "0"]) == 2


def test_the_worst_verdict_counts() -> None:
    made = [Finding("a", "", "", verdict) for verdict in ("ok", "look", "ok")]
    assert (worst([]), worst(made)) == ("ok", "look")


def figures(findings: list[Finding]) -> dict[str, float]:
    return {f"{one.check} {name}": value for one in findings for name, value in one.figures.items()}


@pytest.mark.parametrize(
    "channels",
    [
        ("Density", "Vx", "Vy", "Pressure", "Energy"),
        ("density", "velocity_x", "velocity_y", "pressure", "energy"),
        ("rho", "u", "v", "p", "e"),
        ("density", "momentum_x", "momentum_y", "pressure", "energy"),
        ("rho", "rho_vx", "rho_vy", "p", "E"),
    ],
)
def test_other_names_and_conserved_variables_give_the_same_findings(channels: tuple[str, ...]) -> None:
    fields = SOUND.copy()
    if "m" in channels[1] or "rho" in channels[1]:
        fields[..., 1:3] *= fields[..., :1]
    expected = validate(MemorySource(SOUND))
    findings = validate(MemorySource(fields, channels=channels))
    assert [one.check for one in findings] == [one.check for one in expected]
    assert not_ok(findings) == {}
    assert figures(findings) == pytest.approx(figures(expected), rel=1e-4, abs=1e-6)
    shuffled = validate(MemorySource(fields[..., ::-1], channels=channels[::-1]))
    assert figures(shuffled) == pytest.approx(figures(findings), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "channels", [("momentum_x", "momentum_y"), ("u", "u_t"), ("vx", "v"), ("u", "vy"), ("p", "rho")]
)
def test_what_does_not_tell_of_a_velocity_is_no_flow(channels: tuple[str, ...]) -> None:
    assert "momentum" not in by_name(validate(MemorySource(SOUND[..., 1:3], channels=channels)))


def test_u_and_v_are_a_velocity_where_their_divergence_says_so() -> None:
    """Two substances that grow are none; a flow without divergence that loses momentum is wrong."""
    flow = SOUND[..., 1:3] * (1 - 0.2 * np.arange(4)[:, None, None])
    lost = by_name(validate(MemorySource(flow, channels=("u", "v"))))
    assert (lost["axes"].verdict, lost["momentum"].verdict) == ("ok", "wrong")
    assert not_ok(validate(MemorySource(flow[..., ::-1], channels=("u", "v"))))["axes"] == "wrong"
    x, y = 2 * np.pi * MESH.points.T
    substances = np.stack([2 + np.sin(x), 3 + np.cos(y + 1)], axis=-1) * (1 + np.arange(4))[:, None, None]
    grown = by_name(validate(MemorySource(substances[None], channels=("u", "v"))))
    assert (grown["axes"].verdict, grown["momentum"].verdict) == ("look", "look")
    assert grown["momentum"].found.endswith("; u and v may be no velocity")
    named = by_name(validate(MemorySource(substances[None], channels=("vx", "vy"))))
    assert named["momentum"].verdict == "wrong"


class OnGraph(MemorySource):
    """A source on any graph."""

    def __init__(self, fields: np.ndarray, graph: Graph, channels: tuple[str, ...], period: Any) -> None:
        super().__init__(fields, channels=channels)
        self.known, self.period = graph, period

    def graph(self) -> Graph:
        return self.known


def test_in_space_the_third_component_counts() -> None:
    graph = Graph.from_grid((6, 5, 4), period=(1.0, 1.0, 1.0))
    x, y, z = 2 * np.pi * graph.pos.numpy().T
    rho = 1 + 0.1 * np.sin(x + y)
    v = np.stack([np.sin(y), 2 + np.cos(z), 3 + np.sin(x)], axis=-1)
    energy = 2.5 / 0.4 + 0.5 * rho * (v**2).sum(axis=1)
    state = np.stack([rho, *v.T, energy, np.full_like(x, 2.5)], axis=-1)
    names = ("density", "velocity_x", "velocity_y", "velocity_z", "energy", "pressure")
    fields = np.stack([state, state + 1e-7 * x[:, None]])[None]
    sound = by_name(validate(OnGraph(fields, graph, names, (1.0, 1.0, 1.0))))
    assert sound["equation of state"].verdict == sound["momentum"].verdict == "ok"
    assert "axes" not in sound
    fields[0, 1, :, 3] += 0.5
    lost = by_name(validate(OnGraph(fields, graph, names, (1.0, 1.0, 1.0))))["momentum"]
    scale = np.sqrt(np.mean(rho**2 * (v**2).sum(axis=1)))
    assert lost.verdict == "wrong"
    assert lost.figures["drift"] == pytest.approx(0.5 / scale, rel=1e-2)


def test_winds_on_a_sphere_are_no_flow_of_the_plane() -> None:
    graph = Graph.from_sphere(6, 12)
    fields = np.random.default_rng(0).normal(size=(1, 3, len(graph.pos), 2))
    assert set(by_name(validate(OnGraph(fields, graph, ("u", "v"), None)))) == {
        "values", "times", "channels", "duplicates", "snapshots",
    }  # fmt: skip


def test_a_flow_whose_points_have_no_graph_is_read_and_that_is_said() -> None:
    class Uneven(MemorySource):
        def graph(self) -> Graph:
            raise ValueError("coordinate y should ascend in even steps")

    findings = by_name(validate(Uneven(SOUND)))
    assert not_ok(list(findings.values())) == {"flow": "look"}
    assert findings["flow"].found == "not checked: coordinate y should ascend in even steps"
    assert "mass" not in findings


def test_ns_gauss_as_it_is_generated_passes(tmp_path: Path) -> None:
    path = generate(
        tmp_path / "ns.nc", trajectories=2, nodes=400, points="grid", solver_res=32, final_time=0.2
    )
    findings = validate(RignoFile(path))
    assert not_ok(findings) == {}
    assert {"axes", "momentum"} <= set(by_name(findings))
    assert by_name(findings)["axes"].figures["(x, y)"] < 0.1


def test_what_sampling_may_make_of_a_constant_and_how_much_is_wrong() -> None:
    """Twice the root of half the mean squared difference between neighbours over the nodes; thrice that is wrong."""
    rho, corners = SOUND[..., 0].astype(np.float32).astype(float), MESH.cells_of("triangle")
    pairs = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])  # each edge twice
    steps = np.square(rho[..., pairs[:, 0]] - rho[..., pairs[:, 1]]).mean(axis=-1) / 2
    mass = MemorySource(SOUND).graph().mass.numpy()
    allowed = 1e-5 + 2 * np.sqrt(steps / 300).max(axis=1) / (rho[:, 0] @ mass / mass.sum())
    named = by_name(validate(MemorySource(SOUND)))
    assert min(abs(allowed - named["mass"].figures["allowed"])) < 1e-6
    for times, verdict in ((0.5, "ok"), (2.0, "look"), (4.0, "wrong")):
        spoiled = SOUND[:1].copy()
        spoiled[0, 3, :, 0] += times * allowed[0]
        assert by_name(validate(MemorySource(spoiled)))["mass"].verdict == verdict


@pytest.mark.parametrize(
    ("divergence", "verdict"),
    [((0.1, 0.5), "ok"), ((0.3, 0.5), "look"), ((0.4, 1.0), "look"), ((0.5, 0.1), "wrong")],
)
def test_axes_are_told_by_a_small_divergence_that_is_half_of_any_other(
    divergence: tuple[float, float], verdict: str
) -> None:
    straight, turned = divergence
    slopes = {"(x, y)": straight**2, "(y, x)": turned**2, "(x, -y)": 1.0, "(y, -x)": 1.0, "all": 1.0}
    found = axes_check([scan.Record(0, np.zeros(2), np.ones(2), slopes=slopes)], "points")
    assert found is not None
    assert found.verdict == verdict


def test_few_samples_do_not_tell_where_gaussians_end_and_a_pressure_tells_of_a_velocity() -> None:
    start = np.zeros((4, 1, 300, 4))
    start[..., 0], start[..., 3] = 0.1, 2.5
    found = by_name(validate(MemorySource(start, channels=("rho", "u", "v", "p"))))["start"]
    assert "too few samples to tell 2.5128 from 2.5146" in found.found
    certain = [
        FlowNames.of(names) for names in (("u", "v"), ("u", "v", "p"), ("u", "v", "rho"), ("ux", "uy"))
    ]
    assert [one.certain for one in certain if one is not None] == [False, True, True, True]


def test_the_carried_state_is_periodic() -> None:
    np.testing.assert_allclose(
        carried(MESH.points, 0.1), carried(MESH.points + np.array([1, 2]), 0.1), atol=1e-12
    )
