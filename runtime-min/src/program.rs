//! The artifact's small instruction set: what a network is once it is compiled.
//!
//! A program works on registers. A register is a matrix of `rows × width` numbers
//! (rows: the hosts of a decision, or the horizons of a forecast), or *uniform*: one row
//! which stands for all of them. Storage is feature-major: column after column, each
//! padded to a multiple of [`LANES`] rows, so that a loop over rows is a loop over
//! SIMD lanes.
//!
//! [`Program::parse`] checks every record once; [`Program::run`] then has nothing left
//! that could fail.

mod int8;
mod linear;
mod plan;
mod records;
mod run;

pub use records::{Instruction, NO_WEIGHTS, Op, Register};

use crate::artifact::error::ArtifactError;
use crate::simd::Level;
use plan::{Place, Plan};
use records::Records;

/// Rows are padded to a multiple of this.
pub const LANES: usize = 16;

/// Rows that are taken through a segment of the program together.
const GROUP: usize = 2 * LANES;

/// Limits of a program, so that scratch memory and running time stay bounded whatever a
/// file claims.
pub mod limits {
    /// Most registers of a program.
    pub const REGISTERS: usize = 64;
    /// Most instructions of a program.
    pub const INSTRUCTIONS: usize = 128;
    /// Widest register.
    pub const WIDTH: usize = 1024;
    /// Most weights of a program.
    pub const WEIGHTS: usize = 1 << 20;
}

/// Rows rounded up to whole lanes.
#[inline]
pub const fn stride(rows: usize) -> usize {
    rows.div_ceil(LANES) * LANES
}

/// A validated network, its weights read in place from the artifact's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    records: Records<'a>,
    plan: Plan,
    level: Level,
}

impl<'a> Program<'a> {
    /// Validates a program section: limits, register numbers, widths, weight ranges,
    /// finite weights, and that every register is written before it is read.
    pub fn parse(section: &'a [u8]) -> Result<Self, ArtifactError> {
        let records = Records::parse(section)?;
        Ok(Self { records, plan: Plan::new(&records), level: Level::detect() })
    }

    /// The vectors that it runs on.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Width of register 0, which the caller fills.
    pub fn input_width(&self) -> usize {
        self.records.register(0).width as usize
    }

    /// Width of the output register.
    pub fn output_width(&self) -> usize {
        self.records.register(self.records.output).width as usize
    }

    /// Whether the output is one row which stands for all.
    pub fn output_is_uniform(&self) -> bool {
        self.records.register(self.records.output).uniform
    }

    /// The same program on narrower vectors; the results are the same bits.
    #[must_use]
    pub fn with_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// Number of weights, biases included; four that are packed count as one.
    pub fn weight_count(&self) -> usize {
        self.records.weights.len()
    }

    /// Of these, how many are four 8-bit integers each: the last.
    pub fn packed_count(&self) -> usize {
        self.records.packed
    }

    /// The weights in order; those that are packed are bits.
    pub fn weights(&self) -> impl Iterator<Item = f32> + '_ {
        self.records.weights.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// The registers in order; register 0 is the input.
    pub fn registers(&self) -> impl Iterator<Item = Register> + '_ {
        self.records.registers()
    }

    /// The instructions in order.
    pub fn instructions(&self) -> impl Iterator<Item = Instruction> + '_ {
        self.records.instructions()
    }

    /// The register that holds the result.
    pub fn output_register(&self) -> u16 {
        self.records.output
    }

    /// Length of the scratch memory that [`run`](Self::run) needs, in `f32`s.
    pub fn scratch_len(&self, rows: usize) -> usize {
        self.plan.scratch_len(rows)
    }

    /// Runs the network on the input which the caller has put at the start of `scratch`:
    /// `input_width` columns of [`stride`]`(rows)` numbers each. Returns the output in the
    /// same layout. `None` if `scratch` is shorter than [`scratch_len`](Self::scratch_len)
    /// or `rows` is 0.
    pub fn run<'s>(&self, rows: usize, scratch: &'s mut [f32]) -> Option<&'s [f32]> {
        let place = self.run_in_place(rows, scratch)?;
        scratch.get(place)
    }

    /// [`run`](Self::run), which returns where in `scratch` the output is. The input is still
    /// at its start.
    pub(crate) fn run_in_place(&self, rows: usize, scratch: &mut [f32]) -> Option<core::ops::Range<usize>> {
        if rows == 0 || scratch.len() < self.scratch_len(rows) {
            return None;
        }
        self.level.run_rows(rows, run::Run { plan: &self.plan, weights: self.records.weights, rows, scratch });
        let (stride, width) = (stride(rows), self.output_width());
        let (begin, len) = match self.plan.output {
            Place::Rows(columns) => (columns as usize * stride, width * stride),
            Place::Group(columns) => (columns as usize * GROUP + self.plan.row_columns * stride, width * GROUP),
            Place::Uniform(begin) => (begin as usize + self.plan.uniform_begin(stride), width),
        };
        Some(begin..begin + len)
    }
}
