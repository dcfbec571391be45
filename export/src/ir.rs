//! A network between its ONNX file and its program: values that are written once.
//!
//! Operations check the widths of their operands when they are added, so that whatever
//! stands in a [`Graph`] has a consistent shape. [`crate::lower`] turns a graph into a
//! [`crate::Program`].

use std::fmt;

/// A value of a graph: its input, or the result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(usize);

impl ValueId {
    /// The graph's input.
    pub const INPUT: Self = Self(0);

    /// Position of the node that makes this value; `None` for the input.
    pub(crate) fn node(self) -> Option<usize> {
        self.0.checked_sub(1)
    }
}

/// Shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Columns.
    pub width: usize,
    /// One row that stands for all rows.
    pub uniform: bool,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", if self.uniform { "1" } else { "N" }, self.width)
    }
}

/// Elementwise function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// Hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `min(max(x, least), most)`.
    Clip {
        /// What less counts as.
        least: f32,
        /// What more counts as.
        most: f32,
    },
}

/// Elementwise function of two values of equal width; a uniform one is broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// `a + b`.
    Add,
    /// `a − b`.
    Subtract,
    /// `a · b`.
    Multiply,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `x · W + bias`.
    Linear {
        /// Operand.
        x: ValueId,
        /// `W`, row-major, `[width(x)][width of the result]`.
        weights: Vec<f32>,
        /// One number for each column of the result.
        bias: Option<Vec<f32>>,
    },
    /// `scale · x + offset`, each column with its own constants.
    Columns {
        /// Operand.
        x: ValueId,
        /// Factor of each column.
        scale: Vec<f32>,
        /// Summand of each column.
        offset: Vec<f32>,
    },
    /// Elementwise function of one value.
    Map(Function, ValueId),
    /// Elementwise function of two values.
    Combine(Combination, ValueId, ValueId),
    /// Mean over the rows: uniform.
    MeanRows(ValueId),
    /// Two values side by side.
    Concat(ValueId, ValueId),
    /// Neighbouring columns.
    Slice {
        /// Operand.
        x: ValueId,
        /// First column taken.
        begin: usize,
        /// Columns taken.
        width: usize,
    },
}

impl Operation {
    /// The values that the operation reads.
    pub fn operands(&self) -> impl Iterator<Item = ValueId> {
        let (first, second) = match self {
            Self::Linear { x, .. }
            | Self::Columns { x, .. }
            | Self::Map(_, x)
            | Self::MeanRows(x)
            | Self::Slice { x, .. } => (*x, None),
            Self::Combine(_, a, b) | Self::Concat(a, b) => (*a, Some(*b)),
        };
        std::iter::once(first).chain(second)
    }

    /// The same operation on other operands.
    pub(crate) fn with_operands(self, new: impl Fn(ValueId) -> ValueId) -> Self {
        match self {
            Self::Linear { x, weights, bias } => Self::Linear { x: new(x), weights, bias },
            Self::Columns { x, scale, offset } => Self::Columns { x: new(x), scale, offset },
            Self::Map(function, x) => Self::Map(function, new(x)),
            Self::Combine(combination, a, b) => Self::Combine(combination, new(a), new(b)),
            Self::MeanRows(x) => Self::MeanRows(new(x)),
            Self::Concat(a, b) => Self::Concat(new(a), new(b)),
            Self::Slice { x, begin, width } => Self::Slice { x: new(x), begin, width },
        }
    }
}

/// Why an operation does not fit its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A value that the graph does not have.
    #[error("an operand is not a value of this graph")]
    UnknownValue,
    /// An operation whose result would have no columns.
    #[error("the result would have no columns")]
    NoColumns,
    /// A constant does not fit its operand's width.
    #[error("{what}: found {found} numbers, expected {expected} for an operand of shape {operand}")]
    Constant {
        /// Which constant.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have (weights: a multiple of it).
        expected: usize,
        /// The operand.
        operand: Shape,
    },
    /// Operands of different width.
    #[error("found operands of shape {left} and {right}, expected equal widths")]
    Widths {
        /// First operand.
        left: Shape,
        /// Second operand.
        right: Shape,
    },
    /// Rows beside a uniform value.
    #[error("found operands of shape {left} and {right} side by side, expected both with N rows or both with one")]
    Concat {
        /// First operand.
        left: Shape,
        /// Second operand.
        right: Shape,
    },
    /// The mean of a value that has one row.
    #[error("found an operand of shape {operand}, expected N rows to take the mean of")]
    MeanOfOneRow {
        /// The operand.
        operand: Shape,
    },
    /// Columns beyond the operand's last.
    #[error("found columns {begin}..{end} of an operand of shape {operand}")]
    Slice {
        /// First column.
        begin: usize,
        /// Column behind the last.
        end: usize,
        /// The operand.
        operand: Shape,
    },
}

