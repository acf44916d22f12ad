"""MNIST, EMNIST, CIFAR-10 and features of mini-ImageNet from files in their true formats, whole, corrupt and malicious."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import pickle
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from experiment_support import ask

from experiments import families
from experiments.datasets import images, mini_imagenet
from experiments.datasets.permuted import scaled
from experiments.errors import UserError
from experiments.specs.upgd.made_up_files import FILES
from experiments.testing import image_files


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def forgotten():
    yield
    for reader in (images._mnist, images._single, images._mini_imagenet):
        reader.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the data folder, with nowhere to fetch from."""
    monkeypatch.setenv("STREAMING_RL_DATA", str(tmp_path / "datasets"))
    away = "http://127.0.0.1:9"
    monkeypatch.setattr(images, "MNIST", tuple(replace(file, url=f"{away}/{file.name}") for file in images.MNIST))
    monkeypatch.setattr(images, "EMNIST", replace(images.EMNIST, url=f"{away}/gzip.zip"))
    monkeypatch.setattr(images, "CIFAR10", replace(images.CIFAR10, url=f"{away}/cifar-10-python.tar.gz"))
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


@pytest.fixture(scope="module")
def mnist():
    return image_files.mnist_files()


@pytest.fixture(scope="module")
def cifar():
    return image_files.cifar_tar()


def put(folder, names, contents):
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content)
    return tuple(map(sha256, contents))


def named(env_id):
    """Return the digests that the presets `made_up` name."""
    return FILES[env_id][1:]


MNIST_NAMES = [file.name for file in images.MNIST]


def test_mnist_is_read_as_it_was_written(folder, mnist):
    accepted = put(folder, MNIST_NAMES, mnist)
    assert accepted == named("permuted_mnist")
    stream = families.make("permuted_mnist", {"permute": "nothing", "task_steps": 0, "data_sha256": accepted}, 3)
    x, y = image_files.learnable(60_000, (28, 28), 10)
    found = images.mnist(accepted).data
    np.testing.assert_array_equal(found.x, x.reshape(60_000, 784))
    np.testing.assert_array_equal(found.y, y)
    assert (stream.spaces.x_shape, stream.spaces.classes) == ((784,), 10)
    samples, _ = stream.samples(0, 100)
    assert samples.min() >= -1
    assert samples.max() <= 1
    given = {"data_sha256": accepted}
    assert families.files_of("permuted_mnist", given) == dict(zip(MNIST_NAMES, accepted, strict=True))


def test_bytes_become_numbers_from_minus_one_to_one():
    assert scaled(np.array([0, 255], np.uint8)).tolist() == [-1, 1]
    assert scaled(np.array([0.25], np.float32)).tolist() == [0.25]


def test_published_files_are_fetched_and_checked(folder, mnist, monkeypatch):
    contents = dict(zip(MNIST_NAMES, mnist, strict=True))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = contents[self.path[1:]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        there = tuple(
            replace(
                file,
                url=f"http://127.0.0.1:{server.server_port}/{file.name}",
                digest=f"md5:{hashlib.md5(contents[file.name]).hexdigest()}",
            )
            for file in images.MNIST
        )
        monkeypatch.setattr(images, "MNIST", there)
        assert len(images.mnist(()).data.y) == 60_000
        assert sorted(path.name for path in folder.iterdir()) == sorted(MNIST_NAMES)
        images._mnist.cache_clear()
        (folder / MNIST_NAMES[0]).unlink()
        contents[MNIST_NAMES[0]] = mnist[0][:-1000]
        with pytest.raises(UserError, match="cannot be decompressed"):
            images.mnist(())
        assert [path.name for path in folder.iterdir()] == MNIST_NAMES[1:]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("env_id", "name"), [("mnist", MNIST_NAMES[0]), ("emnist", "gzip.zip"), ("cifar10", "cifar-10-python.tar.gz")]
)
def test_missing_files_are_named_with_where_they_go(folder, env_id, name):
    with pytest.raises(UserError) as caught:
        families.make(f"permuted_{env_id}", {}, 0)
    assert str(folder / name) in str(caught.value)
    assert "download it by hand and put it at" in str(caught.value)


def test_another_file_is_refused_unless_it_is_named(folder, mnist):
    put(folder, MNIST_NAMES, mnist)
    with pytest.raises(UserError, match="data_sha256"):
        images.mnist(())


