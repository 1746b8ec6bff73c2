"""Imports point down only, and light things stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fomm_cli"
ARCHITECTURE = (PACKAGE.parent / "docs" / "architecture.md").read_text()
# The one list of floors is the block of the map: lowest first, rooms divided by commas.
FLOORS = [
    set(line.split(", ")) for line in ARCHITECTURE.split("## Imports point down")[1].split("```")[1].split("\n") if line
]
FLOORS += [{"__main__"}]
# Sideways imports that are meant: (importer, imported).
ALLOWED = {("evaluate", "animate"), ("train", "evaluate")} | {
    ("bench", room) for floor in FLOORS for room in floor if "bench" in floor
}
NO_TORCH = [
    "media",
    "detectors",
    "motion",
    "model/pose.py",
    "model/relative.py",
    "animate",
    "engine/onnx.py",
    "engine/base.py",
    "commands",
    "config/schema.py",
    "__init__.py",
]


LIGHT_HALF = {"config.py", "family.py", "pose.py", "published.py", "space.py", "upstream.py"}
"""Of each family."""


def is_light(path: Path) -> bool:
    name = path.relative_to(PACKAGE)
    return name.as_posix().startswith(tuple(NO_TORCH)) or (len(name.parts) == 3 and name.name in LIGHT_HALF)


def floor_of(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def imports(path: Path) -> list[tuple[str, bool]]:
    """(dotted module, whether at module level and at run time) of every import in a file."""
    tree = ast.parse(path.read_text())
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lazy |= set(ast.walk(node))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute here"
            if node.module == "fomm_cli":
                found += [(f"fomm_cli.{alias.name}", node not in lazy) for alias in node.names]
            else:
                found.append((node.module, node not in lazy))
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "fomm_cli" or len(parts) == 1:
            continue
        other = parts[1]
        if other == room or other in {"Animator", "load_model"}:
            continue
        fine = floor_of(other) < floor_of(room) or (room, other) in ALLOWED
        assert fine, f"{path.relative_to(PACKAGE)} imports {module}, which is not below it"


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if is_light(path)],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_light_rooms_do_not_import_torch(path: Path) -> None:
    eager = [module for module, now in imports(path) if now and module.split(".")[0] in {"torch", "torchvision"}]
    assert not eager


DESKS = {"commands", "web", "bench"}
"""Rooms that show what others do, under the same nouns."""
TWICE = {"file": {"motion", "weights"}, "run": {"evaluate", "train"}}
"""Documented paths, which stay."""


def test_one_basename_stands_in_one_room() -> None:
    rooms: dict[str, set[str]] = {}
    for path in FILES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in DESKS and path.stem != "__init__":
            rooms.setdefault(path.stem, set()).add(room)
    assert {name: where for name, where in rooms.items() if len(where) > 1} == TWICE


def test_one_place_samples_and_one_place_asks_for_devices() -> None:
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in FILES}
    assert [name for name, text in texts.items() if "F.grid_sample(" in text] == ["model/geometry.py"]
    assert [name for name, text in texts.items() if "cuda.is_available" in text] == ["device.py"]


def test_help_needs_neither_torch_nor_pydantic() -> None:
    code = "import sys; from fomm_cli.commands.app import main; main(['--help']); "
    code += "sys.exit(', '.join(m for m in ('torch', 'pydantic', 'numpy', 'av') if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "animate" in done.stdout


def test_asking_families_needs_no_torch() -> None:
    code = (
        "import sys; from fomm_cli.model.families import FAMILIES; [each.published() for each in FAMILIES.values()]; "
    )
    code += "sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, fomm_cli; sys.exit(int('torch' in sys.modules or 'numpy' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
