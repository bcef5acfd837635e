"""Which pages the book has beside those under docs/, and where links between pages lead. Needs nothing but Python."""

import posixpath
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = {
    "tutorial": "Tutorial",
    "howto": "How-to",
    "reference": "Reference",
    "explanation": "Explanation",
    "spec": "Specification",
    "adr": "Decisions",
}
# The pages of the examples, the list of all first, and where the site shows them.
EXAMPLES: Final = {
    "examples/README.md": "examples/index.md",
    **{
        path.relative_to(ROOT).as_posix(): f"examples/{path.parent.name}.md"
        for path in sorted(ROOT.glob("examples/*/README.md"))
    },
}
PROJECT: Final = {
    "packages/secrets/README.md": "project/library.md",
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
}
# What stands elsewhere in the project, and where the site shows it.
ELSEWHERE: Final = {**EXAMPLES, **PROJECT}
LINK: Final = re.compile(
    r"(?<!!)\[(?P<text>[^\]]*)\]\((?!https?:|mailto:|#)(?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)"
)


def relinked(text: str, *, source: str, page: str) -> str:
    """Return the text of `source`, a path in the project, with links that hold where the site shows it as `page`.

    What the site does not show (a folder, a file of code) keeps its name and is no link.
    """

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match["target"]))
        if not (ROOT / target).exists():
            return match[0]  # MkDocs names it
        if target == "README.md":
            shown = "index.md"
        else:
            shown = ELSEWHERE.get(target, target.removeprefix("docs/") if target.startswith("docs/") else "")
        if not shown or (ROOT / target).is_dir():
            return match["text"]
        return f"[{match['text']}]({posixpath.relpath(shown, posixpath.dirname(page))}{match['anchor'] or ''})"

    return LINK.sub(lead, text)
