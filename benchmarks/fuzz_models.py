"""Read thousands of damaged model files: each should be refused in a sentence that names it, or be the model it was.

python benchmarks/fuzz_models.py [--mutations 1000] [--seed 0] [--out docs/results/fuzz_models.json]
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_damage import File
from model_impostors import KINDS, MARK, SEALED_ONLY

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.mesh import periodic_box
from irno_graph.refine import Anderson, Harmonic
from irno_graph.refine.hashes import weights_hash
from irno_graph.refine.storage import describe

LIMIT = 5  # seconds for one file
MOST = 300.0  # MiB that reading one may add: torch's own start within
WATCHED = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "pickle.find_class",
    "socket.connect",
)
Gauge = Callable[[Callable[[], object]], float]


@dataclass
class Row:
    """What happened to the files with one kind of damage."""

    refused: int = 0
    same: int = 0
    worst_seconds: float = 0.0
    worst_mib: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Hang(BaseException):
    """A file that takes longer than `LIMIT`: nothing that catches exceptions catches it."""


class Watch:
    """What Python was asked to do while files were read; its audit hook stays for the life of the process."""

    def __init__(self) -> None:
        self.on, self.seen = False, list[str]()
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in WATCHED:
            self.seen.append(f"{event}{arguments!r:.60}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Time is limited and events are seen."""

        def late(*_: object) -> None:
            raise Hang(f"longer than {LIMIT} s")

        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        self.on, self.seen = True, []
        try:
            yield
        finally:
            self.on = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def models() -> dict[str, torch.nn.Module]:
    """Small models of all that a file can hold."""
    torch.manual_seed(0)
    sizes = Architecture(processor_steps=1, node_hidden=8, edge_hidden=6, correction_hidden=4)
    rigno = ig.bases.RIGNO(3, 3, architecture=sizes)
    units = {name: torch.rand(3) + 0.5 for name in ("input_mean", "input_std", "mean", "std", "error")}
    scaling = ig.Scaling(**units)
    grid = ig.Graph.from_grid((6, 8), period=(1.0, 1.0))
    standard = ig.bases.Standardised(rigno, **{name: units[name] for name in units if name != "error"})
    deep = ig.correctors.MultiscaleMessagePassing(3, 3, hidden=8, levels=2)
    flat = ig.correctors.MessagePassing(3, 3, hidden=8, layers=2)
    unet = ig.correctors.UNet(3, 3, base_channels=4, depth=1)
    guarded = ig.IRNO(rigno, deep, alpha=Harmonic(0.4, after=2), steps=3, scaling=scaling)
    graph = ig.Graph.from_mesh(periodic_box(60, seed=3))
    guarded.guard = guarded.guarded(torch.randn(60, 60, 3), graph)
    on_grid = ig.bases.OnGrid(standard, grid, order=3)
    return {
        "multi-scale": guarded,
        "flat": ig.IRNO(lambda x, graph: x, flat, alpha=0.3, steps=2, solver=Anderson(memory=3)),
        "grid": ig.IRNO(on_grid, unet, alpha=0.5, steps=2, scaling=scaling),
        "base": rigno,
    }


class Sound:
    """A sound file, and what its model answers."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path, self.file = name, path, File.read(path)
        self.unsealed = self.file.description["format"] == 1
        self.description = describe(path)
        self.hash, self.value = self._known(ig.load(path))

    def same(self, path: Path) -> bool:
        """Whether the file at `path` says the same and its model is the same."""
        if describe(path) != self.description:
            return False
        found, value = self._known(ig.load(path))
        return found == self.hash and torch.equal(value, self.value)

    def _known(self, model: Any) -> tuple[str, torch.Tensor]:
        graph = ig.Graph.from_grid((6, 8), period=(1.0, 1.0))
        x = torch.linspace(-1, 1, 144).reshape(48, 3)
        if not isinstance(model, ig.IRNO):
            return weights_hash(model), model(x, graph)
        out = ig.refine.with_answers(model, x)(x, graph)
        return weights_hash(model), torch.cat([out.states.flatten(), out.value.flatten()])


def sound_files(folder: Path) -> list[Sound]:
    """One file of each model; of the first also one in the format before."""
    found = []
    for name, model in models().items():
        path = ig.save(
            model, folder / f"{name}.safetensors", about={"seed": 5, "data": ["a.nc"], "error": 0.25}
        )
        found.append(Sound(name, path))
    earlier = folder / "earlier.safetensors"
    earlier.write_bytes(found[0].file.earlier().packed())
    return [*found, Sound("earlier", earlier)]


def fuzz(mutations: int, seed: int = 0, gauge: Gauge | None = None) -> dict[str, Row]:
    """Damage and read so many files, the kinds of damage and the models in turn; one row per kind."""
    rng, rows, watch = np.random.default_rng(seed), {name: Row() for name in KINDS}, Watch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds = sound_files(folder)
        work = folder / "damaged"
        for number in range(mutations):
            kind = list(KINDS)[number % len(KINDS)]
            sound = sounds[int(rng.integers(len(sounds)))]
            if sound.unsealed and kind in SEALED_ONLY:
                sound = sounds[0]
            work.mkdir()
            what, path = KINDS[kind](sound.file, rng, work / f"damaged-{number}.safetensors")
            _one(f"{sound.name}, {what}", path, sound, rows[kind], watch, gauge)
            shutil.rmtree(work)
    return rows


def _one(what: str, path: Any, sound: Sound, row: Row, watch: Watch, gauge: Gauge | None) -> None:
    """Read one file and say what became of it."""
    loaded, problem = False, ""

    def read() -> None:
        nonlocal loaded, problem
        try:
            with watch.reading():
                ig.load(path)
            loaded = True
        except ValueError as error:
            if Path(path).name not in str(error):
                problem = f"does not name the file: {error}"
        except (Exception, Hang) as error:
            problem = f"{type(error).__name__}: {error}"

    began = time.perf_counter()
    added = gauge(read) if gauge else (read(), 0.0)[1]
    row.worst_seconds = max(row.worst_seconds, time.perf_counter() - began)
    row.worst_mib = max(row.worst_mib, added)
    if loaded and not sound.same(path):
        problem = "another model was loaded"
    if watch.seen or MARK.exists():
        problem = f"something ran: {watch.seen}"
        MARK.unlink(missing_ok=True)
    if added > MOST:
        problem = f"{added:.0f} MiB"
    if problem:
        row.wrong.append(f"{what}: {problem}")
    elif loaded:
        row.same += 1
    else:
        row.refused += 1


def main() -> int:
    """Run from the command line; 1 if a file did harm."""
    from harness import about, added_peak, markdown_table, sentence, write_json

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    here = about("safetensors")
    print(sentence(here), end="\n\n")
    rows = fuzz(given.mutations, given.seed, added_peak)
    names = ("damage", "refused", "the same model", "wrong", "longest, s", "most memory, MiB")
    cells = [
        (name, row.refused, row.same, len(row.wrong), f"{row.worst_seconds:.2f}", f"{row.worst_mib:.0f}")
        for name, row in rows.items()
    ]
    totals = [sum(column) for column in zip(*(cell[1:4] for cell in cells), strict=True)]
    print(markdown_table(names, [*cells, ("all", *totals, "", "")]))
    for name, row in rows.items():
        print(*(f"{name}: {problem}" for problem in sorted(set(row.wrong))[:8]), sep="\n", end="")
    if given.out:
        kinds = {name: asdict(row) for name, row in rows.items()}
        write_json(given.out, {"mutations": given.mutations, "seed": given.seed, "kinds": kinds}, here)
    return 1 if any(row.wrong for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
