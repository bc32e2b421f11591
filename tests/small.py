"""What many tests share: a link so small that its frames take milliseconds, one of another size in
everything, and odd parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import link, ofdm
from wfm_jax.signal.factory import FactoryHall
from wfm_jax.signal.link import LinkConfig

LINK = LinkConfig(
    n_symbols=4,
    n_subcarriers=16,
    sample_rate_hz=10e6,
    cp_samples=8,
    scenario=FactoryHall(n_rays=5, ray_spacing_s=100e-9),
    pilot_symbols=(0, 2),
    max_timing_offset=3,
    n_sinusoids=2,
)

# Of 1,176 samples: no multiple of a segment's 16.
NR_LIKE = LinkConfig(
    n_symbols=14,
    n_subcarriers=48,
    sample_rate_hz=1.92e6,
    cp_samples=20,
    fft_size=64,
    scenario=FactoryHall(n_rays=5, ray_spacing_s=100e-9),
    pilot_symbols=(11, 2),
    pilot_spacing=4,
    max_timing_offset=3,
    n_sinusoids=2,
)


def received(config, batch_size, *, seed):
    """Frames of white noise, within a second: four views of the same samples, and no labels."""

    @jax.jit
    def views(iq):
        grid = ofdm.to_grid(iq, config.n_symbols, config.cp_samples, config.n_subcarriers)
        spectrogram = link.spectrogram(iq, config.n_fft, config.n_subcarriers)
        csi = link.ls_at_pilots(config, grid)
        return {"iq": iq, "grid": grid, "csi": csi, "spectrogram": spectrogram}

    rng = np.random.default_rng(seed)
    shape = (batch_size, config.n_samples)
    iq = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    return link.Frame(**dict.fromkeys(link.Frame._fields) | views(iq))


def moved(params, amount):
    """The parameters, all away from their start: biases and zeros too."""
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    return treedef.unflatten(
        [jnp.asarray(w + amount * rng.normal(size=w.shape), jnp.float32) for w in leaves]
    )
