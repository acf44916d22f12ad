"""Learners that are not the suite's own: a class in a file, in an installed module, or under a name that a package registers.

    my_learner.py:MyLearner      a file
    my_package.learner:MyLearner an installed module
    my-learner                   what a package names in its entry points of the group `streaming_rl.learners`

Such a learner is written as the suite's own are: a frozen dataclass of hyperparameters with the methods of
`algorithms.agent.Agent` or `LabelledLearner`. A class variable `label` is its name in tables and figures, `gives` says what it
can give an environment. The digest of its source is part of every run's name, so that changed code makes other runs.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from experiments.errors import UserError, closest_names

ENTRY_POINTS = "streaming_rl.learners"
# The suite's own code has versions of its own (`experiments.provenance`).
SUITE = tuple(Path(__file__).resolve().parents[1] / folder for folder in ("algorithms", "baselines", "experiments"))
# What every learner has; one that acts has `start` as well.
METHODS = ("noise", "init", "step")


def is_external(name: str) -> bool:
    """Return whether a name is a reference to a class."""
    return ":" in name


def class_name(name: str) -> str:
    """Return the name of the class of a reference; a learner of the suite keeps its name."""
    return name.rpartition(":")[2]


@cache
def reference(name: str) -> str:
    """Return a reference in full: the path of a file is absolute, and a name that a package registers is what it stands for."""
    if not is_external(name):
        registered = {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
        return registered.get(name, name)
    place, _, cls = name.rpartition(":")
    return f"{Path(place).absolute()}:{cls}" if place.endswith(".py") else name


@cache
def digest(name: str) -> str:
    """Return a digest of the source of a learner: its module, and what that imports from beside it."""
    path, base, package = _place(name)
    told = hashlib.sha256()
    for source in sorted(_sources(path, base, package)):
        told.update(f"{source.relative_to(base)}\0".encode() + source.read_bytes())
    return told.hexdigest()[:16]


@cache
def load(name: str) -> type:
    """Return the class of a reference; raise `UserError` where there is none, or where it is no learner."""
    place, _, wanted = name.rpartition(":")
    module = import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    found = getattr(module, wanted, None)
    if not isinstance(found, type):
        classes = [
            key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__
        ]
        raise UserError(f"{place} has no class {wanted!r}{closest_names(wanted, classes)}.")
    _check_form(found, name)
    return found


def _check_form(cls: type, name: str) -> None:
    """Raise `UserError` unless a class has the form of a learner: a frozen dataclass with defaults and the methods."""
    place = f"{name}, line {_line(cls)}"
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise UserError(f"{place}: {cls.__name__} must be a frozen dataclass; write @dataclass(frozen=True) above it.")
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING:
            raise UserError(
                f"{place}: the hyperparameter {field.name} has no default; give it one, as {field.name}: float = 0.1."
            )
        if not isinstance(field.default, bool | int | float | str | tuple | None):
            raise UserError(
                f"{place}: the hyperparameter {field.name} must be a number, a string, true or false, or a tuple of these; "
                f"{field.default!r} is not. Make anything else of them in init."
            )
    for method in METHODS:
        if not callable(getattr(cls, method, None)):
            raise UserError(
                f"{place}: {cls.__name__} has no method {method}; algorithms/agent.py says what it is given and returns."
            )


def _line(cls: type) -> int:
    import inspect

    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return 1


def _place(name: str) -> tuple[Path, Path, str]:
    """Return the file of a reference, the folder from where its imports are found, and the package they have to be of.

    Beside a file that is every module; of an installed package, what it has itself.
    """
    place = name.rpartition(":")[0]
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise UserError(f"there is no file {place}; name a learner as FILE.py:CLASS or MODULE:CLASS.")
        return Path(place), Path(place).parent, ""
    module = _import_module(place)
    if not getattr(module, "__file__", None):
        raise UserError(f"{place} has no source that could be told from another version of it; name a module with a file.")
    path, parts = Path(str(module.__file__)), place.split(".")
    return path, path.parents[len(parts) - (path.name != "__init__.py")], parts[0]


def _sources(path: Path, base: Path, package: str) -> set[Path]:
    """Return a file and all that it imports, directly or not, of the package or from the folder."""
    found: set[Path] = set()
    todo = [path]
    while todo:
        source = todo.pop()
        if source in found:
            continue
        found.add(source)
        try:
            tree = ast.parse(source.read_bytes())
        except SyntaxError:  # told when it is imported
            continue
        stems = [stem for node in ast.walk(tree) for stem in _imported(node, source, base, package)]
        files = (file for stem in stems for file in (stem.parent / f"{stem.name}.py", stem / "__init__.py"))
        todo += [file for file in files if file.is_file() and not any(own in file.resolve().parents for own in SUITE)]
    return found


def _imported(node: ast.AST, source: Path, base: Path, package: str) -> Iterator[Path]:
    """Yield where modules would lie that a statement imports, without the ends of their files' names."""
    if isinstance(node, ast.Import):
        yield from (base / alias.name.replace(".", "/") for alias in node.names if _is_of(alias.name, package))
    elif isinstance(node, ast.ImportFrom) and (node.level or _is_of(str(node.module), package)):
        start = source.parents[node.level - 1] if node.level else base
        stem = start / (node.module or "").replace(".", "/")
        yield stem
        yield from (stem / alias.name for alias in node.names)


def _is_of(module: str, package: str) -> bool:
    return not package or module.split(".")[0] == package


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (f"{name}.").startswith(f"{error.name}."):
            raise UserError(_told(error, name)) from None
        raise UserError(f"there is no module {name!r}; install it, or name a file as FILE.py:CLASS.") from None
    except (Exception, SystemExit) as error:
        raise UserError(_told(error, name)) from None


def import_file(path: Path) -> ModuleType:
    """Import a file by its absolute path, once; raise `UserError` that tells file and line where it cannot be."""
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    # A name of its own: a file may be called as a module of the suite or of Python is.
    name = f"external_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # behind all others: what lies beside the file shadows nothing
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(_told(error, str(path))) from None
    return module


def _told(error: BaseException, place: str) -> str:
    """Return where an import went wrong, and how, as one sentence."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or place}, line {error.lineno}: {error.msg}; mend that line."
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename and f.filename != __file__]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else place
    return f"{where}: {type(error).__name__}: {error}; it must be possible to import the file by itself."
