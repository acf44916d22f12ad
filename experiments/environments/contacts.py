"""Contact margins of MuJoCo models, as the simulator behind the papers' curves understood them.

Two geoms touch, and push each other, as soon as they are closer than the margin of the pair. Up to MuJoCo 3.4 that was the
larger of the two geoms' margins; from 3.5 on it is their sum. The models of Ant, Hopper, Humanoid and HumanoidStandup have
one margin for all geoms, so their contacts begin twice as far out today. HalfCheetah, Walker2d and the suite of
dm_control have margins of 0 and do not know the difference.

What 2.3.7 did otherwise, and is not reproduced (`results/simulator_version` has the numbers):
1. It missed contacts within the margin where one of the two geoms shares its body with others: the head and the hands of the
   humanoids touched the floor without any margin.
2. It scaled the orientation that is drawn at a reset to length 1, so that the first observation of an episode of Ant, Humanoid
   or HumanoidStandup was another. The simulation itself does not depend on that length.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium
import numpy as np

from experiments.errors import UserError

TWO_SPHERES = """
<mujoco>
  <worldbody>
    <geom type="sphere" size="1" margin="1"/>
    <body pos="0 0 3.5"><freejoint/><geom type="sphere" size="1" margin="1"/></body>
  </worldbody>
</mujoco>
"""


def take_larger_margin(env_id: str, env: gymnasium.Env[Any, Any]) -> None:
    """Let two geoms touch at the larger of their margins, as in MuJoCo 2.3.7, whatever the installed version does.

    Where the installed one adds margins up, all of them are halved. That gives the larger of two only where the two are
    equal, and no choice of margins would do in general: a model whose colliding geoms differ is refused. Pairs that a model
    lists explicitly have a margin of their own, which no version derives from those of the geoms, and keep it. Models with
    a `gap` are refused too: its meaning has changed as well.

    Raise `UserError` where there is no MuJoCo model, or it is one of those.
    """
    model = mujoco_model(env)
    if model is None:
        raise UserError(f"{env_id} has no MuJoCo model, so it can have no contact_margin.")
    if not model.geom_margin.any():
        return
    colliding = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    if len(np.unique(model.geom_margin[colliding])) > 1 or model.geom_gap.any():
        raise UserError(
            f"the geoms of {env_id} have different contact margins or a gap, for which contact_margin=larger cannot be had; "
            "leave contact_margin out."
        )
    if _margins_add_up():
        model.geom_margin[:] /= 2


def mujoco_model(env: gymnasium.Env[Any, Any]) -> Any:
    """Return the compiled model that an environment of Gymnasium or dm_control steps, or None where there is none."""
    import mujoco

    simulator: Any = env.unwrapped
    physics = getattr(simulator, "physics", None)  # dm_control, through Shimmy
    model = getattr(simulator, "model", None) if physics is None else physics.model.ptr
    return model if isinstance(model, mujoco.MjModel) else None


@cache
def _margins_add_up() -> bool:
    """Return whether two spheres with margins of 1 touch in the installed MuJoCo when they are 1.5 apart."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(TWO_SPHERES)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return bool(data.ncon > 0)
