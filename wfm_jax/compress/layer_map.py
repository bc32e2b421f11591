"""Which layer of a deeper teacher each layer of its student learns from.

Jiao et al., "TinyBERT: distilling BERT for natural language understanding", 2020
(arXiv 1909.10351), whose uniform map was the best of those compared there.
"""


def uniform_layer_map(n_student: int, n_teacher: int) -> tuple[int, ...]:
    """Returns the teacher's layer for each of the student's, evenly spaced, the last for the last.

    Layers count from zero; the output of a student's layer is to be that of all the teacher's
    layers up to the one given. Between two layers the later one is taken.

    >>> uniform_layer_map(4, 12)
    (2, 5, 8, 11)
    >>> uniform_layer_map(2, 3)
    (1, 2)

    Args:
      n_student: number of the student's layers.
      n_teacher: number of the teacher's.

    Raises:
      ValueError: unless 1 <= n_student <= n_teacher.
    """
    if not 1 <= n_student <= n_teacher:
        raise ValueError(
            f"a student needs 1 to {n_teacher} layers, its teacher's number, got {n_student}"
        )
    return tuple(
        (2 * (i + 1) * n_teacher + n_student) // (2 * n_student) - 1 for i in range(n_student)
    )
