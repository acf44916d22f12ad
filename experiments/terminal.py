"""How every command is run, those of training and those of analysis: bad words become one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from typer.exceptions import TyperException

from experiments.errors import print_whatever_the_terminal


def run_app(app: typer.Typer) -> None:
    """Run a command; words it cannot read become one sentence and exit code 2, as every other bad input."""
    print_whatever_the_terminal()
    command = typer.main.get_command(app)
    try:
        code = command.main(standalone_mode=False)
    except TyperException as error:
        message = error.format_message().rstrip(".")
        print(f"error: {message}; `{command_name()} --help` shows the options.", file=sys.stderr)
        raise SystemExit(2) from None
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    if isinstance(code, int) and code:  # that of Ctrl-C, which typer returns here
        raise SystemExit(code)


def count(number: int, thing: str) -> str:
    """Return a number of things as words: 1 run, 2 runs."""
    return f"{number} {thing}{'s' if number != 1 else ''}"


def runs_are(number: int) -> str:
    """Return the beginning of a sentence: 1 run is, 2 runs are."""
    return f"{count(number, 'run')} {'is' if number == 1 else 'are'}"


def command_name() -> str:
    """Return how the running module was called."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name}" if spec else Path(sys.argv[0]).name
