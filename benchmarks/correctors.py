"""Time and memory of correctors, against the standard block with a state on every edge.

    python benchmarks/correctors.py [--quick] [--nodes 4096 16384 65536 262144] [--widths 64 128] [--batches 1 4]
        [--kinds standard pieces plain compiled standard_compiled] [--parts layer unrolled refine hierarchy]
        [--device cpu] [--out docs/results/correctors.json] [--markdown]

One layer of each kind on irregular triangles of the periodic square, nodes along a Hilbert curve: the standard block
(`correctors.edge_message_passing.EdgeLayer`, the state of the edges given) and the layer of the other correctors
(`correctors.layers.GraphLayer`, the edges encoded): in pieces (memory="auto" on a CPU), in plain operations
(memory="keep"), and compiled; with `--device cuda` also under bf16 autocast. "train" is a forward pass and the
gradients of everything. Kinds are called in turn, 3 to 15 rounds after one that is not counted. Seconds are medians,
of CPU time on one thread, else on the wall. MiB is what a call adds to the process at its peak, after freed memory
went back to the system. What would need more than `--limit-gib` is left out, and the standard block is compiled for
one sample only.

Then refinements: K = 6 steps of 6 layers, trained through all steps ("recompute": with `recompute=True`); K = 8 steps
without gradients; and the building of all coarser graphs. Each case runs in a process of its own, with `--quick` all in
one. The file of `--out` grows case by case, and a later call goes on where it ends (`--fresh` begins anew);
`--markdown` prints its tables.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from correctors_tables import CPU_KINDS, GPU_KINDS, KINDS, line, tables
from harness import about, commit, own_process, sentence, write_json

SETTINGS = ("device", "threads", "kinds", "unrolled_nodes", "unrolled_steps", "refine_nodes", "budget")
PARTS = ("layer", "unrolled", "refine", "hierarchy")
FULL: dict[str, Any] = {
    "nodes": [4096, 16384, 65536, 262144],
    "widths": [64, 128],
    "batches": [1, 4],
    "kinds": None,
    "unrolled_nodes": 16384,
    "unrolled_steps": 6,
    "refine_nodes": 65536,
    "budget": 3.0,
}
SMALL: dict[str, Any] = {
    "nodes": [2048],
    "widths": [64],
    "batches": [1],
    "kinds": ["standard", "pieces", "plain"],
    "unrolled_nodes": 2048,
    "unrolled_steps": 2,
    "refine_nodes": 2048,
    "budget": 1.0,
}


def keys(given: argparse.Namespace) -> Iterator[str]:
    """Names of all cases; layers come last, small ones first."""
    if "unrolled" in given.parts:
        yield "unrolled"
    if "refine" in given.parts:
        yield from ("refine flat", "refine multiscale")
    if "hierarchy" in given.parts:
        yield from (f"hierarchy {nodes}" for nodes in given.nodes)
    if "layer" in given.parts:
        for nodes in given.nodes:
            for width in given.widths:
                yield from (f"layer {nodes} {width} {samples}" for samples in given.batches)


def measured(key: str, given: argparse.Namespace) -> dict[str, Any]:
    """One case, here."""
    import torch  # not where cases are only started
    from correctors_cases import Settings, hierarchy_case, layer_case, refine_case, unrolled_case

    torch.set_num_threads(given.threads)
    settings = Settings(given.device, given.threads, given.budget, given.limit_gib, given.meshes)
    part, *words = key.split()
    if part == "layer":
        nodes, width, samples = map(int, words)
        kinds = [name for name in given.kinds if name != "standard_compiled" or samples == 1]
        return layer_case(nodes, width, samples, kinds, settings)
    if part == "unrolled":
        sizes = {"nodes": given.unrolled_nodes, "width": 64, "layers": 6, "steps": given.unrolled_steps}
        return {**sizes, **unrolled_case(**sizes, settings=settings)}
    if part == "refine":
        sizes = {"nodes": given.refine_nodes, "width": 64, "steps": 8}
        return {**sizes, **refine_case(words[0], **sizes, settings=settings)}
    return hierarchy_case(int(words[0]), settings)


def run_all(given: argparse.Namespace) -> None:
    """Measure what the file does not hold yet, and print the tables."""
    kept = {name: value for name, value in vars(given).items() if name in SETTINGS}
    results = read(given.out, kept) if given.out and not given.fresh else None
    results = results or {**about(), "settings": kept, "cases": {}}
    print(sentence(results), end="\n\n", flush=True)
    start = time.monotonic()
    for key in keys(given):
        if key in results["cases"]:
            continue
        if time.monotonic() - start > 60 * given.minutes:
            print(f"{given.minutes:g} minutes are over: the same command goes on with `{key}`.")
            break
        if given.quick:
            found = measured(key, given)
        else:
            options = [*sys.argv[1:], "--meshes", str(given.meshes), "--case", key]
            found = own_process([sys.executable, __file__, *options])
        results["cases"][key] = {**found, "commit": commit()}
        print(line(key, found), flush=True)
        if given.out:
            write_json(given.out, results, {})
    print()
    print("\n".join(tables(results["cases"], given.kinds)))


def read(path: Path, kept: dict[str, Any]) -> dict[str, Any] | None:
    """Earlier results that the same settings gave on the same machine; exits where there are others."""
    if not path.exists():
        return None
    found, here = json.loads(path.read_text(encoding="utf-8")), about()
    here["versions"]["commit"] = found["versions"]["commit"]  # each case has its own
    if found["settings"] != kept or any(found[name] != here[name] for name in here):
        sys.exit(
            f"{path} was measured with other settings or versions or elsewhere: give --fresh, or another --out."
        )
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small cases, under a minute")
    parser.add_argument("--nodes", type=int, nargs="+")
    parser.add_argument("--widths", type=int, nargs="+")
    parser.add_argument("--batches", type=int, nargs="+", help="samples on one graph")
    parser.add_argument("--kinds", nargs="+", choices=KINDS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--unrolled-nodes", type=int)
    parser.add_argument("--unrolled-steps", type=int)
    parser.add_argument("--refine-nodes", type=int)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, help="seconds for the calls of one pass")
    parser.add_argument("--limit-gib", type=float, default=13.0, help="leave out what needs more")
    parser.add_argument("--minutes", type=float, default=30.0, help="begin no case after so many")
    parser.add_argument("--meshes", type=Path, help="folder that keeps the meshes for another run")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--fresh", action="store_true", help="measure all again")
    parser.add_argument("--markdown", action="store_true", help="print the tables of --out, measure nothing")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for name, value in (SMALL if given.quick else FULL).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.kinds is None:
        given.kinds = list(CPU_KINDS if given.device == "cpu" else GPU_KINDS)
    if given.markdown and not given.out:
        parser.error("--markdown needs --out, the file to read.")
    return given


def main() -> None:
    """Measure, or print what was measured."""
    given = arguments()
    if given.case:
        print(json.dumps(measured(given.case, given)))
    elif given.markdown:
        results = json.loads(given.out.read_text(encoding="utf-8"))
        print(sentence(results), end="\n\n")
        print("\n".join(tables(results["cases"], results["settings"]["kinds"])))
    elif given.meshes:
        given.meshes.mkdir(parents=True, exist_ok=True)
        run_all(given)
    else:
        with tempfile.TemporaryDirectory() as folder:
            given.meshes = Path(folder)
            run_all(given)


if __name__ == "__main__":
    main()
