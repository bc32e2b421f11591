"""The ONNX graph against the model it was made of, by ONNX Runtime."""

import dataclasses

import jax
import numpy as np
import onnx
import pytest

from tests import small
from tests.export import quantized
from wfm_jax import compress
from wfm_jax.export.compressed import CompressedModel, nested
from wfm_jax.export.onnx_dense import activation_grid, dense, snapped
from wfm_jax.export.onnx_graph import BATCH, TENSORRT, Graph
from wfm_jax.export.onnx_model import CHECKSUM, CONFIG, save_onnx, to_onnx
from wfm_jax.export.onnx_session import OnnxFileError, OnnxReceiver, load_onnx, session
from wfm_jax.model import ModelConfig, bit_llrs, quantizing
from wfm_jax.model.points import activation_points, recording

TINY = ModelConfig(link=small.LINK, d_model=16, heads=(2, 2), head_dim=8, mlp_widths=(32, 32))
ODD = {
    "plain": TINY,
    "nr_like": dataclasses.replace(TINY, link=small.NR_LIKE),
    "branches": dataclasses.replace(TINY, heads=(0, 1), mlp_widths=(24, 0)),
    "grid_alone": dataclasses.replace(TINY, views=("grid",)),
    "iq_alone": dataclasses.replace(TINY, views=("iq",)),
    "factored": dataclasses.replace(
        TINY, ranks=(("block_0/mlp/up", 4), ("block_1/attention/query", 3))
    ),
}
TOLERANCE = {"llr": 2e-3, "modulation_logits": 1e-3, "doppler_hz": 1e-3}


def dense_layers(config):
    """How many products with a kernel the blocks have."""
    blocks = zip(config.heads, config.mlp_widths, strict=True)
    return sum(4 * (heads > 0) + 2 * (width > 0) for heads, width in blocks) + len(config.ranks)


def answers(apply, config, params, inputs, at=None):
    """What the model says, by the names of the graph's outputs."""
    out = jax.jit(lambda p, i: apply(p, i, at=at))(params, inputs)
    blind = np.asarray(inputs.modulation) == config.n_modulations
    chosen = np.where(blind, np.argmax(out.modulation, axis=1), inputs.modulation)
    said = out._asdict() | {"llr": bit_llrs(config.link, inputs, out, chosen)}
    channel = np.asarray(said.pop("channel"))
    said["channel"] = np.stack([channel.real, channel.imag], axis=-1)
    said["modulation_logits"] = said.pop("modulation")
    return {name: np.asarray(value) for name, value in said.items()}


@pytest.mark.parametrize("name", ODD)
def test_a_float_graph_is_the_model(name):
    """For batches of any size, frames of known and of unknown modulation."""
    config = ODD[name]
    apply, model = quantized.compressed(config)
    receiver = OnnxReceiver(to_onnx(model).SerializeToString())
    for batch_size in (1, 6):
        inputs = quantized.inputs_of(config, batch_size)
        expected = answers(apply, config, nested(model.params), inputs)
        found = receiver(inputs)
        assert sorted(found) == sorted(expected)
        for output, value in expected.items():
            assert found[output].shape == value.shape
            scale = 1.0 + np.abs(value)
            assert np.max(np.abs(found[output] - value) / scale) < TOLERANCE.get(output, 1e-5)


def test_a_view_that_is_absent_is_absent_there_too():
    apply, model = quantized.compressed(TINY)
    inputs = quantized.inputs_of(TINY, 4)
    hidden = {
        name: np.asarray(seen) & (np.arange(4) != i)[:, None]
        for i, (name, seen) in enumerate(inputs.visible.items())
    }
    inputs = inputs._replace(visible=hidden, has_grid=np.array([True, False, True, False]))
    expected = answers(apply, TINY, nested(model.params), inputs)
    found = OnnxReceiver(to_onnx(model).SerializeToString())(inputs)
    for name in ("log_noise", "k_db", "modulation_logits", "llr"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-3)
    assert not np.any(found["llr"][[1, 3]])


@pytest.mark.parametrize("bits, group_size", [(8, None), (4, None), (3, 8), (2, 16)])
def test_stored_integers_are_the_effective_weights(bits, group_size):
    """Integers in the file; in floating point nothing else changes."""
    apply, model = quantized.compressed(TINY, bits=bits, group_size=group_size)
    made = to_onnx(model)
    kinds = {t.name: t.data_type for t in made.graph.initializer}
    wanted = onnx.TensorProto.INT4 if bits <= 4 else onnx.TensorProto.INT8
    assert {kinds[name] for name in model.grids} == {wanted}
    inputs = quantized.inputs_of(TINY, 3)
    expected = answers(apply, TINY, nested(model.params), inputs)
    found = OnnxReceiver(made.SerializeToString())(inputs)
    for name in ("log_noise", "k_db", "snr_db", "channel"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["plain", "branches", "factored"])
