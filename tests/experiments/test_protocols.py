"""The `paper` presets against the published protocols, written out here.

Stream-X (arXiv:2410.14606v2), Figs. 2 to 14; AVG (arXiv:2411.15370), Fig. 1; and ours with the protocols of Stream-X.
"""

import dataclasses
import math

import pytest

from baselines.settings import used_sizes
from experiments.catalog import load_experiment
from experiments.expand import labelled_runs, runs_of
from experiments.registry import hyperparameter_defaults, make_learner
from experiments.spec import Arm, Preset

ATARI_GAMES = """
Alien Amidar Assault Asterix BankHeist MsPacman Bowling Boxing Breakout Enduro Freeway
Frostbite Pong Qbert Seaquest SpaceInvaders
"""
DM_CONTROL_TASKS = """
cartpole-balance point_mass-hard cartpole-swingup cheetah-run dog-stand dog-walk dog-trot
finger-spin finger-turn_easy finger-turn_hard fish-upright hopper-hop humanoid-stand
humanoid-walk quadruped-run quadruped-walk reacher-hard walker-run walker-stand walker-walk
"""
MUJOCO4 = {"Ant-v4", "HalfCheetah-v4", "Hopper-v4", "Walker2d-v4"}
MINATAR = {"MinAtar/Asterix-v1", "MinAtar/Breakout-v1", "MinAtar/Seaquest-v1", "MinAtar/SpaceInvaders-v1"}
ATARI = {f"{game}NoFrameskip-v4" for game in ATARI_GAMES.split()}
DM_CONTROL = {f"dm_control/{task}-v0" for task in DM_CONTROL_TASKS.split()}
BARRIER = {"Hopper-v4", "Walker2d-v4", "dm_control/dog-stand-v0", "dm_control/cheetah-run-v0"}
BARRIER_ATARI = {"BreakoutNoFrameskip-v4", "EnduroNoFrameskip-v4"}
MILLION = 10**6
BUFFER_SIZES = (
    "SAC, 1, SAC, 10, SAC, 100, SAC, 1k, SAC, 10k, SAC, 100k, SAC, 1M, "
    "TD3, 1, TD3, 10, TD3, 100, TD3, 1k, TD3, 10k, TD3, 100k, TD3, 1M, "
    "PPO, 1, PPO, 100, PPO, 1k, PPO, 2048, PPO, 10k, Stream AC, AVG, IAC"
)

