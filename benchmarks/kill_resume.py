"""Runs that are killed (SIGKILL) at random moments and started again: do they end with an undisturbed run's weights?

    python benchmarks/kill_resume.py --times 50 --out docs/results/kill_resume.json

Each run is `irno-graph train` (base, corrector, control; the base's makes its data, too) or `irno-graph fit` as a
process of its own, killed up to three times, then left to end. The moments are drawn from a seed: while it starts,
while it trains and validates, while a checkpoint or model file is half written, and around its end. Processes are
forked from one that has imported the library; with --fresh they start from nothing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from kill_resume_runs import Run, prepare, started, warm

CHAIN = 3  # kills of one run
MOMENTS = ("start", "training", "writing", "end")


@dataclass
class Row:
    """What came of one kind of run.

    Attributes:
        runs: that were killed and came to their end.
        kills: by moment.
        halves: kills that left a half-written file.
        late: runs that ended before they were killed.
        unequal: runs with other weights than the undisturbed one.
        failed: what runs said that could not go on.
        seconds: of each run with its restarts.
    """

    runs: int = 0
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MOMENTS, 0))
    halves: int = 0
    late: int = 0
    unequal: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def cells(self) -> list[int]:
        """Of the table, the kind left out."""
        wrong = len(self.unequal) + len(self.failed)
        return [self.runs, *(self.kills[moment] for moment in MOMENTS), self.halves, self.late, wrong]


def fingerprint(path: Path) -> tuple[str, int | None]:
    """Hash of the weights in a model file, and its number of refinement steps."""
    from irno_graph.refine.storage import describe

    found = describe(path)
    return found["weights_hash"], found.get("steps")


def half_files(*folders: Path) -> list[Path]:
    """Temporary files of checkpoints and models."""
    return [
        half
        for folder in folders
        for pattern in (".*.ckpt", ".*.safetensors")
        if folder.is_dir()
        for half in folder.glob(pattern)
    ]


def undisturbed(run: Run, folder: Path) -> list[float]:
    """Seconds from the start until the run has its folder, its last checkpoint, and its end."""
    begun = time.monotonic()
    folder.mkdir(exist_ok=True)
    process = started(run.command(folder), folder.with_suffix(".log"), run.fresh)
    last, marks = run.checkpoints(folder) / "last.ckpt", [0.0, 0.0]
    while process.poll() is None:
        now = time.monotonic() - begun
        if not marks[0] and (run.checkpoints(folder) / "settings.json").is_file():
            marks[0] = now
        if last.is_file():
            marks[1] = last.stat().st_mtime - time.time() + time.monotonic() - begun
        time.sleep(0.02)
    if process.code:
        sys.exit(f"{run.name} failed:\n{folder.with_suffix('.log').read_text()[-2000:]}")
    return [*marks, time.monotonic() - begun]


def kill(run: Run, folder: Path, moment: str, marks: list[float], rng: np.random.Generator) -> bool:
    """Start the run and kill it at a moment of this kind; False if it ended before."""
    process = started(run.command(folder), folder.with_suffix(".log"), run.fresh)
    begun, settings = time.monotonic(), run.checkpoints(folder) / "settings.json"
    resumed = settings.is_file()
    training = (marks[1] - marks[0]) / (2 if resumed else 1)
    spans = {
        "start": (0.0, marks[0]),
        "training": (0.0, training),
        "end": (0.8 * training, 0.8 * training + marks[2] - marks[1]),
    }
    wait = float(rng.uniform(*spans.get(moment, (0.0, 0.0))))
    number, seen, ready = int(rng.integers(1, 12)), 0, 0.0
    while process.poll() is None:
        now = time.monotonic() - begun
        if not ready and (settings.is_file() if not resumed else now > marks[0]):
            ready = now
        if moment == "writing":
            halves = len(half_files(folder, run.checkpoints(folder)))
            seen += halves > 0
            if seen >= number:
                break
        elif (moment == "start" and now > wait) or (ready and moment != "start" and now - ready > wait):
            break
        time.sleep(0.0005 if moment == "writing" else 0.005)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def trial(
    run: Run, folder: Path, marks: list[float], expected: object, row: Row, seed: int, kills: int
) -> None:
    """Kill one run some times, let it end, and compare."""
    rng = np.random.default_rng((seed, row.runs, len(run.name)))
    begun = time.monotonic()
    for _ in range(kills):
        moment = MOMENTS[int(rng.integers(len(MOMENTS)))]
        if not kill(run, folder, moment, marks, rng):
            row.late += 1
            break
        row.kills[moment] += 1
        row.halves += bool(half_files(folder, run.checkpoints(folder)))
    process = started(run.command(folder), folder.with_suffix(".log"), run.fresh)
    if process.wait():
        row.failed.append(folder.with_suffix(".log").read_text()[-2000:])
    elif (found := fingerprint(run.model(folder))) != expected:
        row.unequal.append(f"{folder.name}: {found} for {expected}")
    row.runs += 1
    row.seconds.append(round(time.monotonic() - begun, 1))


def main() -> int:
    """Run from the command line; 1 if a run ended otherwise than undisturbed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=50, help="kills, over all kinds of runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="start every process from nothing")
    parser.add_argument("--keep", type=Path, help="folder for runs that ended with other weights")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    from harness import about, markdown_table, sentence, write_json  # beside this script

    os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    warm()
    here = about("lightning", "safetensors")
    print(sentence(here), flush=True)
    with tempfile.TemporaryDirectory() as name:
        rows = killed(Path(name), given.times, given.seed, given.fresh, given.keep)
    names = [
        "run",
        "runs",
        *(f"killed: {moment}" for moment in MOMENTS),
        "half files left",
        "ended first",
        "other weights",
    ]
    table = [
        (
            kind,
            row.runs,
            *(row.kills[moment] for moment in MOMENTS),
            row.halves,
            row.late,
            len(row.unequal) + len(row.failed),
        )
        for kind, row in rows.items()
    ]
    print(markdown_table(names, table))
    if given.out:
        kinds = {kind: asdict(row) for kind, row in rows.items()}
        write_json(given.out, {"seed": given.seed, "fresh": given.fresh, "kinds": kinds}, here)
    return 1 if any(row.unequal or row.failed for row in rows.values()) else 0


def killed(root: Path, times: int, seed: int, fresh: bool, keep: Path | None) -> dict[str, Row]:
    """Kill runs of all kinds in turn, `times` in all."""
    reference = root / "reference"
    reference.mkdir()
    prepare(reference)
    runs = [Run(kind, reference, kind == "base", fresh) for kind in ("base", "corrector", "control", "fit")]
    rows = {run.name: Row() for run in runs}
    for run in runs:
        undisturbed(run, reference)
    # measured on second runs: the first ones compile and fill caches
    marks = {run.name: undisturbed(run, root / f"{run.name}-timed") for run in runs}
    print("undisturbed", marks, flush=True)
    expected = {run.name: fingerprint(run.model(reference)) for run in runs}
    for number in itertools.count():
        left = times - sum(sum(row.kills.values()) for row in rows.values())
        if left <= 0:
            return rows
        run = runs[number % len(runs)]
        folder = root / f"{run.name}-{number}"
        trial(run, folder, marks[run.name], expected[run.name], rows[run.name], seed, min(CHAIN, left))
        if keep is not None and rows[run.name].unequal:
            shutil.copytree(folder, keep / folder.name)
        shutil.rmtree(folder, ignore_errors=True)
        print(run.name, asdict(rows[run.name]), flush=True)
    raise AssertionError


if __name__ == "__main__":
    sys.exit(main())
