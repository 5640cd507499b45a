"""What `mkdocs.yml` needs beyond MkDocs: pages of the site that lie outside `docs`, and a look at what was built.

Documents link to each other by their places in the project, so that the links work where the files lie. In the site
`docs/X` is the page `X`, `README.md` is the front page, and `Y` of `OUTSIDE` is `project/Y`. A link to anything else
outside `docs` leads nowhere, and fails the build.
"""

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

#: What readers need beside `docs`.
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "STYLE.md", "sandbox/README.md", "examples/*")

_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_LOADED = re.compile(r'<(?:script|img|link|iframe)[^>]*?(?:src|href)="?(?:https?:)?//', re.IGNORECASE)

_log = logging.getLogger("mkdocs.hooks.site")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files that lie outside `docs`."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                name = f"project/{path.relative_to(ROOT).as_posix()}"
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between places in the project into links between pages."""
    del config, files
    here = page.file.src_uri
    lies = posixpath.dirname(here.removeprefix("project/") if here.startswith("project/") else f"docs/{here}")

    def link(found: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(lies, found[1]))
        uri = "index.md" if place == "README.md" else place.removeprefix("docs/")
        if uri == place:
            uri = f"project/{place}"
        return f"]({posixpath.relpath(uri, posixpath.dirname(here) or '.')}{found[2] or ''})"

    parts = re.split(r"(^ *```.*?^ *```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if number % 2 else _LINK.sub(link, part) for number, part in enumerate(parts))


def on_post_build(*, config: MkDocsConfig) -> None:
    """See that no page loads anything from elsewhere."""
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        if found := _LOADED.search(path.read_text(encoding="utf-8")):
            _log.warning("%s loads from elsewhere: %s", path.relative_to(config.site_dir), found[0])
