"""The ranges of hyperparameters and options, as types that are declared where the setting is.

They are `Annotated` types in the words of `annotated_types`. What builds settings from text checks them (`experiments.checks`);
a learner built in Python is not checked, and costs nothing. A plain string beside the range says in words what it allows, for
the message. A field that a subclass declares anew, with another default, keeps its range unless it brings one of its own.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval

# No length, size or number of steps that anybody means is larger, and none of these overflows where it is multiplied.
MOST_STEPS = 10**12
MOST_UNITS = 10**6
MOST_SAMPLES = 10**9

Fraction = Annotated[float, Interval(ge=0, le=1)]
"""A probability, a share, a discount or a decay of a trace."""
Decay = Annotated[float, Interval(ge=0, lt=1)]
"""The decay of an average: one of 1 would never move, and cannot be corrected for its beginning."""
PositiveFraction = Annotated[float, Interval(gt=0, le=1)]
"""A share that is divided by."""
NonNegative = Annotated[float, Ge(0)]
"""A step size, a weight in a loss, or a standard deviation; 0 leaves out what it is of."""
Positive = Annotated[float, Gt(0)]
"""What is divided by, or a bound."""
Exponent = Annotated[float, Interval(ge=-50, le=50)]
"""A logarithm whose exponential is to be finite and positive in float32."""
Finite = Annotated[float, Interval(ge=-1e30, le=1e30)]
"""Any number that float32 holds."""
Schedule = Annotated[float, Interval(gt=0, le=MOST_STEPS)]
"""The length of a schedule in steps."""
ScheduleOrRun = Annotated[float, Interval(ge=0, le=MOST_STEPS)]
"""The same, where 0 means that of the run."""

Units = Annotated[int, Interval(ge=1, le=MOST_UNITS)]
"""How many units a layer has."""
Count = Annotated[int, Interval(ge=1, le=MOST_SAMPLES)]
"""A number of steps, samples or updates, of at least one."""
CountOrNone = Annotated[int, Interval(ge=0, le=MOST_SAMPLES)]
"""The same where 0 means none, or never."""
Widths = Annotated[tuple[Units, ...], "a list of positive widths, like [128, 128]"]
"""The width of each of some layers; there may be none."""
Fractions = Annotated[tuple[Fraction, ...], "a list of numbers from 0 to 1"]
"""Several of them."""
