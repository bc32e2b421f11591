"""What a compression is calibrated on: frames of other distributions than the model will see.

A source is a link and how many different frames are drawn of it. Frames of all sources come in the
same number, the few ones repeated (a histogram of copies is a histogram of the originals), so that
one program observes all sources of a grid. White noise is a link, too: one at -60 dB, for a
receiver's gain control scales whatever comes to unit power.

That ranges of activations depend on the data they are calibrated on, and how many they need:
Wu et al., "Integer quantization for deep learning inference", 2020 (arXiv 2004.09602); for weights,
Williams & Aletras, "On the impact of calibration data in post-training quantization and pruning",
2024 (arXiv 2311.09755).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate.cost import is_prunable
from wfm_jax.model import (
    Inputs,
    ModelConfig,
    Ranges,
    activation_points,
    build,
    observe_activations,
    observe_nothing_at,
    quantizing_dynamically,
    to_batch,
)
from wfm_jax.signal import link, unseen
from wfm_jax.signal.factory import FactoryHall

MATCHED = "matched"
N_BATCHES, BATCH = 8, 64
ALL_FRAMES = N_BATCHES * BATCH
FEW = tuple(n for n in range(1, BATCH + 1) if BATCH % n == 0)
CALIBRATION_STREAM = 0xCA1B
NOISE_SNR_DB = -60.0
TABLE_BITS = 8.0


class Source(NamedTuple):
    """Where calibration frames come from; static.

    Attributes:
        words: for people.
        link: the link.
        modulation: that of all frames, an index into ``link.bits_per_symbol``; None: drawn.
        n_frames: how many different ones: :data:`ALL_FRAMES`, or of :data:`FEW`.
    """

    words: str
    link: link.LinkConfig
    modulation: int | None = None
    n_frames: int = ALL_FRAMES


def standard_sources(base: link.LinkConfig) -> dict[str, Source]:
    """By name, matched frames first.

    Args:
        base: the link that the model is tested on.

    Raises:
        ValueError: a scenario without a range of K to narrow.
    """
    hall = base.scenario
    if not isinstance(hall, FactoryHall):
        raise ValueError(f"calibration needs a link in a FactoryHall, got {type(hall).__name__}")
    low, high = hall.k_db_range
    top = high - 0.25 * (high - low)

    def at(snr_db: float) -> link.LinkConfig:
        return dataclasses.replace(base, snr_db_range=(snr_db, snr_db))

    def within(**fields: Any) -> link.LinkConfig:
        return dataclasses.replace(base, scenario=dataclasses.replace(hall, **fields))

    return {
        MATCHED: Source("matched frames", base),
        "frames_8": Source("8 matched frames", base, n_frames=8),
        "frames_1": Source("1 matched frame", base, n_frames=1),
        "snr_0": Source("SNR 0 dB only", at(0.0)),
        "snr_30": Source("SNR 30 dB only", at(30.0)),
        "rayleigh": Source("Rayleigh only", within(rayleigh_fraction=1.0)),
        "high_k": Source(
            f"K {top:g}-{high:g} dB only",
            within(k_db_range=(top, high), rayleigh_fraction=0.0),
        ),
        "constellation": Source(f"{2 ** base.bits_per_symbol[0]}-QAM only", base, modulation=0),
        "nuremberg": Source("another hall, grid", unseen.unseen_link("nuremberg", base)),
        "noise": Source("white noise", at(NOISE_SNR_DB)),
    }


def reader(config: ModelConfig, source: Source) -> ModelConfig:
    """The model that reads a source's frames: the same for all of one grid, parameters of any."""
    base = config.link
    alike = dataclasses.replace(source.link, scenario=base.scenario, snr_db_range=base.snr_db_range)
    return config if alike == base else dataclasses.replace(config, link=source.link)


@functools.partial(jax.jit, static_argnums=(0, 1))
def calibration_inputs(config: ModelConfig, source: Source, key: jax.Array) -> Inputs:
    """What a model reads of a source, the modulation told in every second frame.

    Args:
        config: the model, static; its own link is not read but the source's.
        source: static.
        key: typed key.

    Returns:
        leaves [N_BATCHES, BATCH, ...].
    """
    config = dataclasses.replace(config, link=source.link)
    key_draw, key_send, key_blind = jax.random.split(key, 3)
    draw = link.draw_links(source.link, key=key_draw, batch_size=source.n_frames)
    if source.modulation is not None:
        draw = draw._replace(modulation=jnp.full_like(draw.modulation, source.modulation))
    frame = link.transmit(source.link, draw, key=key_send)
    at = jnp.arange(ALL_FRAMES) % source.n_frames
    many = jax.tree.map(lambda x: x[at], frame)
    blind = jax.random.bernoulli(key_blind, 0.5, (ALL_FRAMES,))
    inputs = to_batch(config, many, blind).inputs
    return jax.tree.map(lambda x: x.reshape(N_BATCHES, BATCH, *x.shape[1:]), inputs)


