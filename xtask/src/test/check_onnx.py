"""Checks trained ONNX files: valid for onnx.checker, and runnable in onnxruntime with any
number of rows, with finite results."""

import sys

import numpy
import onnx
import onnxruntime

for path in sys.argv[1:]:
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (1, 3, 64):
        random = numpy.random.default_rng(rows)
        inputs = {
            value.name: random.standard_normal(
                [size if isinstance(size, int) else rows for size in value.shape]
            ).astype(numpy.float32)
            for value in session.get_inputs()
        }
        for output in session.run(None, inputs):
            assert numpy.isfinite(output).all(), f"{path}: an output is not finite with {rows} rows"
    shapes = ", ".join(f"{value.name} {value.shape}" for value in session.get_inputs())
    print(f"{path}: valid, runs; inputs: {shapes}")
