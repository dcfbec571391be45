#!/usr/bin/env bash
# tract's Celu is right for alpha = 1 only
#
# Versions   tract 0.23.9, onnxruntime 1.32.0, onnx 1.23.2, all from PyPI
# Guess      An activation function of one line is the same in all runtimes.
# Behaviour  ONNX defines Celu as max(0, x) + min(0, alpha (exp(x / alpha) - 1)). tract leaves out the
#            factor before the parenthesis, so that negative inputs come out as exp(x / alpha) - 1: half
#            of what they should be for alpha 2, twice for alpha 0.5. The default of 1 hides it.
# Seen       Celu(-3)   ONNX Runtime        tract
#            alpha 1          -0.9502      -0.9502
#            alpha 2           -1.554      -0.7769
#            alpha 0.5        -0.4988      -0.9975
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

ALPHAS = [1.0, 2.0, 0.5]


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


print("Celu(-3)   ONNX Runtime        tract")
as_described = True
for alpha in ALPHAS:
    reference, found = (float(result[0]) for result in both("Celu", {"alpha": alpha}, [-3]))
    print(f"alpha {alpha:<7g}{reference:>10.4g}{found:>13.4g}")
    right = alpha * np.expm1(-3 / alpha)
    as_described &= np.isclose(reference, right, rtol=1e-5) and np.isclose(found, right / alpha, rtol=1e-5)
if not as_described:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
