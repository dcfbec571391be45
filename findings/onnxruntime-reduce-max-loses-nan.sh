#!/usr/bin/env bash
# ONNX Runtime's ReduceMax and ReduceMin keep a NaN only where it comes first
#
# Versions   onnxruntime 1.32.0 (CPU), onnx 1.23.2, numpy 2.4.6, all from PyPI
# Guess      A NaN among the values makes the greatest of them NaN, as it does in NumPy, in the
#            operator's own reference implementation, and in ONNX Runtime's elementwise Max. A
#            ReduceMax at the end of a network is therefore a cheap check for NaN.
# Behaviour  The reduction keeps a NaN at index 0 of the reduced axis and drops it anywhere else, so
#            that the same numbers in another order give another answer. Max over the same
#            numbers as separate inputs keeps it everywhere.
# Seen       operator   reference keeps NaN at   ONNX Runtime keeps NaN at
#            ReduceMax  [0, 1, 2, 3, 4]          [0]
#            ReduceMin  [0, 1, 2, 3, 4]          [0]
#            Max        [0, 1, 2, 3, 4]          [0, 1, 2, 3, 4]
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
timeout 300 "$work/python/bin/pip" install --quiet --disable-pip-version-check \
    onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 || { echo "could not install the packages" >&2; exit 2; }

timeout 60 "$work/python/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

LENGTH = 5


def reduction(operator):
    """Reduces a vector to one number."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "axes"], ["y"])],
        operator,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [LENGTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [0])],
    )
    return graph, lambda values: {"x": values}


def elementwise():
    """Takes the greatest of as many inputs of one number each."""
    names = [f"x{index}" for index in range(LENGTH)]
    graph = helper.make_graph(
        [helper.make_node("Max", names, ["y"])],
        "Max",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    return graph, lambda values: {name: values[index : index + 1] for index, name in enumerate(names)}


def kept(run, inputs):
    """The positions at which a NaN comes through."""
    positions = []
    for position in range(LENGTH):
        values = np.arange(LENGTH, dtype=np.float32)
        values[position] = np.nan
        if np.isnan(run(None, inputs(values))[0]).all():
            positions.append(position)
    return positions


everywhere = list(range(LENGTH))
found = {}
print("operator   reference keeps NaN at   ONNX Runtime keeps NaN at")
for name, (graph, inputs) in {
    "ReduceMax": reduction("ReduceMax"),
    "ReduceMin": reduction("ReduceMin"),
    "Max": elementwise(),
}.items():
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model, full_check=True)
    reference = kept(ReferenceEvaluator(model).run, inputs)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found[name] = reference, kept(session.run, inputs)
    print(f"{name:<10} {found[name][0]!s:<24} {found[name][1]}")

expected = {
    "ReduceMax": (everywhere, [0]),
    "ReduceMin": (everywhere, [0]),
    "Max": (everywhere, everywhere),
}
if found != expected:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
