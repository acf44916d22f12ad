"""A learner from outside: README's own, step by step, and what is said of one that is wrong."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from experiment_support import ask, one_sentence, python

from experiments import external, load_run, registry
from experiments.cli import resolve_request
from experiments.errors import UserError
from experiments.expand import resolve
from experiments.plan import plan
from experiments.registry import make_learner
from experiments.spec import Arm, Row
from experiments.store import Store
from experiments.worker import DONE, FAILED, Options, train_runs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text().partition("## Your own learner\n")[2].partition("\n## ")[0]
BLOCKS = PAGE.split("```")[1::2]
SOURCE = BLOCKS[0].removeprefix("python\n")
COMMANDS = BLOCKS[1].strip().splitlines()

LABELLED = """
from dataclasses import dataclass
import torch
from algorithms.agent import NoiseSpec, hyperparameters

@dataclass(frozen=True)
class Perceptron:
    alpha: float = 0.1

    def noise(self, spaces):
        return NoiseSpec("normal", (1,))

    def init(self, generator, spaces):
        return {"hyper": hyperparameters(self), "weights": torch.zeros(spaces.classes, *spaces.x_shape)}

    def step(self, state, sample):
        scores = state["weights"] @ sample.x
        loss = torch.nn.functional.cross_entropy(scores[None], sample.y[None])
        wanted = (torch.arange(len(scores)) == sample.y).to(torch.float32)
        change = torch.outer(wanted - torch.softmax(scores, 0), sample.x)
        return {**state, "weights": state["weights"] + state["hyper"]["alpha"].to(torch.float32) * change}, {"loss": loss}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def write(folder: Path, source: str, name: str = "my_learner.py") -> Path:
    # Imports are remembered by path and references by name: as in a process of its own, each is read anew.
    for cached in (external.reference, external.digest, external.load):
        cached.cache_clear()
    for name_ in [key for key in sys.modules if key.startswith("external_")]:
        del sys.modules[name_]
    registry._external.cache_clear()
    path = folder / name
    path.write_text(source)
    return path


# README


CHECK, RUN = (shlex.split(command) for command in COMMANDS)


def test_learner_of_the_readme_passes_its_check(folder, capfd, monkeypatch):
    write(folder, SOURCE)
    assert CHECK[2] == "experiments.check"
    answer = ask(capfd, monkeypatch, "check", *CHECK[3:])
    assert answer.code == 0, answer
    assert answer.out.count("ok ") == 5
    assert "can be trained" in answer.out


