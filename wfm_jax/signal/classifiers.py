"""Blind classification of a frame's modulation: by likelihood and by cumulants.

The **likelihood** of a constellation averages over all its points, element by element (ALRT; Wei
and Mendel, IEEE Trans. Commun. 48(2), 2000):

    ln p(frame | M) = sum_n ln (1/M) sum_s exp(-|y_n - h_n s|^2 / n0_n) + constant.

With the true channel it is the ceiling of blind classification, behind an estimate (its error added
to n0) the fair baseline.

**Cumulants** of fourth order (Swami and Sadler, IEEE Trans. Commun. 48(3), 2000) are cheap:

    C40 = E s^4 - 3 (E s^2)^2,    C42 = E|s|^4 - |E s^2|^2 - 2 (E|s|^2)^2,    over (E|s|^2)^2.

Square QAM of 4, 16, 64, 256 points has C40 = C42 = -1, -0.68, -0.6190, -0.6047: the last two are
closer together than a frame's worth of symbols can tell.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import link, mixed_qam, qam, receivers


def modulation_log_likelihood(
    config: link.LinkConfig, grid: jax.Array, estimate: receivers.ChannelEstimate, n0: jax.Array
) -> jax.Array:
    """ln p(frame | modulation) up to a constant; its argmax is the decision.

    Args:
        config: the link.
        grid: complex64[batch, n_symbols, n_subcarriers], aligned like the estimate.
        estimate: channel and error variance.
        n0: float32[batch].

    Returns:
        float32[batch, n_modulations].
    """
    symbols, noise = receivers.equalise(config, grid, estimate, n0)
    return mixed_qam.log_evidence(symbols, noise, config.bits_per_symbol).sum(axis=1)


class Cumulants(NamedTuple):
    """``c40`` complex64[...] and ``c42`` float32[...], over the squared signal power."""

    c40: jax.Array
    c42: jax.Array


def cumulants(symbols: jax.Array, noise: jax.Array) -> Cumulants:
    """Sample cumulants of symbols in circular Gaussian noise of known, unequal variances.

    The noise leaves s^4 and s^2 alone; from the others it is taken out element by element,

        E|s|^2 = E[|r|^2 - v],    E|s|^4 = E[|r|^4 - 4 v |r|^2 + 2 v^2],    r = s + CN(0, v),

    without bias. Elements are weighted by (1 + v)^-4, about the inverse variance of what is
    averaged, or those in a fade would drown the rest.

    Args:
        symbols: complex64[..., n], equalised, of about unit power.
        noise: float32[..., n], their noise variances.
    """
    weight = (1.0 + noise) ** -4
    weight = weight / jnp.sum(weight, axis=-1, keepdims=True)

    def mean(x: jax.Array) -> jax.Array:
        return jnp.sum(weight * x, axis=-1)

    energy = jnp.square(jnp.abs(symbols))
    squares = jnp.square(symbols)
    power = jnp.maximum(mean(energy - noise), 0.1)
    fourth = mean(jnp.square(energy) - 4.0 * noise * energy + 2.0 * jnp.square(noise))
    second = mean(squares)
    c40 = mean(jnp.square(squares)) - 3.0 * jnp.square(second)
    c42 = fourth - jnp.square(jnp.abs(second)) - 2.0 * jnp.square(power)
    return Cumulants(c40 / jnp.square(power), c42 / jnp.square(power))


def theoretical_cumulant(bits_per_symbol: int) -> float:
    """C40 = C42 of a constellation of unit energy whose points are equally likely.

    Raises:
        ValueError: unsupported ``bits_per_symbol``.
    """
    levels = qam.axis_levels(bits_per_symbol)[0].astype(np.float64)
    levels = levels / np.sqrt(2.0 * np.mean(levels**2))
    # Of independent axes E s^2 = 0 and E s^4 = 2 E a^4 - 6 (E a^2)^2, with E a^2 = 1/2.
    return float(2.0 * np.mean(levels**4) - 1.5)


def classify_by_cumulants(
    config: link.LinkConfig, grid: jax.Array, estimate: receivers.ChannelEstimate, n0: jax.Array
) -> jax.Array:
    """The constellation whose cumulants are nearest to Re C40 and C42 of the equalised symbols.

    Args:
        config: the link.
        grid: complex64[batch, n_symbols, n_subcarriers], aligned like the estimate.
        estimate: channel and error variance.
        n0: float32[batch].

    Returns:
        int32[batch], index into ``LinkConfig.bits_per_symbol``.
    """
    sample = cumulants(*receivers.equalise(config, grid, estimate, n0))
    theory = np.asarray([theoretical_cumulant(m) for m in config.bits_per_symbol], np.float32)
    middle = 0.5 * (sample.c40.real + sample.c42)
    return jnp.argmin(jnp.abs(middle[:, None] - theory), axis=-1).astype(jnp.int32)
