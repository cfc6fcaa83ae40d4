"""What `benchmarks/correctors.py` compares, and tables of what it measured, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from harness import markdown_table

TITLES = {"forward": "Forward, no gradients", "train": "Forward and backward"}
TARGETS = {"forward": "3 in pieces, 7 compiled", "train": "3.5 in pieces, 6 compiled"}
Cases = Mapping[str, Mapping[str, Any]]


class Kind(NamedTuple):
    """A way to run a layer.

    Attributes:
        label: in tables.
        ours: whether it is the layer without edge-sized products, or the standard block.
        memory: see `correctors.Options`.
        compiled: by torch.compile.
        bf16: under autocast.
        rows: `width` channels of every edge and sample that are held at once at the most, forward and in training; for
            an estimate of the memory, on the safe side.
    """

    label: str
    ours: bool
    memory: Literal["auto", "keep"] = "keep"
    compiled: bool = False
    bf16: bool = False
    rows: tuple[float, float] = (8.0, 16.0)


KINDS = {
    "standard": Kind("standard", False),
    "pieces": Kind("ours, in pieces", True, "auto", rows=(2.0, 4.0)),
    "plain": Kind("ours, plain", True),
    "compiled": Kind("ours, compiled", True, compiled=True, rows=(4.0, 8.0)),
    "standard_compiled": Kind("standard, compiled", False, compiled=True),
    "standard_bf16": Kind("standard, bf16", False, bf16=True),
    "plain_bf16": Kind("ours, plain, bf16", True, bf16=True),
    "compiled_bf16": Kind("ours, compiled, bf16", True, compiled=True, bf16=True),
}
CPU_KINDS = ("standard", "pieces", "plain", "compiled", "standard_compiled")
GPU_KINDS = tuple(name for name in KINDS if name != "pieces")


def tables(cases: Cases, kinds: Sequence[str]) -> Iterator[str]:
    """All tables that there are figures for, each behind its title."""
    names = [key for key in cases if key.startswith("layer ")]
    layers = {key: cases[key] for key in sorted(names, key=lambda key: tuple(map(int, key.split()[1:])))}
    if layers:
        for which, title in TITLES.items():
            yield f"{title}, one layer: seconds of the standard block, and how many times faster the others are"
            yield f"(targets: {TARGETS[which]})\n"
            yield _times(layers, which, kinds) + "\n"
        for which, title in TITLES.items():
            yield f"{title}, one layer: MiB at the peak\n"
            yield _memory(layers, which, kinds) + "\n"
        yield "Share of our layer's time that moving its bytes (at the triad's bandwidth; target: 0.5) and its matrix"
        yield "products alone would take\n"
        yield _roofline(layers, [name for name in kinds if KINDS[name].ours]) + "\n"
    if "unrolled" in cases:
        yield (
            _heading("Unrolled training", cases["unrolled"])
            + " (targets: 0.35 of the time, 0.15 of the memory)\n"
        )
        yield _unrolled(cases) + "\n"
    refined = {key.split()[1]: found for key, found in cases.items() if key.startswith("refine ")}
    if refined:
        title = _heading("Refinement without gradients", next(iter(refined.values())))
        yield f"{title} (target: 2 GB)\n"
        rows = [
            [name, _number(found["seconds"]), f"{found['mib']:.0f}", f"{found.get('process_mib', 0):.0f}"]
            for name, found in refined.items()
        ]
        yield markdown_table(["corrector", "s", "added, MiB", "whole process, MiB"], rows) + "\n"
    levels = {int(key.split()[1]): found for key, found in cases.items() if key.startswith("hierarchy ")}
    if levels:
        yield "All coarser graphs of a mesh, built once\n"
        rows = [[_count(n), levels[n]["levels"], _number(levels[n]["seconds"])] for n in sorted(levels)]
        yield markdown_table(["nodes", "levels", "s"], rows, words=0) + "\n"


def line(key: str, found: Mapping[str, Any]) -> str:
    """What one case found, for the eye of who waits."""
    if not key.startswith("layer "):
        shown = {name: value for name, value in found.items() if name != "commit"}
        return f"{key}: {shown}"
    parts = []
    for which in TITLES:
        taken = found[which]["seconds"]
        ratios = [f"{name} {_ratio(taken, name)}" for name in taken if name != "standard"]
        base = f"{taken['standard']:.4f} s" if "standard" in taken else "left out"
        parts.append(f"{which}: standard {base}, times faster: {', '.join(ratios)}")
    return f"{key}: " + "; ".join(parts)


def _times(layers: Cases, which: str, kinds: Sequence[str]) -> str:
    others = [name for name in kinds if name != "standard"]
    names = ["nodes", "width", "samples", "standard, s", *(KINDS[name].label for name in others)]
    rows = []
    for key, found in layers.items():
        part = found[which]
        taken = part["seconds"]
        base = _number(taken["standard"]) if "standard" in taken else _left_out(part, "standard")
        cells = [_ratio(taken, name) if "standard" in taken else _plain_time(part, name) for name in others]
        rows.append([*_sizes(key), base, *cells])
    return markdown_table(names, rows, words=0)


def _memory(layers: Cases, which: str, kinds: Sequence[str]) -> str:
    names = ["nodes", "width", "samples", *(KINDS[name].label for name in kinds)]
    rows = []
    for key, found in layers.items():
        part = found[which]
        cells = [f"{part['mib'][n]:.0f}" if n in part["mib"] else _left_out(part, n) for n in kinds]
        rows.append([*_sizes(key), *cells])
    return markdown_table(names, rows, words=0)


def _roofline(layers: Cases, kinds: Sequence[str]) -> str:
    heads = [
        f"{short} {KINDS[name].label}" for short in ("fwd,", "f+b,") for name in kinds if name != "plain"
    ]
    names = ["nodes", "width", "samples", "triad, GB/s", *heads]
    rows = []
    for key, found in layers.items():
        cells = []
        for which in TITLES:
            part = found[which]
            for name in kinds:
                if name == "plain":
                    continue
                taken = part["seconds"].get(name)
                shares = [part["bytes_seconds"], part["products_seconds"]]
                cells.append(" + ".join(f"{share / taken:.2f}" for share in shares) if taken else "-")
        rows.append([*_sizes(key), f"{found['triad_gb_per_s']:.0f}", *cells])
    return markdown_table(names, rows, words=0)


def _unrolled(cases: Cases) -> str:
    taken, peak = cases["unrolled"]["seconds"], cases["unrolled"]["mib"]
    rows = []
    for name, value in taken.items():
        memory = f"{peak[name]:.0f}", f"{peak[name] / peak['standard']:.2f}"
        rows.append([name, _number(value), f"{value / taken['standard']:.2f}", *memory])
    return markdown_table(["corrector", "s", "of the standard's", "MiB", "of the standard's"], rows)


def _heading(title: str, found: Mapping[str, Any]) -> str:
    sizes = ", ".join(
        f"{name} {_count(found[name])}" for name in ("nodes", "width", "steps") if name in found
    )
    return f"{title}: {sizes}"


def _sizes(key: str) -> list[str]:
    _, nodes, width, samples = key.split()
    return [_count(nodes), width, samples]


def _ratio(taken: Mapping[str, float], name: str) -> str:
    if name not in taken:
        return "-"
    return f"{taken['standard'] / taken[name]:.1f}" if "standard" in taken else f"{taken[name]:.4f} s"


def _plain_time(part: Mapping[str, Any], name: str) -> str:
    return f"{_number(part['seconds'][name])} s" if name in part["seconds"] else _left_out(part, name)


def _left_out(part: Mapping[str, Any], name: str) -> str:
    return f"needs {part['left_out_gib'][name]:.0f} GiB" if name in part["left_out_gib"] else "-"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _count(value: object) -> str:
    return f"{int(str(value)):,}"
