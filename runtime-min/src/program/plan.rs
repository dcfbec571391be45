//! A program made ready to run: where everything lies, and what is done together.
//!
//! Made once, when a program is parsed:
//!
//! - Consecutive instructions on rows form a *segment*, which is run to its end for one
//!   group of rows before the next group is begun. Registers which no other segment reads
//!   are kept for one group only, so that they stay in the nearest cache.
//! - A linear layer, the uniform row added to its result and the activation behind it are
//!   one step.
//! - Columns sliced off the input are read where they are.

use super::records::Records;
use super::{GROUP, Instruction, NO_WEIGHTS, Op, int8, limits, stride};

/// Where a register lies in scratch memory, whose three parts follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Columns for all rows, after so many others.
    Rows(u32),
    /// Columns for a group of rows, after so many others.
    Group(u32),
    /// One row for all, after so many other numbers.
    Uniform(u32),
}

impl Place {
    const NOWHERE: Self = Self::Uniform(0);

    /// Further columns on.
    fn skip(self, columns: u32) -> Self {
        match self {
            Self::Rows(begin) => Self::Rows(begin + columns),
            Self::Group(begin) => Self::Group(begin + columns),
            Self::Uniform(begin) => Self::Uniform(begin + columns),
        }
    }
}

/// What is done to each number of a linear layer's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    None,
    Tanh,
    Sigmoid,
    /// Less counts as the first, more as the second.
    Clip(f32, f32),
}

impl Activation {
    fn of(instruction: &Instruction) -> Option<Self> {
        match instruction.op {
            Op::Tanh => Some(Self::Tanh),
            Op::Sigmoid => Some(Self::Sigmoid),
            Op::Relu => Some(Self::Clip(0.0, f32::INFINITY)),
            Op::Clip => Some(Self::Clip(instruction.scale, instruction.offset)),
            _ => None,
        }
    }
}

/// Added to each output of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    None,
    /// Index of the first weight.
    Weights(u32),
    /// Number of the first uniform number.
    Uniform(u32),
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// A linear layer: index of `W`, bias, what the results are clipped to, and what follows.
    Linear { weights: u32, bias: Bias, range: (f32, f32), activation: Activation },
    /// An activation alone.
    Activate(Activation),
    /// `scale · a + offset`.
    Affine { scale: f32, offset: f32 },
    /// `a + b`.
    Add,
    /// `a − b`.
    Subtract,
    /// `a · b`.
    Multiply,
    /// Mean over the rows.
    MeanRows,
    /// A copy.
    Copy,
    /// Rows rounded to 8 bits, for what follows.
    Round,
    /// A linear layer on rounded rows: index of its packed weights, and of biases and scales.
    LinearInt8 { packed: u32, numbers: u32 },
    /// A linear layer's bias, from this index on, plus the uniform `a`: to be done once,
    /// before the segment that it stands in.
    AddBias(u32),
}

impl Action {
    /// What is done to each number of the result in the end.
    pub(super) fn activation(self) -> Activation {
        match self {
            Self::Linear { activation, .. } | Self::Activate(activation) => activation,
            _ => Activation::None,
        }
    }
}

/// A step, everything resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) dst: Place,
    pub(super) a: Place,
    pub(super) b: Place,
    /// Columns of `dst`.
    pub(super) width: u16,
    /// Columns of `a`.
    pub(super) from_width: u16,
}

impl Step {
    const NOTHING: Self = Self {
        action: Action::Copy,
        dst: Place::NOWHERE,
        a: Place::NOWHERE,
        b: Place::NOWHERE,
        width: 0,
        from_width: 0,
    };

    /// Whether it belongs to a segment: works on rows, or prepares a step that does.
    pub(super) fn is_in_segment(&self) -> bool {
        matches!(self.action, Action::AddBias(_)) || !matches!(self.dst, Place::Uniform(_))
    }
}

/// See the module's description.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    steps: [Step; limits::INSTRUCTIONS],
    step_count: usize,
    /// Columns that are kept for all rows.
    pub(super) row_columns: usize,
    /// Columns that are kept for a group.
    pub(super) group_columns: usize,
    /// Uniform numbers.
    pub(super) uniform_len: usize,
    /// Where the result is.
    pub(super) output: Place,
}

impl Plan {
    pub(super) fn new(records: &Records<'_>) -> Self {
        let mut builder = Builder::new(records);
        let mut next = 0;
        while let Some(instruction) = records.instruction(next) {
            next += builder.translate(next, &instruction);
        }
        builder.plan.output = builder.place(records.output);
        builder.plan
    }

