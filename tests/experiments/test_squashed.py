"""The entropy of a squashed normal distribution agrees with its density, and with what is known at the ends."""

import math

import numpy as np
import pytest

from experiments.errors import UserError
from experiments.measurements import SquashedNormal
from experiments.training.squashed import densities, entropies


@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_entropy_is_the_integral_over_the_density(mean):
    deviations = (0.1, 0.4, 0.9)
    found = entropies(SquashedNormal("entropy", deviations, mean))
    np.testing.assert_allclose(found["normal"], 0.5 * np.log(2 * math.pi * math.e * np.square(deviations)))
    table = densities(SquashedNormal("density", deviations, mean, points=20_001))
    for deviation, squashed in zip(deviations, found["squashed"], strict=True):
        density = table["density"][table["deviation"] == deviation]
        width = 2 / 20_001
        assert density.sum() * width == pytest.approx(1, abs=1e-4)
        inside = density[density > 0]
        assert -(inside * np.log(inside)).sum() * width == pytest.approx(squashed, abs=1e-3)


def test_squashing_does_nothing_to_a_narrow_distribution_and_much_to_a_wide_one():
    found = entropies(SquashedNormal("entropy", (0.01, 0.9, 20.0)))
    assert found["squashed"][0] == pytest.approx(found["normal"][0], abs=1e-3)
    assert found["squashed"][1] < math.log(2)  # that of the uniform distribution, which is the largest
    # log(1 - tanh(x)^2) is about log 4 - 2 |x| far out, and |x| is on average sqrt(2 / pi) deviations.
    assert found["squashed"][2] - found["normal"][2] == pytest.approx(math.log(4) - 40 * math.sqrt(2 / math.pi), abs=0.1)


@pytest.mark.parametrize("deviations", [(), (0.5, 0.0), ("a",)])
def test_deviations_that_mean_nothing_are_refused(deviations):
    with pytest.raises(UserError, match="positive numbers"):
        SquashedNormal("entropy", deviations)
