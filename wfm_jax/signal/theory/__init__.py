"""Closed forms in float64 NumPy and SciPy: what the simulator is held against.

``error_rates`` (bit and symbol error rates of square QAM in white noise, Rayleigh and Rician
fading), ``information`` (what bitwise and symbolwise decoders can be told, in the same channels),
``fading`` (the laws of a Rician gain: envelope, power, autocorrelation), ``estimation`` (the error
of linear channel estimates from pilots). The receiver of the first two knows the channel and the
noise.

Every resource element of OFDM over a Rician tapped delay line with one LOS ray is flat Rician,
its K the LOS power over *all* scattered power. So the Rician forms hold for a receiver that knows
the channel, as long as the cyclic prefix holds the delays and the channel rests within a symbol.

Conventions:
    - SNRs and K are in dB, may have any shape, broadcast against each other; results are float64.
    - Error rates take Eb/N0 of uncoded bits, ``ebn0_db``; information takes Es/N0, ``esn0_db``, m
      times as large for m bits per symbol. In fading both are means: E|h|^2 = 1.
    - ``k_db`` = -inf is Rayleigh, +inf no fading; an SNR may be -inf or +inf too.
    - NaN is a ValueError that names the argument.
"""

from wfm_jax.signal.theory.error_rates import (
    ber_awgn,
    ber_rayleigh,
    ber_rician,
    ser_awgn,
    ser_rayleigh,
    ser_rician,
)
from wfm_jax.signal.theory.estimation import linear_error, lmmse_error, lmmse_weights, ls_error
from wfm_jax.signal.theory.fading import (
    envelope_cdf,
    rician_power_variance,
    tap_autocorrelation,
)
from wfm_jax.signal.theory.information import gmi_awgn, gmi_rician, mi_awgn, mi_rician

__all__ = [
    "ber_awgn",
    "ber_rayleigh",
    "ber_rician",
    "envelope_cdf",
    "gmi_awgn",
    "gmi_rician",
    "linear_error",
    "lmmse_error",
    "lmmse_weights",
    "ls_error",
    "mi_awgn",
    "mi_rician",
    "rician_power_variance",
    "ser_awgn",
    "ser_rayleigh",
    "ser_rician",
    "tap_autocorrelation",
]
