"""Tests of learners compute on one thread, as training does: several would mostly wait for one another where others work."""

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
# Properties are checked however busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