    pub(super) fn steps(&self) -> &[Step] {
        self.steps.get(..self.step_count).unwrap_or(&self.steps)
    }

    /// Length of scratch memory.
    pub(super) fn scratch_len(&self, rows: usize) -> usize {
        self.uniform_begin(stride(rows)) + self.uniform_len
    }

    /// Where the uniform registers begin: behind those of all rows and those of a group.
    pub(super) fn uniform_begin(&self, stride: usize) -> usize {
        self.row_columns * stride + self.group_columns * GROUP
    }
}

struct Builder<'r, 'a> {
    records: &'r Records<'a>,
    /// Where each register's own memory is.
    own: [Place; limits::REGISTERS],
    /// Where each register's present value is: its own memory, or columns of the input.
    now: [Place; limits::REGISTERS],
    plan: Plan,
}

impl<'r, 'a> Builder<'r, 'a> {
    fn new(records: &'r Records<'a>) -> Self {
        let mut own = [Place::NOWHERE; limits::REGISTERS];
        let (mut row_columns, mut group_columns, mut uniform_len) = (0, 0, 0);
        for ((place, register), number) in own.iter_mut().zip(records.registers()).zip(0..) {
            let width = usize::from(register.width);
            if register.uniform {
                *place = Place::Uniform(uniform_len as u32);
                uniform_len += stride(width);
            } else if number == 0 || number == records.output || is_read_in_another_segment(records, number) {
                *place = Place::Rows(row_columns as u32);
                row_columns += width;
            } else {
                *place = Place::Group(group_columns as u32);
                group_columns += width;
            }
        }
        let output = Place::NOWHERE;
        let steps = [Step::NOTHING; limits::INSTRUCTIONS];
        let plan = Plan { steps, step_count: 0, row_columns, group_columns, uniform_len, output };
        Self { records, own, now: own, plan }
    }

    fn place(&self, register: u16) -> Place {
        self.now.get(usize::from(register)).copied().unwrap_or(Place::NOWHERE)
    }

    fn set(&mut self, register: u16, place: Place) {
        if let Some(now) = self.now.get_mut(usize::from(register)) {
            *now = place;
        }
    }

    fn width(&self, register: u16) -> u16 {
        self.records.register(register).width
    }

    /// The register's own memory, where its value is from now on.
    fn write(&mut self, register: u16) -> Place {
        let own = self.own.get(usize::from(register)).copied().unwrap_or(Place::NOWHERE);
        self.set(register, own);
        own
    }

    /// New memory for the register, in place of its own.
    fn write_elsewhere(&mut self, register: u16) -> Place {
        let width = usize::from(self.width(register));
        let (place, used, len) = match self.write(register) {
            Place::Rows(_) => (Place::Rows(self.plan.row_columns as u32), &mut self.plan.row_columns, width),
            Place::Group(_) => (Place::Group(self.plan.group_columns as u32), &mut self.plan.group_columns, width),
            Place::Uniform(_) => {
                (Place::Uniform(self.plan.uniform_len as u32), &mut self.plan.uniform_len, stride(width))
            }
        };
        *used += len;
        if let Some(own) = self.own.get_mut(usize::from(register)) {
            *own = place;
        }
        self.set(register, place);
        place
    }

    fn push(&mut self, step: Step) {
        if let Some(place) = self.plan.steps.get_mut(self.plan.step_count) {
            *place = step;
            self.plan.step_count += 1;
        }
    }

    /// Makes steps of an instruction and those behind it that are done with it; returns
    /// how many they were.
    fn translate(&mut self, index: usize, instruction: &Instruction) -> usize {
        let Instruction { op, dst, a, b, scale, offset, begin, .. } = *instruction;
        let (from, other) = (self.place(a), self.place(b));
        let action = match op {
            Op::Linear => return self.linear(index, instruction),
            Op::Tanh | Op::Relu | Op::Sigmoid | Op::Clip => {
                Action::Activate(Activation::of(instruction).unwrap_or(Activation::None))
            }
            Op::Affine => Action::Affine { scale, offset },
            Op::Add => Action::Add,
            Op::Subtract => Action::Subtract,
            Op::Multiply => Action::Multiply,
            Op::MeanRows => Action::MeanRows,
            Op::Slice => {
                let columns = from.skip(u32::from(begin));
                // The input is never written: it can be read where it is.
                if a == 0 && dst != self.records.output {
                    self.set(dst, columns);
                } else {
                    let (width, dst) = (self.width(dst), self.write(dst));
                    self.push(Step { action: Action::Copy, dst, a: columns, b: columns, width, from_width: width });
                }
                return 1;
            }
            Op::LinearInt8 => {
                let from_width = self.width(a);
                let columns = int8::rounded_columns(usize::from(from_width));
                let rounded = Place::Group(self.plan.group_columns as u32);
                self.plan.group_columns += columns;
                let columns = columns as u16;
                self.push(Step { action: Action::Round, dst: rounded, a: from, b: from, width: columns, from_width });
                let action = Action::LinearInt8 { packed: instruction.weights, numbers: instruction.bias };
                let (width, dst) = (self.width(dst), self.write(dst));
                self.push(Step { action, dst, a: rounded, b: rounded, width, from_width });
                return 1;
            }
            Op::Concat => {
                let (first, second) = (self.width(a), self.width(b));
                let dst = self.write(dst);
                for (dst, a, width) in [(dst, from, first), (dst.skip(u32::from(first)), other, second)] {
                    self.push(Step { action: Action::Copy, dst, a, b: a, width, from_width: width });
                }
                return 1;
            }
        };
        let (width, from_width) = (self.width(dst), self.width(a));
        let b = if op.is_binary() { other } else { from };
        let dst = self.write(dst);
        self.push(Step { action, dst, a: from, b, width, from_width });
        1
    }

