#!/usr/bin/env bash
# tract's Softplus is infinite from 89 on, its LogSoftmax minus infinity for unlikely classes
#
# Versions   tract 0.23.9, onnxruntime 1.32.0, onnx 1.23.2, all from PyPI
# Guess      Softplus is the smooth ReLU and LogSoftmax the stable form of a logarithm: runtimes
#            evaluate both so that they cannot overflow, and differ in the last digit at most.
# Behaviour  tract evaluates the definitions, ln(1 + exp(x)) and ln(softmax(x)), in 32 bits: Softplus
#            is infinite where the answer is the input itself, and 0 where it is small; LogSoftmax is
#            minus infinity for a class that is merely improbable. Both are frequent heads of networks
#            (positive outputs, ordered quantiles, policies).
# Seen       operator          input   ONNX Runtime          tract
#            Softplus            -20      2.061e-09              0
#            Softplus             88             88             88
#            Softplus            100            100            inf
#            LogSoftmax          -50            -50            -50
#            LogSoftmax         -200           -200           -inf
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python
timeout 300 python/bin/pip install --quiet --disable-pip-version-check \
    tract==0.23.9 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 ||
    { echo "could not install the packages" >&2; exit 2; }

timeout 60 python/bin/python - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import tract
from onnx import TensorProto, helper

SOFTPLUS = [-20, 88, 100]
LOGITS = [-50, -200, 0]


def both(operator, attributes, *inputs):
    """Runs one operator in ONNX Runtime and in tract."""
    names = [f"x{index}" for index in range(len(inputs))]
    values = [np.array(numbers, np.float32) for numbers in inputs]
    describe = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, values[0].shape)
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], **attributes)],
        operator, [describe(name) for name in names], [describe("y")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    reference = session.run(None, dict(zip(names, values)))[0]
    return reference, tract.onnx().load("model.onnx").into_model().into_runnable().run(values)[0].to_numpy()


softplus = both("Softplus", {}, SOFTPLUS)
log_softmax = both("LogSoftmax", {"axis": 0}, LOGITS)
print("operator          input   ONNX Runtime          tract")
for name, inputs, results in (("Softplus", SOFTPLUS, softplus), ("LogSoftmax", LOGITS[:2], log_softmax)):
    for value, reference, found in zip(inputs, *results):
        print(f"{name:<11}{value:>12}{reference:>15.4g}{found:>15.4g}")
as_described = (
    np.allclose(softplus[0], [2.061e-9, 88, 100], rtol=1e-3, atol=0)
    and softplus[1].tolist() == [0, 88, np.inf]
    and np.allclose(log_softmax[0], LOGITS)
    and np.allclose(log_softmax[1][0], LOGITS[0])
    and log_softmax[1][1] == -np.inf
)
if not as_described:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
