//! Every operator that is read, in the forms in which exporters write it: the runtime
//! answers what tract answers.

use evenkeel_export::Program;
use evenkeel_export::onnx::SUPPORTED_OPERATORS;
use evenkeel_runtime::program::Op;

use crate::hand_made::{Attribute, HandMade, floats, integers, value};
use crate::support::{TOLERANCE, compare, weights};
use Attribute::{Float, Integer, Integers, Tensor};
use tract_onnx::pb::tensor_proto::DataType;

fn assert_agreement(model: HandMade) -> Program {
    let (program, parity) = compare(&model.bytes());
    assert!(parity.largest() < TOLERANCE, "{parity:?}");
    program
}

fn ops(program: &Program) -> Vec<Op> {
    program.instructions.iter().map(|instruction| instruction.op).collect()
}

#[test]
fn gemm_with_all_attributes_and_biases() {
    for trans_b in [0, 1] {
        let dims = if trans_b == 1 { [5, 4] } else { [4, 5] };
        for (alpha, beta) in [(1.0, 1.0), (0.5, 2.0)] {
            for bias_dims in [&[5][..], &[1, 5], &[1], &[]] {
                let bias = weights(bias_dims.iter().product::<i64>() as usize, 2);
                let attributes = [Float("alpha", alpha), Float("beta", beta), Integer("transB", trans_b)];
                let program = assert_agreement(
                    HandMade::new(4).floats("w", &dims, &weights(20, 4)).floats("b", bias_dims, &bias).node(
                        "layer",
                        "Gemm",
                        &["x", "w", "b"],
                        "y",
                        &attributes,
                    ),
                );
                assert_eq!(ops(&program), [Op::Linear]);
            }
        }
    }
}

#[test]
fn gemm_without_bias_and_attributes() {
    assert_agreement(HandMade::new(4).floats("w", &[4, 3], &weights(12, 4)).node(
        "layer",
        "Gemm",
        &["x", "w"],
        "y",
        &[],
    ));
}

#[test]
fn matmul_with_a_bias_on_either_side() {
    for inputs in [["h", "b"], ["b", "h"]] {
        for bias_dims in [&[3][..], &[1, 3], &[1]] {
            let bias = weights(bias_dims.iter().product::<i64>() as usize, 1);
            let program = assert_agreement(
                HandMade::new(4)
                    .floats("w", &[4, 3], &weights(12, 4))
                    .floats("b", bias_dims, &bias)
                    .node("product", "MatMul", &["x", "w"], "h", &[])
                    .node("bias", "Add", &inputs, "y", &[]),
            );
            assert_eq!(ops(&program), [Op::Linear]);
        }
    }
}

#[test]
fn arithmetic_with_constants_on_either_side() {
    for (op_type, constant_left_too) in [("Add", true), ("Sub", true), ("Mul", true), ("Div", false)] {
        for dims in [&[][..], &[1], &[3], &[1, 1], &[1, 3]] {
            let count = dims.iter().product::<i64>() as usize;
            let constant: Vec<f32> = (0..count).map(|i| i as f32 + 0.75).collect();
            let model =
                |inputs: &[&str]| HandMade::new(3).floats("c", dims, &constant).node("op", op_type, inputs, "y", &[]);
            let program = assert_agreement(model(&["x", "c"]));
            assert_eq!(ops(&program), [if count == 1 { Op::Affine } else { Op::Linear }]);
            if constant_left_too {
                assert_agreement(model(&["c", "x"]));
            }
        }
    }
}

#[test]
fn input_standardisation_is_folded_into_the_first_layer() {
    let program = assert_agreement(
        HandMade::new(3)
            .floats("mean", &[3], &[1.0, -2.0, 0.5])
            .floats("deviation", &[3], &[0.5, 3.0, 1.5])
            .floats("w", &[3, 2], &weights(6, 3))
            .node("centre", "Sub", &["x", "mean"], "centred", &[])
            .node("scale", "Div", &["centred", "deviation"], "z", &[])
            .node("layer", "MatMul", &["z", "w"], "y", &[]),
    );
    assert_eq!(ops(&program), [Op::Linear]);
}

