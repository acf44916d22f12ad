"""The labelled data sets of UPGD, from published files: MNIST, EMNIST (balanced), CIFAR-10; and features of mini-ImageNet.

Only the training parts are read, since learning is judged online; of EMNIST the test part can be (`emnist_test`). Each is
fetched at first use or, without a network, read from the data folder (`experiments.datasets.data_folder`). It is checked
against a published digest; another file is taken only where its SHA-256 is named by the option `data_sha256`.

- MNIST: `train-images-idx3-ubyte.gz` and `train-labels-idx1-ubyte.gz`, 60,000 of 28 x 28.
- EMNIST: `gzip.zip`, which holds the same format; the split `balanced`, 112,800 of 28 x 28 in 47 classes, as its authors store
  it, which is transposed.
- CIFAR-10: `cifar-10-python.tar.gz`, 50,000 of 3 x 32 x 32. Its batches are pickles. A pickle can execute anything; these are
  read by an unpickler that knows nothing but the arrays of numpy.
- mini-ImageNet: no such file is published. `mini_imagenet_resnet50.npz` is made from images by
  `experiments.datasets.mini_imagenet`: `features`, float32 [60000, 2048], what a ResNet-50 that was trained on ImageNet gives
  before its last layer, and `labels`, int64 [60000] from 0 to 99. Its SHA-256 has to be named.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.datasets import data_folder, files
from experiments.datasets.files import DataFile
from experiments.errors import UserError

MNIST = (
    DataFile(
        "train-images-idx3-ubyte.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
        "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        ", or use permuted_digits, which needs no file",
    ),
    DataFile(
        "train-labels-idx1-ubyte.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
        "md5:d53e105ee54ea40749a09fcbcd1e9432",
        ", or use permuted_digits, which needs no file",
    ),
)
EMNIST = DataFile(
    "gzip.zip",
    "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    "md5:58c8d27c78d21e728a6bc7b3cc06412e",
    ", or use permuted_digits, which needs no file",
)
CIFAR10 = DataFile(
    "cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "md5:c58f30108f718f92721af3b95e74349a",
)
MINI_IMAGENET = "mini_imagenet_resnet50.npz"
EMNIST_MEMBERS = ("gzip/emnist-balanced-train-images-idx3-ubyte.gz", "gzip/emnist-balanced-train-labels-idx1-ubyte.gz")
EMNIST_TEST_MEMBERS = ("gzip/emnist-balanced-test-images-idx3-ubyte.gz", "gzip/emnist-balanced-test-labels-idx1-ubyte.gz")
CIFAR_MEMBERS = tuple(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6))
# The magic numbers of IDX: two zeros, unsigned bytes, and how many axes.
_IDX = {3: 0x0803, 1: 0x0801}


# By stream the shape of a sample and the number of classes, which its reader checks.
SIZES: dict[str, tuple[tuple[int, ...], int]] = {
    "permuted_mnist": ((784,), 10),
    "permuted_emnist": ((784,), 47),
    "permuted_cifar10": ((3, 32, 32), 10),
    "permuted_mini_imagenet": ((2048,), 100),
}


class Labelled(NamedTuple):
    """A data set: x, uint8 (pixels, to be scaled) or float32 [samples, *x_shape]; y, int64 [samples]; number of classes."""

    x: np.ndarray
    y: np.ndarray
    classes: int


class Loaded(NamedTuple):
    """A data set, and the SHA-256 of each of its files by name."""

    data: Labelled
    sha256: dict[str, str]


def mnist(accepted: tuple[str, ...]) -> Loaded:
    """Return MNIST's training images as vectors, [60000, 784]; raise `UserError` where they cannot be had."""
    return _mnist(data_folder().absolute(), accepted)


def emnist(accepted: tuple[str, ...]) -> Loaded:
    """Return the training images of EMNIST balanced as vectors, [112800, 784]."""
    return _single(EMNIST, data_folder().absolute(), accepted, parse_emnist)


