"""The ten learners of UPGD's comparisons on permuted digits: real data for a machine without the paper's files. Ours.

The paper's Figs. 3 to 5 are of permuted MNIST. This stand-in has scikit-learn's 1,797 digits of 8 x 8 pixels, tasks of 500 of
them, a network of 128 and 64 hidden units, and settings of its own, from a search as in the paper's Table 1: by the mean online
accuracy over the whole run, on seeds that are used for nothing else (preset `search`).
"""

from experiments.spec import Experiment, Preset
from experiments.specs.upgd.digits_arms import best, finer, row, searched

SEARCH_SEED = 1_000


EXPERIMENT = Experiment(
    name="permuted_digits",
    title="Ten learners on permuted digits",
    source="ours, after UPGD (arXiv:2404.00781), Figs. 3 to 5",
    figure="continual",
    kind="metrics",
    presets={
        "paper": Preset("400 tasks of 500 samples, 20 seeds", (row(best(), 400, 20, 4),)),
        "laptop": Preset("200 tasks, 10 seeds", (row(best(), 200, 10, 4),)),
        "quick": Preset("40 tasks, 2 seeds", (row(best(), 40, 2, 2),)),
        "finer": Preset(
            "step sizes of UPGD that the search left out, tried after it, 200 tasks, 10 seeds", (row(finer(), 200, 10, 4),)
        ),
        "search": Preset(
            "all settings of the search, 100 tasks, 2 seeds of its own", (row(searched(), 100, 2, 4, first_seed=SEARCH_SEED),)
        ),
    },
)
