"""A model as what a receiver calls: named arrays of a received frame in, named answers out.

What every exported form of a model is held against, and what they are made of. It does the model's
preprocessing, asks it, and demaps the data bits; what comes out is in units of the frame that came
in, not of the aligned, unit-rms frame that the network sees.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.export.ports import Port
from wfm_jax.export.receiver_ports import input_ports, output_ports
from wfm_jax.model import ModelConfig, Outputs, bit_llrs, prepare
from wfm_jax.model.views import Received
from wfm_jax.signal.link import Frame

Arrays = Mapping[str, jax.Array]


class Receiver(NamedTuple):
    """A receiver as a pure function.

    Attributes:
        inputs: the arrays it reads: the views it is given, then ``modulation``.
        outputs: the arrays it answers with.
        receive: ``receive(params, arrays) -> answers``, both by the names of the ports. ``params``
            are what the model's forward pass sees.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    receive: Callable[[Any, Arrays], dict[str, jax.Array]]


def make_receiver(
    config: ModelConfig,
    apply: Callable[[Any, Any], Outputs],
    *,
    views: Sequence[str] | None = None,
) -> Receiver:
    """The receiver that a model is.

    The model is told the modulation, or told nothing (``modulation`` is then
    ``config.n_modulations``), frame by frame. The bits of a frame that it is told nothing of are
    those of the constellation with the largest logit: ``llr_modulation`` says whose LLRs these are.
    A receiver that learns the modulation by asking blindly first may ask once more with it.

    Args:
        config: the model.
        apply: its forward pass; from :func:`wfm_jax.model.with_activations` for parameters that
            come with ranges of activations.
        views: those that a frame comes with; default all that the model reads.

    Raises:
        ValueError: views that the model does not read, or none.
    """
    given = config.views if views is None else tuple(views)
    unknown = sorted(set(given) - set(config.views))
    if unknown or not given or len(set(given)) < len(given):
        raise ValueError(f"views must be distinct and of {config.views}, got {given}")
    blind = config.n_modulations

    def receive(params: Any, arrays: Arrays) -> dict[str, jax.Array]:
        views = {name: arrays[name] for name in given}
        frame = Frame(**(dict.fromkeys(Frame._fields) | views))  # type: ignore
        told = arrays["modulation"]
        inputs, units = prepare(config, frame, told)
        outputs = apply(params, inputs)
        decided = jnp.argmax(outputs.modulation, axis=-1).astype(jnp.int32)
        modulation = jnp.where(told == blind, decided, told)
        return {
            "channel": _channel_of_frame(outputs.channel, units),
            "noise_variance": jnp.exp(outputs.log_noise) / jnp.square(units.gain)[:, None, None],
            "llr": bit_llrs(config.link, inputs, outputs, modulation),
            "llr_modulation": modulation,
            "modulation_logits": outputs.modulation,
            "k_db": outputs.k_db,
            "snr_db": outputs.snr_db,
            "los_logit": outputs.los,
            "delay_spread_s": outputs.delay_spread_s,
            "doppler_hz": outputs.doppler_hz,
        }

    return Receiver(input_ports(config, given), output_ports(config), receive)


def _channel_of_frame(channel: jax.Array, units: Received) -> jax.Array:
    """A channel of the aligned, unit-rms frame as that of the frame; the ramp is of magnitude 1."""
    return channel * (jnp.conj(units.ramp) / units.gain[:, None])[:, None, :]
