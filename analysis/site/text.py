"""Texts that people wrote, as HTML: findings, docstrings and pages in Markdown. HTML in them is shown, not obeyed."""

from __future__ import annotations

import re
from collections.abc import Callable

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

Rewrite = Callable[[str], str | None]
_PARSER = MarkdownIt("commonmark", {"html": False, "typographer": True}).enable(["table", "replacements"])
# Where a sentence ends: not behind "Fig." and the like.
SENTENCE = re.compile(r"(?<=[.!?])(?<!Fig\.)(?<!Figs\.)(?<!vs\.)\s+(?=[A-Z\"])")


def markdown(text: str, rewrite: Rewrite = lambda href: href, deeper: int = 0) -> Markup:
    """Return Markdown as HTML.

    Args:
        text: the Markdown.
        rewrite: returns where a link of the text leads on the site; None leaves the words of the link without it.
        deeper: by how many levels headings are moved down; each gets an id.
    """
    tokens = _PARSER.parse(text)
    for position, token in enumerate(tokens):
        if token.type == "inline":
            token.children = _relinked(token.children or [], rewrite)
        elif token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + deeper}"
            if token.type == "heading_open":
                token.attrSet("id", slug(tokens[position + 1].content))
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "table_open":
            token.attrSet("class", "plain")
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    # Code scrolls, and the keyboard must reach what scrolls. In the text itself every "<" is escaped.
    return Markup(html.replace("<pre>", '<pre tabindex="0">'))


def _relinked(tokens: list[Token], rewrite: Rewrite) -> list[Token]:
    kept, dropped = [], 0
    for token in tokens:
        if token.type == "link_open":
            href = rewrite(str(token.attrGet("href")))
            if href is None:
                dropped += 1
                continue
            token.attrSet("href", href)
        elif token.type == "link_close" and dropped:
            dropped -= 1
            continue
        kept.append(token)
    return kept


def nowhere(href: str) -> str | None:
    """Return where links of docstrings lead: to other sites only."""
    return href if "://" in href else None


def plain(text: str) -> str:
    """Return Markdown as words in one line, without links and code marks."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(text.split()))
    return words.replace("`", "").replace("+-", "\N{PLUS-MINUS SIGN}")


def first_sentence(text: str) -> str:
    """Return the first sentence of a text as plain words."""
    return SENTENCE.split(plain(text), maxsplit=1)[0]


def slug(text: str) -> str:
    """Return a text as an id: letters and digits, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", plain(text).lower()).strip("-")
