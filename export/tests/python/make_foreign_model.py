"""Make a balancing policy with onnx's Python API, as another framework would export it.

    python3 make_foreign_model.py OUT.onnx --features 24

Writes OUT.onnx, and expected.json beside it: a list of {"input": rows, "output": rows} with
the answers of ONNX Runtime. The network is an MLP in the form that PyTorch exports (Gemm
with transB = 1, weights [out, in], opset 18 with the axes of ReduceMean as an input), with
the mean of all hosts' hidden states as context, and standardised inputs.

Needs the packages onnx, onnxruntime and numpy.
"""

import argparse
import json
import pathlib

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HIDDEN = 16
ROW_COUNTS = [1, 2, 7, 16, 33]


def gemm(name, source, target):
    """A linear layer as PyTorch exports it."""
    weights = [f"{name}.weight", f"{name}.bias"]
    return helper.make_node("Gemm", [source, *weights], [target], name=f"/{name}/Gemm", alpha=1.0, beta=1.0, transB=1)


def make_model(features, random):
    """The network with random weights."""
    weights = {
        "mean": random.normal(0.0, 1.0, features),
        "deviation": random.uniform(0.5, 2.0, features),
        "axes": numpy.array([0], dtype=numpy.int64),
    }
    for name, inputs, outputs in [("encoder", features, HIDDEN), ("context", HIDDEN, HIDDEN), ("head", HIDDEN, 1)]:
        weights[f"{name}.weight"] = random.normal(0.0, inputs**-0.5, (outputs, inputs))
        weights[f"{name}.bias"] = random.normal(0.0, 0.1, outputs)
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"], name="/Sub"),
        helper.make_node("Div", ["centred", "deviation"], ["standardised"], name="/Div"),
        gemm("encoder", "standardised", "encoded"),
        helper.make_node("Relu", ["encoded"], ["hidden"], name="/Relu"),
        helper.make_node("ReduceMean", ["hidden", "axes"], ["mean_hidden"], name="/ReduceMean", keepdims=1),
        gemm("context", "mean_hidden", "message"),
        helper.make_node("Add", ["hidden", "message"], ["informed"], name="/Add"),
        helper.make_node("Relu", ["informed"], ["activated"], name="/Relu_1"),
        gemm("head", "activated", "score"),
    ]
    initializers = [
        numpy_helper.from_array(array if array.dtype == numpy.int64 else array.astype(numpy.float32), name)
        for name, array in weights.items()
    ]
    graph = helper.make_graph(
        nodes,
        "foreign_policy",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["hosts", features])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["hosts", 1])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(path, features, random):
    """Random inputs of several numbers of rows, with ONNX Runtime's outputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in ROW_COUNTS:
        given = random.uniform(-3.0, 3.0, (rows, features)).astype(numpy.float32)
        (found,) = session.run(None, {"features": given})
        yield {"input": given.tolist(), "output": found.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT.onnx", type=pathlib.Path)
    parser.add_argument("--features", type=int, required=True, help="columns of the input")
    arguments = parser.parse_args()
    random = numpy.random.default_rng(7)
    onnx.save(make_model(arguments.features, random), arguments.out)
    expected = list(answers(str(arguments.out), arguments.features, random))
    arguments.out.with_name("expected.json").write_text(json.dumps(expected), encoding="utf-8")


if __name__ == "__main__":
    main()