IDX_FAULTS = {
    "cannot be decompressed": lambda x: x[: len(x) // 2],
    "no IDX file": lambda x: image_files.gzip.compress(b"\0\0\x0d\3" + bytes(100)),
    "bytes of data instead of": lambda x: image_files.gzip.compress(image_files.gzip.decompress(x)[:-1]),
    "28 x 27 pixels": lambda x: image_files.idx(np.zeros((5, 28, 27))),
}


@pytest.mark.parametrize("said", IDX_FAULTS)
def test_what_is_wrong_with_an_idx_file_is_told(said):
    good = image_files.idx(image_files.learnable(50, (28, 28), 10)[0])
    assert images._idx_images(good).shape == (50, 28, 28)
    with pytest.raises(ValueError, match=said):
        images._idx_images(IDX_FAULTS[said](good))


def test_labels_out_of_range_are_refused(folder, mnist):
    labels = np.full(60_000, 10)
    accepted = put(folder, MNIST_NAMES, (mnist[0], image_files.idx(labels)))
    with pytest.raises(UserError, match="labels from 10 to 10 instead of 0 to 9"):
        images.mnist(accepted)


@pytest.mark.slow
def test_emnist_is_read_out_of_its_archive(folder):
    content = image_files.emnist_zip()
    (accepted,) = put(folder, ["gzip.zip"], [content])
    assert (accepted,) == named("permuted_emnist")
    data = images.emnist((accepted,)).data
    test = images.emnist_test((accepted,)).data
    x, y = image_files.learnable(131_600, (28, 28), 47)
    for part, rows in ((data, slice(112_800)), (test, slice(112_800, None))):
        np.testing.assert_array_equal(part.x[::1000], x[rows].reshape(-1, 784)[::1000])
        np.testing.assert_array_equal(part.y, y[rows])
        assert part.classes == 47


def test_archives_that_are_none_are_told():
    with pytest.raises(ValueError, match="not EMNIST's archive"):
        images.parse_emnist(b"PK\3\4 and no more")
    with pytest.raises(ValueError, match="10 images and 10 labels instead of 112,800"):
        images.parse_emnist(image_files.emnist_zip(10))
    with pytest.raises(ValueError, match="10 images and 10 labels instead of 18,800"):
        images.parse_emnist_test(image_files.emnist_zip(10, 10))
    with pytest.raises(ValueError, match="not CIFAR-10's archive"):
        images.parse_cifar10(b"no archive")


@pytest.mark.slow
def test_cifar_is_read_out_of_its_pickles(folder, cifar):
    (accepted,) = put(folder, ["cifar-10-python.tar.gz"], [cifar])
    assert (accepted,) == named("permuted_cifar10")
    stream = families.make("permuted_cifar10", {"permute": "labels", "task_steps": 2500, "data_sha256": (accepted,)}, 0)
    assert (stream.spaces.x_shape, stream.spaces.classes) == ((3, 32, 32), 10)
    data = images.cifar10((accepted,)).data
    x, y = image_files.learnable(50_000, (3_072,), 10)
    np.testing.assert_array_equal(data.x[::2500], x.reshape(-1, 3, 32, 32)[::2500])
    np.testing.assert_array_equal(data.y, y)


@pytest.mark.slow
def test_made_up_features_are_those_that_presets_name():
    assert (sha256(image_files.feature_file()),) == named("permuted_mini_imagenet")


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_that_ask_for_more_than_arrays_are_not_executed(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batch = pickle.dumps({b"data": Malicious(), b"labels": []}, protocol=protocol)
    with pytest.raises(ValueError, match=r"asks for \w+\.mkdir"):
        images.parse_cifar10(image_files.cifar_tar([batch] * 5))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "batch", [b"", b"\x80\x02}", b"cnumpy\nndarray\n(tR.", pickle.dumps({b"data": 1}, 2), pickle.dumps([1], 2)]
)
def test_pickles_that_are_no_batches_are_told(batch):
    with pytest.raises(ValueError, match=r"batch"):
        images.parse_cifar10(image_files.cifar_tar([batch] * 5))


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_features_have_to_be_named_and_of_the_documented_form(folder):
    labels = np.arange(60_000) % 100
    content = npz(features=np.zeros((60_000, 2048), np.float16), labels=labels)
    (digest,) = put(folder, [images.MINI_IMAGENET], [content])
    with pytest.raises(UserError, match="name the file with --set data_sha256"):
        images.mini_imagenet(())
    with pytest.raises(UserError, match="features float16"):
        images.mini_imagenet((digest,))
    with pytest.raises(ValueError, match="cannot be read"):
        images.parse_mini_imagenet(npz(features=np.array([Malicious()], object), labels=labels))
    (folder / images.MINI_IMAGENET).unlink()
    with pytest.raises(UserError, match="make it from the images"):
        images.mini_imagenet(())


def test_features_are_made_of_images_in_their_order(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (230, 4, 5, 3)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels, labels=np.arange(230) % 100)

    def network(batch):
        assert (batch.dtype, batch.min() >= -1, batch.max() <= 1) == (np.float32, True, True)
        return batch.mean((2, 3))[:, :, None, None]

    digest = mini_imagenet.make(tmp_path / "images.npz", tmp_path / "out.npz", network)
    assert digest == sha256((tmp_path / "out.npz").read_bytes())
    with np.load(tmp_path / "out.npz") as made:
        np.testing.assert_allclose(made["features"], pixels.mean((1, 2)) / 127.5 - 1, atol=1e-5)
        assert made["labels"].tolist() == [i % 100 for i in range(230)]
    with pytest.raises(UserError, match="has to hold"):
        mini_imagenet.make(tmp_path / "none.npz", tmp_path / "out.npz", network)


def test_command_writes_files_that_experiments_take_with_what_it_says(capfd, monkeypatch, folder, mnist):
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    monkeypatch.setattr(image_files, "made_up_files", lambda: zip(names, mnist, strict=True))
    answer = ask(capfd, monkeypatch, "experiments.testing.image_files", str(folder))
    assert answer.code == 0, answer
    said = re.search(r"--set 'data_sha256=(.*)'", answer.out)
    stream = families.make("permuted_mnist", {"data_sha256": tuple(json.loads(said[1]))}, 0)
    assert stream.spaces.x_shape == (784,)
