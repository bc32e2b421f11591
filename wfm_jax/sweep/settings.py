"""How a sweep runs, whatever it is asked for."""

import dataclasses
from typing import Literal

from wfm_jax.sweep.halving import Halving
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.strategy import Strategy
from wfm_jax.train.unlabelled import Unlabelled


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """How a sweep runs.

    Attributes:
        batch_size: frames a step of the wireless model, shared by all configurations of a seed; a
            problem of one's own draws as many examples as it does.
        chunk_steps: steps between two looks from the host, compiled into the program.
        max_width: configurations that train together at most.
        strategy: of the config axis: ``map`` (one configuration after the other), ``vmap`` (all of
            a device at once), so many at a time, or ``auto``: ``map`` on a CPU, else as many at a
            time as memory holds.
        autotune: whether ``auto`` may be overruled by what a few timed chunks say.
        n_devices: that configurations are spread over; all there are if None.
        weights: of the wireless model's tasks in the loss.
        save_every_s: seconds between checkpoints.
        unlabelled: frames that the teacher alone labels, on top of the batch; None for no such.
        halving: drops configurations on the way that others leave behind; None for none.
    """

    batch_size: int = 32
    chunk_steps: int = 25
    max_width: int = 64
    strategy: Strategy | Literal["auto"] = "auto"
    autotune: bool = False
    n_devices: int | None = None
    weights: TaskWeights = TaskWeights()
    save_every_s: float = 60.0
    unlabelled: Unlabelled | None = None
    halving: Halving | None = None
