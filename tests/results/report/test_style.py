"""Text of the page has the contrast that WCAG 2.2 asks for (4.5), marks that of figures (3)."""

import re

import pytest

from wfm_jax.results import plots
from wfm_jax.results.report import page

ON = ("paper", "raised", "wash")


def themes():
    """The colours of each theme by name."""
    css = page._part("page.css")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r':root(?:\[data-theme="dark"\])? \{(.*?)\}', css, re.DOTALL)
    )
    assert light.keys() == dark.keys()
    return {"light": light, "dark": dark}


def luminance(color):
    """Relative luminance, WCAG 2.2."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_that_of_black_on_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "muted", "accent", "warn"])
def test_text_is_read_on_everything_it_stands_on(theme, ink):
    colors = themes()[theme]
    for ground in ON:
        assert contrast(colors[ink], colors[ground]) >= 4.5, ground


def test_marks_are_told_from_dark_paper():
    dark = themes()["dark"]["paper"]
    for color, _, words in plots.LAST_STAGE.values():
        assert contrast(color, dark) >= 3.0, words
