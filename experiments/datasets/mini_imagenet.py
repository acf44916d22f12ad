"""Make the features of mini-ImageNet: images through a ResNet-50 up to its average pooling, into one NPZ file.

    python -m experiments.datasets.mini_imagenet IMAGES.npz data/mini_imagenet_resnet50.npz

IMAGES.npz holds `images`, uint8 [60000, 84, 84, 3], and `labels`, integers [60000] from 0 to 99: any copy of mini-ImageNet, 100
classes of 600 images. It takes torchvision, which is no requirement of this suite, and its first weights for ImageNet, which it
fetches. Pixels are scaled to [-1, 1], as in UPGD (arXiv:2404.00781), and not by ImageNet's own means.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from experiments.datasets import files
from experiments.errors import UserError

BATCH = 100


def features(images: np.ndarray, network: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return what a network makes of images, float32 [images, features].

    Args:
        images: uint8 [images, height, width, 3].
        network: takes float32 [batch, 3, height, width] in [-1, 1].
    """
    parts = []
    for first in range(0, len(images), BATCH):
        batch = images[first : first + BATCH].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
        parts.append(np.asarray(network(np.ascontiguousarray(batch)), np.float32).reshape(len(batch), -1))
    return np.concatenate(parts)


def resnet50() -> Callable[[np.ndarray], np.ndarray]:
    """Return torchvision's ResNet-50 with its first weights for ImageNet and without its last layer."""
    import torch

    try:
        from torchvision import models  # type: ignore[import-not-found]
    except ImportError:
        raise UserError("torchvision is missing; install it into an environment of its own to make features.") from None
    network = models.resnet50(weights=models.ResNet50_Weights.IMAGENET1K_V1).eval()
    network.fc = torch.nn.Identity()

    def apply(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = network(torch.from_numpy(batch)).numpy()
        return found

    return apply


def make(images: Path, out: Path, network: Callable[[np.ndarray], np.ndarray] | None = None) -> str:
    """Write the file of features and return its SHA-256."""
    try:
        with np.load(images, allow_pickle=False) as archive:
            pixels, labels = archive["images"], archive["labels"]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{images} cannot be read ({error}); it has to hold `images` and `labels`.") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or labels.shape != pixels.shape[:1]:
        raise UserError(f"{images} holds images {pixels.dtype} {pixels.shape} and labels {labels.shape}; see --help.")
    found = features(pixels, network or resnet50())
    with out.open("wb") as file:
        np.savez(file, features=found, labels=labels.astype(np.int64))
    return files.sha256(out.read_bytes())


def main(images: Annotated[Path, typer.Argument()], out: Annotated[Path, typer.Argument()]) -> None:
    """Make the features and tell how to name them."""
    try:
        print(f'wrote {out}; use it with --set data_sha256=["{make(images, out)}"]')
    except UserError as error:
        raise typer.BadParameter(str(error)) from None


if __name__ == "__main__":
    typer.run(main)
