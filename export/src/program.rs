//! A program with its own memory: what [`evenkeel_runtime::Program`] reads in place.

use evenkeel_runtime::artifact::{ArtifactError, format::ALIGNMENT};
use evenkeel_runtime::program::{Instruction, Register};

/// Registers, instructions and weights of a compiled network.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Shapes of the registers; register 0 is the input.
    pub registers: Vec<Register>,
    /// Instructions in the order of execution.
    pub instructions: Vec<Instruction>,
    /// All weights and biases, to which instructions point by index.
    pub weights: Vec<f32>,
    /// Weights in 8-bit integers, four in a word, addressed as if they followed `weights`.
    pub packed: Vec<u32>,
    /// The register that holds the result.
    pub output: u16,
}

impl Program {
    /// Width of the input.
    pub fn input_width(&self) -> usize {
        self.registers.first().map_or(0, |register| usize::from(register.width))
    }

    /// Width of the output.
    pub fn output_width(&self) -> usize {
        self.output_register().map_or(0, |register| usize::from(register.width))
    }

    /// Whether the output is one row which stands for all.
    pub fn output_is_uniform(&self) -> bool {
        self.output_register().is_some_and(|register| register.uniform)
    }

    fn output_register(&self) -> Option<Register> {
        self.registers.get(usize::from(self.output)).copied()
    }

    /// A program as an artifact holds it, to be changed.
    pub fn decode(program: &evenkeel_runtime::Program<'_>) -> Self {
        let numbers = program.weight_count() - program.packed_count();
        Self {
            registers: program.registers().collect(),
            instructions: program.instructions().collect(),
            weights: program.weights().take(numbers).collect(),
            packed: program.weights().skip(numbers).map(f32::to_bits).collect(),
            output: program.output_register(),
        }
    }

    /// The bytes of a program section, in the layout of [`evenkeel_runtime::program`].
    ///
    /// # Errors
    /// What the runtime would say of these bytes, so that nothing is written which it
    /// refuses.
    pub fn encode(&self) -> Result<Vec<u8>, ArtifactError> {
        let too_large = |_| ArtifactError::ProgramLimits;
        let mut bytes = Vec::new();
        bytes.extend(u16::try_from(self.registers.len()).map_err(too_large)?.to_le_bytes());
        bytes.extend(u16::try_from(self.instructions.len()).map_err(too_large)?.to_le_bytes());
        let weights = self.weights.len() + self.packed.len();
        bytes.extend(u32::try_from(weights).map_err(too_large)?.to_le_bytes());
        bytes.extend(self.output.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend((self.packed.len() as u32).to_le_bytes());
        pad(&mut bytes);
        bytes.extend(self.registers.iter().flat_map(Register::encode));
        pad(&mut bytes);
        bytes.extend(self.instructions.iter().flat_map(Instruction::encode));
        pad(&mut bytes);
        bytes.extend(self.weights.iter().flat_map(|weight| weight.to_le_bytes()));
        bytes.extend(self.packed.iter().flat_map(|word| word.to_le_bytes()));
        evenkeel_runtime::Program::parse(&bytes)?;
        Ok(bytes)
    }
}

/// Zeros up to the next boundary at which a part of an artifact may begin.
pub(crate) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}
