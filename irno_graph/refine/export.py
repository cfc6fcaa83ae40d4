"""Refinement without this library: as a program of torch.export, and Phi in ONNX.

Graphs are tensors by name then, which `graph_tensors` makes of a graph once; their sizes are free, so that one program
serves all meshes. L is a level, 0 the graph itself and 1, 2, ... the coarser ones of a multi-scale corrector:

- `own{L}_senders`, `own{L}_receivers`: int64 `[edges]`, the nodes of the level that edges go from and to, by receiver.
- `own{L}_features`: `[edges, dim + 2]` (`[edges, 2]` of an invariant corrector), the scaled geometry of the edges.
- `own{L}_inverse_degree`: `[nodes]`, 1 / max(edges that arrive, 1).
- `restrict{L}_...`, `prolong{L}_...`: the same four of the edges from level L to level L + 1, and back.
- `wave_vectors`, `wave_weighted`: `[nodes, modes]`, modes and modes times masses, and `wave_kernels` `[modes, 32]`,
  of a corrector with spectral filters.
- `static`: `[nodes, 1, static]`, of a corrector with features of the nodes.
- `mass`: float64 `[nodes]`, of whole refinements.

>>> from irno_graph.correctors import MessagePassing
>>> graph = Graph.from_grid((4, 4), period=(1.0, 1.0))
>>> sorted(graph_tensors(MessagePassing(1, 1, hidden=4, layers=1), graph))
['own0_features', 'own0_inverse_degree', 'own0_receivers', 'own0_senders']
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from irno_graph.correctors.prepares import Time
from irno_graph.files import atomic_path
from irno_graph.graph import Graph
from irno_graph.graph.pyg import Batch
from irno_graph.nn.fields import check_field
from irno_graph.refine.irno import IRNO
from irno_graph.refine.programs import FIELDS, KINDS, PARTS, WAVES, Corrector, Loop, Phi
from irno_graph.refine.schedules import Averaged, step_sizes

SAMPLES, NODES = Dim("samples", min=1), "nodes"


def graph_tensors(corrector: nn.Module, graph: Graph) -> dict[str, Tensor]:
    """What Phi needs of a graph, by name, see above.

    Raises:
        ValueError: for another corrector, a batch of graphs, or a graph that does not have the corrector's features.
    """
    own = _checked(corrector)
    if isinstance(graph, Batch):
        raise ValueError("`graph` should be one graph, got a batch: export and call for each of its graphs.")
    geometry = own.geometry(graph)
    found: dict[str, Tensor] = {}
    for depth, floor in enumerate(geometry.floors):
        for part in PARTS:
            edges = getattr(floor, part)
            if edges is not None:
                found |= {f"{part}{depth}_{name}": getattr(edges, name) for name in FIELDS}
    if geometry.waves is not None:
        found |= {name: getattr(geometry.waves, field)[0] for name, field in WAVES.items()}
    return found if geometry.static is None else {**found, "static": geometry.static}


def refinement_inputs(
    model: IRNO,
    x: Tensor,
    graph: Graph,
    *,
    h: Tensor | None = None,
    steps: int | None = None,
    time: Time = None,
    lead_time: Time = None,
) -> tuple[Any, ...]:
    """What an exported refinement is called with for x `[samples, nodes, in_channels]` in physical units.

    They are x, h_0 `[samples, nodes, channels]`, the step sizes alpha_0 ... alpha_{K-1} `[steps]`, the tensors of the
    graph, and, of a corrector that depends on them, the times `[samples, 1, times]`. All fields have the type of the
    corrector's weights. h_0 is `h`, an operator's answer, or that of the model's base, which programs do not compute.

    Raises:
        ValueError: what `export_refinement` raises, for x of another shape, and if a time is missing.
    """
    corrector = _checked_model(model)
    if x.ndim != 3:
        raise ValueError(f"`x` should have shape [samples, nodes, in_channels], got {list(x.shape)}.")
    check_field(x, graph, corrector.in_channels, "x")
    count = model.steps if steps is None else steps
    if count < 0:
        raise ValueError(f"`steps` should be 0 or more, got {count}: 0 is the base alone.")
    if h is None:
        h = model(x, graph, steps=0, time=time, lead_time=lead_time).value
    check_field(h, graph, corrector.channels, "h")
    if len(h) != len(x):
        raise ValueError(f"`h` should have the samples of x, {len(x)}, got {len(h)}.")
    own = corrector.last.weight.dtype
    sizes = torch.tensor(step_sizes(model.schedule or model.alpha, count), dtype=own, device=x.device)
    tensors = {**graph_tensors(corrector, graph), "mass": graph.mass}
    times = corrector._times(x.shape[:1], graph, time, lead_time)
    found = (x.to(own), h.to(own), sizes, tensors)
    return found if times is None else (*found, times.expand(len(x), 1, -1).contiguous())


def export_refinement(
    model: IRNO, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
) -> ExportedProgram:
    """The whole refinement of a model, for any number of samples, nodes, edges and steps.

    `program.module()(*refinement_inputs(model, x, graph))` is, without this library's code and for other x and graphs,

    - h_K `[samples, nodes, channels]`;
    - the mass-weighted root mean square of the last Phi(h_k) `[samples, channels]`, zero for a sample that had stopped;
    - the steps that each sample took `[samples]`: one that becomes NaN or infinite stops at its last finite state.

    The base is not in it: h_0 is an input. `torch.export.save(program, "refine.pt2")` writes it. A corrector with as
    many levels as the mesh has is exported for the number that `graph` has.

    Args:
        model: its corrector is a `MessagePassing`, `EdgeMessagePassing` or `MultiscaleMessagePassing`, with a number or
            a schedule for alpha.
        x: an example `[samples, nodes, in_channels]`.
        graph: an example, with more than one node and edge on each level.
        time: see `IRNO.forward`; any, where the corrector depends on it.
        lead_time: likewise.

    Raises:
        ValueError: for other correctors, solvers, means of states, or a guard, naming it; see also `refinement_inputs`.
    """
    many = x[:1].expand(3, -1, -1)
    h = many.new_zeros(*many.shape[:-1], _checked_model(model).channels)
    inputs = refinement_inputs(model, many, graph, h=h, steps=2, time=time, lead_time=lead_time)
    loop = Loop(_checked_model(model), model.scaling).eval()
    fields = {0: SAMPLES, 1: Dim(NODES, min=1)}
    shapes: list[Any] = [fields, fields, {0: Dim("steps", min=0)}, _free(inputs[3])]
    return _exported(loop, inputs, (*shapes, {0: SAMPLES})[: len(inputs)])


def export_onnx(model: nn.Module, x: Tensor, h: Tensor, graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Phi in ONNX (extra `export`), for any number of samples, nodes and edges.

    Its inputs are `x` `[samples, nodes, in_channels]`, `h` `[samples, nodes, channels]` and the tensors of the graph by
    their names, its output is `phi`, like h. Of an `IRNO` it is Phi in physical units, of a corrector in its own.

    Args:
        model: an `IRNO`, or a corrector that `export_refinement` takes, that does not depend on times.
        x: an example `[samples, nodes, in_channels]`.
        h: an example `[samples, nodes, channels]`.
        graph: an example, with more than one node and edge on each level.
        path: of the file, suffix .onnx.

    Raises:
        ImportError: without onnxscript.
        ValueError: for other correctors, naming it, or one that depends on times.
    """
    corrector = _checked(model.corrector if isinstance(model, IRNO) else model)
    if corrector.options.times:
        raise ValueError(
            f"`model` should not depend on times in ONNX, got {corrector.options}: use `export_refinement`."
        )
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX needs onnx and onnxscript: pip install 'irno-graph[export]'.") from error
    own, tensors = corrector.last.weight.dtype, graph_tensors(corrector, graph)
    phi = Phi(corrector, model.scaling if isinstance(model, IRNO) else None, list(tensors)).eval()
    fields = {0: SAMPLES, 1: Dim(NODES, min=1)}
    inputs = *(part[:1].expand(3, -1, -1).to(own) for part in (x, h)), *tensors.values()
    program = _exported(phi, inputs, (fields, fields, tuple(_free(tensors).values())))
    names = ["x", "h", *tensors]
    with warnings.catch_warnings(
        action="ignore", category=UserWarning
    ):  # of sizes that inputs have in common
        done: Any = torch.onnx.export(
            program, input_names=names, output_names=["phi"], dynamo=True, verbose=False
        )
    target = Path(path)
    with atomic_path(target) as temporary:
        done.save(temporary)
    return target