    fn linear(&mut self, index: usize, instruction: &Instruction) -> usize {
        let Instruction { mut dst, a, weights, bias, .. } = *instruction;
        let (from, from_width, width) = (self.place(a), self.width(a), self.width(dst));
        let on_rows = !self.records.register(dst).uniform;
        let mut bias = if bias == NO_WEIGHTS { Bias::None } else { Bias::Weights(bias) };
        let (mut activation, mut range) = (Activation::None, (f32::NEG_INFINITY, f32::INFINITY));
        let mut taken = 1;
        if on_rows && let Some((sum, uniform)) = self.uniform_added(index, dst) {
            bias = match (bias, self.place(uniform)) {
                (Bias::Weights(first), a) => {
                    let place = self.plan.uniform_len as u32;
                    self.plan.uniform_len += stride(usize::from(width));
                    let dst = Place::Uniform(place);
                    self.push(Step { action: Action::AddBias(first), dst, a, b: a, width, from_width: width });
                    Bias::Uniform(place)
                }
                (_, Place::Uniform(place)) => Bias::Uniform(place),
                (bias, _) => bias,
            };
            dst = sum;
            taken = 2;
        }
        if let Some(next) = self.records.instruction(index + taken)
            && let Some(found) = Activation::of(&next)
            && next.a == dst
            && self.is_dead_after(index + taken, dst, next.dst)
        {
            match found {
                Activation::Clip(least, most) => range = (least, most),
                other => activation = other,
            }
            dst = next.dst;
            taken += 1;
        }
        // The result may go where the layer's input was, but not while that is read.
        let dst = if dst == a { self.write_elsewhere(dst) } else { self.write(dst) };
        let action = Action::Linear { weights, bias, range, activation };
        self.push(Step { action, dst, a: from, b: from, width, from_width });
        taken
    }

    /// Whether the instruction behind `index` adds a uniform row to `dst`, which nobody
    /// reads afterwards: the register of the sum, and the uniform one.
    fn uniform_added(&self, index: usize, dst: u16) -> Option<(u16, u16)> {
        let next = self.records.instruction(index + 1).filter(|next| next.op == Op::Add)?;
        let uniform = match (next.a == dst, next.b == dst) {
            (true, false) => next.b,
            (false, true) => next.a,
            _ => return None,
        };
        let fits = self.records.register(uniform).uniform && self.is_dead_after(index + 1, dst, next.dst);
        fits.then_some((next.dst, uniform))
    }

    /// Whether a register's value is needed no more once the instruction `index` has read
    /// it and written `dst`.
    fn is_dead_after(&self, index: usize, register: u16, dst: u16) -> bool {
        if register == dst {
            return true;
        }
        for later in index + 1.. {
            let Some(instruction) = self.records.instruction(later) else { break };
            if instruction.reads(register) {
                return false;
            }
            if instruction.dst == register {
                return true;
            }
        }
        register != self.records.output
    }
}

/// Whether a row register is read in another segment than that which wrote it.
fn is_read_in_another_segment(records: &Records<'_>, register: u16) -> bool {
    let mut segment = 0;
    let mut written_in = None;
    for instruction in records.instructions() {
        // A uniform result ends the segment.
        let is_uniform = records.register(instruction.dst).uniform;
        segment += usize::from(is_uniform);
        if instruction.reads(register) && (is_uniform || written_in != Some(segment)) {
            return true;
        }
        if instruction.dst == register {
            written_in = Some(segment);
        }
    }
    false
}
