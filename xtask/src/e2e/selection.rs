//! Which policies are compared.

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct Selection {
    /// Compare only what has one of these in its name: `--only nginx`, `--only evenkeel,least`
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out what has one of these in its name: `--skip envoy,sglang`
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    skip: Vec<String>,
}

impl Selection {
    /// The policies that are to be compared.
    pub(super) fn of<P: Copy>(&self, policies: &[P], name: fn(P) -> &'static str) -> Vec<P> {
        let is_wanted = |policy: &P| {
            let has = |word: &String| name(*policy).contains(word.as_str());
            (self.only.is_empty() || self.only.iter().any(has)) && !self.skip.iter().any(has)
        };
        policies.iter().copied().filter(is_wanted).collect()
    }

    /// Refuses words that are in none of the names.
    pub(super) fn check(&self, names: &[&str]) -> Result<()> {
        for word in self.only.iter().chain(&self.skip) {
            if !names.iter().any(|name| name.contains(word.as_str())) {
                bail!("no policy has {word:?} in its name; there are {}", names.join(", "));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Selection;

    const NAMES: [&str; 4] = ["nginx least_conn", "nginx evenkeel", "envoy evenkeel", "sglang random"];

    fn selected(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Selection { only: words(only), skip: words(skip) }.of(&NAMES, |name| name)
    }

    #[test]
    fn words_select_by_name() {
        assert_eq!(selected(&[], &[]), NAMES);
        assert_eq!(selected(&["nginx", "random"], &[]), ["nginx least_conn", "nginx evenkeel", "sglang random"]);
        assert_eq!(selected(&["evenkeel"], &["envoy"]), ["nginx evenkeel"]);
    }

    #[test]
    fn unknown_words_are_refused() {
        let selection = Selection { only: vec!["haproxy".to_owned()], skip: Vec::new() };
        assert!(selection.check(&NAMES).unwrap_err().to_string().contains("nginx least_conn"));
    }
}
