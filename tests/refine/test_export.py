"""Exported programs give the numbers of the library, on graphs, samples and steps that they were not traced with."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from torch_geometric.data import Batch

import irno_graph as ig
from irno_graph.correctors import (
    Anchored,
    EdgeMessagePassing,
    MessagePassing,
    MultiscaleMessagePassing,
    Options,
)
from irno_graph.mesh import periodic_box
from irno_graph.refine import Anderson, Averaged, Guard, Harmonic, LeftOut
from irno_graph.refine.export import export_onnx, export_refinement, graph_tensors, refinement_inputs


@cache
def mesh(nodes: int) -> ig.Graph:
    graph = ig.Graph.from_mesh(periodic_box(nodes, seed=nodes))
    graph.static = torch.randn(nodes, 2)
    return graph


def model_of(corrector: torch.nn.Module, **settings: Any) -> ig.IRNO:
    torch.manual_seed(1)
    units = {name: torch.rand(3) + 0.5 for name in ("input_mean", "input_std")}
    units |= {name: torch.rand(2) + 0.5 for name in ("mean", "std", "error")}
    settings = {"alpha": 0.3, "steps": 3, "scaling": ig.Scaling(**units), **settings}
    return ig.IRNO(lambda x, graph: x[..., :2].sin(), corrector.eval(), **settings)


LARGE = Options(small=1.0)
FEATURES = Options(small=1.0, static=2, time=True, lead_time=True)
CORRECTORS: dict[str, Callable[[], Any]] = {
    "flat": lambda: MessagePassing(3, 2, hidden=8, layers=1, options=LARGE),
    "edges, static and times": lambda: EdgeMessagePassing(3, 2, hidden=8, layers=1, options=FEATURES),
    "levels and modes": lambda: MultiscaleMessagePassing(3, 2, hidden=8, levels=1, modes=5, options=LARGE),
}


@cache
def program_of(kind: str) -> tuple[ig.IRNO, torch.export.ExportedProgram]:
    """The base is not asked: a model whose base is elsewhere is exported, too."""
    model = model_of(CORRECTORS[kind](), alpha=Harmonic(0.4, after=2))
    base, model.base = model.base, LeftOut("operator")
    program = export_refinement(model, torch.randn(1, 60, 3), mesh(60), time=0.1, lead_time=0.2)
    model.base = base
    return model, program


@pytest.mark.parametrize("kind", CORRECTORS)
def test_a_program_refines_as_the_model_does(kind: str, tmp_path: Path) -> None:
    model, program = program_of(kind)
    if kind == "flat":
        torch.export.save(program, tmp_path / "refine.pt2")
        with ZipFile(tmp_path / "refine.pt2") as archive:
            texts = [archive.read(name) for name in archive.namelist() if name.endswith(".json")]
        assert not any(b"corrector.py" in text for text in texts)  # paths of this machine stay here
        program = torch.export.load(tmp_path / "refine.pt2")
    refine = program.module()
    for nodes, samples, steps in ((60, 3, 2), (90, 2, 5), (75, 1, 1), (75, 4, 0)):
        x = torch.randn(samples, nodes, 3)
        times: Any = {"time": torch.rand(samples), "lead_time": 0.7}
        expected = model(x, mesh(nodes), steps=steps, **times)
        h = expected.states[0] if nodes == 90 else None  # the base's answer, given or asked for
        value, residual, taken = refine(*refinement_inputs(model, x, mesh(nodes), h=h, steps=steps, **times))
        torch.testing.assert_close(value, expected.value, rtol=1e-5, atol=1e-6)
        assert torch.equal(taken, expected.steps_taken)
        if steps:
            torch.testing.assert_close(residual, expected.residuals[-1], rtol=1e-4, atol=1e-6)
            assert (value - expected.states[0]).abs().max() > 0.01  # it did something


def test_a_sample_that_breaks_down_stops_alone() -> None:
    model, program = program_of("flat")
    x = torch.randn(3, 60, 3)
    x, h, sizes, graph = refinement_inputs(model, x, mesh(60), steps=4)
    sizes[2] = float("inf")
    with torch.no_grad():
        value, residual, taken = program.module()(x, h, sizes, graph)
    torch.testing.assert_close(value, model(x, mesh(60), steps=2).value, rtol=1e-5, atol=1e-6)
    assert taken.tolist() == [2, 2, 2]
    assert residual.abs().max() == 0
    h[0, 5, 1] = float("nan")
    value, _, taken = program.module()(x, h, sizes[:2], graph)
    assert taken.tolist() == [0, 2, 2]
    assert torch.isnan(value[0, 5, 1])  # h_0, as in the library
    assert torch.isfinite(value[1:]).all()


def test_the_tensors_of_a_graph_have_the_shapes_that_are_documented() -> None:
    corrector = MultiscaleMessagePassing(3, 2, hidden=8, levels=2, modes=5)
    found = graph_tensors(corrector, mesh(60))
    nodes = [len(found[f"own{level}_inverse_degree"]) for level in range(3)]
    assert nodes[0] == 60
    assert len(found["restrict0_inverse_degree"]) == nodes[1]
    assert len(found["prolong1_inverse_degree"]) == nodes[1]
    assert found["restrict1_senders"].max() < nodes[1]
    assert found["restrict1_receivers"].max() < nodes[2]
    for part in ("own0", "own2", "restrict0", "prolong1"):
        edges = len(found[f"{part}_senders"])
        assert found[f"{part}_features"].shape == (edges, 4)
        assert (found[f"{part}_receivers"].diff() >= 0).all()
    assert found["wave_vectors"].shape == (60, 5)
    assert found["wave_kernels"].shape == (5, 32)


REFUSED: dict[str, Callable[[], ig.IRNO]] = {
    "UNet": lambda: model_of(ig.correctors.UNet(3, 2, base_channels=4, depth=1)),
    "Anchored": lambda: model_of(Anchored(MessagePassing(3, 4, hidden=8), lambda x, h, graph: h, 2)),
    "`solver`": lambda: model_of(CORRECTORS["flat"](), solver=Anderson()),
    "`alpha`": lambda: model_of(CORRECTORS["flat"](), alpha=Averaged(0.3, after=1)),
    "`guard`": lambda: model_of(CORRECTORS["flat"](), guard=Guard(1, (), (), (), 1.0, 0.1)),
    "depends on `time`": lambda: model_of(CORRECTORS["edges, static and times"]()),
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_cannot_be_exported_is_named(word: str) -> None:
    with pytest.raises(ValueError, match=word):
        export_refinement(REFUSED[word](), torch.randn(1, 60, 3), mesh(60))


def test_batches_and_shapes_that_are_no_samples_are_refused() -> None:
    model = model_of(CORRECTORS["flat"]())
    with pytest.raises(ValueError, match="one graph"):
        graph_tensors(model.corrector, Batch.from_data_list([mesh(60), mesh(75)]))
    with pytest.raises(ValueError, match=r"\[samples, nodes, in_channels\], got \[60, 3\]"):
        refinement_inputs(model, torch.randn(60, 3), mesh(60))
    with pytest.raises(ValueError, match="channels=3"):
        export_refinement(model, torch.randn(1, 60, 2), mesh(60))
    with pytest.raises(ValueError, match="samples of x, 2, got 1"):
        refinement_inputs(model, torch.randn(2, 60, 3), mesh(60), h=torch.randn(1, 60, 2))
    with pytest.raises(ValueError, match="0 or more"):
        refinement_inputs(model, torch.randn(2, 60, 3), mesh(60), steps=-1)
    timed = EdgeMessagePassing(3, 2, options=FEATURES)
    with pytest.raises(ValueError, match="not depend on times in ONNX"):
        export_onnx(timed, torch.randn(1, 60, 3), torch.randn(1, 60, 2), mesh(60), "no.onnx")


def test_without_onnxscript_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"irno-graph\[export\]"):
        export_onnx(CORRECTORS["flat"](), torch.randn(1, 60, 3), torch.randn(1, 60, 2), mesh(60), "no.onnx")


@pytest.mark.extras
@pytest.mark.parametrize("kind", ["flat", "levels and modes", "edges"])
def test_onnx_gives_phi_on_other_graphs(kind: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    plain = {**CORRECTORS, "edges": lambda: EdgeMessagePassing(3, 2, hidden=8, layers=1, options=LARGE)}
    model = model_of(plain[kind]())
    example = torch.randn(1, 60, 3), torch.randn(1, 60, 2)
    for one, phi in ((model, model.phi), (model.corrector, model.corrector)):
        path = export_onnx(one, *example, mesh(60), tmp_path / "phi.onnx")
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for nodes, samples in ((90, 2), (60, 1)):
            x, h = torch.randn(samples, nodes, 3), torch.randn(samples, nodes, 2)
            given = {"x": x, "h": h, **graph_tensors(model.corrector, mesh(nodes))}
            (found,) = session.run(["phi"], {name: value.numpy() for name, value in given.items()})
            torch.testing.assert_close(torch.from_numpy(found), phi(x, h, mesh(nodes)), rtol=1e-4, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["phi.onnx"]
