"""The site: the navigation has every page, indexes have every decision and experiment, and the site builds."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import specs

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
SECTIONS = {"decisions": ["Context", "Decision", "Consequences"], "experiments": ["Question", "Result"]}
"""What each page of a folder has at least."""


def settings() -> dict:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def listed(nav: object) -> list[str]:
    """Pages of a navigation tree, in order."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in listed(part)]


def test_the_navigation_has_every_page_once() -> None:
    pages = listed(settings()["nav"])
    assert len(pages) == len(set(pages))
    assert sorted(pages) == PAGES


@pytest.mark.parametrize("folder", SECTIONS)
def test_an_index_lists_its_pages_in_the_order_of_the_navigation(folder: str) -> None:
    rows = re.findall(r"^\| \[([^\]]+)\]\(([\w.-]+)\) \|", (DOCS / folder / "index.md").read_text(), re.MULTILINE)
    assert [f"{folder}/{file}" for _, file in rows] == [
        page for page in listed(settings()["nav"]) if page.startswith(f"{folder}/") and not page.endswith("/index.md")
    ]
    for title, file in rows:
        assert (DOCS / folder / file).read_text().startswith(f"# {title}\n"), file


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.partition("/")[0] in SECTIONS and not page.endswith("/index.md")]
)
def test_a_decision_or_experiment_has_a_month_a_status_and_its_sections(page: str) -> None:
    text = (DOCS / page).read_text()
    assert re.match(r"# .+\n\n\*[A-Z][a-z]+ \d{4}\. .+\.\*\n", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [heading for heading in SECTIONS[page.partition("/")[0]] if heading not in headings] == []


def test_the_glossary_is_in_alphabetical_order() -> None:
    terms = re.findall(r"^\| ([^|]+) \| ", (DOCS / "glossary.md").read_text(), re.MULTILINE)[2:]
    assert len(terms) > 50
    assert terms == sorted(terms, key=lambda term: term.strip("`").lower())


def test_the_reference_has_every_public_name() -> None:
    named = re.findall(r"^::: specs\.(\w+)$", (DOCS / "reference/python.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(specs.__all__)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")):
        pytest.skip("needs the extra docs; scripts/docs builds the site in .venv-docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site/reference/python/index.html").read_text()
    assert [name for name in specs.__all__ if f'id="specs.{name}"' not in reference] == []
    method = (tmp_path / "site/method/index.html").read_text()
    assert f'href="{settings()["repo_url"]}/blob/main/src/specs/methods/specs.py"' in method
    assert not re.search(
        r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://(?!specs)", re.sub(r"<link rel=.canonical[^>]*>", "", method)
    )
    shutil.rmtree(tmp_path / "site")