@pytest.mark.parametrize("bits, act_bits", [(8, 8), (4, 8), (8, 6)])
def test_every_dense_layer_is_one_integer_product(name, bits, act_bits, tmp_path):
    config = ODD[name]
    _, model = quantized.compressed(config, bits=bits, act_bits=act_bits)
    path = tmp_path / "optimized.onnx"
    OnnxReceiver(to_onnx(model).SerializeToString(), optimized_path=path)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("QGemm") == dense_layers(config)


@pytest.mark.parametrize("bits, act_bits", [(8, 8), (4, 8), (8, 5)])
def test_integers_are_equal_layer_by_layer(bits, act_bits):
    """With the inputs that the quantized model's layers have: those of the activations, and the
    sums that come out, biases included."""
    apply, model = quantized.compressed(TINY, bits=bits, act_bits=act_bits)
    points = activation_points(TINY)
    at = quantizing(model.ranges, act_bits)
    recorded = jax.jit(lambda p, i: recording(apply, points)(p, i, at=at))
    _, passed = recorded(nested(model.params), quantized.inputs_of(TINY, 8))
    for point, layers in by_point(TINY).items():
        x = np.asarray(passed[point])
        grid = compress.affine_grid(*model.ranges[point], act_bits)
        integers = np.asarray(compress.quantize_integers_affine(x, act_bits, grid))
        for path in layers:
            entered, sums, unit = one_layer(model, path, point, x)
            np.testing.assert_array_equal(entered, integers)
            weights, on = model.params[f"{path}/kernel"], model.grids[f"{path}/kernel"]
            bias = np.rint(model.params[f"{path}/bias"].astype(np.float64) / unit)
            exact = (integers - int(grid.zero_point)).astype(np.int64) @ on.codes(weights)
            np.testing.assert_array_equal(np.rint(sums / unit), exact + bias)


def by_point(config):
    """The layers that each point enters."""
    found = {}
    for i in range(config.n_layers):
        block = f"block_{i}"
        names = ("query", "key", "value")
        found[f"{block}/attention/input"] = [f"{block}/attention/{name}" for name in names]
        found[f"{block}/attention/mixed"] = [f"{block}/attention/out"]
        found[f"{block}/mlp/input"] = [f"{block}/mlp/up"]
        found[f"{block}/mlp/hidden"] = [f"{block}/mlp/down"]
    return found


def one_layer(model, path, point, x):
    """Integers that enter a layer, what comes out, and the step of its sums."""
    graph = Graph()
    grid = activation_grid(graph, model, point)
    assert grid is not None
    n_in, n_out = model.params[f"{path}/kernel"].shape
    entering = snapped(graph, graph.input("x", np.float32, BATCH, n_in), grid)
    graph.output("y", dense(graph, model, path, entering, grid), np.float32, BATCH, n_out)
    made = graph.model("layer")
    (quantize,) = (node for node in made.graph.node if node.op_type == "QuantizeLinear")
    made.graph.output.append(
        onnx.helper.make_tensor_value_info(
            quantize.output[0], onnx.TensorProto.UINT8, [BATCH, n_in]
        )
    )
    y, entered = session(made.SerializeToString()).run(None, {"x": x})
    scale = np.broadcast_to(model.grids[f"{path}/kernel"].scale, (1, n_out)).ravel()
    unit = (grid.scale * scale).astype(np.float32)
    return entered.astype(np.int64), y.astype(np.float64), unit.astype(np.float64)


def test_an_int8_graph_is_the_quantized_model_but_for_ties():
    """End to end a tie that falls the other way spreads: small differences, none systematic."""
    apply, model = quantized.compressed(TINY, bits=8, act_bits=8)
    inputs = quantized.inputs_of(TINY, 40)
    at = quantizing(model.ranges, 8)
    expected = answers(apply, TINY, nested(model.params), inputs, at)
    exact = answers(apply, TINY, nested(model.params), inputs)
    found = OnnxReceiver(to_onnx(model).SerializeToString())(inputs)
    for name in ("k_db", "snr_db", "log_noise", "channel"):
        apart = np.abs(found[name] - expected[name])
        quantization = np.abs(exact[name] - expected[name])
        assert np.median(apart) < 0.25 * np.median(quantization)


