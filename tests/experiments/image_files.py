"""Files in the published formats of MNIST, EMNIST and CIFAR-10, of full size, with images that can be learnt."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np


def learnable(count, shape, classes, seed=0):
    """Return images whose classes are patterns of light and dark, uint8 [count, *shape], and their labels."""
    g = np.random.default_rng(seed)
    y = (np.arange(count) % classes).astype(np.uint8)
    g.shuffle(y)
    patterns = g.integers(0, 2, (classes, int(np.prod(shape))), dtype=np.uint8) * np.uint8(128)
    noise = g.integers(0, 100, (count, patterns.shape[1]), dtype=np.uint8)
    return (patterns[y] + noise).reshape(count, *shape), y


def idx(array):
    """Return a gzipped IDX file of unsigned bytes."""
    head = struct.pack(">BBBB", 0, 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + np.ascontiguousarray(array, np.uint8).tobytes(), compresslevel=1)


def mnist_files(count=60_000):
    """Return both files of MNIST's training part."""
    x, y = learnable(count, (28, 28), 10)
    return idx(x), idx(y)


def emnist_zip(count=112_800, test_count=18_800):
    """Return EMNIST's archive, with both parts of the balanced split and something else."""
    x, y = learnable(count + test_count, (28, 28), 47)  # of equal patterns: what is learnt of one part helps with the other
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("gzip/emnist-balanced-test-images-idx3-ubyte.gz", idx(x[count:]))
        archive.writestr("gzip/emnist-balanced-test-labels-idx1-ubyte.gz", idx(y[count:]))
        archive.writestr("gzip/emnist-balanced-train-images-idx3-ubyte.gz", idx(x[:count]))
        archive.writestr("gzip/emnist-balanced-train-labels-idx1-ubyte.gz", idx(y[:count]))
        archive.writestr("gzip/emnist-letters-mapping.txt", "1 65 97\n")
    return file.getvalue()


def cifar_tar(batches=None):
    """Return CIFAR-10's archive; `batches` replaces the bytes of the pickles."""
    if batches is None:
        batches = []
        for number in range(5):
            x, y = learnable(10_000, (3_072,), 10, seed=number)
            labels = [int(label) for label in y]
            batch = {b"batch_label": b"training batch", b"labels": labels, b"data": x, b"filenames": [b"x.png"] * 3}
            batches.append(pickle.dumps(batch, protocol=2))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for number, content in enumerate(batches, 1):
            member = tarfile.TarInfo(f"cifar-10-batches-py/data_batch_{number}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()
