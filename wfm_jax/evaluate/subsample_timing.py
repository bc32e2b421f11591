"""Windows that start between samples, on links whose delays are on the sample grid.

Within a symbol and its prefix an OFDM signal is a sum of tones: a window a fraction of a sample
late receives what a whole-sample window would of symbols turned by that fraction, subcarrier by
subcarrier. That is exact with every subcarrier in use, where ``LinkConfig.fractional_timing`` is
not: its interpolation filter wants a guard band, and half of it comes before the window, which a
short prefix has no room for.
"""

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import channel, link, mixed_qam, ofdm


def transmit_between_samples(
    config: link.LinkConfig, draw: link.Draw, *, key: jax.Array
) -> link.Frame:
    """:func:`wfm_jax.signal.link.transmit` with timing offsets of any fraction.

    At whole offsets the frames are those of ``transmit`` with the same key.

    Args:
        config: the link; its ``max_timing_offset`` holds all offsets.
        draw: the links.
        key: typed PRNG key of bits, fading and noise.

    Raises:
        ValueError: links with a carrier offset.
    """
    if draw.carrier_offset_hz is not None:
        raise ValueError("carrier_offset_hz must be None where windows start between samples")
    whole = jnp.ceil(draw.timing_offset)
    late = whole - draw.timing_offset
    draw = draw._replace(timing_offset=whole)
    frame = link.transmit(config, draw, key=key)

    turns = (np.arange(config.n_subcarriers) - config.n_subcarriers // 2) / config.n_fft
    ramp = jnp.exp(2j * jnp.pi * late[:, None] * turns.astype(np.float32))[:, None, :]
    symbols = mixed_qam.modulate(frame.bits, draw.modulation, config.bits_per_symbol)
    sent = ofdm.place(symbols, config.pilots, config.pilot_mask)
    change = ofdm.to_time(sent * (ramp - 1.0), config.cp_samples, config.n_fft)
    taps = link.draw_taps(config, draw, key=jax.random.split(key, 3)[1])  # as transmit draws them
    iq = frame.iq + channel.apply_taps(change, taps)
    grid = ofdm.to_grid(iq, config.n_symbols, config.cp_samples, config.n_subcarriers)
    return frame._replace(
        iq=iq,
        grid=grid,
        csi=link.ls_at_pilots(config, grid),
        spectrogram=link.spectrogram(iq, config.n_fft, config.n_subcarriers),
        channel=frame.channel * ramp,
    )
