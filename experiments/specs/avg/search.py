"""The random search of AVG's paper: 300 configurations, each drawn from its own number.

The space and the order of the draws are those of the official code, so that the numbers of the published configurations give
their values again. A step size is a whole number times a power of ten; what the code calls one and the same step size for the
entropy is the entropy's weight in AVG and IAC, and the step size of that weight in SAC-1.
"""

from collections.abc import Mapping

import numpy as np

from experiments.spec import Value

CONFIGURATIONS = 300
BETAS = (0.0, 0.9)
DISCOUNTS = (0.95, 0.97, 0.99, 0.995, 1.0)


def drawn(number: int, entropy: str = "entropy") -> Mapping[str, Value]:
    """Return the hyperparameters of a configuration by its number, with the name that a learner has for the entropy's."""
    generator = np.random.RandomState(number)

    def scaled(smallest: int, largest: int, factors: int) -> float:
        exponent = generator.randint(smallest, largest + 1)
        return float(f"{generator.randint(1, factors + 1)}e-{exponent}")

    # The order of the draws.
    actor_lr, critic_lr = scaled(4, 6, 99), scaled(4, 6, 99)
    beta1 = BETAS[generator.randint(len(BETAS))]
    weight = scaled(1, 5, 9)
    gamma = DISCOUNTS[generator.randint(len(DISCOUNTS))]
    return {"actor_lr": actor_lr, "critic_lr": critic_lr, "beta1": beta1, entropy: weight, "gamma": gamma}
