"""Create-Mover in simulation: an iRobot Create 2 that is to move forward in a small walled arena, as in SenseAct's task.

Source: Mahmood et al. 2018 (arXiv:1809.07731) and SenseAct's `create2_mover`, the task family of the robot experiments of AVG
(arXiv:2411.15370); what AVG changed in it was not published. From there are the observation, the action in whole millimetres
per second, the reward, the cycle of 150 ms made of 10 packets, the episode of 90 s, the ends of an episode, the reset that
reverses for 1.5 s, and the arena of 3 by 2.5 feet.

What the task's definition leaves to robot and room is modelled plainly, and is our choice:
1. The robot is a disc with a radius of 170 mm on two wheels 235 mm apart, which turn at once as they are told and do not slip.
   In each packet it moves along the exact arc. A wall stops it where the disc would enter it; it can still slide and turn.
2. The bumper is the front half of the rim. It is pressed where the wheels drive that half against a wall; the rest of the
   cycle's packets pass, and the episode ends. The floor has no edge and no dock, and nobody lifts the robot.
3. The reported distance is that of the wheels, so much as the robot moved with them; it is not rounded.
4. The six light bumpers look ahead from the rim, at bearings of +-13, +-38 and +-65 degrees. At a distance of d mm along its
   ray, a sensor's signal is 4.2 + (640 / d)^2, rounded, between 20 and 4095: it saturates at 10 mm and fades out at 161 mm. The
   4.2 is the offset that the task subtracts, so that what it shows is linear in the distance.
5. An episode begins where the last one ended and the robot then reversed; the first, and any that is given a seed, at a place
   and a heading drawn uniformly. There is no cable to unwind.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from experiments.environments.drawing import Canvas

CYCLE_SECONDS = 0.15
PACKETS, PACKET_SECONDS = 10, 0.015
RESET_SECONDS = 1.5
EPISODE_STEPS = 600

MAX_SPEED = 150  # mm/s
ARENA = np.array([914.4, 762.0])  # mm: 3 by 2.5 feet
RADIUS = 170.0
WHEEL_BASE = 235.0
REWARD_PER_MM = 0.15

BEARINGS = np.radians([65.0, 38.0, 13.0, -13.0, -38.0, -65.0])  # from left to right
SIGNAL_LOW, SIGNAL_HIGH = 20, 4095
SIGNAL_OFFSET = 4.2
SIGNAL_SCALE = 640.0  # mm


def moved(pose: np.ndarray, left: float, right: float, seconds: float) -> np.ndarray:
    """Return the pose (x, y in mm, heading in rad) after both wheels have turned at speeds in mm/s, walls left out."""
    x, y, heading = pose
    speed, rate = (left + right) / 2, (right - left) / WHEEL_BASE
    after = heading + rate * seconds
    if abs(rate) < 1e-12:
        return np.array([x + speed * seconds * math.cos(heading), y + speed * seconds * math.sin(heading), after])
    radius = speed / rate
    return np.array(
        [x + radius * (math.sin(after) - math.sin(heading)), y - radius * (math.cos(after) - math.cos(heading)), after]
    )


def against_walls(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pose with the disc inside the arena, and how far it had to be pushed back, (x, y) in mm."""
    centre = np.clip(pose[:2], RADIUS, ARENA - RADIUS)
    return np.array([*centre, pose[2]]), centre - pose[:2]


def drive(pose: np.ndarray, left: float, right: float, seconds: float) -> tuple[np.ndarray, float, bool]:
    """Drive for one packet; return pose, distance forward in mm as reported, and whether the bumper was pressed."""
    free = moved(pose, left, right, seconds)
    after, push = against_walls(free)
    distance = (left + right) / 2 * seconds
    if not push.any():
        return after, distance, False
    # A wall pushes back along its normal. It is in front where that is against the heading.
    heading = np.array([math.cos(after[2]), math.sin(after[2])])
    pressed = bool(((push * heading) < 0).any())
    way = float((after[:2] - pose[:2]) @ heading)
    return after, min(max(way, 0.0), distance) if distance > 0 else max(min(way, 0.0), distance), pressed


def clearances(pose: np.ndarray) -> np.ndarray:
    """Return how far each light bumper sees along its ray until a wall, in mm, [6]."""
    angles = pose[2] + BEARINGS
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    eyes = pose[:2] + RADIUS * directions
    with np.errstate(divide="ignore"):
        # The wall that a ray comes to first, of the two that it runs towards.
        far = np.where(directions > 0, ARENA - eyes, eyes) / np.abs(directions)
    return np.maximum(far.min(axis=1), 0.0)


def signals_at(distance: np.ndarray) -> np.ndarray:
    """Return the signals of light bumpers at distances in mm, int64."""
    with np.errstate(divide="ignore"):
        signal = SIGNAL_OFFSET + (SIGNAL_SCALE / np.asarray(distance, np.float64)) ** 2
    return np.rint(np.clip(signal, SIGNAL_LOW, SIGNAL_HIGH)).astype(np.int64)


def shown(signals: np.ndarray) -> np.ndarray:
    """Return what the task shows of signals: 1 / sqrt(max(1, s - 4.2)), rescaled to -1 where all is far and 1 near."""
    far, near = (1 / math.sqrt(max(1.0, end - SIGNAL_OFFSET)) for end in (SIGNAL_LOW, SIGNAL_HIGH))
    return 1 - 2 * (1 / np.sqrt(np.maximum(1.0, signals - SIGNAL_OFFSET)) - near) / (far - near)