def _free(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The dimensions of a graph's tensors that may have any size."""
    names: dict[str, str] = {}
    for name in tensors:
        part, _, field = name.partition("_")
        if not part[-1:].isdigit():
            names[name] = NODES
        elif field == "inverse_degree":
            level = int(part[-1]) + part.startswith("restrict")
            names[name] = NODES if level == 0 else f"{NODES}{level}"
        else:
            names[name] = f"{part}_edges"
    return {name: {} if name == "wave_kernels" else {0: Dim(size, min=1)} for name, size in names.items()}


def _exported(module: nn.Module, inputs: tuple[Any, ...], shapes: Any) -> ExportedProgram:
    try:
        with torch.no_grad():
            program = torch.export.export(module, inputs, dynamic_shapes=shapes, strict=False)
    except torch._dynamo.exc.UserError as error:
        raise ValueError(
            f"`graph` should have more than one node and edge on each level to be an example of all graphs: {error}"
        ) from error
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # megabytes of this machine's paths
    return program


def _checked(corrector: nn.Module) -> Corrector:
    if type(corrector) not in KINDS:
        names = ", ".join(kind.__name__ for kind in KINDS)
        raise ValueError(f"`corrector` should be one of {names} for export, got {type(corrector).__name__}.")
    return corrector  # type: ignore[return-value]


def _checked_model(model: IRNO) -> Corrector:
    """The corrector of a model whose refinement can be exported."""
    kept: dict[str, Any] = {"solver": model.solver, "guard": model.guard}
    if isinstance(model.schedule, Averaged):
        kept["alpha"] = model.schedule
    for name, value in kept.items():
        if value is not None:
            raise ValueError(
                f"`{name}` should be left out of a model for export, got {value!r:.60}: a program has plain steps, "
                "whose sizes are an input."
            )
    return _checked(model.corrector)