#[test]
fn arithmetic_of_rows_and_one_row() {
    for op_type in ["Add", "Sub", "Mul"] {
        for inputs in [["x", "mean"], ["mean", "x"], ["x", "x"], ["mean", "mean"]] {
            assert_agreement(
                HandMade::new(3).node("context", "ReduceMean", &["x"], "mean", &[Integers("axes", vec![0])]).node(
                    "op",
                    op_type,
                    &inputs,
                    "y",
                    &[],
                ),
            );
        }
    }
}

#[test]
fn activations() {
    for op_type in ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "Neg", "Identity"] {
        assert_agreement(HandMade::new(3).node("activation", op_type, &["x"], "y", &[]));
    }
    assert_agreement(HandMade::new(3).node("activation", "LeakyRelu", &["x"], "y", &[Float("alpha", 0.2)]));
}

#[test]
fn slopes_for_all_columns_or_each() {
    for (dims, slopes) in
        [(&[][..], &[0.3][..]), (&[1], &[0.3]), (&[3], &[0.1, 0.0, -0.5]), (&[1, 3], &[0.1, 1.0, 2.0])]
    {
        assert_agreement(HandMade::new(3).floats("slope", dims, slopes).node("f", "PRelu", &["x", "slope"], "y", &[]));
    }
}

#[test]
fn the_larger_and_the_smaller() {
    for op_type in ["Max", "Min"] {
        let model = || HandMade::new(3).floats("one", &[], &[0.5]).floats("each", &[3], &[-1.0, 0.25, 2.0]);
        for inputs in [["x", "one"], ["one", "x"], ["x", "each"], ["each", "x"]] {
            assert_agreement(model().node("f", op_type, &inputs, "y", &[]));
        }
        let both = model().node("tanh", "Tanh", &["x"], "t", &[]).node("f", op_type, &["x", "t"], "y", &[]);
        assert_agreement(both);
    }
}

#[test]
fn powers_and_sums() {
    for exponent in [1.0, 2.0, 3.0] {
        let model = HandMade::new(3).floats("e", &[], &[exponent]).node("f", "Pow", &["x", "e"], "y", &[]);
        assert_agreement(model);
    }
    for exponent in [0.5, -0.5] {
        let model = HandMade::new(3)
            .floats("e", &[], &[exponent])
            .floats("one", &[], &[1.0])
            .integers("axes", &[1])
            .node("squares", "ReduceSumSquare", &["x"], "s", &[Integers("axes", vec![1])])
            .node("safe", "Add", &["s", "one"], "v", &[])
            .node("root", "Pow", &["v", "e"], "r", &[])
            .node("scaled", "Mul", &["x", "r"], "y", &[]);
        assert_agreement(model);
    }
    assert_agreement(HandMade::new(3).node("t", "Tanh", &["x"], "t", &[]).node("f", "Sum", &["x", "t"], "y", &[]));
    assert_agreement(HandMade::new(3).integers("axes", &[1]).node("f", "ReduceSum", &["x", "axes"], "y", &[]));
}

#[test]
fn one_column_against_many() {
    let model = || HandMade::new(3).node("mean", "ReduceMean", &["x"], "m", &[Integers("axes", vec![1])]);
    for op_type in ["Add", "Sub", "Mul"] {
        for inputs in [["x", "m"], ["m", "x"]] {
            assert_agreement(model().node("f", op_type, &inputs, "y", &[]));
        }
        let each = model().floats("each", &[3], &[-1.0, 0.25, 2.0]).node("f", op_type, &["m", "each"], "y", &[]);
        assert_agreement(each);
    }
}

