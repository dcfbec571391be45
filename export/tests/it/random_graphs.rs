//! Random small networks: what the builder writes, the runtime computes as tract does.

use evenkeel_export::onnx::{GraphBuilder, OnnxModel, Value};
use proptest::prelude::*;

use crate::support::{TOLERANCE, compare, weights};

/// A step of a random network; numbers pick operands and sizes.
#[derive(Clone, Debug)]
enum Step {
    Linear { operand: usize, out_width: usize, bias: bool },
    Activation { operand: usize, which: u8 },
    Affine { operand: usize, scale: f32, offset: f32 },
    MeanRows { operand: usize },
    Combine { left: usize, right: usize, which: u8 },
    Concat { left: usize, right: usize },
    Slice { operand: usize, begin: usize, end: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..1000_usize;
    prop_oneof![
        3 => (number.clone(), 1..9_usize, any::<bool>())
            .prop_map(|(operand, out_width, bias)| Step::Linear { operand, out_width, bias }),
        2 => (number.clone(), 0..4_u8).prop_map(|(operand, which)| Step::Activation { operand, which }),
        2 => (number.clone(), -2.0..2.0_f32, -3.0..3.0_f32)
            .prop_map(|(operand, scale, offset)| Step::Affine { operand, scale, offset }),
        1 => number.clone().prop_map(|operand| Step::MeanRows { operand }),
        3 => (number.clone(), number.clone(), 0..3_u8)
            .prop_map(|(left, right, which)| Step::Combine { left, right, which }),
        1 => (number.clone(), number.clone()).prop_map(|(left, right)| Step::Concat { left, right }),
        1 => (number.clone(), number.clone(), number).prop_map(|(operand, begin, end)| Step::Slice { operand, begin, end }),
    ]
}

/// Adds a step to the graph, where its operands allow it.
fn add(graph: &mut GraphBuilder, values: &[Value], step: &Step) -> Value {
    let pick = |number: usize| values[number % values.len()];
    match *step {
        Step::Linear { operand, out_width, bias } => {
            let x = pick(operand);
            let bias = bias.then(|| weights(out_width, 1));
            graph.linear(x, &weights(x.width() * out_width, x.width()), x.width(), out_width, bias.as_deref())
        }
        Step::Activation { operand, which } => match which {
            0 => graph.tanh(pick(operand)),
            1 => graph.relu(pick(operand)),
            2 => graph.clip(pick(operand), -0.5, 1.0),
            _ => graph.sigmoid(pick(operand)),
        },
        Step::Affine { operand, scale, offset } => graph.affine(pick(operand), scale, offset),
        Step::MeanRows { operand } => graph.mean_rows(pick(operand)),
        Step::Combine { left, right, which } => {
            let left = pick(left);
            let partners: Vec<_> = values.iter().filter(|value| value.width() == left.width()).collect();
            let right = *partners[right % partners.len()];
            // Products of products grow beyond what single precision holds.
            let (left, right) = if which == 2 { (graph.tanh(left), graph.tanh(right)) } else { (left, right) };
            match which {
                0 => graph.add(left, right),
                1 => graph.subtract(left, right),
                _ => graph.multiply(left, right),
            }
        }
        Step::Concat { left, right } => {
            let left = pick(left);
            let partners: Vec<_> = values.iter().filter(|value| value.is_uniform() == left.is_uniform()).collect();
            graph.concat_columns(&[left, *partners[right % partners.len()]])
        }
        Step::Slice { operand, begin, end } => {
            let x = pick(operand);
            let begin = begin % x.width();
            graph.slice_columns(x, begin, begin + 1 + end % (x.width() - begin))
        }
    }
}

fn build(input_width: usize, steps: &[Step]) -> OnnxModel {
    let mut graph = GraphBuilder::new("random");
    let mut values = vec![graph.input("x", input_width)];
    for step in steps {
        values.push(add(&mut graph, &values, step));
    }
    // Values grow by sums; what counts is the network, not single precision's limits.
    let output = graph.tanh(values[values.len() - 1]);
    graph.finish(output, "y", &[]).expect("steps fit their operands")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tract_and_runtime_agree(input_width in 1..7_usize, steps in prop::collection::vec(step(), 1..14)) {
        let (_, parity) = compare(&build(input_width, &steps).to_bytes());
        prop_assert!(parity.largest() < TOLERANCE, "{parity:?}");
    }
}
