//! What a name of the file stands for: numbers computed from the input, constants, or whole
//! numbers about shapes.

use crate::ir::ValueId;
use crate::onnx::error::Refusal;
use crate::onnx::load::Tensor;

/// One named value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Known only when the network runs.
    Computed(Computed),
    /// Part of the file, or folded from such.
    Constant(Constant),
    /// Whole numbers of which some may be the number of rows.
    Extents(Extents),
    /// A value rounded to few bits.
    Quantised(Quantised),
    /// The zero point that `DynamicQuantizeLinear` chose, by the number of its scale.
    ZeroPoint(usize),
    /// The square root of a value, not taken before it is known whether it divides.
    Root(Computed),
}

impl Value {
    /// What it is, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Computed(_) | Self::Root(_) => "a value computed from the input".to_owned(),
            Self::Constant(constant) => format!("a constant of shape {:?}", constant.tensor.shape),
            Self::Extents(_) => "the shape of a value".to_owned(),
            Self::Quantised(_) => "a quantised value".to_owned(),
            Self::ZeroPoint(_) => "a computed zero point".to_owned(),
        }
    }
}

/// An axis of a computed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Length 1.
    One,
    /// As many as there are hosts or horizons.
    Rows,
    /// The columns, if there is more than one.
    Columns,
}

/// A value of the graph in the form in which the file has it. Rows, if it has them, come
/// before columns.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    pub(super) body: Body,
    pub(super) axes: Vec<Axis>,
    /// What the body is to be multiplied by.
    pub(super) factor: Factor,
}

impl Computed {
    pub(super) fn new(value: ValueId, axes: Vec<Axis>) -> Self {
        Self { body: Body::One(value), axes, factor: Factor::default() }
    }

    /// Its shape, for messages.
    pub(super) fn shape(&self, width: usize) -> String {
        let axes = self.axes.iter().map(|axis| match axis {
            Axis::One => "1".to_owned(),
            Axis::Rows => "N".to_owned(),
            Axis::Columns => width.to_string(),
        });
        format!("[{}]", axes.collect::<Vec<_>>().join(", "))
    }
}

/// Numbers of a computed value.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// A value of the graph.
    One(ValueId),
    /// Values side by side, of which some are one row that stands for all. A linear layer
    /// takes them apart again; for anything else they are put together.
    Beside(Vec<ValueId>),
}

/// A constant, times a factor.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub(super) tensor: Tensor,
    pub(super) factor: Factor,
}

impl From<Tensor> for Constant {
    fn from(tensor: Tensor) -> Self {
        Self { tensor, factor: Factor::default() }
    }
}

/// A number known only at run time, that has to cancel out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Symbol {
    /// The number of rows.
    Rows,
    /// A scale that `DynamicQuantizeLinear` chose.
    Scale(usize),
}

/// A product of powers of symbols, none with exponent 0, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Factor(Vec<(Symbol, i32)>);

impl Factor {
    pub(super) fn of(symbol: Symbol, exponent: i32) -> Self {
        Self(vec![(symbol, exponent)])
    }

    pub(super) fn is_one(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = self.0.clone();
        for (symbol, exponent) in &other.0 {
            match product.iter_mut().find(|(known, _)| known == symbol) {
                Some((_, sum)) => *sum += exponent,
                None => product.push((*symbol, *exponent)),
            }
        }
        product.retain(|(_, exponent)| *exponent != 0);
        product.sort_unstable();
        Self(product)
    }

    pub(super) fn inverse(&self) -> Self {
        Self(self.0.iter().map(|(symbol, exponent)| (*symbol, -exponent)).collect())
    }

    /// Refuses what is not one.
    pub(super) fn expect_one(&self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((Symbol::Rows, 1..)) => Err(Refusal::new(
                "found a sum over the rows, which grows with the number of hosts: take the mean (ReduceMean), or \
                 divide by the number of rows",
            )),
            Some((Symbol::Rows, _)) => {
                Err(Refusal::new("found a division by the number of rows of what is not a sum over them"))
            }
            Some((Symbol::Scale(_), _)) => Err(Refusal::new(
                "found integers scaled at run time, expected them multiplied by their scale first: quantise with \
                 ONNX Runtime's quantize_dynamic, or export in float32",
            )),
        }
    }
}

/// A value that the file rounds to few bits. What is kept here is not rounded.
#[derive(Clone, Debug)]
pub(super) struct Quantised {
    pub(super) x: Computed,
    pub(super) scale: Constant,
    pub(super) zero: Zero,
}

/// A zero point.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Zero {
    /// Chosen at run time, by the number of its scale.
    Dynamic(usize),
    /// Part of the file.
    Fixed(f64),
}

/// A list of whole numbers, or one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extents {
    pub(super) list: Vec<Extent>,
    pub(super) scalar: bool,
}

/// A whole number about shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Known.
    Fixed(i64),
    /// The number of rows.
    Rows,
}
