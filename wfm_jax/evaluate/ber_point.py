"""One point of an error-rate curve: batches of frames until enough are wrong, then a row."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate import frame_sums
from wfm_jax.evaluate.ber_study import Point, StopRule, Study
from wfm_jax.evaluate.detection import FrameCounts, Step
from wfm_jax.evaluate.frame_sums import FrameSums
from wfm_jax.evaluate.genie_theory import Rates
from wfm_jax.results.ber_rows import Row, complete_row
from wfm_jax.results.identity import digest
from wfm_jax.signal.link import LinkConfig

GENIE = "genie"
COLUMNS = ("bit_errors", "symbol_errors", "frame_errors", "gmi", "channel_error", "channel_power",
           "predicted_error")  # fmt: skip
"""Columns of the sums over frames."""
_FEWEST = 10  # wrong frames for a standard error to mean anything


def measure_point(
    step: Step,
    point: Point,
    study: Study,
    active: Sequence[str],
    *,
    between: Callable[[str], None] = lambda note: None,
) -> dict[str, FrameSums]:
    """Simulates frames until the stop rule lets every active receiver go.

    Args:
        step: compiled or not.
        point: where.
        study: its stop rule and seed.
        active: names of receivers in the step's answer.
        between: called after each batch with a line on how far it is; what it raises ends it.

    Returns:
        sums over the frames, the same for all receivers, by receiver; columns ``COLUMNS``.
    """
    stream = int(digest([point.scenario, point.bits_per_symbol, point.snr_db])[:7], 16)
    key = jax.random.fold_in(jax.random.key(study.seed), stream)
    snr_db, modulation = jnp.float32(point.snr_db), jnp.int32(point.modulation)
    sums = {name: frame_sums.no_frames(len(COLUMNS)) for name in active}
    batch = 0
    while not all(status(study.stop, sums[name]) for name in active):
        counts = step(jax.random.fold_in(key, batch), snr_db, modulation)
        values = {name: frame_values(counts[name]) for name in active}
        rng = np.random.default_rng([study.seed, stream, batch])
        weights = frame_sums.draw_weights(len(values[active[0]]), rng)
        sums = {name: frame_sums.add_frames(sums[name], values[name], weights) for name in active}
        batch += 1
        wrong = min(total(sums[name], "frame_errors") for name in active)
        between(f"{point}: {wrong:.0f} of {sums[active[0]].n_frames} frames wrong")
    return sums


def frame_values(counts: FrameCounts) -> np.ndarray:
    """Counts of a batch as float64[n_frames, len(COLUMNS)]."""
    c = FrameCounts(*(np.asarray(x, np.float64) for x in counts))
    columns = (c.bit_errors, c.symbol_errors, c.bit_errors > 0, c.gmi, c.channel_error,
               c.channel_power, c.predicted_error)  # fmt: skip
    return np.stack(columns, axis=1)


def total(sums: FrameSums, column: str) -> float:
    """A column summed over the frames."""
    return float(sums.sums[0, COLUMNS.index(column)])


def status(rule: StopRule, sums: FrameSums) -> str:
    """Why a receiver with these sums needs no more frames; empty where it does."""
    bits, frames = total(sums, "bit_errors"), total(sums, "frame_errors")
    return rule.status(bits, frames, sums.n_frames)


def point_row(
    study: Study, point: Point, receiver: str, sums: FrameSums, theory: Rates, wall_s: float
) -> Row:
    """A receiver's row, with all of ``wfm_jax.results.ber_rows.COLUMNS``.

    Args:
        study, point: what was measured.
        receiver: its name; the genie is compared with theory.
        sums: of :func:`measure_point`.
        theory: closed forms of this point, scalars.
        wall_s: run time.
    """
    config: LinkConfig = study.links[point.scenario]
    n_symbols = sums.n_frames * config.n_data
    n_bits = n_symbols * point.bits_per_symbol
    n_wrong = total(sums, "frame_errors")
    frames = frame_sums.share(n_wrong, sums.n_frames)
    bits = frame_sums.rate_of_errors(sums, 0, n_wrong, sums.n_frames / n_bits)
    symbols = frame_sums.rate_of_errors(sums, 1, n_wrong, sums.n_frames / n_symbols)
    gmi = frame_sums.mean(sums, 3)
    nmse = frame_sums.ratio_db(sums, 4, 5)
    measured = {"ber": bits, "ser": symbols, "gmi": gmi, "fer": frames, "channel_nmse_db": nmse}
    row: Row = {
        "scenario": point.scenario,
        "constellation": 2**point.bits_per_symbol,
        "receiver": receiver,
        "snr_db": point.snr_db,
        "ebn0_db": point.ebn0_db,
        "ebn0_charged_db": point.ebn0_charged_db,
        "frames": sums.n_frames,
        "bits": n_bits,
        "symbols": n_symbols,
        "bit_errors": int(total(sums, "bit_errors")),
        "symbol_errors": int(total(sums, "symbol_errors")),
        "frame_errors": int(n_wrong),
        "predicted_nmse_db": frame_sums.ratio_db(sums, 6, 5).value,
        "status": status(study.stop, sums),
        "ends_curve": int(study.stop.ends_curve(bits.value, n_wrong)),
        "wall_s": wall_s,
    }
    for name, estimate in measured.items():
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    for name, expected in theory._asdict().items():
        row[f"{name}_theory"] = float(expected)
        if receiver == GENIE and n_wrong >= _FEWEST and measured[name].error > 0.0:
            row[f"{name}_z"] = (measured[name].value - float(expected)) / measured[name].error
    return complete_row(row)
