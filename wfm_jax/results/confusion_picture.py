"""The picture of which modulation is taken for which."""

import os
from collections.abc import Sequence

import numpy as np

from wfm_jax.results.evaluation_rows import constellations, select, snrs_db, values
from wfm_jax.results.receiver_looks import finish, new_figure
from wfm_jax.results.rows import Row

WANTED_DB = (10.0, 15.0, 20.0)
_ROWS = {"model": "model", "lmmse": "likelihood behind LMMSE"}


def confusion_picture(found: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws confusion matrices of the model and of the likelihood classifier, a column an SNR: of
    10, 15 and 20 dB those that were measured, else up to three that were.

    Args:
        found: rows of ``evaluation_rows.COLUMNS``, ``decided_4`` and the like among them.
        path: of the PNG.
    """
    levels, orders = shown_snrs(snrs_db(found)), constellations(found)
    figure = new_figure(3.0 * len(levels) + 0.8, 3.1 * len(_ROWS) + 0.7)
    panels = figure.subplots(len(_ROWS), len(levels), squeeze=False)
    names = [f"{2**m}" for m in orders]
    for line, (receiver, label) in zip(panels, _ROWS.items(), strict=True):
        for axes, snr_db in zip(line, levels, strict=True):
            shares = 100.0 * confusion_shares(found, receiver, snr_db)
            axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=100.0)
            for (i, j), share in np.ndenumerate(shares):
                axes.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=10,
                          color="white" if share > 60.0 else "0.1")  # fmt: skip
            axes.set_xticks(range(len(orders)), names)
            axes.set_yticks(range(len(orders)), names)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set_title(f"{label}, {snr_db:g} dB", fontsize=10)
            axes.set_xlabel("decided (QAM points)" if receiver == "lmmse" else "")
            axes.set_ylabel("sent (QAM points)" if snr_db == levels[0] else "")
    finish(figure, path, note="per cent of the frames of each modulation")


def confusion_shares(found: Sequence[Row], receiver: str, snr_db: float) -> np.ndarray:
    """Share of each constellation's frames (row) that were taken for each (column)."""
    orders = constellations(found)
    return np.array(
        [
            [
                values(select(found, receiver, f"decided_{2**m}", bits_per_symbol=sent), [snr_db])[
                    0
                ]
                for m in orders
            ]
            for sent in orders
        ]
    )


def shown_snrs(levels: Sequence[float]) -> list[float]:
    """Of the SNRs that were measured those that are shown."""
    wanted = [snr_db for snr_db in WANTED_DB if snr_db in levels]
    if wanted:
        return wanted
    at = np.unique(np.linspace(0, len(levels) - 1, min(3, len(levels))).round().astype(int))
    return [levels[i] for i in at]
