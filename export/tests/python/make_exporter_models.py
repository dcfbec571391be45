"""Make balancing policies with exporters and tools as people use them.

    python3 make_exporter_models.py FOLDER --features 24

Writes FOLDER/NAME.onnx for each form, and FOLDER/NAME.json beside it: {"tolerance": t,
"answers": [{"input": rows, "output": rows}, ...]} with the answers of ONNX Runtime. The
tolerance, of |a - b| / max(1, |a|, |b|), is 1e-5 unless the file itself rounds: to halves
or to integers of 8 bits.

Needs the packages onnx, onnxruntime, onnxscript, skl2onnx and scikit-learn.
"""

import argparse
import json
import pathlib
import tempfile
import warnings

import numpy
import onnx
import onnxruntime
import onnxscript
import onnxscript.optimizer
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxscript import opset18
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

HIDDEN = 16
EXACT = 1e-5
HALVES = 2e-2
INTEGERS = 1e-1
ROW_COUNTS = [1, 7, 33]


def layers(features, random):
    """Weights of two layers, [in, out]."""
    return {
        "w1": random.normal(0.0, features**-0.5, (features, HIDDEN)).astype(numpy.float32),
        "b1": random.normal(0.0, 0.1, HIDDEN).astype(numpy.float32),
        "w2": random.normal(0.0, HIDDEN**-0.5, (HIDDEN, 1)).astype(numpy.float32),
        "b2": random.normal(0.0, 0.1, 1).astype(numpy.float32),
    }


def network(features, weights, activation="Tanh", opset=21):
    """A network of two layers, built with onnx's helpers."""
    nodes = [
        helper.make_node("Gemm", ["observation", "w1", "b1"], ["h"], name="g1"),
        helper.make_node(activation, ["h"], ["t"], name="a1"),
        helper.make_node("Gemm", ["t", "w2", "b2"], ["score"], name="g2"),
    ]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", features])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def scikit_learn(features, random):
    """Models of scikit-learn, by skl2onnx."""
    x = random.normal(0.0, 1.0, (256, features)).astype(numpy.float32)
    y = x[:, 0] - numpy.tanh(x[:, 1])
    perceptron = MLPRegressor(hidden_layer_sizes=(HIDDEN, 8), activation="tanh", max_iter=20, random_state=1)
    models = {
        "mlp": perceptron,
        "relu": MLPRegressor(hidden_layer_sizes=(HIDDEN,), activation="relu", max_iter=20, random_state=1),
        "pipeline": make_pipeline(StandardScaler(), perceptron),
        "minmax": make_pipeline(MinMaxScaler(), Ridge()),
        "linear": Ridge(),
    }
    for name, model in models.items():
        model.fit(x, y)
        kind = [("X", FloatTensorType([None, features]))]
        yield f"skl2onnx_{name}", skl2onnx.to_onnx(model, initial_types=kind), EXACT
    kind = [("X", DoubleTensorType([None, features]))]
    yield "skl2onnx_double", skl2onnx.to_onnx(models["pipeline"], initial_types=kind), EXACT


def onnx_script(features, weights):
    """A function in onnxscript, as it is and after its optimiser."""
    w1, b1, w2, b2 = (onnx.numpy_helper.from_array(weights[name], name) for name in ["w1", "b1", "w2", "b2"])

    @onnxscript.script(default_opset=opset18)
    def policy(x: onnxscript.FLOAT["N", "F"]) -> onnxscript.FLOAT["N", 1]:
        h = opset18.MatMul(x, opset18.Constant(value=w1))
        t = opset18.Tanh(opset18.Add(h, opset18.Constant(value=b1)))
        mean = opset18.ReduceMean(t, opset18.Constant(value_ints=[0]), keepdims=1)
        s = opset18.MatMul(t - mean, opset18.Constant(value=w2))
        return opset18.Add(s, opset18.Constant(value=b2))

    model = policy.to_model_proto()
    # A shape in an annotation must be a literal.
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = features
    yield "onnxscript", model, EXACT
    yield "onnxscript_optimized", onnxscript.optimizer.optimize(model), EXACT


class Calibration(quantization.CalibrationDataReader):
    """Inputs from which ranges of values are taken."""

    def __init__(self, features, random):
        self.batches = iter([{"observation": random.uniform(-3, 3, (64, features)).astype(numpy.float32)}] * 4)

    def get_next(self):
        return next(self.batches, None)


def onnx_runtime(features, weights, random, folder):
    """What ONNX Runtime's optimiser, quantisers and converters write."""
    source, target = str(folder / "source.onnx"), str(folder / "target.onnx")
    model = network(features, weights)
    onnx.save(model, source)
    levels = onnxruntime.GraphOptimizationLevel
    for name, level in [("basic", levels.ORT_ENABLE_BASIC), ("extended", levels.ORT_ENABLE_EXTENDED)]:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = target
        onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        yield f"ort_{name}", onnx.load(target), EXACT
    quantization.quantize_dynamic(source, target, weight_type=quantization.QuantType.QInt8)
    yield "ort_dynamic_int8", onnx.load(target), INTEGERS
    onnx.save(network(features, weights, "Relu"), source)
    for name, per_channel in [("tensor", False), ("channel", True)]:
        quantization.quantize_static(
            source,
            target,
            Calibration(features, random),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=per_channel,
        )
        yield f"ort_qdq_per_{name}", onnx.load(target), INTEGERS
    for name, keep in [("float16", True), ("float16_interface", False)]:
        yield f"ort_{name}", convert_float_to_float16(network(features, weights), keep_io_types=keep), HALVES


def onnx_tools(features, weights):
    """What onnx's own tools write."""
    yield "onnx_shape_inference", onnx.shape_inference.infer_shapes(network(features, weights)), EXACT
    for opset in [13, 25]:
        converted = onnx.version_converter.convert_version(network(features, weights), opset)
        yield f"onnx_version_converter_{opset}", converted, EXACT


def answers(path, random):
    """Random inputs with ONNX Runtime's outputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (declared,) = session.get_inputs()
    kind = {"tensor(float)": numpy.float32, "tensor(double)": numpy.float64, "tensor(float16)": numpy.float16}
    for rows in ROW_COUNTS:
        given = random.uniform(-3.0, 3.0, (rows, declared.shape[1])).astype(numpy.float32)
        (found,) = session.run(None, {declared.name: given.astype(kind[declared.type])})
        yield {"input": given.tolist(), "output": found.astype(numpy.float32).reshape(rows, 1).tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--features", type=int, required=True, help="columns of the input")
    arguments = parser.parse_args()
    # A model fitted for an instant says so.
    warnings.simplefilter("ignore")
    random = numpy.random.default_rng(7)
    features, folder = arguments.features, arguments.folder
    weights = layers(features, random)
    with tempfile.TemporaryDirectory() as scratch:
        forms = [
            *scikit_learn(features, random),
            *onnx_script(features, weights),
            *onnx_runtime(features, weights, random, pathlib.Path(scratch)),
            *onnx_tools(features, weights),
        ]
    for name, model, tolerance in [*forms, ("onnx_external_data", network(features, weights), EXACT)]:
        path = folder / f"{name}.onnx"
        apart = name == "onnx_external_data"
        onnx.save(model, path, save_as_external_data=apart, location=f"{name}.data", size_threshold=0)
        expected = {"tolerance": tolerance, "answers": list(answers(str(path), random))}
        path.with_suffix(".json").write_text(json.dumps(expected), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