@pytest.mark.slow
def test_learner_of_the_readme_stands_beside_the_arms_of_a_figure(folder):
    write(folder, SOURCE)
    small = ("--set", "steps=200", "--set", "bin_width=100", "--set", "hidden=[4]", "--seeds", "2", "--workers", "1")
    done = python("-W", "ignore", *RUN[1:], *small, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.code == 0, done
    assert re.search(r"Linear AC +200 ", done.out)
    (manifest,) = folder.glob("results/stream_q_minatar/quick*/manifest.json")
    (row,) = json.loads(manifest.read_text())["rows"]
    assert [arm["label"] for arm in row["arms"]][-1] == "Linear AC"
    assert len(row["arms"]) > 1, "it stands alone"
    assert json.loads(manifest.read_text())["learners"] == ["LinearAC"]
    assert str(folder) not in manifest.read_text(), "where it lies is nobody's business"


@pytest.mark.slow
def test_figure_of_ones_own_is_drawn_from_a_file(folder, capfd, monkeypatch):
    write(folder, SOURCE)
    write(
        folder,
        "from experiments.spec import Arm, Experiment, Preset, Row\n"
        'ARMS = (Arm("mine", "my_learner.py:LinearAC", {"alpha": 0.01}), Arm("theirs", "stream_q", {"hidden": (4,)}))\n'
        'EXPERIMENT = Experiment("my_figure", "My figure", "ours", {"quick": Preset("small", (Row("CartPole-v1", ARMS, 200, 2, '
        '100),))}, "learning_curves")\n',
        "my_figure.py",
    )
    answer = python(
        *("-W", "ignore", "-m", "experiments.run", "--spec", "my_figure.py", "--workers", "1"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert answer.code == 0, answer
    assert (folder / "results/my_figure/quick/figures/my_figure.png").exists()
    status = ask(capfd, monkeypatch, "status", "--spec", "my_figure.py")
    assert re.search(r"mine +2 ", status.out)


def test_entry_point_gives_a_learner_a_name(folder, monkeypatch):
    write(folder, SOURCE, "its_module.py")
    monkeypatch.syspath_prepend(str(folder))
    registered = folder / "my_package-1.0.dist-info"
    registered.mkdir()
    (registered / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (registered / "entry_points.txt").write_text("[streaming_rl.learners]\nlinear-ac = its_module:LinearAC\n")
    run = resolve(Row("CartPole-v1", (), 100, 1, 10), Arm("", "linear-ac"), 0)
    assert run.algorithm == "its_module:LinearAC"
    assert run.run_id.startswith("LinearAC-CartPole-v1-")
    assert type(make_learner(run)).__name__ == "LinearAC"


@pytest.mark.slow
def test_learner_of_labelled_samples_passes_its_check(folder, capfd, monkeypatch):
    write(folder, LABELLED)
    answer = ask(capfd, monkeypatch, "check", "my_learner.py:Perceptron")
    assert answer.code == 0, answer
    assert "permuted_digits" in answer.out


# The source is part of the run


def run_of(reference: str = "my_learner.py:LinearAC"):
    return resolve(Row("CartPole-v1", (), 100, 1, 10), Arm("", reference), 0)


def test_changed_code_makes_another_run(folder):
    write(folder, SOURCE)
    before = run_of().run_id
    write(folder, SOURCE)
    assert run_of().run_id == before
    write(folder, SOURCE.replace("0.0, state", "0.5, state"))
    assert run_of().run_id != before


def test_place_of_the_file_is_not_part_of_the_run(folder):
    write(folder, SOURCE)
    (folder / "elsewhere").mkdir()
    write(folder / "elsewhere", SOURCE)
    assert run_of().run_id == run_of("elsewhere/my_learner.py:LinearAC").run_id
    assert run_of().run_id == run_of(f"{folder}/my_learner.py:LinearAC").run_id


def test_changed_module_beside_it_makes_another_run_and_an_unused_one_does_not(folder):
    source = "from parts.numbers import HALF\nimport helper\n" + SOURCE
    (folder / "parts").mkdir()
    (folder / "parts/numbers.py").write_text("from . import more\nHALF = 0.5\n")
    (folder / "parts/more.py").write_text("")
    write(folder, "", "helper.py")
    write(folder, source)
    before = run_of().run_id
    write(folder, "X = 1\n", "unused.py")
    assert run_of().run_id == before
    write(folder, "X = 1\n", "helper.py")
    changed = run_of().run_id
    assert changed != before
    write(folder / "parts", "X = 1\n", "more.py")
    assert run_of().run_id not in (before, changed)


def test_changed_module_of_its_package_makes_another_run(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    package = folder / "package_of_one"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py"):
        (package / name).write_text("")
    (package / "numbers_of_it.py").write_text("HALF = 0.5\n")
    write(package / "inner", "import torch\nfrom package_of_one.numbers_of_it import HALF\n" + SOURCE, "learner.py")
    before = run_of("package_of_one.inner.learner:LinearAC").run_id
    write(package, "HALF = 0.25\n", "numbers_of_it.py")
    assert run_of("package_of_one.inner.learner:LinearAC").run_id != before


def test_code_that_changes_between_plan_and_training_is_refused(folder):
    write(folder, SOURCE)
    run = run_of()
    write(folder, SOURCE.replace("0.0, state", "0.5, state"))
    store = Store(folder / "store")
    assert train_runs((run,), store, Options(1e9, compiled=False), lambda: False) == FAILED
    assert "was changed after this training was planned; start the command again" in store.failure(run.run_id)


def test_finished_run_is_loaded_with_the_learner_as_it_was(folder):
    write(folder, SOURCE)
    run, store = run_of(), Store(folder / "store")
    assert train_runs((run,), store, Options(1e9, compiled=False), lambda: False) == DONE
    with pytest.raises(UserError, match=r"say where it is, as learner='my_learner\.py:LinearAC'"):
        load_run(run.run_id, store.root)
    loaded = load_run(run.run_id, store.root, "my_learner.py:LinearAC")
    assert loaded.run == run
    assert loaded.state["actor"].shape == (2, 5)
    write(folder, SOURCE.replace("0.0, state", "0.5, state"))
    with pytest.raises(UserError, match="was changed"):
        load_run(run.run_id, store.root, "my_learner.py:LinearAC")


def test_two_versions_are_not_lanes_of_one_engine(folder):
    write(folder, SOURCE)
    (folder / "elsewhere").mkdir()
    write(folder / "elsewhere", SOURCE.replace("0.0, state", "0.5, state"))
    runs = [run_of(), run_of("elsewhere/my_learner.py:LinearAC")]
    groups = plan(Store(folder / "store"), runs, workers=1)
    assert len(groups) == 2
    assert all(train_runs(g.runs, Store(folder / "store"), Options(1e9, compiled=False), lambda: False) == DONE for g in groups)


# Beside a preset's arms


def test_learner_is_added_where_it_fits_and_nowhere_else(folder):
    write(folder, SOURCE)
    request = resolve_request("stream_barrier", "laptop", ["steps=100"], 1, ["my_learner.py:LinearAC"])
    with_it = {row.env_id for row in request.preset.rows if any(arm.label == "Linear AC" for arm in row.arms)}
    assert with_it == {"BreakoutNoFrameskip-v4", "EnduroNoFrameskip-v4"}


def test_its_hyperparameters_are_set_by_its_name(folder):
    write(folder, SOURCE)
    words = ["env_id=CartPole-v1", "LinearAC.gamma=0.5", "algorithm=LinearAC"]
    (run,) = resolve_request("stream_q_minatar", "quick", words, 1, ["my_learner.py:LinearAC"]).runs
    assert dict(run.hyperparameters)["gamma"] == 0.5


REFUSED = [
    ("stream_barrier", "my_learner.py:AC", ("no class 'AC'", "LinearAC")),
    ("stream_barrier", "nowhere.py:LinearAC", ("there is no file", "nowhere.py")),
    ("stream_barrier", "no_such_module:LinearAC", ("there is no module 'no_such_module'",)),
    ("stream_barrier", "linear_ac", ("there is no algorithm 'linear_ac'", "FILE.py:CLASS")),
    ("stream_ac_ablation", "my_learner.py:LinearAC", ("gives a choice of one action", "want a vector as action")),
    ("throughput", "my_learner.py:LinearAC", ("measures and trains nothing",)),
]


@pytest.mark.parametrize(("experiment", "reference", "fragments"), REFUSED)
def test_what_cannot_be_added_is_refused_in_one_sentence(folder, capfd, monkeypatch, experiment, reference, fragments):
    write(folder, SOURCE)
    assert one_sentence(ask(capfd, monkeypatch, "run", experiment, "--learner", reference), *fragments)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (("--spec", "nowhere.py"), ("there is no file", "nowhere.py")),
        (("--spec", "my_learner.py"), ("has no EXPERIMENT",)),
        (("--spec", "figure.toml"), ("--spec wants a Python file",)),
        (("stream_barrier", "--spec", "my_learner.py"), ("name one experiment, or one file",)),
    ],
)
def test_spec_that_is_none_is_refused_in_one_sentence(folder, capfd, monkeypatch, words, fragments):
    write(folder, SOURCE)
    assert one_sentence(ask(capfd, monkeypatch, "run", *words), *fragments)


# What is wrong with a learner

LINES = SOURCE.splitlines()


def line_with(text: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if text in line)


FORM = [
    ("@dataclass(frozen=True)", "@dataclass", "must be a frozen dataclass"),
    ("    alpha: float = 0.003", "    alpha: float", "the hyperparameter alpha has no default"),
    ("    alpha: float = 0.003", "    alpha: object = torch.zeros(())", "must be a number, a string"),
    ("def init(self", "def initialise(self", "has no method init"),
    ("import torch", "import torhc", "line 4: ModuleNotFoundError"),
    ("        obs, next_obs =", "        obs, next_obs :=", "invalid syntax"),
    ('("choice",)', '("chioce",)', "gives must be a tuple of some of"),
]


@pytest.mark.parametrize(("old", "new", "fragment"), FORM)
def test_class_that_has_not_the_form_of_a_learner_is_refused(folder, capfd, monkeypatch, old, new, fragment):
    write(folder, SOURCE.replace(old, new))
    assert one_sentence(ask(capfd, monkeypatch, "check", "my_learner.py:LinearAC"), fragment)


# What is changed, the line that is to blame, and words of what is said.
BROKEN = [
    ("actor @ obs.to(torch.float32)", "actor @ obs", "chances =", ("same dtype", ".to(torch.float32)")),
    ('state["critic"] @ next_obs', 'state["crtiic"] @ next_obs', "following =", ("KeyError: 'crtiic'", "init")),
    (
        "return (noise[0] > chances.cumsum(0)[:-1]).sum()",
        "return torch.tensor(1) if noise[0] > chances[0] else torch.tensor(0)",
        "return (noise[0]",
        ("torch.where instead of `if`",),
    ),
    (
        "torch.softmax(actor @",
        "torch.softmax(100 * torch.rand(2) + actor @",
        "def step",
        ("differs when the same step is made twice", "draw nothing in step"),
    ),
    (', {"td_error": td_error}', ', {"error": td_error}', "def step", ("info has no 'td_error'",)),
    (', {"td_error": td_error}', "", "def step", ("(state, action, info)",)),
    (
        '"critic": critic, **traces}, action',
        '"critic": critic.double(), **traces}, action',
        "def step",
        ("float32 [5]", "float64 [5]"),
    ),
    ("**traces}, action", '**traces, "more": td_error}, action', "def step", ("state['more'] is new",)),
    ('hyperparameters(self), "actor": actor', 'hyperparameters(self), "actor": 0.0', "def init", ("state['actor'] is 0.0",)),
    (
        'state["critic"] + hyper["alpha"] * td_error * critic_trace',
        'state["critic"].add_(hyper["alpha"] * td_error * critic_trace)',
        "def step",
        ("it writes into state['critic']",),
    ),
    ('hyper["alpha"] *', "self.alpha *", "def step", ('read state["hyper"]["alpha"]',)),
    ('NoiseSpec("uniform", (1,))', '("uniform", (1,))', "def noise", ("must return a NoiseSpec",)),
    ("[:-1]).sum()", "[:-1]).sum() * 0 + 2", "def start", ("the action 2 is none of the 2 of CartPole-v1",)),
    (
        "[:-1]).sum()",
        "[:-1]).sum().to(torch.float32)",
        "def start",
        ("an action of CartPole-v1 is int64 []", "it is float32 []"),
    ),
    ("torch.zeros(spaces.action_size,", "torch.rand(spaces.action_size,", "def init", ("draw it from the generator",)),
]


@pytest.mark.parametrize(("old", "new", "line", "fragments"), BROKEN)
def test_what_is_wrong_is_told_by_file_line_and_remedy(folder, capfd, monkeypatch, old, new, line, fragments):
    source = SOURCE.replace(old, new)
    assert source != SOURCE
    write(folder, source)
    answer = ask(capfd, monkeypatch, "check", "my_learner.py:LinearAC")
    assert answer.code == 1, answer
    wrong = answer.out.splitlines()[-1]
    assert wrong.startswith("wrong "), answer
    assert f"my_learner.py, line {line_with(line)}, in " in wrong
    for fragment in fragments:
        assert fragment in wrong