/// A node: an operation and the shape of its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it computes.
    pub operation: Operation,
    /// Shape of the result.
    pub shape: Shape,
}

/// Nodes in the order of computation, starting from one input of `N` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    input_width: usize,
    nodes: Vec<Node>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new(input_width: usize) -> Self {
        Self { input_width, nodes: Vec::new() }
    }

    /// Width of the input.
    pub fn input_width(&self) -> usize {
        self.input_width
    }

    /// The nodes; the operands of each are made before it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The shape of a value; `None` if the graph has no such value.
    pub fn shape(&self, value: ValueId) -> Option<Shape> {
        match value.node() {
            None => Some(Shape { width: self.input_width, uniform: false }),
            Some(node) => self.nodes.get(node).map(|node| node.shape),
        }
    }

    /// Adds a node.
    ///
    /// # Errors
    /// If the operation does not fit its operands.
    pub fn push(&mut self, operation: Operation) -> Result<ValueId, ShapeError> {
        let shape = self.result_shape(&operation)?;
        if shape.width == 0 {
            return Err(ShapeError::NoColumns);
        }
        self.nodes.push(Node { operation, shape });
        Ok(ValueId(self.nodes.len()))
    }

    fn result_shape(&self, operation: &Operation) -> Result<Shape, ShapeError> {
        let shape = |value| self.shape(value).ok_or(ShapeError::UnknownValue);
        match operation {
            Operation::Linear { x, weights, bias } => linear_shape(shape(*x)?, weights.len(), bias.as_deref()),
            Operation::Columns { x, scale, offset } => {
                let operand = shape(*x)?;
                expect_len("scale", scale.len(), operand.width, operand)?;
                expect_len("offset", offset.len(), operand.width, operand)?;
                Ok(operand)
            }
            Operation::Map(_, x) => shape(*x),
            Operation::Combine(_, a, b) => {
                let (left, right) = (shape(*a)?, shape(*b)?);
                if left.width == right.width {
                    Ok(Shape { width: left.width, uniform: left.uniform && right.uniform })
                } else {
                    Err(ShapeError::Widths { left, right })
                }
            }
            Operation::MeanRows(x) => match shape(*x)? {
                Shape { width, uniform: false } => Ok(Shape { width, uniform: true }),
                operand => Err(ShapeError::MeanOfOneRow { operand }),
            },
            Operation::Concat(a, b) => {
                let (left, right) = (shape(*a)?, shape(*b)?);
                if left.uniform == right.uniform {
                    Ok(Shape { width: left.width + right.width, uniform: left.uniform })
                } else {
                    Err(ShapeError::Concat { left, right })
                }
            }
            Operation::Slice { x, begin, width } => {
                let operand = shape(*x)?;
                let end = begin.saturating_add(*width);
                if end <= operand.width {
                    Ok(Shape { width: *width, uniform: operand.uniform })
                } else {
                    Err(ShapeError::Slice { begin: *begin, end, operand })
                }
            }
        }
    }
}

fn linear_shape(operand: Shape, weights: usize, bias: Option<&[f32]>) -> Result<Shape, ShapeError> {
    let width = weights / operand.width.max(1);
    expect_len("weights", weights, width * operand.width, operand)?;
    if let Some(bias) = bias {
        expect_len("bias", bias.len(), width, operand)?;
    }
    Ok(Shape { width, uniform: operand.uniform })
}

fn expect_len(what: &'static str, found: usize, expected: usize, operand: Shape) -> Result<(), ShapeError> {
    if found == expected { Ok(()) } else { Err(ShapeError::Constant { what, found, expected, operand }) }
}
