//! `evenkeel-testbed conversations`

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use evenkeel_testbed::demo::conversations;

use crate::cli::ConversationsArgs;

pub(crate) fn run(arguments: &ConversationsArgs) -> Result<()> {
    let path = &arguments.output;
    let write = || {
        let mut output = BufWriter::new(File::create(path)?);
        conversations::write(arguments.seed, &mut output)?;
        output.flush()
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}
