"""Streaming: one OFDM symbol at a time, at the cost of one symbol.

What :mod:`wfm_jax.model.block_causal` computes of a frame at once, in steps. Keys and values of the
pilots' tokens and of all symbols so far are kept; a new symbol computes those of its own tokens,
and attends to what is kept:

    stream, params = build_streaming(config, key)
    step = jax.jit(stream.step, donate_argnums=1)
    cache = stream.begin(params, pilots)
    for symbol in symbols:
        cache, outputs = step(params, cache, symbol)

The cache holds a whole frame from the start and is written in place, so that all steps are one
program.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from wfm_jax.model import block_causal
from wfm_jax.model.block_causal import Known, Pilots
from wfm_jax.model.config import ModelConfig
from wfm_jax.model.encoder import Reached
from wfm_jax.model.model import Params, WirelessModel
from wfm_jax.model.outputs import Outputs, equalise
from wfm_jax.model.points import At, Forward, unchanged
from wfm_jax.model.views import Inputs, Received
from wfm_jax.signal import mixed_qam, receivers


class KeysValues(NamedTuple):
    """``keys`` and ``values`` of one layer, [batch, (1 + n_symbols) * n_tokens, heads, head_dim]; 0
    where none is yet."""

    keys: jax.Array
    values: jax.Array


class Cache(NamedTuple):
    """What is kept between the symbols of a coherence block.

    Attributes:
        layers: by name, ``block_0``, of those with attention.
        known: what the pilots said.
        lines: complex64[batch, 2, n_subcarriers], the filtered pilots.
        evidence: float32[batch, N_DOUBTS, n_modulations], of the constellations so far.
        position: int32[], symbols so far, the same for the whole batch.
    """

    layers: dict[str, KeysValues]
    known: Known
    lines: jax.Array
    evidence: jax.Array
    position: jax.Array


class Begin(Protocol):
    """Reads the pilots of a coherence block."""

    def __call__(self, params: Params, pilots: Pilots, *, at: At | None = None) -> Cache:
        """The cache of a coherence block before its first symbol.

        Raises ValueError for pilots of another shape than the link's.
        """
        ...


class Step(Protocol):
    """Hears a symbol, and answers."""

    def __call__(
        self, params: Params, cache: Cache, symbol: jax.Array, *, at: At | None = None
    ) -> tuple[Cache, Outputs]:
        """Hears the next OFDM symbol.

        Args:
            params: the model's.
            cache: of ``begin`` or the step before; may be donated.
            symbol: complex64[batch, n_subcarriers], its elements in the units of the pilots.
            at: called at every point, as of :class:`wfm_jax.model.Forward`.

        Returns:
            The cache, and what is said at that symbol: channel and noise of one symbol, [batch, 1,
            n_subcarriers], in the units of the pilots; modulation and link state from all that was
            heard so far. Beyond the last symbol of a frame all of it is NaN.

        Raises:
            ValueError: a symbol of another shape than the link's and the cache's.
        """
        ...


class Streaming(NamedTuple):
    """A model as pure functions of its parameters: a frame at once, or in steps.

    Attributes:
        apply: the full pass over frames, :func:`wfm_jax.model.block_causal.full_pass`.
        begin: reads the pilots.
        step: hears a symbol.
    """

    apply: Forward
    begin: Begin
    step: Step


def build_streaming(
    config: ModelConfig, key: jax.Array, *, dtype: DTypeLike = jnp.float32
) -> tuple[Streaming, Params]:
    """Builds the block-causal model once.

    Names, shapes and initial values of the parameters are those of :func:`wfm_jax.model.build`:
    it may start as a trained model of more views, ``{name: trained[name] for name in params}``.

    Args:
        config: the architecture, of the views ``grid`` and ``csi``.
        key: typed PRNG key of the initial parameters.
        dtype: what the encoder's matrix products are computed in; keys and values are kept in it.

    Raises:
        ValueError: other views: they show the whole frame at once.
    """
    if set(config.views) != set(block_causal.VIEWS):
        raise ValueError(
            f"a streaming model reads the views {', '.join(block_causal.VIEWS)}, got views="
            f"{config.views}"
        )
    graph, state = nnx.split(WirelessModel(config, dtype=dtype, rngs=nnx.Rngs(params=key)))

    def of(params: Params) -> WirelessModel:
        return nnx.merge(graph, nnx.State(params))

    def apply(params: Params, inputs: Inputs, *, at: At | None = None) -> Outputs:
        return block_causal.full_pass(of(params), inputs, at or unchanged)

    def begin(params: Params, pilots: Pilots, *, at: At | None = None) -> Cache:
        return _begin(of(params), pilots, at or unchanged)

    def step(
        params: Params, cache: Cache, symbol: jax.Array, *, at: At | None = None
    ) -> tuple[Cache, Outputs]:
        return _step(of(params), cache, symbol, at or unchanged)

    return Streaming(apply, begin, step), nnx.to_pure_dict(state)


def prepare_pilots(
    config: ModelConfig, csi: jax.Array, modulation: jax.Array
) -> tuple[Pilots, Received]:
    """Gain control and timing alignment by the pilots alone.

    Args:
        config: the model.
        csi: complex64[batch, n_pilot_symbols, n_pilots_each], LS at the pilots as received.
        modulation: int32[batch], the modulation token; ``config.n_modulations`` is blind.

    Returns:
        The pilots, and what takes each symbol to their units: it is to be multiplied by ``gain``
        and ``ramp``.
    """
    gain = jax.lax.rsqrt(jnp.mean(jnp.square(jnp.abs(csi)), axis=(1, 2)) + 1e-30)
    nothing = jnp.zeros((csi.shape[0], 0, config.link.n_subcarriers), csi.dtype)
    aligned = receivers.align_timing(config.link, nothing, csi * gain[:, None, None])
    return Pilots(aligned.csi, modulation), Received(gain, aligned.ramp)


def symbol_llrs(
    config: ModelConfig, symbol: jax.Array, outputs: Outputs, modulation: jax.Array
) -> jax.Array:
    """LLRs of a symbol's elements behind the channel and noise that a step answered.

    Args:
        config: the model.
        symbol: complex64[batch, n_subcarriers], as heard by the step.
        outputs: the step's.
        modulation: int32[batch], the modulation to demap.

    Returns:
        float32[batch, n_subcarriers, m_max], ln P(1)/P(0); 0 in unused slots. Where the symbol
        carries pilots (``config.link.pilot_mask``) they say nothing.
    """
    symbols, noise = equalise(symbol, outputs.channel[:, 0], outputs.log_noise[:, 0])
    return mixed_qam.demap(symbols, noise, modulation, config.link.bits_per_symbol).llr


def _begin(model: WirelessModel, pilots: Pilots, at: At) -> Cache:
    config, batch = model.config, pilots.csi.shape[0]
    n_pilots = config.link.n_subcarriers // config.link.pilot_spacing
    _check_shape("pilots", pilots.csi, (batch, len(config.link.pilot_symbols), n_pilots))
    known = block_causal.listen(model, pilots, jnp.ones((batch, config.n_patches), bool))
    later = config.link.n_symbols * config.n_tokens
    layers = {}

    def keep(layer: int, keys: jax.Array, values: jax.Array) -> Reached:
        room = (jnp.pad(x, ((0, 0), (0, later), (0, 0), (0, 0))) for x in (keys, values))
        layers[f"block_{layer}"] = KeysValues(*room)
        return keys, values, None

    tokens = model.run_blocks(block_causal.first_tokens(model, known), at, keep)
    lines = model.filter_pilots(tokens[:, 1:], known.channel_ls, known.pilots)
    evidence = block_causal.no_evidence(config, batch)
    return Cache(layers, known, lines, evidence, jnp.zeros((), jnp.int32))


def _step(model: WirelessModel, cache: Cache, symbol: jax.Array, at: At) -> tuple[Cache, Outputs]:
    config, batch = model.config, cache.lines.shape[0]
    _check_shape("symbol", symbol, (batch, config.link.n_subcarriers))
    n_symbols, n = config.link.n_symbols, config.n_tokens
    symbols = jax.tree.map(
        lambda rows: jax.lax.dynamic_slice_in_dim(jnp.asarray(rows), cache.position, 1),
        block_causal.all_symbols(config),
    )
    elements = (symbol * cache.known.gain[:, None])[:, None]
    shown = jnp.ones((batch, config.n_patches), bool)
    x = block_causal.symbol_tokens(model, cache.known, symbols, elements, shown)
    start = (1 + cache.position) * n
    visible = (jnp.arange((1 + n_symbols) * n) < start + n)[None]
    layers = {}

    def keep(layer: int, keys: jax.Array, values: jax.Array) -> Reached:
        pairs = zip(cache.layers[f"block_{layer}"], (keys, values), strict=True)
        written = (jax.lax.dynamic_update_slice_in_dim(a, b, start, axis=1) for a, b in pairs)
        layers[f"block_{layer}"] = kept = KeysValues(*written)
        return kept.keys, kept.values, visible

    tokens = model.run_blocks(x[:, 0], at, keep)[:, None]
    heard, before = jnp.ones(batch, bool), cache.evidence
    outputs, evidence = block_causal.answer(
        model, cache.lines, symbols, tokens, elements, heard, before
    )
    outputs = block_causal.latest(block_causal.in_units_of(cache.known.gain, outputs))
    over = cache.position >= n_symbols
    outputs = jax.tree.map(lambda x: jnp.where(over, jnp.nan, x), outputs)
    return Cache(layers, cache.known, cache.lines, evidence, cache.position + 1), outputs


def _check_shape(name: str, x: jax.Array, shape: tuple[int, ...]) -> None:
    if x.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {x.shape}")
