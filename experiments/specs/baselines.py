"""Batch learners with CleanRL's hyperparameters, and their one-sample forms, which run in lanes: the same in every paper."""

from experiments.spec import Arm

LANES = {"implementation": "lanes"}
PPO, SAC, TD3 = Arm("PPO", "ppo"), Arm("SAC", "sac"), Arm("TD3", "td3")
PPO1, SAC1, TD3_1 = Arm("PPO1", "ppo1", LANES), Arm("SAC1", "sac1", LANES), Arm("TD3-1", "td3_1", LANES)