#[test]
fn parts_of_the_columns() {
    let model = |parts: &[i64]| {
        let model =
            HandMade::new(6).integers("parts", parts).node("s", "Split", &["x", "parts"], "a", &[Integer("axis", 1)]);
        model.with_outputs(&["b"])
    };
    for parts in [[3, 3], [4, 2], [5, 1]] {
        let tail = model(&parts).node("f", "Tanh", &["b"], "t", &[]);
        assert_agreement(tail.node("all", "Concat", &["t", "a"], "y", &[Integer("axis", 1)]));
    }
    let old = HandMade::new(6)
        .node("s", "Split", &["x"], "a", &[Integer("axis", -1), Integers("split", vec![2, 4])])
        .with_outputs(&["b"])
        .node("f", "Tanh", &["b"], "y", &[])
        .opset(11);
    assert_agreement(old);
    let scalar = Tensor("value", Box::new(integers("", &[2])));
    let mut one = HandMade::new(6).node("i", "Constant", &[], "i", &[scalar]);
    one.graph.node[0].attribute[0].t.as_mut().unwrap().dims.clear();
    assert_agreement(one.node("pick", "Gather", &["x", "i"], "y", &[Integer("axis", 1)]));
}

#[test]
fn nodes_that_do_nothing() {
    assert_agreement(HandMade::new(3).node("off", "Dropout", &["x"], "y", &[]).with_outputs(&["mask"]));
    assert_agreement(HandMade::new(3).node("same", "Transpose", &["x"], "y", &[Integers("perm", vec![0, 1])]));
    let cast = HandMade::new(3).node("half", "Cast", &["x"], "h", &[Integer("to", 10)]);
    let cast = cast.node("back", "CastLike", &["h", "x"], "y", &[]).opset(19);
    assert_agreement(cast);
    // A dimension more, and away again.
    let deeper = HandMade::new(3)
        .integers("axes", &[0])
        .node("in", "Unsqueeze", &["x", "axes"], "u", &[])
        .node("f", "Tanh", &["u"], "t", &[])
        .node("out", "Squeeze", &["t", "axes"], "y", &[]);
    assert_agreement(deeper);
}

#[test]
fn weights_that_the_graph_transposes() {
    assert_agreement(
        HandMade::new(4)
            .floats("w", &[3, 4], &weights(12, 4))
            .floats("half", &[], &[0.5])
            .node("turn", "Transpose", &["w"], "t", &[Integers("perm", vec![1, 0])])
            .node("scale", "Mul", &["t", "half"], "s", &[])
            .node("layer", "MatMul", &["x", "s"], "y", &[]),
    );
}

#[test]
fn clipping_with_both_limits_or_one() {
    for inputs in [&["x", "least", "most"][..], &["x", "least"], &["x", "", "most"], &["x"]] {
        let model = HandMade::new(3).floats("least", &[], &[-0.25]).floats("most", &[], &[1.5]);
        let program = assert_agreement(model.node("clipped", "Clip", inputs, "y", &[]));
        assert_eq!(ops(&program), [Op::Clip]);
    }
    let mut old = HandMade::new(3).node("clipped", "Clip", &["x"], "y", &[Float("min", -0.5), Float("max", 0.5)]);
    old.opset = 10;
    assert_agreement(old);
}

#[test]
fn means_with_axes_as_attribute_or_input() {
    for axes in [vec![0], vec![-2]] {
        let keepdims = [Integers("axes", axes.clone()), Integer("keepdims", 1)];
        assert_agreement(HandMade::new(3).node("mean", "ReduceMean", &["x"], "y", &keepdims));
        let mut model = HandMade::new(3).integers("axes", &axes).node("mean", "ReduceMean", &["x", "axes"], "y", &[]);
        model.opset = 18;
        assert_agreement(model);
    }
}

#[test]
fn columns_side_by_side() {
    for axis in [1, -1] {
        assert_agreement(
            HandMade::new(2).node("a", "Tanh", &["x"], "a", &[]).node("b", "Relu", &["x"], "b", &[]).node(
                "all",
                "Concat",
                &["a", "x", "b"],
                "y",
                &[Integer("axis", axis)],
            ),
        );
    }
}

#[test]
fn slices_of_columns() {
    for (start, end) in [(1, 3), (0, i64::MAX), (-2, -1), (-100, 2)] {
        assert_agreement(
            HandMade::new(5)
                .integers("starts", &[start])
                .integers("ends", &[end])
                .integers("axes", &[-1])
                .integers("steps", &[1])
                .node("part", "Slice", &["x", "starts", "ends", "axes", "steps"], "y", &[]),
        );
    }
}

