"""The heads as ONNX operators: what the encoder's tokens say of a frame, in the receiver's units.

As :mod:`wfm_jax.model.model` computes it, in real arithmetic: a complex value is a pair of real
ones. Heads stay in floating point whatever the encoder does; their weights are stored as they are.
"""

from typing import NamedTuple

import numpy as np

from wfm_jax.export.compressed import CompressedModel
from wfm_jax.export.onnx_demapper import Symbols, evidence, llrs
from wfm_jax.export.onnx_dense import dense, kernel
from wfm_jax.export.onnx_encoder import Tokens
from wfm_jax.export.onnx_graph import Graph
from wfm_jax.model import positions
from wfm_jax.model import views as model_views
from wfm_jax.model.config import ModelConfig
from wfm_jax.model.model import FILTER_RANK, LINK_STATE
from wfm_jax.model.outputs import EVIDENCE_NATS, GAIN_FLOOR, NOISE_DOUBT_DB
from wfm_jax.signal.link import LinkConfig

ONE = np.float32(1.0)


class Complex(NamedTuple):
    """Names of a real and an imaginary part."""

    real: str
    imag: str


class Received(NamedTuple):
    """What the heads read of a frame besides the tokens.

    Attributes:
        grid: float32[batch, n_symbols, n_subcarriers], aligned, unit rms.
        has_grid: bool[batch].
        pilots: float32[batch, 2, n_pilots_each].
        channel_ls: float32[batch, 2, n_subcarriers].
        modulation: int32[batch].
    """

    grid: Complex
    has_grid: str
    pilots: Complex
    channel_ls: Complex
    modulation: str


def answer(
    graph: Graph, model: CompressedModel, received: Received, tokens: Tokens
) -> dict[str, str]:
    """Names of all outputs: those of ``wfm_jax.model.Outputs``, with ``channel`` as a pair of real
    numbers in its last axis, and ``llr``."""
    config, link = model.config, model.config.link
    mean = graph("ReduceMean", tokens.patches, np.array([1]), keepdims=0)
    frame = graph("Squeeze", tokens.frame, np.array([1]))
    both = graph("Concat", frame, mean, axis=1)
    summary = dense(graph, model, "head_frame", both)
    sizes = np.array([config.n_modulations] + [1] * len(LINK_STATE))
    opinion, *columns = graph.several("Split", len(sizes), summary, sizes, axis=1)
    state = dict(zip(LINK_STATE, columns, strict=True))

    element = _elements(graph, model, tokens.patches)
    lines = _lines(graph, model, received, tokens.patches)
    channel, log_noise = _channel(graph, link, lines, element, state["motion"])
    symbols = _equalise(graph, link, received.grid, channel, log_noise)
    doubt = 10.0 ** (np.asarray(NOISE_DOUBT_DB) / 10.0)
    total = evidence(graph, symbols, doubt, link.bits_per_symbol)
    behind = graph("Sub", graph("ReduceMax", total, np.array([1])), total)
    grown = graph("Log", _affine(graph, behind, 1.0 / EVIDENCE_NATS, 1.0))
    known = graph("Cast", graph("Unsqueeze", received.has_grid, np.array([1])), to=1)
    bounded = graph("Mul", _affine(graph, grown, -EVIDENCE_NATS, 0.0), known)
    trust = graph("Sigmoid", graph("Sub", state["trust"], ONE))
    modulation = graph("Add", opinion, graph("Mul", trust, bounded))

    def flat(x: str) -> str:
        return graph("Squeeze", x, np.array([1]))

    pair = [graph("Unsqueeze", part, np.array([3])) for part in channel]
    demapped = llrs(
        graph,
        symbols,
        _chosen(graph, received.modulation, modulation, config),
        link.bits_per_symbol,
    )
    return {
        "channel": graph("Concat", *pair, axis=3),
        "log_noise": log_noise,
        "modulation_logits": modulation,
        "k_db": flat(_affine(graph, state["k_db"], 8.0, 7.0)),
        "snr_db": flat(_affine(graph, state["snr_db"], 10.0, 15.0)),
        "los": flat(state["los"]),
        "delay_spread_s": flat(_exponential(graph, state["delay_spread_s"], 0.5, 50e-9)),
        "doppler_hz": flat(_exponential(graph, state["doppler_hz"], 1.0, 10.0)),
        "llr": graph("Mul", demapped, graph("Unsqueeze", known, np.array([2]))),
    }


def _chosen(graph: Graph, given: str, logits: str, config: ModelConfig) -> str:
    """The modulation to demap: that which is given, or where none is the likeliest."""
    likeliest = graph("Cast", graph("ArgMax", logits, axis=1, keepdims=0), to=6)
    blind = graph("Equal", given, np.int32(config.n_modulations))
    return graph("Where", blind, likeliest, given)


def _elements(graph: Graph, model: CompressedModel, patches: str) -> list[str]:
    """Real and imaginary correction, noise and its spread: float32[batch, n_subcarriers] each."""
    rows = graph("Reshape", patches, np.array([-1, model.config.d_model]))
    element = dense(graph, model, "head_element", rows)
    shape = np.array([-1, model.config.link.n_subcarriers, 4])
    parts = graph.several("Split", 4, graph("Reshape", element, shape), np.ones(4, int), axis=2)
    return [graph("Squeeze", part, np.array([2])) for part in parts]


