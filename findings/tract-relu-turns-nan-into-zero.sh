#!/usr/bin/env bash
# tract's Relu, Max and Min turn NaN into an ordinary number
#
# Versions   tract 0.23.9, onnxruntime 1.32.0, onnx 1.23.2, all from PyPI
# Guess      What is not a number stays so to the end of the network, where it can be seen, as it does in
#            ONNX Runtime: NaN fails every comparison, and no layer makes a number of it.
# Behaviour  tract takes the other operand where one is NaN, as IEEE 754's maxNum does: Relu makes
#            it 0, Max and Min the other input. A network with ReLUs answers a missing
#            feature with a finite and confident output, and a check of the output for NaN,
#            written against ONNX Runtime, never fires.
# Seen       of NaN and 0.5         ONNX Runtime        tract
#            Relu of the NaN                 nan            0
#            Max                             nan          0.5
#            Min                             nan          0.5
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

NAN = [float("nan")]


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


print("of NaN and 0.5         ONNX Runtime        tract")
as_described = True
for title, expected, results in (
    ("Relu of the NaN", 0.0, both("Relu", {}, NAN)),
    ("Max", 0.5, both("Max", {}, NAN, [0.5])),
    ("Min", 0.5, both("Min", {}, NAN, [0.5])),
):
    reference, found = (float(result[0]) for result in results)
    print(f"{title:<23}{reference:>12g}{found:>13g}")
    as_described &= np.isnan(reference) and found == expected
if not as_described:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
