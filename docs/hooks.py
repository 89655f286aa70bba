"""Site builds turn links out of docs/ (source files, records, recipes) into links to the repository.

On a code host the pages keep their relative links, which tests/docs/test_docs.py checks.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from pymdownx.slugs import slugify

LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))")
FENCED = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def on_config(config: Any) -> Any:
    """Anchors as code hosts make them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    docs = Path(config.docs_dir)
    folder = posixpath.dirname(page.file.src_uri)

    def outside(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(docs.name, folder, link[1]))
        path = docs.parent / target
        if target.startswith(f"{docs.name}/") or not path.exists():
            return link[0]
        kind = "tree" if path.is_dir() else "blob"
        return f"{config.repo_url.rstrip('/')}/{kind}/main/{target}{link[2] or ''}"

    parts = FENCED.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(outside, part) for part in parts)