def _lines(graph: Graph, model: CompressedModel, received: Received, patches: str) -> Complex:
    """The LS lines and the filter's correction of them, float32[batch, 2, n_subcarriers]."""
    config = model.config
    n_pilots = config.link.n_subcarriers // config.link.pilot_spacing
    query = _located(graph, model, "head_query", patches)
    query = graph("Reshape", query, np.array([0, config.link.n_subcarriers, 2, FILTER_RANK]))
    query = graph("Transpose", query, perm=[0, 2, 3, 1])  # [batch, 2, rank, n_subcarriers]
    key = _located(graph, model, "head_key", patches)
    key = graph("Reshape", key, np.array([0, config.link.n_subcarriers, FILTER_RANK]))
    step = config.link.n_subcarriers // n_pilots
    ends = (np.array([0]), np.array([config.link.n_subcarriers]), np.array([1]), np.array([step]))
    key = graph("Mul", graph("Slice", key, *ends), np.float32(1.0 / n_pilots))
    key = graph("Unsqueeze", key, np.array([1]))  # [batch, 1, n_pilots, rank]
    weights = graph.several(
        "Split", 2, graph("MatMul", key, query), np.array([1, 1]), axis=1
    )  # [batch, 1, n_pilots, n_subcarriers]
    real, imag = (graph("Squeeze", part, np.array([1])) for part in weights)
    products = {
        (a, b): graph("MatMul", getattr(received.pilots, a), part)
        for a in ("real", "imag")
        for b, part in (("real", real), ("imag", imag))
    }
    filtered = Complex(
        graph("Sub", products["real", "real"], products["imag", "imag"]),
        graph("Add", products["real", "imag"], products["imag", "real"]),
    )
    parts = zip(received.channel_ls, filtered, strict=True)
    return Complex(*(graph("Add", ls, more) for ls, more in parts))


def _located(graph: Graph, model: CompressedModel, path: str, patches: str) -> str:
    """A dense layer of the patches beside their places: [batch, n_patches, out]."""
    d = model.config.d_model
    places = positions.frequency_code(model.config)
    known = places @ model.params[f"{path}/kernel"][d:] + model.params[f"{path}/bias"]
    own = kernel(graph, model, f"{path}/kernel", slice(0, d))
    return graph("Add", graph("MatMul", patches, own), known.astype(np.float32))


def _channel(
    graph: Graph, link: LinkConfig, lines: Complex, element: list[str], motion: str
) -> tuple[Complex, str]:
    """Channel and log noise, float32[batch, n_symbols, n_subcarriers]."""
    offset = model_views.pilot_offsets(link, positions.symbol_times(link)).astype(np.float32)
    moving = graph("Sigmoid", graph("Sub", motion, np.float32(2.0)))
    moving = graph("Mul", graph("Unsqueeze", moving, np.array([2])), offset[:, None])
    channel = []
    for line, correction in zip(lines, element[:2], strict=True):
        middle, change = graph.several("Split", 2, line, np.array([1, 1]), axis=1)
        more = _affine(graph, graph("Unsqueeze", correction, np.array([1])), 0.1, 0.0)
        middle = graph("Add", middle, more)
        channel.append(graph("Add", middle, graph("Mul", moving, change)))
    noise, spread = (graph("Unsqueeze", x, np.array([1])) for x in element[2:])
    noise = graph("Add", noise, graph("Mul", spread, np.square(offset)[:, None]))
    bounded = graph("Sigmoid", graph("Mul", noise, np.float32(0.5)))
    return Complex(*channel), _affine(graph, bounded, 11.0, -9.0)


def _equalise(
    graph: Graph, link: LinkConfig, grid: Complex, channel: Complex, log_noise: str
) -> Symbols:
    """Data elements over their channel, and the noise variance left on them: [batch, n_data]."""
    index = np.flatnonzero(~link.pilot_mask.reshape(-1))

    def data(x: str) -> str:
        return graph("Gather", graph("Reshape", x, np.array([0, -1])), index, axis=1)

    y, h = (Complex(*map(data, pair)) for pair in (grid, channel))
    gain = graph("Add", graph("Mul", h.real, h.real), graph("Mul", h.imag, h.imag))
    inverse = graph("Reciprocal", graph("Add", gain, np.float32(GAIN_FLOOR)))
    real = graph("Add", graph("Mul", y.real, h.real), graph("Mul", y.imag, h.imag))
    imag = graph("Sub", graph("Mul", y.imag, h.real), graph("Mul", y.real, h.imag))
    noise = graph("Exp", data(log_noise))
    return Symbols(*(graph("Mul", x, inverse) for x in (real, imag, noise)))


def _affine(graph: Graph, x: str, factor: float, offset: float) -> str:
    x = graph("Mul", x, np.float32(factor))
    return graph("Add", x, np.float32(offset)) if offset else x


def _exponential(graph: Graph, x: str, rate: float, factor: float) -> str:
    return _affine(graph, graph("Exp", _affine(graph, x, rate, 0.0)), factor, 0.0)