# experiment: for each set of environments (labels of the arms, steps, seeds, width of a bin); Atari in agent steps of 4 frames.
PROTOCOLS = {
    "stream_barrier": [
        (BARRIER, "Classic AC, PPO1, SAC1, Stream AC, PPO, SAC", 20 * MILLION, 30, 500_000),
        (BARRIER_ATARI, "Classic Q, DQN1, Stream Q", 50 * MILLION, 10, 1_250_000),
    ],
    "stream_ac_sample_efficiency": [
        ({"Humanoid-v4"}, "Stream AC(0.8), PPO1, PPO, SAC, SAC1", 5 * MILLION, 30, 100_000),
        ({"HumanoidStandup-v4", "Ant-v4", "Walker2d-v4"}, "Stream AC(0.8), PPO1, PPO, SAC, SAC1", 2 * MILLION, 30, 50_000),
    ],
    "stream_q_minatar": [(MINATAR, "Stream Q(0.8), Classic Q(0.8), DQN1", 5 * MILLION, 30, 125_000)],
    "stream_ac_long_run": [
        (
            DM_CONTROL | MUJOCO4 | {"Humanoid-v4", "HumanoidStandup-v4"},
            "Stream AC(0.8), PPO1, PPO, SAC, SAC1",
            20 * MILLION,
            30,
            500_000,
        )
    ],
    "stream_q_atari": [(ATARI, "Stream Q(0.8), Classic Q(0.8), DQN1", 50 * MILLION, 10, 1_250_000)],
    "stream_ac_ablation": [
        (
            MUJOCO4,
            "Stream AC(0.8), no ObGD, no obs/reward norm, no LayerNorm, no SparseInit, Classic AC(0.8)",
            2 * MILLION,
            30,
            50_000,
        )
    ],
    "stream_ac_traces": [
        (MUJOCO4, "Stream AC(0.8), Stream AC(0), Classic AC(0.8), Classic AC(0)", 2 * MILLION, 30, 50_000),
    ],
    "stream_td_prediction": [({"ETTm2"}, "Stream TD(0.8), Classic TD(0.8)", 68_000, 30, 1_000)],
    "stream_sarsa_atari": [(ATARI, "Stream SARSA(0.8), Classic SARSA(0.8), DQN1", 50 * MILLION, 10, 1_250_000)],
    "stream_sarsa_minatar": [(MINATAR, "Stream SARSA(0.8), Classic SARSA(0.8), DQN1", 5 * MILLION, 30, 125_000)],
    "replay_buffer_size": [({"Ant-v4", "HalfCheetah-v4", "Hopper-v4", "Humanoid-v4"}, BUFFER_SIZES, 10 * MILLION, 30, 10_000)],
    "batch_size_one": [
        ({"Humanoid-v4"}, "PPO, PPO1, SAC, SAC1, TD3, TD3-1", 5 * MILLION, 30, 100_000),
        ({"HumanoidStandup-v4", "Ant-v4", "Walker2d-v4"}, "PPO, PPO1, SAC, SAC1, TD3, TD3-1", 2 * MILLION, 30, 50_000),
        ({"MinAtar/Breakout-v1"}, "DQN, DQN1", 5 * MILLION, 30, 125_000),
    ],
}

