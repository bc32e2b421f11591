"""Which configuration of a sweep to take: by its id, by its size, by what it loses."""

from collections.abc import Iterable, Sequence

from wfm_jax.results.naming import (
    Row,
    configurations,
    diverged,
    dropped,
    number,
    quality_column,
    reference,
)

DB_PER_SHARE = 20.0


def by_id(rows: Sequence[Row], prefix: str) -> Row:
    """The configuration whose ``config_id`` starts so.

    Raises:
        ValueError: none does, or several.
    """
    found = [row for row in configurations(rows) if row["config_id"].startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(row["config_id"] for row in found[:4])
        raise ValueError(f"{len(found)} configurations start with {prefix!r}: {ids}, ...")
    raise ValueError(f"no configuration's config_id starts with {prefix!r}")


def best_under(rows: Sequence[Row], size_bytes: float) -> Row:
    """The best configuration whose packed file has at most ``size_bytes``; by retention, or where
    no row has any, by GMI.

    Raises:
        ValueError: none is as small; says how small the smallest is.
    """
    quality = quality_column(rows)
    candidates = finished(rows)
    small = [row for row in candidates if number(row, "size_bytes") <= size_bytes]
    if not small:
        least = min((number(row, "size_bytes") for row in candidates), default=float("nan"))
        raise ValueError(f"no file has at most {size_bytes:,.0f} bytes; the smallest {least:,.0f}")
    return max(small, key=lambda row: (number(row, quality), -number(row, "size_bytes")))


def smallest_within(rows: Sequence[Row], loss: float) -> Row:
    """The smallest file that keeps ``1 - loss`` of the teacher on every task.

    Raises:
        ValueError: none does; says how much the best one keeps.
    """
    candidates = finished(rows)
    teacher = reference(rows, "teacher")
    good = [row for row in candidates if keeps(row, teacher, loss)]
    if not good:
        best = max((number(row, "retention") for row in candidates), default=float("nan"))
        raise ValueError(
            f"no configuration keeps {1 - loss:.1%} of the teacher on every task; the best keeps "
            f"{best:.1%} of the worst one"
        )
    return min(good, key=lambda row: number(row, "size_bytes"))


def keeps(row: Row, teacher: Row | None, loss: float) -> bool:
    """Whether a configuration keeps ``1 - loss`` of the teacher on every task.

    The lower 95 % bound of its retention says so, and for what is measured in dB a share of .01 is
    .2 dB: of SNR at the teacher's bit error rate, and of the channel estimate's error.
    """
    most_db = DB_PER_SHARE * loss
    lower = number(row, "retention") - number(row, "retention_ci95")
    nmse_db = number(row, "channel_nmse_db") - number(teacher or {}, "channel_nmse_db")
    return lower >= 1.0 - loss and number(row, "snr_loss_db") <= most_db and nmse_db <= most_db


def ber_loss(row: Row, teacher: Row) -> float:
    """By what share bit errors grow, of the constellation where they grow most; 0.1 is 10 %.

    A constellation without an error in the teacher's frames counts where it has any here.
    """
    names = [name for name in teacher if name.startswith("ber_") and not name.endswith("_ci95")]
    worst = -1.0
    for name in names:
        before, now = number(teacher, name), number(row, name)
        if before > 0.0:
            worst = max(worst, now / before - 1.0)
        elif now > 0.0:
            worst = float("inf")
    return worst


def finished(rows: Iterable[Row]) -> list[Row]:
    """Configurations that came to their end and have scores."""
    return [row for row in configurations(rows) if not diverged(row) and not dropped(row)]
