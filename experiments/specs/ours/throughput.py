"""How fast: steps/s of each learner, of its update alone and of the bare environment, on one core, and of several workers.

Every quantity of an arm is measured in turn within one process, `steps` times over; read ratios before absolute numbers.
"""

from experiments.spec import Arm, Experiment, Preset, Row


def lanes(number: int, learner: str = "stream_ac", name: str = "Stream AC") -> Arm:
    return Arm(f"{name}, {number} lane{'s' * (number > 1)}", "throughput", {"learner": learner, "lanes": number})


def workers(number: int) -> Arm:
    label = f"Stream AC, {number} worker{'s' * (number > 1)} of 8 lanes"
    return Arm(label, "throughput", {"lanes": 8, "workers": number})


STREAMING = (lanes(1), lanes(8), lanes(16), lanes(8, "classic_ac", "Classic AC"))
BATCH = tuple(
    Arm(name, "throughput", {"learner": learner, "lanes": 1, "seconds": 3.0})
    for name, learner in (
        *(("PPO1", "ppo1"), ("SAC1", "sac1"), ("TD3-1", "td3_1")),
        *(("PPO", "ppo"), ("SAC", "sac"), ("TD3", "td3")),
    )
)
FORMS = (("library", "stable-baselines3's own", 1, 3.0), ("lanes", "2 lanes", 2, 1.5), ("lanes", "8 lanes", 8, 1.5))
ONE_SAMPLE = tuple(
    Arm(f"{name}, {told}", "throughput", {"learner": learner, "implementation": form, "lanes": number, "seconds": seconds})
    for name, learner in (("PPO1", "ppo1"), ("SAC1", "sac1"), ("TD3-1", "td3_1"))
    for form, told, number, seconds in FORMS
)
SCALING = (workers(2), workers(4))
IMAGES = (lanes(2, "stream_q", "Stream Q"), lanes(2, "stream_sarsa", "Stream SARSA"), lanes(2, "classic_q", "Classic Q"))
OF_AVG = (
    *(lanes(number, "avg", "AVG") for number in (1, 2, 4, 8)),
    *(lanes(2, learner, name) for learner, name in (("iac", "IAC"), ("avg_sac1", "SAC-1"), ("avg_td3_1", "TD3-1"))),
)
# UPGD-W on the network of input-permuted MNIST, 784-300-150-10, with images made up: the stream is fast, and needs no file.
LABELLED = (
    lanes(4, "upgd", "UPGD-W"),
    lanes(8, "upgd", "UPGD-W"),
    Arm("UPGD-W, ordinary PyTorch loop", "throughput", {"learner": "upgd", "lanes": 1, "implementation": "library"}),
    lanes(8, "adam", "AdamW"),
    Arm("AdamW, ordinary PyTorch loop", "throughput", {"learner": "adam", "lanes": 1, "implementation": "library"}),
)
DQN1 = (Arm("DQN1", "throughput", {"learner": "dqn1", "lanes": 1, "seconds": 3.0}),)
# Stream AC with an RTU of 192 units learnt by RTRL, and without it, in the sizes of arXiv:2605.24709.
BEFORE_AND_AFTER = {"memory/MemoryChain-v0": ("[128]", "[]"), "masked/HalfCheetah-v4": ("[64]", "[64]")}


def cells(env_id: str) -> tuple[Arm, ...]:
    before, after = BEFORE_AND_AFTER[env_id]
    both = f"[{before[1:-1]}{', ' * (after != '[]')}{after[1:-1]}]"
    rtu = (f"hidden={before}", f"readout={after}", "cell=rtu")
    return tuple(
        Arm(f"Stream AC{name}, {number} lane{'s' * (number > 1)}", "throughput", {"lanes": number, "changes": changes})
        for name, changes in (("-RTU", rtu), ("-FFN", (f"hidden={both}",)))
        for number in (1, 2, 4, 8)
    )


def row(env_id: str, arms: tuple[Arm, ...], repeats: int = 5) -> Row:
    return Row(env_id, arms, steps=repeats, seeds=1, bin_width=1)


EXPERIMENT = Experiment(
    name="throughput",
    title="Throughput",
    source="ours",
    figure="throughput",
    kind="measurement",
    presets={
        "paper": Preset(
            "all learners on HalfCheetah-v4, MinAtar and Atari, Stream AC on the other tasks, and 1, 2, 4 workers",
            (
                row("HalfCheetah-v4", STREAMING + BATCH + ONE_SAMPLE + SCALING),
                row("Ant-v4", (lanes(1), lanes(8))),
                *(row(env_id, (lanes(8),)) for env_id in ("Hopper-v4", "Walker2d-v4")),
                row("Humanoid-v4", (lanes(4),)),
                *(row(f"dm_control/{task}-v0", (lanes(8),), repeats=3) for task in ("cheetah-run", "dog-stand")),
                *(row(env_id, IMAGES + DQN1) for env_id in ("MinAtar/Breakout-v1", "PongNoFrameskip-v4")),
            ),
        ),
        "laptop": Preset(
            "HalfCheetah-v4, Ant-v4, MinAtar and Atari",
            (
                row("HalfCheetah-v4", STREAMING + BATCH + ONE_SAMPLE + SCALING),
                row("Ant-v4", (lanes(1), lanes(8))),
                *(row(env_id, IMAGES + DQN1) for env_id in ("MinAtar/Breakout-v1", "PongNoFrameskip-v4")),
            ),
        ),
        "images": Preset(
            "MinAtar and Atari alone",
            tuple(row(env_id, IMAGES + DQN1) for env_id in ("MinAtar/Breakout-v1", "PongNoFrameskip-v4")),
        ),
        "recurrent": Preset(
            "Stream AC with an RTU of 192 units, learnt by RTRL, and without it: MemoryChain, HalfCheetah by its positions",
            tuple(row(env_id, cells(env_id)) for env_id in BEFORE_AND_AFTER),
        ),
        "labelled": Preset(
            "UPGD-W and AdamW on labelled samples, in lanes and in an ordinary PyTorch loop",
            (row("permuted_generated", LABELLED),),
        ),
        "one_sample": Preset(
            "the one-sample forms of PPO, SAC and TD3 on HalfCheetah-v4: stable-baselines3's own, ours on its parts, and lanes",
            (row("HalfCheetah-v4", BATCH[:3] + ONE_SAMPLE),),
        ),
        "avg": Preset("AVG and the incremental learners of its paper on HalfCheetah-v4", (row("HalfCheetah-v4", OF_AVG),)),
        "quick": Preset(
            "Stream AC on HalfCheetah-v4 and Ant-v4", tuple(row(e, (lanes(8),), 3) for e in ("HalfCheetah-v4", "Ant-v4"))
        ),
    },
)
