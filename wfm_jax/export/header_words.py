"""The words that headers of this library's models are made of: a preset dictionary for deflate.

It belongs to version 3 of the packed file: who changes a byte of it needs another version. A header
of other words is merely longer. Text that is likely comes last, where references to it are short.
"""

import json

_VECTOR_AND_KERNEL = ("bias", "kernel")
_ENCODER = (
    *(f"attention/{n}/{x}" for n in ("key", "out", "query", "value") for x in _VECTOR_AND_KERNEL),
    *("attention_norm/bias", "attention_norm/scale"),
    *(f"mlp/{n}/{x}" for n in ("down", "up") for x in _VECTOR_AND_KERNEL),
    *("mlp_norm/bias", "mlp_norm/scale"),
)
_EMBEDDING = ("absent", *(f"{n}/{x}" for n in ("times", "token") for x in _VECTOR_AND_KERNEL))
_NAMES = (
    *(f"block_{i}/{name}" for i in (3, 0, 1, 2) for name in _ENCODER),
    *(f"embed_{view}/{name}" for view in ("csi", "grid", "iq") for name in _EMBEDDING),
    "embed_modulation",
    *(f"embed_spectrogram/{name}" for name in _EMBEDDING),
    *("final_norm/bias", "final_norm/scale"),
    *(f"head_{n}/{x}" for n in ("element", "frame", "key", "query") for x in _VECTOR_AND_KERNEL),
)
_SCENARIO = {
    "kind": "FactoryHall",
    "k_db_range": [-6.0, 20.0],
    "rayleigh_fraction": 0.2,
    "decay_median_s": 5.5e-08,
    "decay_std_decades": 0.17,
    "decay_range_s": [2e-08, 1.2e-07],
    "n_rays": 10,
    "ray_spacing_s": 5e-08,
    "speed_range_m_s": [0.5, 1.5],
    "carrier_hz": 3700000000.0,
}
_LINK = {
    "n_symbols": 8,
    "n_subcarriers": 32,
    "sample_rate_hz": 20000000.0,
    "cp_samples": 16,
    "fft_size": None,
    "pilot_symbols": [1, 6],
    "pilot_spacing": 2,
    "bits_per_symbol": [2, 4, 6, 8],
    "snr_db_range": [0.0, 30.0],
    "max_timing_offset": 6,
    "fractional_timing": False,
    "max_carrier_offset_hz": 0.0,
    "scenario": _SCENARIO,
    "n_sinusoids": 8,
    "fading_within_symbols": False,
    "filter_half_width": 8,
}
_MODEL = {
    "link": _LINK,
    "d_model": 64,
    "heads": [4, 4, 4],
    "head_dim": 16,
    "mlp_widths": [256, 256, 256],
    "views": ["grid", "csi", "spectrogram", "iq"],
    "patch_subcarriers": 2,
    "iq_segment": 16,
}
_COLUMNS = ("shape", "grid", "bits", "blocks", "scales", "pruned")


def _dictionary() -> bytes:
    grids = [f'"{grid}",' * 8 for grid in ("float", "rows", "affine", "nf4", "uniform")]
    numbers = [f"{n}," * 16 for n in ("null", "32", "16", "1", "8", "4")]
    shapes = ["[256],[256,64],", "[64],[64,256],", "[64],[64,64],"]
    model = json.dumps(_MODEL, separators=(",", ":"))
    metadata = f'"metadata":{{"act_bits":8,"ranges":{{"model":{model}}}}},"models":[['
    columns = [f'],"{column}":[' for column in _COLUMNS]
    names = '","'.join(_NAMES)
    start = f'{{"tensors":{{"name":["{names}"'
    return "".join([*grids, *numbers, *shapes, metadata, *columns, start]).encode()


DICTIONARY = _dictionary()
