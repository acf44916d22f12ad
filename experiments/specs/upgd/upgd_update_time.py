"""UPGD Fig. 17: how long an update takes, on a network of 784-1024-512-10.

The paper has batches of 100 of MNIST and means over 10,000 updates, and publishes a figure without numbers. Here an update is
from one sample, as everywhere in this suite, in compiled lanes. Images are made up: what they show does not change the time.
"""

from experiments.spec import Arm, Experiment, Preset, Row

HIDDEN = "hidden=[1024,512]"
LEARNERS = (
    ("SGDW", "sgd", ()),
    ("PGD", "pgd", ()),
    ("S&P", "shrink_and_perturb", ()),
    ("AdamW", "adam", ()),
    ("UPGD-W", "upgd", ()),
    ("UPGD-W, second order", "upgd", ("order=second",)),
    ("UPGD-W, feature-wise", "upgd", ("level=feature",)),
    ("N-UPGD-W", "upgd", ("protecting=false",)),
    ("AdaUPGD", "adaupgd", ()),
    ("S-EWC", "s_ewc", ()),
    ("S-MAS", "s_mas", ()),
    ("S-SI", "s_si", ()),
    ("S-RWalk", "s_rwalk", ()),
    ("Continual backprop", "continual_backprop", ()),
)


def row(repeats: int, seconds: float, labels: tuple[str, ...] = ()) -> Row:
    arms = tuple(
        Arm(label, "update_time", {"learner": learner, "settings": (HIDDEN, *more), "seconds": seconds})
        for label, learner, more in LEARNERS
        if not labels or label in labels
    )
    return Row("permuted_generated", arms, steps=repeats, seeds=1, bin_width=1)


EXPERIMENT = Experiment(
    name="upgd_update_time",
    title="How long an update takes",
    source="UPGD (arXiv:2404.00781), Fig. 17",
    figure="upgd_update_time",
    kind="measurement",
    presets={
        "paper": Preset("all learners, 20 repeats of 1 s", (row(20, 1.0),)),
        "laptop": Preset("all learners, 5 repeats of 0.5 s", (row(5, 0.5),)),
        "quick": Preset("SGDW, AdamW and UPGD-W, 3 repeats of 0.3 s", (row(3, 0.3, ("SGDW", "AdamW", "UPGD-W")),)),
    },
)
