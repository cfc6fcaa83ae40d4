"""The layers of docs/architecture.md: a room imports only from rows below its own."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "irno_graph"

# From the ground up; rooms of one row do not import each other.
ROWS = [
    {"files", "child"},
    {"mesh"},
    {"graph"},
    {"spectral"},
    {"data"},
    {"nn"},
    {"bases", "correctors"},
    {"losses", "metrics"},
    {"refine"},
    {"rollout"},
    {"training"},
    {"report", "experiments"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: number for number, row in enumerate(ROWS) for room in row}
OUTSIDE = {"__init__", "testing"}
SOLE_IMPORTERS: dict[str, set[str]] = {
    "meshio": {"mesh/io.py", "mesh/read_worker.py", "mesh/series.py"},
    "torch_geometric": {"graph/pyg.py"},
    "torch_scatter": {"nn/segment.py"},
    "torch_harmonics": {"spectral/sphere.py"},
    "neuralop": {"bases/neuralop.py"},
    "huggingface_hub": {"bases/hub_client.py"},
    "pymetis": {"graph/partition.py"},
}


def imports(source: str) -> set[str]:
    """Full names of all modules imported anywhere in `source`, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(room: str, names: set[str]) -> list[str]:
    wrong = []
    for name in names:
        parts = name.split(".")
        if parts[0] != "irno_graph" or len(parts) < 2:
            continue
        target = parts[1]
        if target != room and (target not in LEVEL or LEVEL[target] >= LEVEL[room]):
            wrong.append(f"{room} imports {name}")
    return wrong


def test_imports_run_downwards():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in OUTSIDE:
            assert room in LEVEL, f"{path}: give the room `{room}` a row"
            wrong += violations(room, imports(path.read_text()))
    assert not wrong


def test_the_check_sees_an_upward_import_inside_a_function():
    source = "def f():\n    from irno_graph.refine import IRNO\n"
    assert violations("graph", imports(source)) == ["graph imports irno_graph.refine.IRNO"]
    assert violations("bases", {"irno_graph.correctors"}) == ["bases imports irno_graph.correctors"]


def test_optional_and_wrapped_libraries_are_imported_in_one_file():
    for library, files in SOLE_IMPORTERS.items():
        found = {
            str(path.relative_to(PACKAGE))
            for path in PACKAGE.rglob("*.py")
            if any(name.split(".")[0] == library for name in imports(path.read_text()))
        }
        assert found == files, library
