"""Channel estimators of classical receivers by name."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.detection import Estimates, Estimator
from wfm_jax.signal import link, receivers
from wfm_jax.signal.data_aided import estimate_data_aided

RECEIVERS = ("genie", "lmmse", "lmmse_true", "ls", "data_aided")
OVER_TIME = ("average", "interpolate")


def classical_estimators(
    config: link.LinkConfig,
    names: Sequence[str],
    *,
    key: jax.Array,
    over_time: str = "average",
) -> dict[str, Estimator]:
    """The estimators asked for, in the order asked for.

    Args:
        config: the link they are made for.
        names: of ``RECEIVERS``: ``genie`` knows the channel, ``lmmse`` the ensemble's covariance,
            ``lmmse_true`` the frame's own, ``ls`` interpolates linearly and takes the ensemble's
            only to predict its error, ``data_aided`` iterates from ``lmmse`` over all elements.
        key: of the frames that the ensemble's covariance is taken from.
        over_time: what is done with the pilots of different OFDM symbols: "average" is right for a
            channel that stands still, "interpolate" for one that moves.

    Raises:
        ValueError: an unknown name or ``over_time``.
    """
    for name in names:
        if name not in RECEIVERS:
            raise ValueError(f"receivers are {', '.join(RECEIVERS)}, got {name!r}")
    if over_time not in OVER_TIME:
        raise ValueError(f"over_time must be one of {', '.join(OVER_TIME)}, got {over_time!r}")
    weights = (
        receivers.average_over_time(config)
        if over_time == "average"
        else receivers.interpolate_over_time(config)
    )
    covariance = jnp.zeros((config.n_subcarriers,) * 2, jnp.complex64)
    if {"lmmse", "ls", "data_aided"} & set(names):
        covariance = jax.jit(lambda key: receivers.ensemble_covariance(config, key=key))(key)

    def genie(config, received):
        return _both(receivers.estimate_genie(received.frame, received.aligned.ramp))

    def lmmse_true(config, received):
        true = receivers.true_covariance(config, received.draw, received.aligned.ramp)
        csi, n0 = received.aligned.csi, received.frame.n0
        return _both(receivers.estimate_lmmse(config, csi, n0, true, weights))

    def lmmse(config, received):
        csi, n0 = received.aligned.csi, received.frame.n0
        return _both(receivers.estimate_lmmse(config, csi, n0, covariance, weights))

    def ls(config, received):
        csi, n0 = received.aligned.csi, received.frame.n0
        return _both(receivers.estimate_ls(config, csi, n0, covariance, weights))

    def data_aided(config, received):
        frame, grid = received.frame, received.aligned.grid
        return Estimates(*estimate_data_aided(config, grid, frame.n0, covariance, frame.modulation))

    known = {
        "genie": genie,
        "lmmse_true": lmmse_true,
        "lmmse": lmmse,
        "ls": ls,
        "data_aided": data_aided,
    }
    return {name: known[name] for name in names}


def _both(estimate: receivers.ChannelEstimate) -> Estimates:
    return Estimates(estimate, estimate)
