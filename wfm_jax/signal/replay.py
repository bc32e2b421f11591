"""Replay of given impulse responses, such as measured ones: each link draws one of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import profiles
from wfm_jax.signal.propagation import Propagation, moving
from wfm_jax.signal.words import random_index


@dataclasses.dataclass(frozen=True)
class Replay:
    """Impulse responses to draw from, normalised by their mean energy: weak ones stay weak.

    Make one with :meth:`of`; the fields are tuples so that a link stays hashable. A replayed
    response stands still and does not fade: its K is unknown (NaN). Its common phase is random.

    Attributes:
        delays_s: delay of each tap, shared by the responses.
        real, imag: amplitudes of the taps of each response.
    """

    delays_s: tuple[float, ...]
    real: tuple[tuple[float, ...], ...]
    imag: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, taps: np.ndarray, delays_s: np.ndarray) -> "Replay":
        """From arrays.

        Args:
            taps: complex[n_responses, n_taps], or [n_taps] for a single response.
            delays_s: float[n_taps], not negative.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, responses without
                energy, negative delays.
        """
        taps = np.atleast_2d(np.asarray(taps, np.complex128))
        delays = np.asarray(delays_s, np.float64)
        profiles.check_delays(delays)
        if taps.ndim != 2 or not len(taps) or taps.shape[1] != delays.size:
            raise ValueError(
                f"taps must be [n_responses, {delays.size}], one per delay, got shape {taps.shape}"
            )

        def rows(x: np.ndarray) -> tuple[tuple[float, ...], ...]:
            return tuple(tuple(row) for row in x.tolist())

        return cls(tuple(delays.tolist()), rows(np.real(taps)), rows(np.imag(taps)))

    def __post_init__(self):
        profiles.check_delays(np.asarray(self.delays_s, np.float64))
        if not self.real or len(self.real) != len(self.imag):
            raise ValueError(
                f"real and imag must be as many responses, got {len(self.real)}, {len(self.imag)}"
            )
        if {len(row) for row in self.real + self.imag} != {len(self.delays_s)}:
            raise ValueError(f"real and imag must have {len(self.delays_s)} taps, one per delay")
        energy = np.sum(np.square(self.real) + np.square(self.imag), axis=1)
        if not np.all(np.isfinite(energy) & (energy > 0.0)):
            raise ValueError("taps must be finite, and no response may be all zero")

    @property
    def responses(self) -> np.ndarray:
        """complex128[n_responses, n_taps], as given."""
        return np.asarray(self.real) + 1j * np.asarray(self.imag)

    @property
    def longest_delay_s(self) -> float:
        return max(self.delays_s)

    @property
    def delay_grid_s(self) -> float | None:
        """The spacing of equally spaced taps from zero on; inf where all arrives at once."""
        delays = np.asarray(self.delays_s)
        if delays.max() == 0.0:
            return np.inf
        spacing = delays[1:2]  # of a single late tap there is none
        regular = np.allclose(delays, spacing * np.arange(delays.size), rtol=1e-6, atol=0.0)
        return float(spacing[0]) if spacing.size and regular else None

    def draw(self, *, key: jax.Array, batch_size: int) -> Propagation:
        """Draws one of the responses, with equal probability, for each of ``batch_size`` links."""
        key_which, key_motion = jax.random.split(key)
        responses = self.responses
        scaled = responses / np.sqrt(np.mean(np.sum(np.square(np.abs(responses)), axis=1)))
        which = random_index(key_which, (batch_size,), len(scaled))
        n_taps = len(self.delays_s)
        profile = profiles.Profile(
            delays_s=jnp.broadcast_to(
                jnp.asarray(self.delays_s, jnp.float32), (batch_size, n_taps)
            ),
            scattered=jnp.full((batch_size, n_taps), 1.0 / n_taps, jnp.float32),
            specular=jnp.asarray(scaled, jnp.complex64)[which],
            k_linear=jnp.full((batch_size,), jnp.inf, jnp.float32),
        )
        return moving(profile, key=key_motion, speed_range_m_s=(0.0, 0.0), carrier_hz=1.0)