def emnist_test(accepted: tuple[str, ...]) -> Loaded:
    """Return the test images of EMNIST balanced as vectors, [18800, 784]."""
    return _emnist_test(data_folder().absolute(), accepted)


def cifar10(accepted: tuple[str, ...]) -> Loaded:
    """Return CIFAR-10's training images, [50000, 3, 32, 32]."""
    return _single(CIFAR10, data_folder().absolute(), accepted, parse_cifar10)


def mini_imagenet(accepted: tuple[str, ...]) -> Loaded:
    """Return the features of mini-ImageNet, [60000, 2048]."""
    return _mini_imagenet(data_folder().absolute(), accepted)


@lru_cache(maxsize=1)
def _mnist(folder: Path, accepted: tuple[str, ...]) -> Loaded:
    images, labels = (
        _content(file, folder, accepted, check) for file, check in zip(MNIST, (_idx_images, _idx_labels), strict=True)
    )
    x, y = _idx_images(images), _idx_labels(labels)
    if (len(x), len(y)) != (60_000, 60_000):
        raise UserError(
            f"{folder} holds {len(x):,} images and {len(y):,} labels of MNIST instead of 60,000 each; fetch both anew."
        )
    return Loaded(_frozen(x.reshape(len(x), -1), y, 10, folder / MNIST[1].name), _digests(MNIST, (images, labels)))


@lru_cache(maxsize=1)
def _single(file: DataFile, folder: Path, accepted: tuple[str, ...], parse: Callable[[bytes], Labelled]) -> Loaded:
    content = _content(file, folder, accepted, parse)
    found = parse(content)
    return Loaded(_frozen(*found, folder / file.name), _digests((file,), (content,)))


@lru_cache(maxsize=1)
def _emnist_test(folder: Path, accepted: tuple[str, ...]) -> Loaded:
    content = _content(EMNIST, folder, accepted, parse_emnist_test)
    return Loaded(_frozen(*parse_emnist_test(content), folder / EMNIST.name), _digests((EMNIST,), (content,)))


@lru_cache(maxsize=1)
def _mini_imagenet(folder: Path, accepted: tuple[str, ...]) -> Loaded:
    path = folder / MINI_IMAGENET
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); no such file is published, so make it from the images with "
            "`python -m experiments.datasets.mini_imagenet`."
        ) from None
    found = files.sha256(content)
    if found not in accepted:
        raise UserError(f'no digest of {path} is published; name the file with --set data_sha256=["{found}"].')
    try:
        data = parse_mini_imagenet(content)
    except ValueError as error:
        raise UserError(f"{path} does not hold the features of mini-ImageNet: {error}; make it anew.") from None
    return Loaded(_frozen(*data, path), {MINI_IMAGENET: found})


def _content(file: DataFile, folder: Path, accepted: tuple[str, ...], check: Callable[[bytes], object]) -> bytes:
    """Return a file that is the published one, or one of those that are accepted instead."""
    path = folder / file.name
    own = ""
    if accepted and path.exists():
        own = next((digest for digest in accepted if digest == files.sha256(path.read_bytes())), "")
    return files.load(file, path, check, own)


def _digests(names: tuple[DataFile, ...], contents: tuple[bytes, ...]) -> dict[str, str]:
    return {file.name: files.sha256(content) for file, content in zip(names, contents, strict=True)}


def _frozen(x: np.ndarray, y: np.ndarray, classes: int, path: Path) -> Labelled:
    if y.min() < 0 or y.max() >= classes:
        raise UserError(f"{path} has labels from {y.min()} to {y.max()} instead of 0 to {classes - 1}; fetch it anew.")
    x.setflags(write=False)
    y.setflags(write=False)
    return Labelled(x, y, classes)


# Formats. Each raises `ValueError` with the reason where the content is of another one.


