"""Watch a finished run: its learner goes on in a new episode, in a window or in a file.

    python -m experiments.watch RUN
    python -m experiments.watch RUN --record episode.gif

RUN is the name of a folder in STORE/finished/, or the beginning of one. A streaming learner goes on learning while it is
watched, as it did before; a batch learner acts only. The run itself stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from experiments.cli import DEFAULT_STORE, make_console, positive
from experiments.errors import UserError, last_line, told_plainly, writing_to
from experiments.terminal import run_app

MOST_EPISODES, MOST_STEPS, MOST_SEED = 1000, 10**6, 2**31 - 1
FORMATS = (".gif", ".mp4")
# Pictures in a second; some simulators make more, and one as fast as MuJoCo's would be all that is seen of an episode.
FRAMES_PER_SECOND = 30

Show = Callable[[np.ndarray], None]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a folder in STORE/finished/, or the beginning of one.")],
    store: Annotated[Path, typer.Option(help="Folder of runs.")] = Path(DEFAULT_STORE),
    record: Annotated[
        Path | None, typer.Option(help="FILE.gif or FILE.mp4 that it is written to, instead of a window.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="Episodes.")] = 1,
    steps: Annotated[int, typer.Option(help="Steps after which it ends in any case.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the environment, and of the learner's choices.")] = 1000,
    learner: Annotated[str | None, typer.Option(help="FILE.py:CLASS, for a run of a learner of your own.")] = None,
) -> None:
    """Watch a finished run: its learner goes on in a new episode, in a window or in a file."""
    console = make_console()
    with told_plainly():
        for name, number, most in (("--episodes", episodes, MOST_EPISODES), ("--steps", steps, MOST_STEPS)):
            positive(name, number, most)
        if not 0 <= seed <= MOST_SEED:
            raise UserError(f"--seed must be from 0 to {MOST_SEED:,}; {seed:,} is not.")
        if record is not None and record.suffix not in FORMATS:
            raise UserError(f"--record writes {' or '.join(FORMATS)}; {record} is neither.")
        if not os.environ.get("DISPLAY") or record is not None:
            os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is imported
        from experiments.loading import load_run

        loaded = load_run(run, store, learner)
        with _recording(record) if record is not None else _window(loaded.run.run_id) as show:
            for number, (total, length, ended) in enumerate(_episodes(loaded, seed, episodes, steps, show), 1):
                so_far = "" if ended else " so far"
                console.print(f"episode {number}: return {total:,.1f} in {length:,} steps{so_far}")
        if record is not None:
            console.print(str(record), soft_wrap=True)


def _episodes(loaded: Any, seed: int, episodes: int, steps: int, show: Show) -> Iterator[tuple[float, int, bool]]:
    """Show steps, and yield return and length of each episode, and whether it has ended; the last one may not have."""
    from experiments.playing import play

    total, length, last, shown = 0.0, 0, None, 0
    for environment in islice(play(loaded, seed), steps + 1):
        ended = environment.last_episode is not last
        if environment.episode >= 0:
            show(_frame(environment, loaded.run.env_id))
            shown += 1
        if ended:
            last = environment.last_episode
            assert last is not None
            episodes -= 1
            yield last.episodic_return, last.length, True
            total, length = 0.0, 0
            if episodes == 0:
                return
        elif shown > 1:
            total, length = total + environment.last_reward, length + 1
    if length:
        yield total, length, False


def _frame(environment: Any, env_id: str) -> np.ndarray:
    try:
        picture = environment.frame()
    except Exception as error:  # of the graphics below the simulator, which are of many makers
        reason = (last_line(str(error)) or type(error).__name__).rstrip(".")
        remedy = " MuJoCo draws without a screen where libegl1 is installed." if "mujoco" in type(error).__module__ else ""
        raise UserError(f"{env_id} cannot be drawn here: {reason}.{remedy}") from None
    if picture is None:
        raise UserError(f"{env_id} draws no pictures, so there is nothing to watch.")
    return np.asarray(picture)


@contextmanager
def _recording(path: Path) -> Iterator[Show]:
    """Collect pictures and write them to a file at the end."""
    with writing_to(path, "--record"):
        path.parent.mkdir(parents=True, exist_ok=True)
        there_before = path.exists()
        with open(path, "ab"):
            pass  # a folder that cannot be written to is found out before an episode is played
    frames: list[np.ndarray] = []
    try:
        yield frames.append
    except BaseException:
        if not there_before:  # an older recording stays
            path.unlink(missing_ok=True)
        raise
    with writing_to(path, "--record"):
        (_write_gif if path.suffix == ".gif" else _write_mp4)(path, frames)


def _write_gif(path: Path, frames: list[np.ndarray]) -> None:
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in frames]
    duration = round(1000 / FRAMES_PER_SECOND)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0)


def _write_mp4(path: Path, frames: list[np.ndarray]) -> None:
    import cv2

    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FRAMES_PER_SECOND, (width, height))
    if not writer.isOpened():
        raise UserError(f"the installed OpenCV cannot write {path}; record a .gif instead.")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


@contextmanager
def _window(title: str) -> Iterator[Show]:
    """Show pictures in a window; closing it ends the command."""
    import matplotlib
    from matplotlib import pyplot

    try:
        figure, axes = pyplot.subplots(num=title)
    except Exception as error:
        raise UserError(f"no window can be opened here ({last_line(str(error))}); add --record episode.gif.") from None
    if matplotlib.get_backend().lower() == "agg":
        raise UserError("there is no screen here for a window; add --record episode.gif.")
    axes.axis("off")
    image: Any = None

    def show(frame: np.ndarray) -> None:
        nonlocal image
        if image is None:
            image = axes.imshow(frame)
        image.set_data(frame)
        pyplot.pause(1 / FRAMES_PER_SECOND)
        if not pyplot.fignum_exists(figure.number):
            raise SystemExit(0)

    yield show
    pyplot.close(figure)


if __name__ == "__main__":
    run_app(app)
