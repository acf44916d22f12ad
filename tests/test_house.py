"""The shape of the house: which package may import which, and a README whose numbers come from files."""

import ast
import re
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from analysis import readme
from analysis.aggregates import read_aggregates
from analysis.report import write_csv

ROOT = Path(__file__).parents[1]
OURS = {"algorithms", "baselines", "experiments", "analysis", "slurm"}
MAY_IMPORT = {
    "algorithms": {"algorithms"},
    "baselines": {"algorithms", "baselines"},
    "experiments": {"algorithms", "baselines", "experiments"},
    "analysis": {
        "analysis",
        *(
            f"experiments.{name}"
            for name in (
                "spec",
                "specs.simulator",
                "expand",
                "catalog",
                "described",
                "external",
                "store",
                "errors",
                "settings_text",
                "terminal",
            )
        ),
    },
    "slurm": {"algorithms", "baselines", "experiments", "slurm"},
}


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_point_one_way(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in imported_modules(path)
        if module.partition(".")[0] in OURS
        and not any(module == allowed or f"{module}.".startswith(f"{allowed}.") for allowed in MAY_IMPORT[package])
    ]
    # `from experiments import spec` names the package and then the module.
    assert wrong == []


def is_for_types_only(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def modules_needed(tree, known):
    """Return which of the known modules a module imports when it runs, inside functions too."""
    found, left = set(), [tree]
    while left:
        for node in ast.iter_child_nodes(left.pop()):
            if is_for_types_only(node):
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= full & known or {node.module}
            left.append(node)
    return found & known


def circles(needed):
    """Return the modules that lead back to themselves, by repeatedly taking out those that need no other."""
    left = {module: set(others) - {module} for module, others in needed.items()}
    while free := {module for module, others in left.items() if not others}:
        left = {module: others - free for module, others in left.items() if module not in free}
    return left


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}
    assert set(circles({"a": {"b"}, "b": {"a"}, "c": set()})) == {"a", "b"}


def test_no_module_leads_back_to_itself():
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in OURS
        for path in (ROOT / package).rglob("*.py")
    }
    assert len(paths) > 100
    needed = {name: modules_needed(ast.parse(path.read_text()), set(paths)) for name, path in paths.items()}
    assert needed["experiments.expand"] >= {"experiments.registry", "experiments.spec"}
    assert circles(needed) == {}


def test_no_spec_imports_another_specs_constants():
    """What specs share stands in a module of its own, which has no experiment."""
    specs = {path: path.read_text() for path in (ROOT / "experiments" / "specs").rglob("*.py")}
    named = {
        f"experiments.specs.{'.'.join(path.relative_to(ROOT / 'experiments' / 'specs').with_suffix('').parts)}"
        for path, text in specs.items()
        if "\nEXPERIMENT = " in text
    }
    assert len(named) >= 15
    wrong = [
        f"{path.name} imports {module}"
        for path in specs
        for module in imported_modules(path)
        if module.startswith(tuple(named))
    ]
    assert wrong == []


@pytest.mark.parametrize("file", ["README.md", "results/README.md"])
def test_readme_tables_are_those_of_the_results(file):
    text = (ROOT / file).read_text()
    assert "<!-- end -->" in text
    assert readme.filled(text, readme.RESULTS) == text


def test_comparisons_are_those_of_the_results_with_what_is_published_now(tmp_path):
    found = readme.comparisons(readme.RESULTS)
    assert len(found) >= 8
    for path, comparison in found.items():
        write_csv(comparison, tmp_path / "compare.csv")
        assert (tmp_path / "compare.csv").read_bytes() == path.read_bytes(), path


def test_every_checked_in_result_says_what_it_shows():
    folders = [path.parent for path in readme.RESULTS.glob("*/*/manifest.json")]
    checked_in = [folder for folder in folders if not folder.name.startswith("quick") and "+" not in folder.name]
    assert checked_in
    assert [folder for folder in checked_in if not read_aggregates(folder).finding] == []


def test_questions_of_the_readme_are_answered_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    monkeypatch.chdir(ROOT)
    _, _, section = (ROOT / "README.md").read_text().partition("## Your own questions")
    blocks = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        assert block.count("\n") <= 7
        exec(block, names)
