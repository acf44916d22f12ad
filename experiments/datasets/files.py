"""Files of data sets: where they come from, what they must be, and how they are had.

A data set names its files as `DataFile`s and reads them through `load`, so that what is trained on is the published file, or
another one that the configuration of the run names and that is thus part of the run's name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.errors import UserError

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class DataFile:
    """A published file.

    Attributes:
        name: of the file in the data folder.
        url: where it is fetched from.
        digest: ALGORITHM:HEXADECIMAL of its content, as `hashlib` names the algorithm.
        instead: what else can be done where it cannot be had, as the end of a sentence.
    """

    name: str
    url: str
    digest: str
    instead: str = ""


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def check_digest(file: DataFile, content: bytes, accepted: str = "") -> None:
    """Raise `ValueError` unless this is the published content, or that whose SHA-256 is accepted instead of it."""
    if accepted:
        if sha256(content) != accepted:
            raise ValueError(f"its SHA-256 is {sha256(content)} and not {accepted}, which data_sha256 names")
        return
    algorithm, _, wanted = file.digest.partition(":")
    found = hashlib.new(algorithm, content).hexdigest()
    if found != wanted:
        raise ValueError(f"its {algorithm.upper()} is {found} instead of {wanted}")


def load(file: DataFile, path: Path, check: Callable[[bytes], object], accepted: str = "") -> bytes:
    """Return the content of a file; fetch it if it is missing.

    Args:
        file: what is wanted.
        path: where it lies, or is put.
        check: raises `ValueError` with the reason where the content cannot be that of such a file.
        accepted: SHA-256 of another file that is to be taken instead of the published one.

    Raises:
        UserError: the file is another one, or is missing and cannot be fetched.
    """
    if not path.exists():
        fetch(file, path, check, accepted)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); put the file from {file.url} there.") from None
    try:
        check(content)
    except ValueError as error:
        raise UserError(
            f"{path} is not the published {file.name}: {error}; remove it to have it fetched from {file.url}."
        ) from None
    try:
        check_digest(file, content, accepted)
    except ValueError as error:
        raise UserError(
            f"{path} is not the published {file.name}: {error}; remove it to have it fetched from {file.url}, or accept it "
            f"with --set data_sha256={sha256(content)}."
        ) from None
    return content


def fetch(file: DataFile, path: Path, check: Callable[[bytes], object], accepted: str = "") -> None:
    """Download a file, check it, and put it at `path` whole. Where anything goes wrong, raise `UserError` and leave none."""
    import pooch
    import requests

    remedy = f"download it by hand and put it at {path.absolute()}{file.instead}"
    pooch.get_logger().setLevel("WARNING")  # it would advise to note the checksum of whatever came
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            downloader = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)
            found = pooch.retrieve(file.url, known_hash=None, fname=path.name, path=folder, downloader=downloader)
            content = Path(found).read_bytes()
            check(content)
            check_digest(file, content, accepted)
            os.replace(found, path)
    except requests.RequestException as error:
        answer = f" {error.response.status_code}" if error.response is not None else ""
        raise UserError(
            f"{path} is missing and cannot be fetched from {file.url} ({type(error).__name__}{answer}); {remedy}."
        ) from None
    except ValueError as error:
        raise UserError(f"{path} is missing, and what came from {file.url} is not it: {error}; {remedy}.") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(
            f"{path} is missing and cannot be written ({reason}); set STREAMING_RL_DATA to a folder that can be written."
        ) from None
