"""What a student is called: its size, and the views it reads where they are not all.

``same``, ``smaller``, ``same:grid+csi``.
"""

from typing import NamedTuple

from wfm_jax.model.config import VIEWS

SIZES = ("same", "smaller")


class StudentName(NamedTuple):
    """A name taken apart.

    Attributes:
        size: of :data:`SIZES`.
        views: that it reads; none stands for all that its teacher reads.
    """

    size: str
    views: tuple[str, ...]


def parse(name: str) -> StudentName:
    """Takes a name apart.

    >>> parse("smaller:grid+csi")
    StudentName(size='smaller', views=('grid', 'csi'))

    Raises:
        ValueError: no such name, or views in another order than that of ``VIEWS``: a student has
            one name.
    """
    size, colon, listed = name.partition(":") if isinstance(name, str) else ("", "", "")
    views = tuple(listed.split("+")) if colon else ()
    ordered = tuple(view for view in VIEWS if view in views)
    if size not in SIZES or views != ordered or (colon and "grid" not in views):
        raise ValueError(
            f"student must be one of {', '.join(SIZES)}, or such a one with its views like "
            f"same:grid+csi (grid, then others of {', '.join(VIEWS[1:])}), got {name!r}"
        )
    return StudentName(size, views)
