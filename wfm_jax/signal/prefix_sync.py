"""Symbol timing and carrier offset from the cyclic prefix, without pilots.

J.-J. van de Beek, M. Sandell and P. O. Borjesson, "ML estimation of time and frequency offset in
OFDM systems", IEEE Trans. Signal Processing 45(7), 1997: with L samples of prefix before N,

    gamma(t) = sum_{k=t}^{t+L-1} r(k) r*(k+N),   Phi(t) = 1/2 sum (|r(k)|^2 + |r(k+N)|^2),
    start = argmax_t |gamma(t)| - rho Phi(t),    offset = -angle gamma(start) / (2 pi),

rho = SNR / (SNR + 1). Sums run over several symbols here, whose timing is then the same. Multipath
shifts the start towards the strongest path: a receiver's window should open some samples earlier.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.signal.checks import check_array


class PrefixSync(NamedTuple):
    """What the prefix tells.

    Attributes:
        start: int32[batch], first sample of the first prefix, below one symbol's length.
        carrier_offset: float32[batch], in subcarrier spacings, -1/2 to 1/2; whole spacings cannot
            be seen.
        coherence: float32[batch], |gamma| / Phi at the start, 0 to 1: SNR / (SNR + 1) of a flat
            channel; of noise alone about 1 / sqrt(samples of prefix).
    """

    start: jax.Array
    carrier_offset: jax.Array
    coherence: jax.Array


def synchronise(
    samples: jax.Array, fft_size: int, cp_samples: int, n_symbols: int, snr_db: float = 15.0
) -> PrefixSync:
    """Finds the symbols of samples that begin anywhere in one.

    Args:
        samples: complex64[batch, n], n at least that of ``n_symbols`` + 1 symbols.
        fft_size: N.
        cp_samples: L, at least 1.
        n_symbols: symbols that are summed over.
        snr_db: that rho is made for; the estimate hardly depends on it (ibid., section V).

    Raises:
        ValueError: no prefix, or too few samples.
    """
    symbol_samples = fft_size + cp_samples
    check_array("samples", samples, "batch", "n_samples")
    if cp_samples < 1 or n_symbols < 1:
        raise ValueError(
            f"cp_samples and n_symbols must be at least 1, got {cp_samples} and {n_symbols}"
        )
    if samples.shape[1] < (n_symbols + 1) * symbol_samples:
        raise ValueError(
            f"samples must be at least {n_symbols + 1} symbols of {symbol_samples}, "
            f"got {samples.shape[1]}"
        )
    early, late = samples[:, :-fft_size], samples[:, fft_size:]
    power = 0.5 * (jnp.square(jnp.abs(early)) + jnp.square(jnp.abs(late)))

    def over_prefixes(x: jax.Array) -> jax.Array:
        """Sums over the prefixes of all symbols, for every start."""
        x = x[:, : n_symbols * symbol_samples + cp_samples]
        x = jnp.pad(x, ((0, 0), (0, fft_size)))
        symbols = x.reshape(-1, n_symbols + 1, symbol_samples)
        here, next_one = jnp.sum(symbols[:, :-1], axis=1), jnp.sum(symbols[:, 1:], axis=1)
        total = jnp.concatenate([here, next_one[:, :cp_samples]], axis=1)
        summed = jnp.cumsum(jnp.pad(total, ((0, 0), (1, 0))), axis=1)
        return summed[:, cp_samples:][:, :symbol_samples] - summed[:, :symbol_samples]

    gamma, phi = over_prefixes(early * jnp.conj(late)), over_prefixes(power)
    rho = 1.0 / (1.0 + 10.0 ** (-snr_db / 10.0))
    start = jnp.argmax(jnp.abs(gamma) - rho * phi, axis=1)
    best, total = (jnp.take_along_axis(x, start[:, None], axis=1)[:, 0] for x in (gamma, phi))
    return PrefixSync(
        start=start.astype(jnp.int32),
        carrier_offset=-jnp.angle(best) / (2.0 * jnp.pi),
        coherence=jnp.abs(best) / jnp.maximum(total, 1e-30),
    )
