"""The house keeps its rules: who may import whom, one purpose a file, docstrings, nothing named utils."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "imagen").rglob("*.py"))
HEAVY = {
    "lightning",
    "hydra",
    "omegaconf",
    "webdataset",
    "wandb",
    "wandb_workspaces",
    "torchmetrics",
    "transformers",
    "safetensors",
}
# room -> the libraries of HEAVY that it may import, and the rooms of imagen
MAY = {
    "nn": (set(), {"nn"}),
    "diffusion": (set(), {"diffusion"}),
    "conditioning": (set(), {"diffusion"}),
    "text": ({"transformers", "safetensors"}, {"files", "text"}),
    "checkpoint": ({"safetensors"}, {"nn", "diffusion", "text", "files", "checkpoint"}),
    "sampling": (set(), {"diffusion", "conditioning", "checkpoint"}),
    "cascade": (set(), {"nn", "diffusion", "conditioning", "text", "checkpoint", "sampling"}),
    "files": (set(), set()),
    "card": (set(), set()),
    "provenance": (set(), set()),
    "watermark": (set(), set()),
    "safety": (set(), {"safety", "evaluation", "text"}),
    "grid": (set(), set()),
    "memory": (set(), set()),
    "progress": (set(), set()),
    "data": ({"webdataset"}, {"card", "data", "text", "files", "progress"}),
    "data/module": ({"webdataset", "lightning"}, {"card", "data", "text", "files", "progress"}),
    "training": (
        {"lightning", "wandb", "safetensors"},
        {"nn", "diffusion", "conditioning", "text", "sampling", "cascade", "checkpoint", "files", "grid", "memory", "progress", "data", "training"},
    ),
    "evaluation": (
        {"torchmetrics"},
        {"nn", "diffusion", "conditioning", "text", "sampling", "cascade", "checkpoint", "files", "grid", "memory", "progress", "data", "evaluation"},
    ),
    "evaluation/protocols/scoring": (
        {"safetensors"},
        {"data", "evaluation", "files"},
    ),
    "evaluation/metrics/transformer": ({"transformers", "safetensors"}, {"evaluation"}),
    "evaluation/metrics/detector": ({"transformers"}, {"evaluation"}),
    "evaluation/dashboard/wandb_views": ({"wandb", "wandb_workspaces"}, {"files", "evaluation"}),
    "rating": (set(), {"data", "files", "evaluation", "rating"}),
    "programs": (HEAVY, {"card", "provenance", "watermark", "safety", "nn", "diffusion", "conditioning", "text", "sampling", "cascade", "checkpoint", "files", "grid", "memory", "progress", "data", "training", "evaluation", "rating", "programs"}),
}  # fmt: skip


def room(file: Path) -> str:
    parts = file.relative_to(ROOT / "imagen").with_suffix("").parts
    return own if (own := "/".join(parts)) in MAY else parts[0]


def imports(file: Path) -> set[str]:
    """Every module that `file` imports anywhere in it, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module
            found |= {node.module} | {
                f"{node.module}.{a.name}" for a in node.names if node.module == "imagen"
            }
    return found


def id_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=id_of)
def test_import_rules(file: Path) -> None:
    if file == ROOT / "imagen/__init__.py":
        assert not imports(file), "importing imagen imports nothing"
        return
    libraries, rooms = MAY[room(file)]
    for name in imports(file):
        top, *rest = name.split(".")
        if top == "imagen" and rest:
            assert rest[0] in rooms, f"{room(file)} may not import {name}"
        assert top not in HEAVY - libraries, f"{room(file)} may not import {top}"


def test_instantiate_is_called_in_one_place() -> None:
    users = [id_of(f) for f in FILES if "instantiate(" in f.read_text()]
    assert users == ["imagen/programs/build.py"]


@pytest.mark.parametrize("file", FILES, ids=id_of)
def test_a_file_is_one_room(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 400
    assert file.stem not in {"utils", "util", "misc", "common", "helpers"}
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "says its purpose in its first line"


@pytest.mark.parametrize("file", FILES, ids=id_of)
def test_public_names_have_docstrings(file: Path) -> None:
    kinds = (ast.FunctionDef, ast.ClassDef)
    missing = [
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not missing


def test_every_package_and_program_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {".".join(f.relative_to(ROOT).parent.parts) for f in FILES if f.name == "__init__.py"}
    assert packages | {"imagen.conf"} == set(project["tool"]["setuptools"]["packages"])
    for name, entry in project["project"]["scripts"].items():
        stem = name.removeprefix("imagen-")
        assert entry == f"imagen.programs.{stem}:main"
        assert (ROOT / "imagen/programs" / f"{stem}.py").exists()
        assert (ROOT / "conf" / f"{stem}.yaml").exists()