#[test]
fn gathered_columns() {
    for (indices, instructions) in [(&[1, 2, 3][..], 1), (&[3, 0, 1], 3), (&[-1, -5], 3)] {
        let program = assert_agreement(HandMade::new(5).integers("indices", indices).node(
            "pick",
            "Gather",
            &["x", "indices"],
            "y",
            &[Integer("axis", 1)],
        ));
        assert_eq!(program.instructions.len(), instructions);
    }
}

#[test]
fn shapes_that_stay_as_they_are() {
    assert_agreement(HandMade::new(3).node("flat", "Flatten", &["x"], "y", &[Integer("axis", 1)]));
    for target in [[-1, 3], [0, 3], [0, -1], [0, 0]] {
        assert_agreement(HandMade::new(3).integers("target", &target).node(
            "same",
            "Reshape",
            &["x", "target"],
            "y",
            &[],
        ));
    }
}

#[test]
fn constants_as_nodes() {
    assert_agreement(
        HandMade::new(2)
            .node("weights", "Constant", &[], "w", &[Tensor("value", Box::new(floats("", &[2, 2], &weights(4, 2))))])
            .node("half", "Constant", &[], "half", &[Float("value_float", 0.5)])
            .node("target", "Constant", &[], "target", &[Tensor("value", Box::new(integers("", &[-1, 2])))])
            .node("layer", "MatMul", &["x", "w"], "h", &[])
            .node("scaled", "Mul", &["h", "half"], "z", &[])
            .node("same", "Reshape", &["z", "target"], "y", &[]),
    );
}

#[test]
fn a_value_with_several_readers() {
    assert_agreement(
        HandMade::new(3)
            .floats("w", &[3, 3], &weights(9, 3))
            .node("scaled", "Neg", &["x"], "z", &[])
            .node("layer", "Gemm", &["z", "w"], "h", &[])
            .node("skip", "Add", &["h", "z"], "s", &[])
            .node("gate", "Sigmoid", &["h"], "g", &[])
            .node("gated", "Mul", &["s", "g"], "y", &[]),
    );
}

#[test]
fn a_product_that_is_read_before_its_bias_is_added() {
    assert_agreement(
        HandMade::new(4)
            .floats("w", &[4, 4], &weights(16, 4))
            .floats("b", &[4], &weights(4, 1))
            .node("product", "MatMul", &["x", "w"], "a", &[])
            .node("bias", "Add", &["a", "b"], "c", &[])
            .node("both", "Mul", &["a", "c"], "y", &[]),
    );
}

#[test]
fn the_input_may_be_the_output() {
    let program = assert_agreement(HandMade::new(3).node("same", "Identity", &["x"], "y", &[]));
    assert_eq!(ops(&program), [Op::Affine]);
}

#[test]
fn what_nobody_reads_is_left_out() {
    let program = assert_agreement(HandMade::new(3).node("unused", "Tanh", &["x"], "u", &[]).node(
        "used",
        "Relu",
        &["x"],
        "y",
        &[],
    ));
    assert_eq!(ops(&program), [Op::Relu]);
}

#[test]
fn models_of_a_fixed_number_of_rows_and_with_weights_among_the_inputs() {
    let mut model =
        HandMade::new(2).floats("w", &[2, 2], &weights(4, 2)).node("layer", "MatMul", &["x", "w"], "y", &[]);
    model.graph.input =
        vec![value("x", DataType::Float, &[Some(1), Some(2)]), value("w", DataType::Float, &[Some(2), Some(2)])];
    let program = evenkeel_export::onnx::read_bytes(&model.bytes()).unwrap();
    assert_eq!(ops(&program), [Op::Linear]);
}

#[test]
fn the_list_of_operators_is_sorted() {
    assert!(SUPPORTED_OPERATORS.is_sorted());
}

#[test]
fn the_documentation_names_every_operator() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/training.md");
    let page = std::fs::read_to_string(page).unwrap();
    for operator in SUPPORTED_OPERATORS {
        let name = operator.rsplit("::").next().unwrap();
        assert!(page.contains(&format!("`{name}`")), "{operator}");
    }
}