def parse_idx(content: bytes, axes: int) -> np.ndarray:
    """Return the array of unsigned bytes in a gzipped IDX file with so many axes."""
    try:
        raw = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it cannot be decompressed ({str(error) or type(error).__name__})") from None
    head = 4 * (1 + axes)
    if len(raw) < head or struct.unpack(">I", raw[:4])[0] != _IDX[axes]:
        raise ValueError(f"it is no IDX file of unsigned bytes with {axes} axes")
    shape = struct.unpack(f">{axes}I", raw[4:head])
    if len(raw) - head != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"it has {len(raw) - head:,} bytes of data instead of those of {' x '.join(map(str, shape))}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape).copy()


def _idx_images(content: bytes) -> np.ndarray:
    images = parse_idx(content, 3)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"its images have {images.shape[1]} x {images.shape[2]} pixels instead of 28 x 28")
    return images


def _idx_labels(content: bytes) -> np.ndarray:
    return parse_idx(content, 1).astype(np.int64)


def parse_emnist(content: bytes) -> Labelled:
    """Return the balanced split's training part, out of EMNIST's archive."""
    return _emnist_part(content, EMNIST_MEMBERS, 112_800)


def parse_emnist_test(content: bytes) -> Labelled:
    """Return its test part."""
    return _emnist_part(content, EMNIST_TEST_MEMBERS, 18_800)


def _emnist_part(content: bytes, members: tuple[str, str], count: int) -> Labelled:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            images, labels = (archive.read(name) for name in members)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError) as error:
        raise ValueError(f"it is not EMNIST's archive ({error})") from None
    x, y = _idx_images(images), _idx_labels(labels)
    if (len(x), len(y)) != (count, count):
        raise ValueError(f"it holds {len(x):,} images and {len(y):,} labels instead of {count:,} each")
    return Labelled(x.reshape(len(x), -1), y, 47)


class _ArraysOnly(pickle.Unpickler):
    """Reads what CIFAR's batches are made of: dicts, lists, numbers, bytes, and arrays of numpy. Nothing else is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three things by which numpy pickles an array."""
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how later versions of Python write bytes
            return _latin1
        raise ValueError(f"it asks for {module}.{name}, which no batch of CIFAR-10 needs")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"it asks for the encoding {encoding}")
    return text.encode("latin1")


def parse_cifar10(content: bytes) -> Labelled:
    """Return the training batches out of CIFAR-10's archive."""
    images, labels = [], []
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for name in CIFAR_MEMBERS:
                member = archive.extractfile(name)
                if member is None:
                    raise ValueError(f"{name} in it is no file")
                x, y = _batch(_unpickled(member.read(), name), name)
                images.append(x)
                labels.append(y)
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"it is not CIFAR-10's archive ({error})") from None
    return Labelled(np.concatenate(images).reshape(-1, 3, 32, 32), np.concatenate(labels), 10)


def _unpickled(content: bytes, name: str) -> Any:
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # broken pickles raise whatever the step in them does that breaks
        raise ValueError(f"the batch {name} in it cannot be read ({type(error).__name__}: {error})") from None


def _batch(batch: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    found = batch if isinstance(batch, dict) else {}
    x, y = found.get(b"data"), found.get(b"labels")
    if not (isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.shape == (10_000, 3_072)):
        raise ValueError(f"the batch {name} in it does not hold 10,000 images of 3 x 32 x 32 bytes")
    if not (isinstance(y, list) and len(y) == 10_000 and all(type(label) is int for label in y)):
        raise ValueError(f"the batch {name} in it does not hold 10,000 labels")
    return x, np.array(y, np.int64)


def parse_mini_imagenet(content: bytes) -> Labelled:
    """Return features and labels out of an NPZ file."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            x, y = archive["features"], archive["labels"]
    except (KeyError, ValueError, zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"it cannot be read ({error})") from None
    if x.dtype != np.float32 or x.shape != (60_000, 2_048) or y.shape != (60_000,) or y.dtype.kind not in "iu":
        raise ValueError(f"it has features {x.dtype} {x.shape} and labels {y.dtype} {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError("not all of its features are finite")
    return Labelled(x, y.astype(np.int64), 100)
