"""UR-Reacher-2 in simulation: two joints of a UR5 arm bring its tool to a point, as in SenseAct's task of that name.

Source: Mahmood et al. 2018 (arXiv:1803.07067) and SenseAct's `ur5_reacher`, the task family of the robot experiments of AVG
(arXiv:2411.15370); what AVG changed in it was not published. From there are the observation, the action, the reward, the cycle
of 40 ms, the episode of 4 s, the safety box, the limits of the joints, the posture after a reset and the draw of the target.

What the task's definition leaves to the arm is modelled plainly, and is our choice:
1. Each joint changes its velocity towards the one asked for by at most 1.4 rad/s^2 (the acceleration that the task gives to
   `speedj`), and turns exactly as that says. There is no inertia, no noise, no delay and no floor.
2. Safety is looked after once a cycle, from the posture at its beginning. Outside the box both joints are given the velocity of
   norm 0.1 rad/s along which the distance to the box falls fastest. Then a joint beyond its limit that is asked to go on is
   asked for the reverse.
3. "Previous action" in the observation is what the agent asked for, clipped, also where safety has overridden it.
4. A reset finds the arm at rest in the posture of reference. It takes 3.5 s of the robot's time, which `RealTime` counts.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from experiments.environments.drawing import Canvas

CYCLE_SECONDS = 0.04
RESET_SECONDS = 3.5
EPISODE_STEPS = 100

MAX_VELOCITY = 0.3  # rad/s
ACCELERATION = 1.4  # rad/s^2
ESCAPE_VELOCITY = 0.1  # rad/s, the norm over both joints
JOINT_LOW, JOINT_HIGH = np.radians([-180.0, -120.0]), np.radians([-60.0, 130.0])
REFERENCE = np.array([-2.4, 1.5])
BOX_LOW, BOX_HIGH = np.array([-0.3, 0.5]), np.array([0.4, 1.0])  # y and z, m; x never leaves its own bounds
BOX_MARGIN = 0.001
REWARD_SCALE = CYCLE_SECONDS / 0.008
PRECISION = 0.01  # m^2

# The coefficients of cos q2, sin q2, cos(q2 + q3), sin(q2 + q3) and 1 in x, y and z of the tool, in metres: the arm with
# its other joints in the posture of reference.
KINEMATICS = np.array(
    [
        [-0.00699, 0.0, -0.00849, 0.00028, -0.1037],
        [0.42494, 0.0, 0.51629, -0.01727, -0.00171],
        [0.0, -0.425, -0.01727, -0.51636, 0.08916],
    ]
)


def tool(joints: np.ndarray) -> np.ndarray:
    """Return where the tool is, (x, y, z) in metres, for angles of joints 2 and 3 in rad."""
    shoulder, both = joints[0], joints[0] + joints[1]
    terms = np.array([math.cos(shoulder), math.sin(shoulder), math.cos(both), math.sin(both), 1.0])
    return KINEMATICS @ terms


def jacobian(joints: np.ndarray) -> np.ndarray:
    """Return the derivative of the tool's (y, z) by the two angles, [2, 2]."""
    shoulder, both = joints[0], joints[0] + joints[1]
    of_shoulder = KINEMATICS[1:, :2] @ np.array([-math.sin(shoulder), math.cos(shoulder)])
    of_both = KINEMATICS[1:, 2:4] @ np.array([-math.sin(both), math.cos(both)])
    return np.column_stack([of_shoulder + of_both, of_both])


def in_box(point: np.ndarray, margin: float = 0.0) -> bool:
    """Return whether a point (y, z) lies in the safety box, so far from its walls."""
    return bool((point >= BOX_LOW + margin).all() and (point <= BOX_HIGH - margin).all())


def reward_at(distance: float) -> float:
    """Return the reward of a step that ends at a distance in metres: 5 at the target, less the further away."""
    return REWARD_SCALE * (-distance + math.exp(-(distance**2) / PRECISION))


