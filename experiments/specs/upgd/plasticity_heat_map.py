"""UPGD Fig. 7: forgetting and loss of plasticity of ten learners on four streams, at a glance.

The runs are those of the experiments of the four streams, and are trained once for both. Forgetting is counted from the first
two tasks to the last two, loss of plasticity from the middle of the run, which is half a million samples in the paper.
"""

from experiments.spec import Experiment, Preset, Row
from experiments.specs.upgd import comparison_arms as settings
from experiments.specs.upgd.comparison_arms import arms, presets
from experiments.specs.upgd.digits_arms import best
from experiments.specs.upgd.digits_arms import row as digits
from experiments.specs.upgd.made_up_files import made_up

STREAMS = (
    presets("permuted_mnist", "inputs", 5_000, arms(settings.INPUT_PERMUTED_MNIST), seeds=20),
    presets("permuted_cifar10", "labels", 2_500, arms(settings.LABEL_PERMUTED_CIFAR10, hidden=(120, 84)), seeds=10),
    presets("permuted_emnist", "labels", 2_500, arms(settings.LABEL_PERMUTED_EMNIST), seeds=20),
    presets("permuted_mini_imagenet", "labels", 2_500, arms(settings.LABEL_PERMUTED_MINI_IMAGENET), seeds=20),
)


def rows(name: str) -> tuple[Row, ...]:
    return tuple(stream[name].rows[0] for stream in STREAMS)


EXPERIMENT = Experiment(
    name="plasticity_heat_map",
    title="Forgetting and loss of plasticity",
    source="UPGD (arXiv:2404.00781), Fig. 7",
    figure="plasticity_heat_map",
    kind="metrics",
    presets={
        "paper": Preset("the published protocol: 1M samples; 20 seeds, 10 on CIFAR-10", rows("paper")),
        "laptop": Preset("100k samples, 3 seeds, without mini-ImageNet", rows("laptop")[:3]),
        "made_up": made_up("100k samples, 3 seeds, without mini-ImageNet", rows("laptop")[:3]),
        "digits": Preset("permuted digits, a stand-in: 400 tasks, 20 seeds", (digits(best(), 400, 20, 4),)),
        "quick": Preset("permuted digits, a stand-in: 40 tasks, 2 seeds", (digits(best(), 40, 2, 2),)),
    },
)
