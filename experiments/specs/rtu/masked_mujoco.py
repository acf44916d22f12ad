"""RTU Fig. 3: robots of which positions (P) or velocities (V) alone are seen.

MuJoCo and the true split of the observation, hidden components zero. The paper has Brax, with its own returns, and a mask of
HalfCheetah that shows five velocities among the positions (`--set mask=published_2605_24709`): its numbers stand beside ours
and are no target. Trace decay and bounds are those of the paper's code (preset `paper`) and of its draft (`draft`), whose
MuJoCo results are of 5M frames; the network of both is the code's. As in the code a time limit ends an episode, and actions are
clipped to the bounds, which are -1 and 1.

The code has LayerNorm before the cell and none behind it. Presets `width` and `bound` are older than that here, and have it in
every layer; preset `readout` sets both beside each other.
"""

from dataclasses import replace

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.rtu.arms import CODE_BOUND, DRAFT_BOUND, STREAM_AC, Settings, feedforward, recurrent

BODIES = ("Ant", "HalfCheetah", "Hopper", "Walker2d")
MASKS = {"P": "positions", "V": "velocities"}
FRAMES, SEEDS = 2_000_000, 5
NETWORK: Settings = {"activation": "tanh", "free_std": True, "head_init": "orthogonal", "normalized_layers": 1}
ACTOR_CRITIC: Settings = {**STREAM_AC, **NETWORK}
CODE: Settings = {**ACTOR_CRITIC, **CODE_BOUND, "lamda": 0.8}
DRAFT: Settings = {**ACTOR_CRITIC, **DRAFT_BOUND, "lamda": 0.99}
ALL_NORMALIZED: Settings = {**DRAFT, "normalized_layers": 0}
# Without memory, and with a layer of 384 units where others have the two outputs of 192 RTUs: as many weights.
WIDE = feedforward("Stream AC-FFN, wide", "stream_ac", ALL_NORMALIZED, 64, 64, hidden=(64, 384, 64))


def arms(settings: Settings, ppo: bool) -> tuple[Arm, ...]:
    with_memory = recurrent("Stream AC-RTU", "stream_ac", settings, 64, 64)
    without = feedforward("Stream AC-FFN", "stream_ac", settings, 64, 64)
    return (with_memory, Arm("PPO-RTU", "recurrent_ppo"), without) if ppo else (with_memory, without)


def longer_steps(divisor: int) -> tuple[Arm, ...]:
    """Return the networks of preset `width` with a looser bound: both kappas divided."""
    kappas = {name: value / divisor for name, value in DRAFT_BOUND.items()}
    with_memory, without = arms(ALL_NORMALIZED, ppo=False)
    return tuple(
        Arm(f"{arm.label}, kappa/{divisor}", arm.algorithm, {**arm.hyperparameters, **kappas}, arm.emphasised)
        for arm in (with_memory, without, WIDE)
    )


def rows(
    bodies: tuple[str, ...],
    frames: int,
    seeds: int,
    settings: Settings = CODE,
    masks: str = "PV",
    bin_width: int = 100_000,
    ppo: bool = True,
) -> tuple[Row, ...]:
    return tuple(
        Row(
            f"masked/{body}-v4",
            arms(settings, ppo),
            steps=frames,
            seeds=seeds,
            bin_width=bin_width,
            environment={"visible": MASKS[mask]},
            panel=f"{body}, {mask}",
        )
        for mask in masks
        for body in bodies
    )


def explaining(*others: Arm) -> tuple[Row, ...]:
    """Return Walker2d's velocities of preset `million`, and beside them 300k frames of other arms."""
    runs = rows(("Walker2d",), 1_000_000, 5, ALL_NORMALIZED, masks="V", bin_width=50_000, ppo=False)
    fewer = {arm.label: 300_000 for arm in others}
    return tuple(replace(row, arms=(*row.arms, *others), fewer_steps=fewer) for row in runs)


def one_norm_or_all(body: str, mask: str) -> Row:
    """Return 300k frames of the network of the code, beside 1M of one that has LayerNorm in every layer."""
    (row,) = rows((body,), 1_000_000, 5, DRAFT, masks=mask, bin_width=50_000, ppo=False)
    before = tuple(replace(arm, label=f"{arm.label}, LN in all", emphasised=False) for arm in arms(ALL_NORMALIZED, ppo=False))
    return replace(row, arms=(*row.arms, *before), fewer_steps={arm.label: 300_000 for arm in row.arms})


EXPERIMENT = Experiment(
    name="masked_mujoco",
    title="Robots seen by halves",
    source="RTU (arXiv:2605.24709), Fig. 3",
    figure="learning_curves",
    presets={
        "paper": Preset("2M frames, 5 seeds; settings of the paper's code", rows(BODIES, FRAMES, SEEDS)),
        "draft": Preset("2M frames, 5 seeds; settings of the paper's draft", rows(BODIES, FRAMES, SEEDS, DRAFT)),
        "laptop": Preset(
            "Hopper and Walker2d, settings of the draft, 200k frames, 5 seeds",
            rows(("Hopper", "Walker2d"), 200_000, 5, DRAFT, bin_width=20_000),
        ),
        "million": Preset(
            "Hopper and Walker2d, settings of the draft, 1M frames, 5 seeds, without PPO",
            rows(("Hopper", "Walker2d"), 1_000_000, 5, DRAFT, bin_width=50_000, ppo=False),
        ),
        "width": Preset(
            "is it the size of the network? Walker2d's velocities, 1M frames, and 300k frames of a network as large",
            explaining(WIDE),
        ),
        "bound": Preset(
            "is it the bound of ObGD? Preset width, and 300k frames of the same networks with steps up to four times as long",
            explaining(WIDE, *longer_steps(4)),
        ),
        "readout": Preset(
            "what is LayerNorm behind the cell worth, which the paper's code has not? Two panels, 300k frames without it",
            (one_norm_or_all("Walker2d", "V"), one_norm_or_all("Hopper", "P")),
        ),
        "quick": Preset(
            "Hopper by its positions, settings of the draft, 40k frames, 2 seeds",
            rows(("Hopper",), 40_000, 2, DRAFT, "P", bin_width=4_000),
        ),
    },
)
