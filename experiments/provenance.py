"""Where a result comes from: code, packages and machine, recorded beside every run.

A version of the code is a digest of our own sources, and where they lie in our own repository the commit and whether they
differed from it. A run that went on under another version lists all that it ran under.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments import checkpoint
from experiments.spec import Run
from experiments.store import Store, code_versions, same_version

ROOT = Path(__file__).parents[1]
# What results depend on.
CODE = ("algorithms", "baselines", "experiments")
PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "mujoco",
    "dm-control",
    "shimmy",
    "ale-py",
    "minatar",
    "opencv-python-headless",
    "stable-baselines3",
)


def provenance() -> dict[str, Any]:
    """Return git commit and dirty flag, versions, processor, and the time."""
    return {
        "git": this_version(),
        "packages": exact_versions(),
        "python": platform.python_version(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@cache
def this_version() -> dict[str, Any]:
    """Return the version of this code as it was when first asked for, which is near enough to when it was imported."""
    return git_state(ROOT)


def git_state(root: Path) -> dict[str, Any]:
    """Return the version of the code below a folder: `commit` and `dirty`, and `source`, the digest of its files.

    `commit` and `dirty` are None where git cannot tell, and where it tells of somebody else's repository: that into which a
    wheel was installed has a commit, and it is not ours.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    version: dict[str, Any] = {"commit": None, "dirty": None, "source": _digest(root)}
    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve() or not git("ls-files", "--", *CODE):
        return version
    changes = git("status", "--porcelain", "--", *CODE)  # a module that is not yet added changes results as well
    return {**version, "commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def _digest(root: Path) -> str:
    files = sorted(path for folder in CODE for path in (root / folder).rglob("*.py"))
    told = hashlib.sha256()
    for path in files:
        with suppress(FileNotFoundError):  # an editor replaces it at this moment
            told.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return told.hexdigest()[:12]


def version_name(version: Mapping[str, Any] | None) -> str:
    """Return a version of the code as words; different versions have different names.

    A commit without changes says all by itself. Before sources were always digested that was all there was of it.
    """
    commit, dirty, source = (dict(version or {}).get(key) for key in ("commit", "dirty", "source"))
    if not commit:
        return f"sources {source}" if source else "unknown"
    words = [str(commit)[:7], *(["with changes"] if dirty else []), *([source] if source and dirty is not False else [])]
    return " ".join(words)


def other_versions(store: Store, runs: Sequence[Run]) -> str | None:
    """Return one sentence where finished runs, or checkpoints of unfinished ones, were made by another version of the code."""
    run_ids, finished = [run.run_id for run in runs], store.finished()
    with_checkpoints = checkpoint.begun(store) - finished
    done = [run_id for run_id in run_ids if run_id in finished]
    begun = [run_id for run_id in run_ids if run_id in with_checkpoints and checkpoint.latest_step(store, run_id)]
    if not done and not begun:
        return None
    this = this_version()
    told = (
        _others("finished runs", list(map(code_versions, store.provenances(done))), this),
        _others("checkpoints to go on from", [checkpoint.code_versions(store, run_id) for run_id in begun], this),
    )
    return f"Made by other code than this, {version_name(this)}: {' and '.join(filter(None, told))}." if any(told) else None


def made_by_others(store: Store, run_ids: Sequence[str]) -> dict[str, set[str]]:
    """Return the finished runs among these that other versions of the code than this made, at least in part, and which."""
    done, this = [run_id for run_id in run_ids if run_id in store.finished()], this_version()
    made = {
        run_id: {version_name(version) for version in code_versions(told) if not same_version(version, this)}
        for run_id, told in zip(done, store.provenances(done), strict=True)
    }
    return {run_id: names for run_id, names in made.items() if names}


def _others(things: str, made_by: Sequence[Sequence[Mapping[str, Any] | None]], this: Mapping[str, Any]) -> str:
    """Tell how many were made by others than this version, at least in part, and by which; nothing where none was."""
    others = [{version_name(version) for version in versions if not same_version(version, this)} for versions in made_by]
    by_name = Counter(name for names in others for name in names)
    names = ", ".join(f"{name}: {count}" for name, count in by_name.most_common())
    return f"{sum(map(bool, others)):,} of {len(others):,} {things} ({names})" if names else ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def exact_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Return the installed versions of packages, None for one that is not installed."""
    return {name: _version(name) for name in packages}


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
