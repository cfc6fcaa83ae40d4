"""Reports of last states: means over all chunks of samples, octaves of the graph's frequencies."""

import pytest
import torch
from flow_sources import MESH, flows

from irno_graph import IRNO, EigenBasis, Graph
from irno_graph.bases import Callable
from irno_graph.correctors import MessagePassing
from irno_graph.data.sets import FieldStatistics
from irno_graph.experiments.evaluation import CHANNELS
from irno_graph.experiments.flow_reports import MEASURES, LastStates
from irno_graph.metrics import flow_report
from irno_graph.report import flow_markdown, flow_table

GRAPH = Graph.from_mesh(MESH)
KNOWN = FieldStatistics.of(CHANNELS, torch.tensor([1.0, 0, 0, 2.5]), torch.tensor([0.1, 1.0, 1.0, 0.2]))
TRUTH = torch.from_numpy(flows(MESH.points, 3, 3)[..., :4]).transpose(
    0, 1
)  # [times, samples, nodes, channels]


def report_of(*parts: slice) -> dict:
    look = LastStates(GRAPH, KNOWN)
    for part in parts:
        look("base", 1.5 * TRUTH[:, part], TRUTH[:, part])
        look("refined", 1.1 * TRUTH[:, part], TRUTH[:, part])
    return look.to_json()


def test_chunks_do_not_change_the_means_over_samples_of_the_last_step() -> None:
    whole, parts = report_of(slice(0, 3)), report_of(slice(0, 2), slice(2, 3))
    assert whole["time_step"] == 3
    for name in ("base", "refined"):
        for measure in MEASURES:
            for group, value in whole["rollouts"][name][measure].items():
                assert parts["rollouts"][name][measure][group] == pytest.approx(value)
    expected = flow_report(1.5 * TRUTH[-1], TRUTH[-1], GRAPH, CHANNELS, KNOWN).scaled["pressure"].mean()
    assert whole["rollouts"]["base"]["scaled"]["pressure"] == pytest.approx(float(expected))
    for band in whole["rollouts"]["refined"]["bands"]["velocity"]:
        assert band == pytest.approx(0.1)
    assert whole["frequencies"] == pytest.approx([whole["frequencies"][3] / part for part in (8, 4, 2, 1)])
    for share in whole["share"].values():
        assert sum(share) == pytest.approx(1)


def test_tables_show_a_rollout_that_ended_and_what_is_not_there() -> None:
    look = LastStates(GRAPH, KNOWN)
    look("base", TRUTH * torch.nan, TRUTH)
    look("refined", 1.1 * TRUTH, TRUTH)
    flow = look.to_json()
    assert flow["rollouts"]["base"]["relative"]["velocity"] is None
    assert (
        flow_table(flow).row_count == 3 * 4
    )  # base, refined and energy of density, velocity, pressure, vorticity
    lines = flow_markdown(flow).splitlines()
    row = next(line for line in lines if line.startswith("| velocity | base"))
    assert row.count("ended") == 7
    assert any(line.startswith("|  | refined | 10 | ") and line.count("| -") == 2 for line in lines)


def test_a_model_without_moments_is_refused() -> None:
    model = IRNO(Callable(lambda x, graph: x), MessagePassing(4, 4, hidden=8, layers=1))
    with pytest.raises(ValueError, match="`model` should have a scaling"):
        LastStates.of_model(model, GRAPH)


@pytest.mark.parametrize("octave", [0, 1, 2, 3])
def test_a_mode_lies_in_the_octave_of_its_frequency(octave):
    edges = [0.0, *report_of(slice(0, 3))["frequencies"]]
    assert [edge / edges[-1] for edge in edges] == pytest.approx([0, 1 / 8, 1 / 4, 1 / 2, 1])
    basis = EigenBasis.compute(GRAPH, GRAPH.num_nodes - 2)
    frequency, middle = basis.eigenvalues.sqrt(), (edges[octave] + edges[octave + 1]) / 2
    number = int((frequency[1:] - middle).abs().argmin()) + 1
    assert edges[octave] < frequency[number] < edges[octave + 1]
    mode = basis.vectors[:, number].to(TRUTH).unsqueeze(-1)
    look = LastStates(GRAPH, KNOWN)
    truth = KNOWN.mean.to(TRUTH) + 0.1 * mode.expand(1, 1, -1, len(CHANNELS)) / mode.abs().max()
    look("base", truth + 0.5 * (truth - KNOWN.mean.to(TRUTH)), truth)
    found = look.to_json()
    for group, shares in found["share"].items():
        assert shares[octave] > 0.85, group
        assert found["rollouts"]["base"]["bands"][group][octave] == pytest.approx(0.5, rel=1e-3)
