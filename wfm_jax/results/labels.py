"""Labels beside points, none on top of another: greedy placement."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_DIRECTIONS = ((0, 1), (-1, 1), (1, 1), (-1, 0.5), (1, 0.5), (1, -1), (0, -1), (-1, -1))
_REACHES = (8, 14, 21, 29, 38, 48, 60, 74, 90)  # points


def place_labels(
    axes: Any, x: ArrayLike, y: ArrayLike, texts: Sequence[str], *, avoid: Sequence, **style: Any
) -> list[Any]:
    """Annotates points of a drawn Matplotlib axes and returns the annotations.

    Each label tries places around its point, the nearest first, and takes the first that is inside
    the axes and clear of the labels placed before and of what to avoid; a line leads to its point.
    A label that finds no such place is left out: it could not be read.

    Args:
      axes: with final limits and size.
      x, y: ``[n]`` data coordinates.
      texts: ``[n]``, the most important first.
      avoid: polylines that labels keep clear of, each ``[m, 2]`` data coordinates.
      **style: for ``axes.annotate``.
    """
    renderer = axes.figure.canvas.get_renderer()
    frame = _box(axes.get_window_extent(renderer))
    taken = [box for line in avoid for box in _along(axes.transData.transform(line))]
    placed = []
    for (px, py), text in zip(np.column_stack([x, y]), texts, strict=True):
        label = axes.annotate(
            text,
            (px, py),
            (0, 0),
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.6, "shrinkB": 3},
            **style,
        )
        for offset, align in _places():
            label.set_position(offset)
            label.set_horizontalalignment(align)
            box = _text_box(label, renderer)
            if _inside(box, frame) and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append(label)
                break
        else:
            label.remove()
    return placed


def _places() -> Iterator[tuple[tuple[float, float], str]]:
    aligned = {1: "left", 0: "center", -1: "right"}  # the text extends away from its point
    for reach in _REACHES:
        for right, up in _DIRECTIONS:
            yield (right * reach, up * reach), aligned[right]


def _along(line: np.ndarray, radius: float = 5.0) -> Iterator[np.ndarray]:
    """Boxes of ``radius`` pixels that cover a polyline in pixels."""
    for start, end in itertools.pairwise(line):
        count = 2 + int(np.abs(end - start).max() / radius)
        for point in np.linspace(start, end, count):
            yield np.array([*point - radius, *point + radius])


def _text_box(label: Any, renderer: Any) -> np.ndarray:
    from matplotlib.text import Text

    label.update_positions(renderer)
    return _box(Text.get_window_extent(label, renderer))


def _box(extent: Any) -> np.ndarray:
    return np.array([extent.x0, extent.y0, extent.x1, extent.y1])


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())


def _inside(box: np.ndarray, frame: np.ndarray) -> bool:
    return bool((box[:2] >= frame[:2] + 2).all() and (box[2:] <= frame[2:] - 2).all())
