"""The forward pass of a Llama/Qwen2-shaped decoder as an ONNX graph for onnxruntime.

The graph declares weights by name and shape, and the session gets them as arrays. So building takes milliseconds
whatever the size of the model.

Graph inputs, with M new tokens, T cache entries afterwards, and memory for C entries:

    ids [1, M], positions [1, M], want [K] int64
    bias [1, 1, M, T]        added to the attention scores: 0 or -inf
    last, total [1] int32    T - 1 and T
    cos, sin [R, head/2]     rotary tables, R >= T
    past_K_i, past_V_i       [1, kv_heads, C, head] of layer i; the caller binds the outputs
                             new_K_i, new_V_i to the same memory, so nothing is copied

Output: out [1, K, width]. After the last attention the graph computes only the wanted rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONTRIB = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of one decoder.

    Attributes:
        layers, hidden, mlp, heads, kv_heads, head: counts and widths of a Llama block.
        vocab: rows of the embedding.
        context: the most positions of a sequence.
        epsilon: epsilon of the RMS norms.
        theta: base of the rotary frequencies.
    """

    layers: int
    hidden: int
    mlp: int
    heads: int
    kv_heads: int
    head: int
    vocab: int
    context: int
    epsilon: float
    theta: float


def build_graph(shape: Shape, weights: Mapping[str, tuple[int, ...]]) -> bytes:
    """The serialised model for `weights`, given as name -> shape (names as in `_Graph.body`)."""
    return _Graph(shape, weights).model()


class _Graph:
    def __init__(self, shape: Shape, weights: Mapping[str, tuple[int, ...]]) -> None:
        import onnx

        self.onnx = onnx
        self.shape = shape
        self.weights = weights
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def model(self) -> bytes:
        helper = self.onnx.helper
        self.body()
        initializers = [self.outside(name, dims) for name, dims in self.weights.items()]
        graph = helper.make_graph(self.nodes, "decoder", self.inputs, self.outputs, initializers)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    def outside(self, name: str, dims: tuple[int, ...]) -> Any:
        """A weight whose numbers the caller gives to the session."""
        tensor = self.onnx.TensorProto(name=name, data_type=self.onnx.TensorProto.FLOAT, dims=dims)
        tensor.data_location = self.onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="given by the caller")
        return tensor

    def tensor(self, name: str, dims: Sequence[int | str], kind: str = "FLOAT") -> Any:
        return self.onnx.helper.make_tensor_value_info(name, getattr(self.onnx.TensorProto, kind), dims)

    def node(self, op: str, inputs: list[str], outputs: list[str], domain: str = CONTRIB, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def linear(self, x: str, weight: str, out: str) -> str:
        """`x @ weight.T`, plus `weight.bias` if it exists; weights keep their [out, in] layout."""
        bias = f"{weight}.bias"
        if bias not in self.weights:
            return self.node("FusedMatMul", [x, weight], [out], transB=1)
        product = self.node("FusedMatMul", [x, weight], [f"{out}.product"], transB=1)
        return self.node("Add", [product, bias], [out], domain="")

    def add_norm(self, x: str, delta: str, weight: str, out: str) -> tuple[str, str]:
        """The normalised sum and the sum itself."""
        total = f"{out}.sum"
        self.node(
            "SkipSimplifiedLayerNormalization", [x, delta, weight], [out, "", "", total], epsilon=self.shape.epsilon
        )
        return out, total

    def body(self) -> None:
        shape = self.shape
        for name, dims, kind in (
            ("ids", [1, "M"], "INT64"),
            ("positions", [1, "M"], "INT64"),
            ("want", ["K"], "INT64"),
            ("bias", [1, 1, "M", "T"], "FLOAT"),
            ("last", [1], "INT32"),
            ("total", [1], "INT32"),
            ("cos", ["R", shape.head // 2], "FLOAT"),
            ("sin", ["R", shape.head // 2], "FLOAT"),
        ):
            self.inputs.append(self.tensor(name, dims, kind))
        self.outputs.append(self.tensor("out", [1, "K", self.weights["head"][0]]))

        stream = self.node("Gather", ["embed", "ids"], ["embedded"], domain="")
        normed = self.node(
            "SimplifiedLayerNormalization", [stream, "0.norm1"], ["0.in"], domain="", axis=-1, epsilon=shape.epsilon
        )
        for layer in range(shape.layers):
            mixed = self.attention(layer, normed)
            if layer == shape.layers - 1:
                mixed = self.node("Gather", [mixed, "want"], ["mixed.want"], domain="", axis=1)
                stream = self.node("Gather", [stream, "want"], ["stream.want"], domain="", axis=1)
            mixed = self.linear(mixed, f"{layer}.o", f"{layer}.attended")
            normed, stream = self.add_norm(stream, mixed, f"{layer}.norm2", f"{layer}.mid")
            following = "norm" if layer == shape.layers - 1 else f"{layer + 1}.norm1"
            normed, stream = self.add_norm(stream, self.mlp(layer, normed), following, f"{layer + 1}.in")
        self.linear(normed, "head", "out")

    def attention(self, layer: int, x: str) -> str:
        """Rotary attention of the new tokens over all entries, before the output matrix."""
        shape = self.shape
        for side in "KV":
            dims = [1, shape.kv_heads, "C", shape.head]
            self.inputs.append(self.tensor(f"past_{side}_{layer}", dims))
            self.outputs.append(self.tensor(f"new_{side}_{layer}", dims))
        qkv = self.linear(x, f"{layer}.qkv", f"{layer}.projected")
        past = [f"past_K_{layer}", f"past_V_{layer}"]
        return self.node(
            "GroupQueryAttention",
            [qkv, "", "", *past, "last", "total", "cos", "sin", "positions", "bias"],
            [f"{layer}.mixed", f"new_K_{layer}", f"new_V_{layer}"],
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=1,
            scale=shape.head**-0.5,
        )

    def mlp(self, layer: int, x: str) -> str:
        gate = self.linear(x, f"{layer}.gate", f"{layer}.gated")
        up = self.linear(x, f"{layer}.up", f"{layer}.upped")
        silu = self.node("QuickGelu", [gate], [f"{layer}.silu"], alpha=1.0)  # x * sigmoid(alpha x)
        product = self.node("Mul", [silu, up], [f"{layer}.product"], domain="")
        return self.linear(product, f"{layer}.down", f"{layer}.out")
