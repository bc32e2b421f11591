"""An ONNX graph in the making: operators are called, and answer with the names of what they make.

The batch is symbolic. All operators that this library uses are standard ones, which ONNX Runtime
runs and TensorRT 10 lists; what the two want of integers differs (:class:`Dialect`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 10
BATCH = "batch"


class Dialect(NamedTuple):
    """What a runtime takes.

    Attributes:
        opset: of the operators.
        affine: activations may have a zero point, and biases be int32; else integers are symmetric
            and biases floating point.
        int4: weights may be stored in INT4.
    """

    opset: int
    affine: bool
    int4: bool


ONNX_RUNTIME = Dialect(21, affine=True, int4=True)
TENSORRT = Dialect(20, affine=False, int4=False)
"""TensorRT 10.0 and later: zero points must be zero, and no integer but INT8 is dequantized."""


class Graph:
    """Nodes and constants, in order.

    An argument of an operator is the name of a value, or an array, which becomes a constant. Equal
    arrays are stored once.

    Attributes:
        dialect: what the graph is written for.
    """

    def __init__(self, dialect: Dialect = ONNX_RUNTIME) -> None:
        self.dialect = dialect
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def __call__(self, operator: str, *arguments: Any, name: str = "", **attributes: Any) -> str:
        """The value that ``operator`` makes; an argument that is None is left out."""
        return self.several(operator, 1, *arguments, name=name, **attributes)[0]

    def several(
        self, operator: str, n_outputs: int, *arguments: Any, name: str = "", **attributes: Any
    ) -> list[str]:
        """The values of an operator that makes more than one."""
        name = name or f"{operator.lower()}_{len(self._nodes)}"
        made = [name] if n_outputs == 1 else [f"{name}_{i}" for i in range(n_outputs)]
        given = ["" if value is None else self._value(value) for value in arguments]
        self._nodes.append(helper.make_node(operator, given, made, name=name, **attributes))
        return made

    def constant(self, value: Any, name: str = "") -> str:
        """A constant of the array's own dtype."""
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = self.own(array, name or f"constant_{len(self._constants)}")
        return self._names[key]

    def own(self, value: Any, name: str) -> str:
        """A constant that nothing shares, even if another one is equal."""
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def int4(self, integers: np.ndarray, name: str) -> str:
        """Signed integers of four bits, two in a byte, the first in the lower half."""
        flat = integers.astype(np.int8).ravel()
        nibbles = (np.append(flat, np.zeros(flat.size % 2, np.int8)) & 0xF).astype(np.uint8)
        packed = nibbles[0::2] | nibbles[1::2] << 4
        tensor = helper.make_tensor(
            name, TensorProto.INT4, integers.shape, packed.tobytes(), raw=True
        )
        self._constants.append(tensor)
        return name

    def input(self, name: str, dtype: Any, *shape: int | str) -> str:
        """An input of the whole graph."""
        self._inputs.append(_described(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: Any, *shape: int | str) -> None:
        """An output of the whole graph."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"{name}_output"))
        self._outputs.append(_described(name, dtype, shape))

    def model(self, name: str, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
        """The checked model; ``metadata`` are its properties."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, initializer=self._constants
        )
        model = helper.make_model(
            graph,
            producer_name="wfm_jax",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", self.dialect.opset)],
        )
        helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _value(self, value: Any) -> str:
        return value if isinstance(value, str) else self.constant(value)


def _described(name: str, dtype: Any, shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)
