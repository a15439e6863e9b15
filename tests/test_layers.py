"""Imports run down the list of docs/architecture.md only."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def listed():
    """The modules and packages of blurgen in the order of the page, without those that are installed beside it."""
    block = re.search(r"\n\n((?:    .*\n)+)", (ROOT / "docs/architecture.md").read_text())[1]
    starts = [re.split(r"\s{2,}", line.strip())[0] for line in block.splitlines() if not line.startswith(" " * 5)]
    names = [name.strip().rstrip("/") for start in starts for name in start.split(",")]
    return [name for name in names if name not in ("cli", "recipes")]


def modules():
    """Every module of the package: (the top-level name that it belongs to, its source)."""
    for path in sorted((ROOT / "blurgen").rglob("*.py")):
        top = path.relative_to(ROOT / "blurgen").parts[0].removesuffix(".py")
        if top != "__init__":
            yield top, path.read_text()


def imported(source):
    """The top-level names of blurgen that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "blurgen":
            yield from [node.module.split(".")[1]] if "." in node.module else [name.name for name in node.names]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("blurgen."))


def test_the_page_lists_every_module():
    assert {top for top, _ in modules()} == set(listed())


def test_imports_run_down_the_list():
    rank = {name: place for place, name in enumerate(listed())}
    upward = {(top, name) for top, source in modules() for name in imported(source) if rank.get(name, -1) > rank[top]}
    assert upward == set()
