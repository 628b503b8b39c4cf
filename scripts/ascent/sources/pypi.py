"""Files inside a package of the Python package index.

The archive is found by its digest, checked, and read with zipfile or tarfile. It is never imported, built or
installed: `pip download` would run a source archive's setup.py.
"""

import fnmatch
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import requests
from filelock import FileLock
from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple
from urllib3.util import Retry

from ..errors import AscentError, did_you_mean
from ..files import sha256_file, write_atomically
from ..settings.sources import Pypi
from . import is_pickle

_TIMEOUT = 60  # seconds without a byte


def fetch(source: Pypi, folder: Path, kind: str, cache: Path) -> None:
    """Put the members that match the source's patterns under `folder`."""
    archive = _download(source, cache)
    package = f"{source.name} {source.version}"
    unmatched, names = set(source.members), []
    for name, is_regular, open_member in _members(archive, package):
        names.append(name)
        patterns = {pattern for pattern in source.members if fnmatch.fnmatchcase(name, pattern)}
        if not patterns:
            continue
        unmatched -= patterns
        target = _place(folder, name, source.strip, package)
        if not is_regular:
            raise AscentError(f"{package}: member '{name}' is a link or a device; remove it from `members`.")
        if is_pickle(name):
            raise AscentError(
                f"{package}: member '{name}' may be a pickle, which runs code when it is loaded; remove it from"
                " `members`."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_member() as inside, target.open("wb") as outside:
            shutil.copyfileobj(inside, outside, 1 << 20)
    if unmatched:
        pattern = min(unmatched)
        raise AscentError(f"{package}: no member matches '{pattern}'; {did_you_mean(pattern, names)}")


def _place(folder: Path, name: str, strip: str, package: str) -> Path:
    path = PurePosixPath(name.removeprefix(strip.rstrip("/") + "/") if strip else name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise AscentError(f"{package}: member '{name}' would be written outside its folder; remove it from `members`.")
    return folder / path


def _members(archive: Path, package: str) -> Iterator[tuple[str, bool, Callable[[], IO[bytes]]]]:
    """Yield each member's name, whether it is a regular file, and a function that opens it."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                for member in opened.infolist():
                    if not member.is_dir():
                        is_link = stat.S_ISLNK(member.external_attr >> 16)
                        yield member.filename, not is_link, partial(opened.open, member)
        else:
            with tarfile.open(archive, "r|*") as opened:
                for member in opened:
                    if not member.isdir():
                        yield member.name, member.isfile(), partial(opened.extractfile, member)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise AscentError(
            f"{package}: the package is not a readable zip or tar archive ({error}); pin another."
        ) from None


def _download(source: Pypi, cache: Path) -> Path:
    """Return the package in the cache, under its digest, so that two corpora of a package fetch it once."""
    archive = cache / source.sha256
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{source.sha256}.lock"):
        if archive.exists() and sha256_file(archive) == source.sha256:
            return archive
        settings = _pip_settings()
        index = settings.get("index-url", PYPI_SIMPLE_ENDPOINT)
        session = requests.Session()
        session.verify = settings.get("cert", True)
        session.mount(
            "http",
            requests.adapters.HTTPAdapter(
                max_retries=Retry(4, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))
            ),
        )
        with write_atomically(archive) as temporary, PyPISimple(index, session=session) as client:
            try:
                artefact = _pinned_artefact(source, client)
                print(f"fetching {artefact.filename}", file=sys.stderr)
                client.download_package(artefact, temporary, verify=False, timeout=_TIMEOUT)
            except requests.RequestException as error:
                raise AscentError(
                    f"{source.name} {source.version}: the package index does not answer "
                    f"({type(error).__name__}); check the network, or pip's index-url and cert settings."
                ) from error
            digest = sha256_file(temporary)
            if digest != source.sha256:
                raise AscentError(
                    f"{artefact.filename}: its SHA-256 is {digest}, but {source.sha256} is pinned; re-run, in case the "
                    "download is broken; if it fails again, the index's file was replaced: do not trust it."
                )
    return archive


def _pinned_artefact(source: Pypi, client: PyPISimple):
    package = f"{source.name} {source.version}"
    try:
        artefacts = client.get_project_page(source.name, timeout=_TIMEOUT).packages
    except NoSuchProjectError:
        raise AscentError(f"{package}: the package index has no such package; check `name`.") from None
    pinned = [artefact for artefact in artefacts if artefact.digests.get("sha256") == source.sha256]
    if not pinned:
        files = [f"{a.filename} {a.digests.get('sha256', '')}" for a in artefacts if a.version == source.version]
        raise AscentError(
            f"{package}: no file has the pinned SHA-256 {source.sha256}; "
            f"pin one of this version's files: {', '.join(files[:20]) or 'there are none'}."
        )
    if pinned[0].version != source.version:
        raise AscentError(f"{package}: the pinned file is of version {pinned[0].version}; fix `version` or `sha256`.")
    return pinned[0]


def _pip_settings() -> dict[str, str]:
    """Return pip's own settings (files and PIP_* variables), so that a mirror is configured once, for pip."""
    run = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    settings = {}
    for scope in ("global.", ":env:."):  # a variable wins over a file
        for line in run.stdout.splitlines():
            if line.startswith(scope):
                key, _, value = line.removeprefix(scope).partition("=")
                settings[key] = value.strip("'\"")
    for variable, key in (("PIP_INDEX_URL", "index-url"), ("PIP_CERT", "cert")):  # a Python without pip
        if os.environ.get(variable):
            settings[key] = os.environ[variable]
    return settings
