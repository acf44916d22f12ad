"""Rows on files of made-up images, for a machine that cannot fetch a data set. It has no experiment of its own.

`python -m experiments.testing.image_files FOLDER` writes the files, of the published formats and of full size. They show that
an experiment runs from end to end. What is learnt from them says nothing about the paper's results.
"""

from dataclasses import replace

from experiments.spec import Preset, Row

# Of each stream, what its data are called in a panel, and the SHA-256 of the files that the command above writes.
FILES = {
    "permuted_mnist": (
        "MNIST",
        "934a0589bbd1a2ebfb7720729572d6821a92ab6902b60e20b657312b3d12e1a6",
        "a2d9b1362edf0fb5c65dbfd894ad6860ccc3a411b41961372af570bd85cd03bc",
    ),
    "permuted_emnist": ("EMNIST", "e6aae45c02eced9944035992fbe0bd72a2daddd0a93440e0e261a5161c96fafd"),
    "permuted_cifar10": ("CIFAR-10", "d26c11816d7e03d1326f4182b5eb2013c86928e404d1cc3952997fd0fc921bad"),
    "permuted_mini_imagenet": ("mini-ImageNet", "49339f89bbb5cbff06ee7c3ff05e33ee393c8eddae85ed7e4c9406e992e24845"),
}


def made_up(told: str, rows: tuple[Row, ...]) -> Preset:
    """Return a preset of rows that read the made-up files.

    Args:
        told: budget of the preset, as its description begins.
        rows: rows on streams that read files.
    """
    return Preset(f"files of made-up images (`python -m experiments.testing.image_files`), {told}", tuple(map(_row, rows)))


def _row(row: Row) -> Row:
    name, *digests = FILES[row.env_id]
    return replace(row, environment={**row.environment, "data_sha256": tuple(digests)}, panel=f"made-up images for {name}")