def turn(joints: np.ndarray, velocity: np.ndarray, asked: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return angles and velocities after some time in which each joint goes over to the velocity asked for, and keeps it."""
    change = asked - velocity
    needed = np.minimum(np.abs(change) / ACCELERATION, seconds)
    after = velocity + np.sign(change) * ACCELERATION * needed
    after = np.where(needed < seconds, asked, after)
    return joints + (velocity + after) / 2 * needed + after * (seconds - needed), after


class URReacher2(gymnasium.Env[np.ndarray, np.ndarray]):
    """Reach a target with two joints of a UR5 arm.

    Action, [2] in [-1, 1]: velocities of the joints, in units of 0.3 rad/s; clipped. Observation, [8]: the angles in rad; their
    velocities in units of 0.3 rad/s; tool less target in y and z, in metres; the previous action. Reward: 5 (exp(-100 d^2) - d)
    for a distance of d metres after the step. An episode is truncated after 100 steps and never terminates.

    Attributes:
        cycle_seconds: the time of a step.
        reset_seconds: the time of a reset.
        continues: an episode begins where the last one ended.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012
    cycle_seconds = CYCLE_SECONDS
    reset_seconds = RESET_SECONDS
    continues = False

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-np.inf, np.inf, (8,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._joints, self._velocity = REFERENCE.copy(), np.zeros(2)
        self._previous, self._target = np.zeros(2), np.zeros(2)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Bring the arm to the posture of reference, at rest, and draw a target."""
        super().reset(seed=seed)
        self._joints, self._velocity = REFERENCE.copy(), np.zeros(2)
        self._previous, self._steps = np.zeros(2), 0
        self._target = draw_target(self.np_random)
        return self._obs(), {"distance": self._distance()}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Turn the joints for 40 ms."""
        self._previous = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        asked = safe_velocity(self._joints, MAX_VELOCITY * self._previous)
        self._joints, self._velocity = turn(self._joints, self._velocity, asked, CYCLE_SECONDS)
        self._steps += 1
        distance = self._distance()
        return self._obs(), reward_at(distance), False, self._steps >= EPISODE_STEPS, {"distance": distance}

    def get_state(self) -> dict[str, Any]:
        """Return all that the rest depends on, as plain data."""
        return {
            "joints": self._joints.copy(),
            "velocity": self._velocity.copy(),
            "previous": self._previous.copy(),
            "target": self._target.copy(),
            "steps": self._steps,
            "generator": self.np_random.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self._joints, self._velocity = state["joints"].copy(), state["velocity"].copy()
        self._previous, self._target = state["previous"].copy(), state["target"].copy()
        self._steps = state["steps"]
        self.np_random.bit_generator.state = state["generator"]

    def render(self) -> np.ndarray | None:
        """Return a picture of the arm from its side, uint8 [height, width, 3]; None without a render mode."""
        return draw(self._joints, self._target) if self.render_mode == "rgb_array" else None

    def _distance(self) -> float:
        return float(np.linalg.norm(tool(self._joints)[1:] - self._target))

    def _obs(self) -> np.ndarray:
        towards = tool(self._joints)[1:] - self._target
        return np.concatenate([self._joints, self._velocity / MAX_VELOCITY, towards, self._previous])


def draw_target(generator: np.random.Generator) -> np.ndarray:
    """Return (y, z) of a target: of the tool at angles drawn uniformly within their limits, until it lies in the box."""
    while True:
        point = tool(generator.uniform(JOINT_LOW, JOINT_HIGH))[1:]
        if in_box(point, BOX_MARGIN):
            return point


def safe_velocity(joints: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the velocities that the arm is given where some are asked for; see item 2 of the module."""
    point = tool(joints)[1:]
    if not in_box(point):
        away = point - np.clip(point, BOX_LOW, BOX_HIGH)
        slope = jacobian(joints).T @ away
        norm = float(np.linalg.norm(slope))
        # Where no small turn helps (an outstretched arm that points straight at the box), back to the posture of reference.
        back = -slope if norm > 1e-9 else REFERENCE - joints
        asked = ESCAPE_VELOCITY * back / np.linalg.norm(back)
    outwards = ((joints < JOINT_LOW) & (asked < 0)) | ((joints > JOINT_HIGH) & (asked > 0))
    return np.where(outwards, -asked, asked)


def draw(joints: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a picture of the arm in the plane in which it moves, with the box and the target."""
    canvas = Canvas(low=(-0.75, -0.12), high=(0.75, 1.16), width=600)
    canvas.rectangle((-0.75, -0.12), (0.75, 0.0), fill="floor")
    canvas.rectangle(tuple(BOX_LOW), tuple(BOX_HIGH), fill="free", outline="faint", width=0.006)
    canvas.text((float(BOX_LOW[0]) + 0.015, float(BOX_HIGH[1]) - 0.012), "safety box", "faint")
    shoulder, wrist = np.array([0.0, 0.08916]), tool(joints)[1:]
    elbow = shoulder + 0.425 * np.array([math.cos(joints[0]), -math.sin(joints[0])])
    hand = elbow + 0.76 * (wrist - elbow)
    canvas.rectangle((-0.09, 0.0), (0.09, 0.05), fill="dark")
    canvas.line((0.0, 0.0), shoulder, "dark", 0.11)
    canvas.line(shoulder, elbow, "body", 0.075)
    canvas.line(elbow, hand, "body", 0.058)
    canvas.line(hand, wrist, "dark", 0.036)
    for joint, size in ((shoulder, 0.055), (elbow, 0.045), (hand, 0.034)):
        canvas.circle(joint, size, fill="joint", outline="dark", width=0.008)
    canvas.line(wrist, target, "faint", 0.005)
    canvas.circle(target, 0.03, outline="mark", width=0.008)
    canvas.circle(target, 0.009, fill="mark")
    canvas.circle(wrist, 0.017, fill="tool")
    canvas.text((-0.73, 1.14), f"UR-Reacher-2   {1000 * np.linalg.norm(wrist - target):.0f} mm from the target", "dark")
    canvas.scale((0.7, -0.075), 0.2, "200 mm")
    return canvas.pixels()
