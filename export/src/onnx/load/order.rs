//! The order of nodes. ONNX wants each behind those that it reads; converters that put nodes in,
//! such as those to half precision, leave them at the end.

use std::collections::BTreeMap;

use tract_onnx::pb::NodeProto;

/// Sorts nodes so that each stands behind those that it reads; what is in order stays as it is.
/// In a circle some node is left in front of what it reads, which is found when it is read.
pub(super) fn sort(nodes: &mut Vec<NodeProto>) {
    let makers: BTreeMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    let mut begun = vec![false; nodes.len()];
    for first in 0..nodes.len() {
        // Nodes whose operands are being placed, each with the next operand to look at.
        let mut waiting = vec![(first, 0)];
        while let Some((index, operand)) = waiting.pop() {
            if operand == 0 && std::mem::replace(&mut begun[index], true) {
                continue;
            }
            match nodes[index].input.get(operand) {
                Some(name) => {
                    waiting.push((index, operand + 1));
                    waiting.extend(makers.get(name.as_str()).filter(|maker| !begun[**maker]).map(|maker| (*maker, 0)));
                }
                None => order.push(index),
            }
        }
    }
    let mut unsorted: Vec<Option<NodeProto>> = std::mem::take(nodes).into_iter().map(Some).collect();
    nodes.extend(order.into_iter().filter_map(|index| unsorted[index].take()));
}
