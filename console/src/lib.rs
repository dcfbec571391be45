//! What Evenkeel's command lines share.

use clap::{Command, Parser};

/// Parses the command line, or prints what is wrong with it and ends.
pub fn parse<C: Parser>() -> C {
    let matches = with_negative_numbers(C::command()).get_matches();
    C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Takes `--option -1` for a value, so that the complaint is about the value and not about an option `-1`.
pub fn with_negative_numbers(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let takes_values = argument.get_action().takes_values();
            if takes_values { argument.allow_negative_numbers(true) } else { argument }
        })
        .mut_subcommands(with_negative_numbers)
}

/// An error and its causes, each said once: some name their cause themselves.
pub fn with_causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Run {
            #[arg(long)]
            seconds: f64,
            #[arg(long)]
            count: Option<u32>,
            #[arg(long)]
            quiet: bool,
        },
    }

    #[test]
    fn negative_values_are_values() {
        let parsed = |arguments: &str| {
            let command = with_negative_numbers(<Cli as clap::CommandFactory>::command());
            command.try_get_matches_from(arguments.split(' ')).map_err(|error| error.to_string())
        };
        assert!(parsed("x run --seconds -1.5 --quiet").is_ok());
        let error = parsed("x run --seconds 1 --count -1").unwrap_err();
        assert!(error.contains("invalid value '-1'") && error.contains("--count"), "{error}");
        assert!(parsed("x run --seconds 1 --quiet -1").unwrap_err().contains("unexpected argument"));
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = Err::<(), _>(std::io::Error::other("disk full")).context("cannot write a: disk full");
        let error = error.context("train").unwrap_err();
        assert_eq!(with_causes(&error), "train: cannot write a: disk full");
        assert_eq!(with_causes(&anyhow::anyhow!("x").context("y")), "y: x");
    }
}