RULES: dict[str, Callable[[compress.Observed, jax.Array], compress.ActivationRange]] = {
    "min_max": lambda seen, _: compress.min_max_range(seen),
    "percentile": lambda seen, _: compress.percentile_range(seen),
    "mse": lambda seen, bits: compress.mse_range(seen, bits),
    "entropy": lambda seen, bits: compress.entropy_range(seen, bits),
}
"""How ranges follow from what was observed, bits traced."""


@functools.cache
def make_ranges(config: ModelConfig) -> Callable[[Any, jax.Array, Inputs], dict[str, Ranges]]:
    """A compiled ``ranges(params, act_bits, inputs) -> {rule: ranges}``.

    As a sweep calibrates: a point observes what comes from points quantized before it.

    Args:
        config: the model, of the grid of the inputs.
    """
    apply, points = build(config, jax.random.key(0))[0], activation_points(config)

    @jax.jit
    def program(params: Any, act_bits: jax.Array, inputs: Inputs) -> dict[str, Ranges]:
        at = quantizing_dynamically(points, act_bits)

        def add(seen: Any, batch: Inputs) -> tuple[Any, None]:
            return observe_activations(apply, params, batch, seen, at=at), None

        seen = jax.lax.scan(add, observe_nothing_at(points), inputs)[0]
        return {
            name: compress.calibrate(seen, lambda one, rule=rule: rule(one, act_bits))
            for name, rule in RULES.items()
        }

    return program


def range_ratio(ranges: Ranges, matched: Ranges) -> float:
    """How much wider ranges are than others: geometric mean over points."""
    widths = ([float(of[p].high - of[p].low) for p in matched] for of in (ranges, matched))
    own, others = (np.maximum(list(width), 1e-30) for width in widths)
    return float(np.exp(np.mean(np.log(own / others))))


@dataclasses.dataclass(frozen=True)
class Weights:
    """How weights are compressed by statistics; activations are left alone.

    Attributes:
        method: ``gptq`` or ``wanda``; ``nearest`` and ``magnitude`` are the same without data.
        bits: of the blocks' kernels, all other tables have 8; 32: nothing is quantized.
        sparsity: of the blocks' kernels.
    """

    method: str
    bits: float = compress.LEFT_ALONE
    sparsity: float = 0.0

    @property
    def without_data(self) -> "Weights":
        """The same by a method that needs no statistics."""
        other = {"gptq": "nearest", "wanda": "magnitude"}[self.method]
        return dataclasses.replace(self, method=other)


@functools.cache
def make_statistics(config: ModelConfig) -> Callable[[Any, Inputs], compress.Stats]:
    """A compiled ``statistics(params, inputs)`` of the blocks' kernels.

    Args:
        config: the model, of the grid of the inputs.
    """
    apply = build(config, jax.random.key(0))[0]

    def one(params: Any, batch: Inputs) -> dict[str, compress.LeafStats]:
        return compress.input_statistics(apply, params, batch, pattern=is_prunable)

    @jax.jit
    def program(params: Any, inputs: Inputs) -> compress.Stats:
        first, rest = (jax.tree.map(lambda x, i=i: x[i], inputs) for i in (0, slice(1, None)))

        def add(stats: Any, batch: Inputs) -> tuple[Any, None]:
            return compress.merge_statistics(stats, one(params, batch)), None

        return jax.lax.scan(add, one(params, first), rest)[0]

    return program


def make_compressor() -> Callable[[Any, Weights, compress.Stats], Any]:
    """A ``compressed(params, weights, stats) -> params``; compiles once a method.

    Scales of least squared error; Wanda and magnitude rank the inputs of every output by
    themselves, as Wanda's paper does.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def program(method: str, params: Any, bits: jax.Array, sparsity: jax.Array, stats: Any) -> Any:
        if method in ("wanda", "magnitude"):
            score = compress.wanda if method == "wanda" else compress.magnitude
            how = compress.prune(sparsity, score=score, distribution=compress.per_output)
            return _applied(compress.matching(is_prunable, how), params, stats)
        rounding = compress.gptq_quantize if method == "gptq" else compress.quantize
        rounded = _applied(
            compress.matching(is_prunable, rounding(bits, scale="mse")), params, stats
        )
        tables = compress.matching(
            lambda path, leaf: jnp.ndim(leaf) >= 2 and not is_prunable(path, leaf),
            compress.quantize(TABLE_BITS),
        )
        return _applied(tables, rounded, None)

    def compressed(params: Any, weights: Weights, stats: Mapping[str, Any]) -> Any:
        return program(
            weights.method, params, jnp.float32(weights.bits), jnp.float32(weights.sparsity), stats
        )

    return compressed


def _applied(method: compress.Transform, params: Any, stats: Any) -> Any:
    state = method.init(params, key=jax.random.key(0))
    return method.apply(*method.update(params, state, stats))
