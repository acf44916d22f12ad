"""Arms that several figures of Stream-X show, with the tasks and budgets that they share.

SAC's implementation was not published; CleanRL's hyperparameters (`experiments.specs.baselines`) are our choice. DQN1's network
on MinAtar was not published either; the same torso, dense and without LayerNorm, is our choice.
"""

from dataclasses import replace

from baselines.dqn_settings import ATARI1
from experiments.spec import Arm

STREAM_AC = Arm("Stream AC(0.8)", "stream_ac", emphasised=True)
CLASSIC_AC = Arm("Classic AC(0.8)", "classic_ac")

# Figs. 7 and 8, in the order of the panels.
ABLATION_TASKS = ("Ant-v4", "HalfCheetah-v4", "Hopper-v4", "Walker2d-v4")

# Fig. 3: steps and width of a bin by panel.
SAMPLE_EFFICIENCY = {
    "Humanoid-v4": (5_000_000, 100_000),
    "HumanoidStandup-v4": (2_000_000, 50_000),
    "Ant-v4": (2_000_000, 50_000),
    "Walker2d-v4": (2_000_000, 50_000),
}

# MinAtar, Figs. 4 and 13, in the order of the panels.
MINATAR = tuple(f"MinAtar/{game}-v1" for game in ("Asterix", "Breakout", "Seaquest", "SpaceInvaders"))
MINATAR_DQN1 = Arm("DQN1", "dqn1", {"schedule_steps": 5e6})

# Atari, Figs. 11 and 12, in the order of the panels. Steps are agent steps of four frames: 50M are 200M frames.
GAMES = (
    *("Alien", "Amidar", "Assault", "Asterix", "BankHeist", "MsPacman", "Bowling", "Boxing"),
    *("Breakout", "Enduro", "Freeway", "Frostbite", "Pong", "Qbert", "Seaquest", "SpaceInvaders"),
)
ATARI_STEPS = 50_000_000
# At the cap of 108,000 frames the official code keeps the value of S' and the trace, as after any step.
ATARI_OPTIONS = {
    **{"exploration_fraction": 0.05, "schedule_steps": float(ATARI_STEPS)},
    **{"bootstrap_on_truncation": True, "reset_trace_on_truncation": False},
}
ATARI_STREAM_Q = Arm("Stream Q(0.8)", "stream_q", ATARI_OPTIONS, emphasised=True)
ATARI_CLASSIC_Q = Arm("Classic Q(0.8)", "classic_q", ATARI_OPTIONS)
ATARI_DQN1 = Arm("DQN1", "dqn1", {**ATARI1, "schedule_steps": float(ATARI_STEPS)})


def atari(game: str) -> str:
    return f"{game}NoFrameskip-v4"


def short(arm: Arm, steps: int) -> Arm:
    """Return an arm whose exploration falls within a run of so many steps."""
    return replace(arm, hyperparameters={**arm.hyperparameters, "schedule_steps": float(steps)})
