"""Take a learner of your own through all that training asks of it, and say what is wrong, where, and what to do.

    python -m experiments.check my_learner.py:MyLearner

Exit code 0: it can be trained by all commands. 1: something is wrong with it. 2: the request cannot be done.
"""

from __future__ import annotations

from typing import Annotated

import typer

from experiments import external
from experiments.cli import make_console
from experiments.errors import UserError, told_plainly
from experiments.settings_text import Sweep, parse_settings
from experiments.spec import Value
from experiments.terminal import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    learner: Annotated[str, typer.Argument(help="FILE.py:CLASS, MODULE:CLASS, or a learner of the suite.")],
    env_id: Annotated[
        str | None, typer.Option("--env", help="Where it is tried; default: a small environment that it fits.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value: a hyperparameter.")] = None,
) -> None:
    """Take a learner of your own through all that training asks of it, and say what is wrong, where, and what to do."""
    console = make_console()
    with told_plainly():
        reference = external.reference(learner)
        from experiments.testing import conformance  # with torch and all simulators

        settings = {key: _one(key, value) for key, value in parse_settings(set_ or []).items()}
        subject = conformance.subject_of(reference, env_id, settings)
        name = external.class_name(reference)
        for check in conformance.CHECKS:
            try:
                console.print(f"ok     {check(subject)}", soft_wrap=True)
            except conformance.Fault as fault:
                console.print(f"wrong  {fault}", soft_wrap=True)
                raise SystemExit(1) from None
            except UserError as error:
                raise UserError(f"{name} cannot be tried on {subject.env_id}: {error}") from None
    console.print(f"{name} can be trained: python -m experiments.run EXPERIMENT --learner {learner}", soft_wrap=True)


def _one(key: str, value: Value | Sweep) -> Value:
    if isinstance(value, Sweep):
        raise UserError(f"a learner is checked with one value of {key}; --set {key} gives several.")
    return value


if __name__ == "__main__":
    run_app(app)
