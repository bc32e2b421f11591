"""Statuses of sweeps that are not there."""

from wfm_jax.results.standing import Best, Diverged, Standing
from wfm_jax.results.status import FINISHED, TRAINING, Board, Part, Status

BEST = Best("P-Q-KD 4b/75%", "0123456789ab", 90_100.0, 8.5, 0.901, 0.012, True)


def running(n_waiting=0, n_diverged=1):
    """One cohort is finished, one trains, others wait."""
    parts = [
        Part("same", 0, 1, 51, 51, FINISHED),
        Part("smaller", 0, 1, 51, 0, TRAINING, 1, 75, 200, 51 * 125.0, 51.0),
    ]
    parts += [Part("smaller", 1 + i, 1, 51, train_left=1.0) for i in range(n_waiting)]
    lost = tuple(Diverged(f"P-FT {50 + i}%", f"{i:012x}", 57 + i) for i in range(n_diverged))
    standing = Standing(51, 0, BEST, lost)
    board = Board(51 * len(parts), tuple(parts), standing, {"train": 0.02, "finish": 0.3})
    note = "smaller: 51 in training, step 75 of 200"
    return Status("sweep", 36.0, 102, note, 420.0, board, began=0.0, told=100.0)
