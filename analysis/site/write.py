"""Write the results as a static site: pages of HTML with their figures beside them, to be read from a file or a server.

    index.html             the state of every figure of every paper; what came out differently; what has not been run
    NAME.html              an experiment: claim, figures, tables beside the paper, deviations, budget, origin, command
    faq.html               what users of the official repositories asked
    evidence-NAME.html     investigations of another kind, `results/NAME/README.md`
    data/NAME/PRESET/      copies of figures and numbers

The folder needs nothing outside itself. The same results give the same bytes. Pages that are no more are removed; no other file
of the folder is touched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.site import shown, text
from analysis.site.content import Site
from experiments.errors import UserError, writing_to

HERE = Path(__file__).parent
# The list of what was written, by which the next writing knows what to remove, and that the folder is a site.
LISTING = "files.txt"
ASSETS = ("style.css", "table.js")
# Stands in the pages of a watched site until all of them are known.
STAMP = b"@stamp@"


def write(site: Site, folder: Path) -> list[Path]:
    """Write the site, and return the paths of what changed.

    Raises:
        UserError: the folder holds something else than a site, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another folder with --site.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LISTING).exists():
        raise UserError(f"{folder} holds files that are not of a site; choose an empty or new folder with --site.")
    _render(site)
    with writing_to(folder, "--site"):
        folder.mkdir(parents=True, exist_ok=True)
        listing = folder / LISTING
        before = listing.read_text().splitlines() if listing.exists() else []
        now = sorted([*site.files, *site.copies])
        _replace(listing, ("\n".join(sorted({*before, *now})) + "\n").encode())  # whatever happens, nothing is forgotten
        changed = [folder / name for name, source in site.copies.items() if _replace(folder / name, source.read_bytes())]
        # Pages behind what they show.
        changed += [folder / name for name, content in site.files.items() if _replace(folder / name, content)]
        for gone in set(before) - set(now):
            (folder / gone).unlink(missing_ok=True)
            _remove_empty((folder / gone).parent, folder)
        _replace(listing, ("\n".join(now) + "\n").encode())
    return changed


def _replace(path: Path, content: bytes) -> bool:
    """Write a file by one move, unless it holds just that."""
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    return True


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _render(site: Site) -> None:
    environment = Environment(
        loader=PackageLoader("analysis.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"slug": text.slug, "kind": shown.tables.word}
    links = _links(site)

    def said(words: str, deeper: int = 2) -> Any:
        return text.markdown(words, links, deeper)

    shared = {"site": site, "said": said, "states": shown.STATES, "verdicts": shown.VERDICTS, "plain": text.plain}

    def page(name: str, template: str, **content: Any) -> None:
        html = environment.get_template(template).render(**shared, page=name, **content)
        site.files[name] = html.encode()

    for name in (*ASSETS, *(["watch.js"] if site.watched else [])):
        site.files[name] = (HERE / name).read_bytes()
    page("index.html", "index.html")
    page("faq.html", "text.html", title="Questions", body=said((HERE / "faq.md").read_text(), deeper=0))
    for folder, name, title in site.evidence:
        _evidence(site, folder, name, title, page)
    for subject in site.subjects:
        for report in subject.reports:
            _copy(site, report.folder, f"data/{subject.name}/{report.preset}")
        page(subject.page, "experiment.html", one=subject)
    if site.watched:
        _stamp(site)


def _stamp(site: Site) -> None:
    """Let a page tell by a file beside it that the site has been written anew since."""
    digest = hashlib.sha256()
    for name, content in sorted(site.files.items()):
        digest.update(name.encode() + content)
    for name, source in sorted(site.copies.items()):
        digest.update(name.encode() + source.read_bytes())
    stamp = digest.hexdigest()[:16]
    for name in [name for name in site.files if name.endswith(".html")]:
        site.files[name] = site.files[name].replace(STAMP, stamp.encode())
    site.files["stamp.js"] = f'window.stamp = "{stamp}";\n'.encode()


def _evidence(site: Site, folder: str, name: str, title: str, page: Any) -> None:
    source = site.results / folder
    _copy(site, source, f"data/{folder}", skip=("README.md",))
    _, _, rest = (source / "README.md").read_text().partition("\n")

    def links(href: str) -> str | None:
        if "://" in href:
            return href
        return f"data/{folder}/{href}" if (source / href).is_file() and "/" not in href else None

    page(name, "text.html", title=title, body=text.markdown(rest, links))


def _links(site: Site) -> text.Rewrite:
    """Return how links of findings, which lead from `results/README.md`, lead on the site."""
    pages = {f"{folder}/README.md": page for folder, page, _ in site.evidence}
    pages |= {f"{subject.name}.html": subject.page for subject in site.subjects} | {"index.html": "index.html"}

    def rewrite(href: str) -> str | None:
        return href if "://" in href or href.startswith("#") else pages.get(href)

    return rewrite


def _copy(site: Site, source: Path, target: str, skip: Iterable[str] = ()) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.name not in skip and not any(part[0] == "." for part in path.relative_to(source).parts):
            site.copies[f"{target}/{path.relative_to(source).as_posix()}"] = path
