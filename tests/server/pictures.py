"""Takes the pictures of the web page for the documentation: a solved problem in three widths, light and dark."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from helpers.browsing import ended, served

FOLDER = Path(__file__).parents[2] / "docs/page"
SIZES = {1360: 1120, 768: 1440, 380: 2000}
"""Heights by width, px."""
COLOURS = 36
"""Of the palette of a picture; text stays sharp, and a file is small."""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with served() as (_, url), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.goto(url)
                page.locator("#method option").first.wait_for(state="attached")
                for _ in range(2):  # the second example
                    page.get_by_role("button", name="An example").click()
                page.get_by_role("button", name="Options").click()
                page.get_by_label("seed").fill("3")
                page.get_by_role("button", name="Options").click()
                page.get_by_role("button", name="Solve", exact=True).click()
                ended(page)
                page.get_by_role("button", name="Step 1, draft: 8 candidates").click()
                page.mouse.move(0, 0)
                page.wait_for_timeout(1_000)  # until the last step has faded in
                path = FOLDER / f"{width}-{scheme}.png"
                few_colours(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).save(path, optimize=True)
                print(f"{path.name}  {path.stat().st_size / 1e3:.0f} kB")
                page.close()
        browser.close()


def few_colours(picture: Image.Image) -> Image.Image:
    """The picture in its most frequent colours: a small file in which plain areas keep their exact colour."""
    counted = sorted(picture.getcolors(1 << 24) or [], reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in counted for part in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
