"""A hook of MkDocs for files of the repository that lie outside `docs/`.

`README.md`, `CONTRIBUTING.md`, `CHANGELOG.md` and `SECURITY.md` become pages of the
site. Links are written for the repository, as code hosts show it. The hook turns a link
to one of these files into a link between pages, and copies any other linked file of the
repository into the site.

In the API reference, the line `::: spacy_genner.formats.*` stands for all public
modules of a package.
"""

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Files of the repository that are pages, and the pages they become.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "overview.md",
    "SECURITY.md": "security.md",
}
# The folder of the site that other files of the repository are copied to.
FILES = "repository"

_MODULES = re.compile(r"^::: (?P<package>[\w.]+)\.\*$", re.MULTILINE)
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^()\s]+)(?P<after>\))")


def source_of(page: str) -> str:
    """Find the file of the repository that a page is made of.

    page (str): The page, relative to `docs/`.
    RETURNS (str): The file, relative to the root of the repository.
    """
    for source, generated in PAGES.items():
        if generated == page:
            return source
    return f"docs/{page}"


def rewrite_links(markdown: str, page: str, root: Path) -> tuple[str, set[str]]:
    """Rewrite the links of a page that leave `docs/`.

    markdown (str): The page's text, with links as they are in the repository.
    page (str): The page, relative to `docs/`.
    root (Path): The root of the repository.
    RETURNS (tuple[str, set[str]]): The text with links that are valid in the site,
        and the files that have to be copied into it. A link to a file that does not
        exist stays as it is, so that a strict build reports it.
    """
    source = source_of(page)
    copied: set[str] = set()

    def rewritten(match: re.Match[str]) -> str:
        parts = urlsplit(match["target"])
        if parts.scheme or parts.netloc or not parts.path:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), parts.path))
        if path in PAGES:
            target = PAGES[path]
        elif path.startswith("docs/") and _is_at_root(root, path):
            # Weasel writes the links of a project file for the root.
            target = f"{FILES}/{path.removeprefix('docs/')}"
            copied.add(path.removeprefix("docs/"))
        elif path.startswith("docs/"):
            target = path.removeprefix("docs/")
        elif not path.startswith("..") and (root / path).is_file():
            target = f"{FILES}/{path}"
            copied.add(path)
        else:
            return match[0]
        relative = posixpath.relpath(target, posixpath.dirname(page) or ".")
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        return f"{match['before']}{relative}{fragment}{match['after']}"

    return _LINK.sub(rewritten, markdown), copied


def _is_at_root(root: Path, path: str) -> bool:
    """RETURNS (bool): Whether a path in `docs/` exists at the root alone."""
    return not (root / path).exists() and (root / path.removeprefix("docs/")).is_file()


def expand_modules(markdown: str, root: Path) -> str:
    """Replace each line for the modules of a package by one line for each module.

    markdown (str): The page's text.
    root (Path): The root of the repository.
    RETURNS (str): The text with directives of mkdocstrings.
    """

    def expanded(match: re.Match[str]) -> str:
        package = match["package"]
        folder = root.joinpath(*package.split("."))
        names = sorted(path.stem for path in folder.glob("*.py"))
        public = [name for name in names if not name.startswith("_")]
        return "\n\n".join(f"::: {package}.{name}" for name in public)

    return _MODULES.sub(expanded, markdown)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside `docs/` and every file that a page links to.

    files (mkdocs.structure.files.Files): The files of the site.
    config (MkDocsConfig): The configuration.
    RETURNS (mkdocs.structure.files.Files): The same files with the new ones.
    """
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(root / source)))
    linked: set[str] = set()
    for file in files.documentation_pages():
        linked |= rewrite_links(file.content_string, file.src_uri, root)[1]
    for path in sorted(linked):
        target = f"{FILES}/{path}"
        files.append(File.generated(config, target, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of a page, and list the modules of packages.

    markdown (str): The page's text.
    page (mkdocs.structure.pages.Page): The page.
    config (MkDocsConfig): The configuration.
    RETURNS (str): The text that MkDocs renders.
    """
    root = Path(config.config_file_path).parent
    markdown, _ = rewrite_links(markdown, page.file.src_uri, root)
    return expand_modules(markdown, root)
