"""Names and units of tasks: Atari is published by the name of the game and in frames, four to an agent step; and stand-ins."""

from __future__ import annotations

ATARI = "NoFrameskip-v4"
FRAMES_PER_STEP = 4
# Streams that take the place of a paper's data where its files are not at hand.
STAND_INS = ("ETTm2-generated", "permuted_digits", "permuted_generated")


def is_atari(env_id: str) -> bool:
    """Return whether a task is an Atari game, which papers count in frames."""
    return env_id.endswith(ATARI)


def frames_per_step(env_id: str) -> int:
    """Return by how much to multiply agent steps for a published x axis."""
    return FRAMES_PER_STEP if is_atari(env_id) else 1


def paper_name(panel: str) -> str:
    """Return what papers call a task or panel: `Pong` for `PongNoFrameskip-v4`."""
    return panel.removesuffix(ATARI)


def our_name(env: str) -> str:
    """Return our id of a task of Stream-X; only Atari games stand there without a version."""
    return env if "-v" in env else f"{env}{ATARI}"
