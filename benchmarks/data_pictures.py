"""A picture of each generated data set, by the commands of docs/data.md; a minute on two cores.

    python benchmarks/data_pictures.py docs/results/data_sets

Shallow water needs torch-harmonics (the extra `sphere`) and is left out where that is missing.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from PIL import Image

from irno_graph.cli import run

EULER = "--nodes 4096 --points grid --solver-res 64 --seed 3"
SETS = {
    "ce-gauss": EULER,
    "ce-rp": EULER,
    "ce-crp": EULER,
    "ce-kh": EULER,
    "ce-rpui": EULER,
    "ce-gauss-obstacles": "--nodes 3000 --seed 3",
    "ns-gauss": "--nodes 4096 --points grid --solver-res 64 --seed 3",
    "wave": "--mesh meshes/plate_with_holes.msh --dirichlet boundary --seed 3",
    "shallow-water": "--spin-up 24 --seed 3",
}


def main(folder: Path) -> None:
    """Generate one trajectory of each set and draw it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in SETS.items():
        if name == "shallow-water" and importlib.util.find_spec("torch_harmonics") is None:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            file = str(Path(temporary) / f"{name}.nc")
            picture = str(folder / f"{name}.png")
            if run(["data", name, "--out", file, "--trajectories", "1", *options.split()]):
                raise SystemExit(1)
            if run(["data", "info", file, "--samples", "0", "--plot", picture]):
                raise SystemExit(1)
            with Image.open(picture) as drawn:
                small = drawn.convert("RGB").reduce(2).quantize(256)
            small.save(picture, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
