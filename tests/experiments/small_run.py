"""The folder of a sweep that finished two configurations of a tiny model."""

from tests import small
from tests.export import quantized
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.load_model import model_metadata
from wfm_jax.export.packed import save_packed
from wfm_jax.model import ModelConfig
from wfm_jax.results.rows import append_row

TINY = ModelConfig(link=small.LINK, d_model=16, heads=(2,), head_dim=8, mlp_widths=(32,))
SCORES = {"retention_ci95": 0.001, "channel_nmse_db": -20.0, "snr_loss_db": 0.05}


def make(folder):
    """``int8`` has quantized activations and the better score, ``int4`` the smaller file."""
    (folder / "files").mkdir(parents=True)
    teacher = {"config_id": "teacher", "kind": "reference", "pipeline": "teacher", "status": "ok"}
    bers = {f"ber_{2**m}": 0.01 * m for m in TINY.link.bits_per_symbol}
    append_row(folder / "results.jsonl", teacher | SCORES | bers | {"size_bytes": 40_000})
    for name, bits, act_bits, retention, growth in (
        ("int8", 8, 8, 0.99, 1.05),
        ("int4", 4, 32, 0.95, 1.5),
    ):
        _, model = quantized.compressed(TINY, bits=bits, act_bits=act_bits)
        size = save_packed(
            folder / "files" / f"{name}.wfm",
            pack_model(model.params, grids=model.grids),
            model_metadata(TINY, act_bits, model.ranges),
        )
        row = {"config_id": name, "kind": "configuration", "pipeline": "Q", "status": "ok"}
        row |= {"weight_bits": bits, "act_bits": act_bits, "size_bytes": size}
        row |= {"retention": retention} | {ber: growth * value for ber, value in bers.items()}
        append_row(folder / "results.jsonl", SCORES | row)
    return folder
