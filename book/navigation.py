"""A hook of MkDocs: which pages there are, and in which order.

A page that is put into one of the folders of `pages` is in the navigation without any list. Pages that lie outside of
docs/, because readers look for them there, are shown too, under "Examples" and "Project". Runs in the environment of
the site, which has MkDocs and nothing of ours.
"""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from book.pages import ELSEWHERE, EXAMPLES, FOLDERS, PROJECT, ROOT, relinked


def on_config(config: Any) -> Any:
    """Make the navigation out of the folders; a page of the first level stands before them."""
    docs = Path(config["docs_dir"])
    nav: list[Any] = ["index.md"]
    for folder, title in FOLDERS.items():
        pages = sorted(path.relative_to(docs).as_posix() for path in (docs / folder).rglob("*.md"))
        if pages:
            # The section's own page comes first, and the theme shows it for the title of the section.
            nav.append({title: sorted(pages, key=lambda page: (not page.endswith("/index.md"), page))})
        if folder == "howto":
            nav.append({"Examples": list(EXAMPLES.values())})
    nav.append({"Project": list(PROJECT.values())})
    config["nav"] = nav
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside of docs/."""
    for source, page in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, source=source, page=page)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links of our own pages to where the site has what they name."""
    path: str = page.file.src_uri
    return markdown if path in ELSEWHERE.values() else relinked(markdown, source=f"docs/{path}", page=path)
