//! What can be wrong with a graph under construction.

/// A mistake made while building a graph. Each names the node, what it was given, and
/// what it needs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A second call of `input`.
    #[error("input {name:?}: the graph already has its input; a graph has exactly one")]
    SecondInput {
        /// Name of the second input.
        name: String,
    },
    /// An input without columns, or a concatenation of nothing.
    #[error("{node}: no columns, expected at least one")]
    NoColumns {
        /// The node or input.
        node: String,
    },
    /// The weights of a linear layer are for another width than its input has.
    #[error("{node}: the input has {found} columns, expected in_width = {expected}")]
    InputWidth {
        /// The node.
        node: String,
        /// Columns of the input.
        found: usize,
        /// Rows of the weight matrix.
        expected: usize,
    },
    /// A linear layer has too many weights or too few.
    #[error("{node}: {found} weights, expected in_width · out_width = {in_width} · {out_width}")]
    WeightCount {
        /// The node.
        node: String,
        /// Weights given.
        found: usize,
        /// Rows of the weight matrix.
        in_width: usize,
        /// Columns of the weight matrix.
        out_width: usize,
    },
    /// A linear layer's bias has the wrong length.
    #[error("{node}: a bias of {found} numbers, expected out_width = {expected}")]
    BiasCount {
        /// The node.
        node: String,
        /// Length given.
        found: usize,
        /// Columns of the weight matrix.
        expected: usize,
    },
    /// The operands of an elementwise operation differ in width.
    #[error("{node}: the operands have {left} and {right} columns, expected equal widths")]
    WidthsDiffer {
        /// The node.
        node: String,
        /// Columns of the first operand.
        left: usize,
        /// Columns of the second operand.
        right: usize,
    },
    /// A slice that is empty or reaches beyond its operand.
    #[error("{node}: columns {begin}..{end} of a value with {width} columns; expected begin < end <= {width}")]
    Columns {
        /// The node.
        node: String,
        /// First column.
        begin: usize,
        /// Column behind the last.
        end: usize,
        /// Columns of the operand.
        width: usize,
    },
    /// A concatenation of rows with a uniform value.
    #[error(
        "{node}: ONNX does not put [N, width] and [1, width] values side by side; \
         give each its own linear layer and add the results"
    )]
    ConcatMixed {
        /// The node.
        node: String,
    },
    /// A weight or scalar is infinite or not a number.
    #[error("{constant}: contains {found}, expected finite numbers only")]
    NotFinite {
        /// Name of the constant.
        constant: String,
        /// The first such number.
        found: f32,
    },
    /// A value made by another builder.
    #[error("{node}: an operand belongs to another graph")]
    ForeignValue {
        /// The node, or the output.
        node: String,
    },
    /// A name that another value has.
    #[error("the name {name:?} is already taken by another value of the graph")]
    NameTaken {
        /// The name.
        name: String,
    },
}
