"""Files in the published formats of MNIST, EMNIST and CIFAR-10, of full size, with images made up so that they can be learnt.

    python -m experiments.testing.image_files data

writes them into a folder, with features in the place of mini-ImageNet's, and says how an experiment is told to take them. They
show that nothing but the real files is missing. What is learnt from them says nothing about the papers' results: the classes
are patterns of light and dark under noise, far easier than digits.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from experiments.cli import make_console
from experiments.errors import told_plainly, writing_to
from experiments.terminal import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Folder that the files are written to; STREAMING_RL_DATA names it later.")],
) -> None:
    """Write files of the published formats with images made up so that they can be learnt."""
    console = make_console()
    with told_plainly(), writing_to(folder, "FOLDER"):
        folder.mkdir(parents=True, exist_ok=True)
        digests = []
        for name, content in made_up_files():
            (folder / name).write_bytes(content)
            digests.append(hashlib.sha256(content).hexdigest())
            console.print(str(folder / name), soft_wrap=True)
    told = ",".join(f'"{digest}"' for digest in digests)
    console.print(f"Experiments take them with STREAMING_RL_DATA={folder} and --set 'data_sha256=[{told}]'.", soft_wrap=True)


def made_up_files() -> Iterator[tuple[str, bytes]]:
    """Yield the files with their names."""
    images, labels = mnist_files()
    yield "train-images-idx3-ubyte.gz", images
    yield "train-labels-idx1-ubyte.gz", labels
    yield "gzip.zip", emnist_zip()
    yield "cifar-10-python.tar.gz", cifar_tar()
    yield "mini_imagenet_resnet50.npz", feature_file()


def learnable(count: int, shape: tuple[int, ...], classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images whose classes are patterns of light and dark, uint8 [count, *shape], and their labels."""
    g = np.random.default_rng(seed)
    y = (np.arange(count) % classes).astype(np.uint8)
    g.shuffle(y)
    patterns = g.integers(0, 2, (classes, int(np.prod(shape))), dtype=np.uint8) * np.uint8(128)
    noise = g.integers(0, 100, (count, patterns.shape[1]), dtype=np.uint8)
    return (patterns[y] + noise).reshape(count, *shape), y


def idx(array: np.ndarray) -> bytes:
    """Return a gzipped IDX file of unsigned bytes."""
    head = struct.pack(">BBBB", 0, 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + np.ascontiguousarray(array, np.uint8).tobytes(), compresslevel=0, mtime=0)


def mnist_files(count: int = 60_000) -> tuple[bytes, bytes]:
    """Return both files of MNIST's training part."""
    x, y = learnable(count, (28, 28), 10)
    return idx(x), idx(y)


def emnist_zip(count: int = 112_800, test_count: int = 18_800) -> bytes:
    """Return EMNIST's archive, with both parts of the balanced split and something else."""
    x, y = learnable(count + test_count, (28, 28), 47)  # of equal patterns: what is learnt of one part helps with the other
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        members = {"test-images-idx3": x[count:], "test-labels-idx1": y[count:]}
        members |= {"train-images-idx3": x[:count], "train-labels-idx1": y[:count]}
        for name, array in members.items():
            archive.writestr(zipfile.ZipInfo(f"gzip/emnist-balanced-{name}-ubyte.gz"), idx(array))
        archive.writestr(zipfile.ZipInfo("gzip/emnist-letters-mapping.txt"), "1 65 97\n")
    return file.getvalue()


def cifar_tar(batches: Sequence[bytes] | None = None) -> bytes:
    """Return CIFAR-10's archive; `batches` replaces the bytes of the pickles."""
    if batches is None:
        batches = []
        x, y = learnable(50_000, (3_072,), 10)
        for part in np.split(np.arange(50_000), 5):
            labels = [int(label) for label in y[part]]
            batch = {b"batch_label": b"training batch", b"labels": labels, b"data": x[part], b"filenames": [b"x.png"] * 3}
            batches.append(pickle.dumps(batch, protocol=2))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number, content in enumerate(batches, 1):
            member = tarfile.TarInfo(f"cifar-10-batches-py/data_batch_{number}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(file.getvalue(), compresslevel=0, mtime=0)


def feature_file(count: int = 60_000, size: int = 2048, classes: int = 100) -> bytes:
    """Return a file of features as `experiments.datasets.mini_imagenet` writes one: none below zero, half of them zero."""
    g = np.random.default_rng(0)
    y = np.arange(count, dtype=np.int64) % classes
    g.shuffle(y)
    means = g.standard_normal((classes, size), dtype=np.float32)
    x = np.maximum(means[y] + 2 * g.standard_normal((count, size), dtype=np.float32), 0)
    file = io.BytesIO()
    np.savez(file, features=x, labels=y)
    return file.getvalue()


if __name__ == "__main__":
    run_app(app)
