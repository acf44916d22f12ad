"""Draw the simulated robots: one picture each, after some cycles under one action.

python -m experiments.picture results/robots/pictures
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import gymnasium
import typer

from experiments.cli import make_console
from experiments.errors import UserError, closest_names, told_plainly, writing_to
from experiments.families import ROBOTS
from experiments.terminal import run_app

MOST_STEPS = 100_000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Folder that the pictures are written to.")],
    env_id: Annotated[str, typer.Option(help="One robot; default: all of them.")] = "",
    steps: Annotated[int, typer.Option(help="Cycles before the picture is taken.")] = 12,
    seed: Annotated[int, typer.Option(help="Decides how the episode begins, and the action that is held.")] = 4,
) -> None:
    """Draw the simulated robots."""
    console = make_console()
    with told_plainly():
        if env_id and env_id not in ROBOTS:
            raise UserError(f"there is no robot {env_id!r}{closest_names(env_id, ROBOTS)}.")
        if steps < 0 or seed < 0:
            raise UserError("--steps and --seed must be at least 0.")
        if steps > MOST_STEPS:
            raise UserError(f"--steps must be at most {MOST_STEPS:,}; {steps:,} is not.")
        with writing_to(folder, "FOLDER"):
            folder.mkdir(parents=True, exist_ok=True)
            for name in (env_id,) if env_id else ROBOTS:
                console.print(str(draw(name, folder, steps, seed)))


def draw(env_id: str, folder: Path, steps: int, seed: int) -> Path:
    """Write the picture of a robot, which ends earlier where its episode does, and return where it is."""
    from PIL import Image

    env = gymnasium.make(f"experiments.environments.robots:{env_id}", render_mode="rgb_array")
    env.reset(seed=seed)
    env.action_space.seed(seed)
    action = env.action_space.sample()
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    path = folder / f"{env_id}.png"
    Image.fromarray(env.render()).save(path)  # type: ignore[arg-type]
    env.close()
    return path


if __name__ == "__main__":
    run_app(app)