# What a streaming arm must have been given: (gamma, lambda, sparsity, LayerNorm, normalisation), one set for all tasks.
COMMON = {"gamma": 0.99, "centered_reward_variance": True}
STREAM = {
    "lamda": 0.8,
    "sparsity": 0.9,
    "layer_norm": True,
    "normalize_obs": True,
    "normalize_reward": True,
    "optimizer": "obgd",
}
CLASSIC = {
    **{"sparsity": 0.0, "layer_norm": False, "normalize_obs": False, "normalize_reward": False},
    **{"optimizer": "adam"},
}
OWN = {
    "stream_ac": {"kappa_policy": 3.0, "kappa_value": 2.0, "alpha_policy": 1.0, "alpha_value": 1.0, "entropy": 0.01},
    "stream_q": {"kappa": 2.0, "alpha": 1.0, "epsilon_start": 1.0, "epsilon_end": 0.01},
    "stream_sarsa": {"kappa": 2.0, "alpha": 1.0, "epsilon_start": 1.0, "epsilon_end": 0.01},
    "stream_td": {"kappa": 2.0, "alpha": 1.0},
    "classic_ac": {"alpha_policy": 1e-7, "alpha_value": 1e-7},
    "classic_q": {"alpha": 1e-5},
    "classic_sarsa": {"alpha": 1e-5},
    "classic_td": {"alpha": 3e-4},
}
# (exploration_fraction * schedule_steps): the number of choices over which epsilon falls.
EXPLORING = {
    "stream_q_minatar": MILLION,
    "stream_sarsa_minatar": 50_000,  # what the official script does, see the spec
    "stream_q_atari": 2_500_000,
    "stream_sarsa_atari": 2_500_000,
    "stream_barrier": 2_500_000,
}
# Arms that take something out, by label.
ABLATIONS = {
    "no ObGD": {"optimizer": "adam", "alpha_policy": 1e-7, "alpha_value": 1e-7},
    "no obs/reward norm": {"normalize_obs": False, "normalize_reward": False},
    "no LayerNorm": {"layer_norm": False},
    "no SparseInit": {"sparsity": 0.0},
    "Stream AC(0)": {"lamda": 0.0},
    "Classic AC(0)": {"lamda": 0.0},
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_paper_preset_is_the_published_protocol(name):
    rows = load_experiment(name).preset("paper").rows
    expected = [
        (env_id, labels, steps, seeds, width) for env_ids, labels, steps, seeds, width in PROTOCOLS[name] for env_id in env_ids
    ]
    found = [(row.env_id, ", ".join(arm.label for arm in row.arms), row.steps, row.seeds, row.bin_width) for row in rows]
    assert sorted(found) == sorted(expected)
    assert all(not row.fewer_seeds for row in rows)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_paper_preset_has_the_published_hyperparameters(name):
    for row in load_experiment(name).preset("paper").rows:
        for arm, run in one_run_per_arm(row):
            given = dict(run.hyperparameters)
            if arm.algorithm not in OWN:
                continue
            expected = COMMON | (STREAM if arm.algorithm.startswith("stream") else CLASSIC) | OWN[arm.algorithm]
            expected |= ABLATIONS.get(arm.label, {})
            assert {key: given[key] for key in expected} == expected, arm.label
            if "exploration_fraction" in given:
                assert given["exploration_fraction"] * given["schedule_steps"] == pytest.approx(EXPLORING[name])
            atari = "NoFrameskip" in row.env_id
            if "bootstrap_on_truncation" in given:
                assert given["bootstrap_on_truncation"] == atari
                assert given["reset_trace_on_truncation"] == (not atari)
            assert dict(run.environment).get("time_feature") == (
                None if atari or "MinAtar" in row.env_id or "ETT" in row.env_id else True
            )


def one_run_per_arm(row):
    return [(arm, run) for _, arm, run in labelled_runs(Preset("", (dataclasses.replace(row, seeds=1),)))]


def test_runs_shared_between_figures_are_the_same_runs():
    def ids(name, labels):
        experiment = load_experiment(name)
        return {
            run.run_id for row, arm, run in labelled_runs(experiment.preset("paper")) if arm.label in labels and run.seed < 3
        }

    ablation = ids("stream_ac_ablation", ["Stream AC(0.8)", "Classic AC(0.8)"])
    assert ablation == ids("stream_ac_traces", ["Stream AC(0.8)", "Classic AC(0.8)"])
    assert ids("stream_barrier", ["Stream Q", "Classic Q", "DQN1"]) < ids(
        "stream_q_atari", ["Stream Q(0.8)", "Classic Q(0.8)", "DQN1"]
    )
    assert ids("stream_barrier", ["Stream AC"]) & ids("stream_ac_long_run", ["Stream AC(0.8)"])
    assert ids("stream_q_minatar", ["DQN1"]) == ids("stream_sarsa_minatar", ["DQN1"])
    assert len(ids("stream_ac_sample_efficiency", ["Stream AC(0.8)"]) & ablation) == 2 * 3


def all_ids(name, preset="paper"):
    return {run.run_id for run in runs_of(load_experiment(name), preset) if run.seed < 2}


def test_figures_of_batch_learners_share_their_runs():
    arms = [arm for arm in load_experiment("batch_size_one").preset("paper").rows[0].arms if "TD3" not in arm.label]
    assert len(all_ids("batch_size_one") & all_ids("stream_ac_sample_efficiency")) == len(arms) * 4 * 2
    assert len(all_ids("batch_size_one") & all_ids("stream_q_minatar")) == 2  # DQN1 on Breakout
    for preset in ("laptop", "quick"):
        shared = all_ids("batch_size_one", preset) & all_ids("replay_buffer_size", preset)
        assert {run_id.split("-")[0] for run_id in shared} >= {"sac1", "td3_1", "ppo1"}


@pytest.mark.parametrize("preset", ["paper", "laptop", "quick", "anchors"])
def test_learners_stand_under_their_own_names(preset):
    names = {"PPO": "ppo", "PPO1": "ppo1", "SAC": "sac", "SAC1": "sac1", "TD3": "td3", "TD3-1": "td3_1"}
    names |= {"DQN": "dqn", "DQN1": "dqn1"}
    for row in load_experiment("batch_size_one").preset(preset).rows:
        for arm, run in one_run_per_arm(row):
            assert run.algorithm == names[arm.label]
            changed = {key for key, value in run.hyperparameters if value != hyperparameter_defaults(run.algorithm)[key]}
            allowed = {"schedule_steps"} if "dqn" in run.algorithm else {"implementation"}
            assert changed <= allowed | (set() if preset == "paper" else {"learning_starts", "anneal_learning_rate"})


@pytest.mark.parametrize("preset", ["paper", "laptop", "quick"])
def test_buffers_are_of_the_size_that_their_labels_say(preset):
    sizes = {"1": 1, "10": 10, "100": 100, "1k": 1000, "2048": 2048, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}
    for row in load_experiment("replay_buffer_size").preset(preset).rows:
        for arm, run in one_run_per_arm(row):
            method, _, size = arm.label.partition(", ")
            given = dict(run.hyperparameters)
            if not size:
                continue
            assert run.algorithm.startswith(method.lower())
            used = used_sizes(make_learner(run), 10**7)
            if method == "PPO":
                assert used["rollout_steps"] == sizes[size]
                assert used["minibatch_size"] == math.ceil(sizes[size] / 32)  # 32 of them, as in CleanRL
                assert used["epochs"] == (1 if size == "1" else 10)
                continue
            begin = 1_000 if preset == "quick" else 25_000 if (method, preset) == ("TD3", "paper") else 5_000
            assert used == {
                "buffer_size": sizes[size],
                "batch_size": min(256, sizes[size]),
                "learning_starts": min(begin, sizes[size]),
            }
            assert {given[key] for key in given if key.endswith("learning_rate")} <= {3e-4, 1e-3}


def test_a_label_of_two_figures_means_the_same_algorithm():
    arms: dict[str, Arm] = {}
    for name in PROTOCOLS:
        for row in load_experiment(name).preset("paper").rows:
            for arm in row.arms:
                assert arms.setdefault(arm.label, arm).algorithm == arm.algorithm


def test_ppo_with_adaupgd_differs_from_ppo_in_its_optimizer_alone():
    rows = load_experiment("adaupgd_ppo").preset("paper").rows
    assert {row.env_id: (row.steps, row.seeds) for row in rows} == dict.fromkeys(
        (*(f"{name}-v4" for name in ("HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid", "HumanoidStandup")),),
        (MILLION, 30),
    )
    adam = hyperparameter_defaults("ppo")
    adaupgd = hyperparameter_defaults("adaupgd_ppo")
    assert {name: adaupgd[name] for name in adam} == adam
    assert {name: value for name, value in adaupgd.items() if name not in adam} == {
        "sigma": 0.001,
        "beta_utility": 0.999,
        "weight_decay": 0.001,
        "step_scale": 2.0,
        "beta1": 0.9,
        "beta2": 0.999,
        "eta_bias_corrected": False,
    }
    short = {row.env_id for row in rows if row.arms[1].hyperparameters.get("beta_utility") == 0.9}
    assert short == {"Humanoid-v4", "HumanoidStandup-v4"}
    assert {row.env_id for row in rows if row.environment} == {"Hopper-v4", "Ant-v4", *short}


def test_both_learners_of_the_held_out_figure_have_the_settings_of_the_comparison():
    (row,) = load_experiment("held_out_accuracy").preset("paper").rows
    (whole,) = load_experiment("label_permuted_emnist").preset("paper").rows
    assert (row.steps, row.seeds, row.environment["held_out"]) == (whole.steps, whole.seeds, 250)
    assert [arm.label for arm in row.arms] == ["AdamW", "UPGD-W"]
    for arm in row.arms:
        theirs = next(other for other in whole.arms if other.label == arm.label)
        assert {**arm.hyperparameters, "diagnostics": True} == theirs.hyperparameters
