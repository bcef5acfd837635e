"""What was built is looked at once more: every link and anchor leads somewhere, and nothing is fetched from elsewhere.

MkDocs checks links of pages; this checks what came out of theme, plugins and docstrings too.
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

# What a browser loads by itself, unlike a link that a reader follows.
LOADED: Final = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "audio": "src", "video": "src", "embed": "src",
    "object": "data", "link": "href",
}  # fmt: skip
LINKED_ONLY: Final = {"canonical", "next", "prev", "author", "license", "edit"}


class Page(HTMLParser):
    """What one page offers and asks for: ids, links, and what is loaded with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids, links and assets of one element."""
        given = {name: value or "" for name, value in attrs}
        self.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif LOADED.get(tag) in given and not LINKED_ONLY & set(given.get("rel", "").split()):
            self.loaded.append(given[LOADED[tag]])


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, a line each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":  # is served for any address, so its links begin at the root of a server
            continue
        name = path.relative_to(site)
        yield from (f"{name}: {url} is fetched from elsewhere" for url in page.loaded if is_elsewhere(url))
        for url in [*page.links, *page.loaded]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if not target.exists():
                yield f"{name}: {url} leads nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                yield f"{name}: {url} has no such anchor"
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        if "@import" in text or "url(http" in text or "url(//" in text:
            yield f"{sheet.relative_to(site)}: fetches from elsewhere"


def is_elsewhere(url: str) -> bool:
    """Whether a browser asks another server for this."""
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme in {"http", "https"}


def main() -> int:
    """Inspect the site in the folder that is given, print what is wrong, and return the exit code."""
    site = Path(sys.argv[1]).resolve()
    found = list(problems(site))
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    print(f"{len(list(site.rglob('*.html')))} pages in {sys.argv[1]}, {len(found)} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