class CreateMover(gymnasium.Env[np.ndarray, np.ndarray]):
    """Move forward in a walled arena without touching a wall.

    Action, [2] in [-1, 1]: speeds of the left and the right wheel, in units of 150 mm/s; clipped, and rounded to whole mm/s.
    Observation, [8]: the six light bumpers from left to right, -1 far and 1 near; the previous action as it was rounded.
    Reward: 0.15 for each millimetre that the wheels moved the robot forward. An episode terminates at a bump, and is truncated
    after 600 steps.

    Attributes:
        cycle_seconds: the time of a step.
        reset_seconds: the time of a reset.
        continues: an episode begins where the last one ended.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}  # noqa: RUF012
    cycle_seconds = CYCLE_SECONDS
    reset_seconds = RESET_SECONDS
    continues = True

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1.0, 1.0, (8,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._pose: np.ndarray | None = None
        self._previous = np.zeros(2)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Reverse for 1.5 s from where the robot stands; with a seed, or at first, put it somewhere instead."""
        super().reset(seed=seed)
        if self._pose is None or seed is not None:
            place = self.np_random.uniform(RADIUS, ARENA - RADIUS)
            self._pose = np.array([*place, self.np_random.uniform(-math.pi, math.pi)])
        else:
            for _ in range(round(RESET_SECONDS / PACKET_SECONDS)):
                self._pose, _, _ = drive(self._pose, -MAX_SPEED, -MAX_SPEED, PACKET_SECONDS)
        self._previous, self._steps = np.zeros(2), 0
        return self._obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Drive for 150 ms."""
        assert self._pose is not None, "call reset first"
        speeds = np.rint(MAX_SPEED * np.clip(np.asarray(action, np.float64), -1.0, 1.0))
        way, bumped = 0.0, False
        for _ in range(PACKETS):
            self._pose, distance, pressed = drive(self._pose, float(speeds[0]), float(speeds[1]), PACKET_SECONDS)
            way += distance
            bumped |= pressed
        self._previous = speeds / MAX_SPEED
        self._steps += 1
        truncated = not bumped and self._steps >= EPISODE_STEPS
        return self._obs(), REWARD_PER_MM * way, bumped, truncated, {"distance_mm": way}

    def get_state(self) -> dict[str, Any]:
        """Return all that the rest depends on, as plain data."""
        return {
            "pose": np.full(3, np.nan) if self._pose is None else self._pose.copy(),
            "previous": self._previous.copy(),
            "steps": self._steps,
            "generator": self.np_random.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self._pose = None if np.isnan(state["pose"]).any() else state["pose"].copy()
        self._previous, self._steps = state["previous"].copy(), state["steps"]
        self.np_random.bit_generator.state = state["generator"]

    def render(self) -> np.ndarray | None:
        """Return a picture of the arena from above, uint8 [height, width, 3]; None without a render mode."""
        if self.render_mode != "rgb_array" or self._pose is None:
            return None
        return draw(self._pose)

    def _obs(self) -> np.ndarray:
        assert self._pose is not None
        return np.concatenate([shown(signals_at(clearances(self._pose))), self._previous])


def draw(pose: np.ndarray) -> np.ndarray:
    """Return a picture of robot, arena and rays."""
    edge = 60.0
    canvas = Canvas(low=(-edge, -edge), high=(ARENA[0] + edge, ARENA[1] + 1.6 * edge), width=600)
    canvas.rectangle((-25.0, -25.0), (ARENA[0] + 25.0, ARENA[1] + 25.0), fill="wall")
    canvas.rectangle((0.0, 0.0), tuple(ARENA), fill="floor")
    centre, heading = pose[:2], pose[2]
    for bearing, clear, signal in zip(BEARINGS, clearances(pose), signals_at(clearances(pose)), strict=True):
        direction = np.array([math.cos(heading + bearing), math.sin(heading + bearing)])
        eye = centre + RADIUS * direction
        seen = bool(signal > SIGNAL_LOW)
        canvas.line(
            eye, eye + min(float(clear), SIGNAL_SCALE / 4) * direction, "mark" if seen else "faint", 6.0 if seen else 3.0
        )
    canvas.circle(centre, RADIUS, fill="joint", outline="dark", width=5.0)
    canvas.arc(centre, RADIUS - 3.0, heading - math.pi / 2, heading + math.pi / 2, "tool", 14.0)
    across = np.array([-math.sin(heading), math.cos(heading)])
    along = np.array([math.cos(heading), math.sin(heading)])
    for side in (1, -1):
        wheel = centre + side * WHEEL_BASE / 2 * across
        canvas.line(wheel - 36.0 * along, wheel + 36.0 * along, "dark", 20.0)
    canvas.line(centre - 20.0 * along, centre + 95.0 * along, "body", 14.0)
    canvas.circle(centre + 95.0 * along, 16.0, fill="body")
    canvas.text((-25.0, ARENA[1] + 1.5 * edge), "Create-Mover   rays: light bumpers, red where they see a wall", "dark")
    canvas.scale((ARENA[0] - 20.0, 20.0), 200.0, "200 mm")
    return canvas.pixels()