# Of its list of operators of version 10.0, those that are used.
TENSORRT_KNOWS = """
Add ArgMax Cast Concat DequantizeLinear Div Equal Exp Floor Gather Gelu Gemm Identity
LayerNormalization Log MatMul Max Min Mul Neg QuantizeLinear Reciprocal ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceSum Relu Reshape Sigmoid Slice Softmax Split Squeeze Sub Tile Transpose
Unsqueeze Where
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", ["plain", "iq_alone", "factored"])
def test_a_graph_for_tensorrt_has_what_it_takes(name):
    """Known operators, INT8 alone dequantized, no zero point but zero, biases in float32."""
    _, model = quantized.compressed(ODD[name], bits=8, act_bits=8)
    made = to_onnx(model, TENSORRT)
    (opset,) = made.opset_import
    assert opset.version <= 20
    assert {node.op_type for node in made.graph.node} <= set(TENSORRT_KNOWS)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero_point = constants[node.input[2]]
            assert zero_point.dtype == np.int8
            assert not np.any(zero_point)
        if node.op_type == "Cast":
            assert constants.get(node.input[0], np.zeros(1, np.float32)).dtype != np.int8


def test_a_graph_for_tensorrt_is_the_model_on_symmetric_grids():
    apply, model = quantized.compressed(TINY, bits=8, act_bits=8)
    points = set(activation_points(TINY))

    def at(point, x):
        if point not in points:
            return x
        return compress.fake_quant_activation(x, model.ranges[point], 8, symmetric=True)

    inputs = quantized.inputs_of(TINY, 40)
    expected = answers(apply, TINY, nested(model.params), inputs, at)
    affine = answers(apply, TINY, nested(model.params), inputs, quantizing(model.ranges, 8))
    found = OnnxReceiver(to_onnx(model, TENSORRT).SerializeToString())(inputs)
    for name in ("k_db", "snr_db", "log_noise", "channel"):
        apart = np.abs(found[name] - expected[name])
        grids = np.abs(affine[name] - expected[name])
        assert np.median(apart) < 0.25 * np.median(grids)


def test_kernels_that_cannot_leave_an_integer_product_meet_snapped_activations(tmp_path):
    """Of groups: nothing fuses, and the answers are those of the quantized model."""
    apply, model = quantized.compressed(TINY, bits=4, act_bits=8, group_size=8)
    inputs, path = quantized.inputs_of(TINY, 40), tmp_path / "optimized.onnx"
    at = quantizing(model.ranges, 8)
    expected = answers(apply, TINY, nested(model.params), inputs, at)
    exact = answers(apply, TINY, nested(model.params), inputs)
    receiver = OnnxReceiver(to_onnx(model).SerializeToString(), optimized_path=path)
    found = receiver(inputs)
    assert "QGemm" not in {node.op_type for node in onnx.load(path).graph.node}
    for name in ("k_db", "snr_db", "log_noise", "channel"):
        apart = np.abs(found[name] - expected[name])
        assert np.median(apart) < 0.25 * np.median(np.abs(exact[name] - expected[name]))


def test_a_bias_beyond_int32_is_named():
    _, model = quantized.compressed(TINY, bits=8, act_bits=8)
    params = dict(model.params)
    params["block_0/mlp/up/bias"] = params["block_0/mlp/up/bias"] + np.float32(1e9)
    with pytest.raises(ValueError, match="block_0/mlp/up/bias: too large"):
        to_onnx(model._replace(params=params))


def test_channels_of_zeros_keep_their_bias():
    apply, model = quantized.compressed(TINY, bits=8, act_bits=8)
    params, grids = dict(model.params), dict(model.grids)
    name = "block_0/mlp/up/kernel"
    params[name] = params[name] * (np.arange(32) % 2).astype(np.float32)
    scale = grids[name].scale * (np.arange(32) % 2).astype(np.float32)
    grids[name] = grids[name]._replace(scale=scale)
    model = model._replace(params=params, grids=grids)
    inputs = quantized.inputs_of(TINY, 5)
    at = quantizing(model.ranges, 8)
    expected = answers(apply, TINY, nested(model.params), inputs, at)
    found = OnnxReceiver(to_onnx(model).SerializeToString())(inputs)
    np.testing.assert_allclose(found["k_db"], expected["k_db"], atol=0.3)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    _, model = quantized.compressed(TINY, bits=8, act_bits=8)
    size = save_onnx(path, model)
    assert path.stat().st_size == size
    return path


def test_a_file_says_what_it_is(written):
    receiver = load_onnx(written)
    assert receiver.config == TINY
    assert receiver(quantized.inputs_of(TINY, 2))["llr"].shape == (2, TINY.link.n_data, 8)


def test_damaged_files_are_refused(written, tmp_path):
    whole, path = written.read_bytes(), tmp_path / "damaged.onnx"
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with pytest.raises(OnnxFileError, match=r"damaged\.onnx: "):
            load_onnx(path)
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(OnnxFileError, match=r"damaged\.onnx: "):
            load_onnx(path)


def test_foreign_files_are_refused(tmp_path):
    graph = Graph()
    graph.output("y", graph("Neg", graph.input("x", np.float32, BATCH)), np.float32, BATCH)
    path = tmp_path / "foreign.onnx"
    path.write_bytes(graph.model("foreign").SerializeToString())
    with pytest.raises(OnnxFileError, match=f"{CONFIG}: missing"):
        load_onnx(path)
    path.write_bytes(graph.model("foreign", {CONFIG: "{}", CHECKSUM: "0"}).SerializeToString())
    with pytest.raises(OnnxFileError, match=f"{CHECKSUM}: "):
        load_onnx(path)


def test_weights_without_grids_are_plain_floats():
    _, model = quantized.compressed(TINY, bits=8, act_bits=8)
    made = to_onnx(model.in_float32())
    assert "QuantizeLinear" not in {node.op_type for node in made.graph.node}
    assert isinstance(model.in_float32(), CompressedModel)
