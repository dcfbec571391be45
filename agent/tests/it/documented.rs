//! The documents against the code.

use evenkeel_agent::discovery::Source;
use evenkeel_agent::discovery::dns::Addresses;
use evenkeel_agent::engines::Rules;

fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_metric_that_is_read_is_in_the_documentation() {
    let text = file("docs/agent.md");
    for rule in Rules::default().iter() {
        // Of a histogram's sum and count the documentation has the histogram.
        let histogram = rule.name.strip_suffix("_sum").or_else(|| rule.name.strip_suffix("_count"));
        let is_there = |name: &str| text.contains(&format!("`{name}`"));
        assert!(is_there(&rule.name) || histogram.is_some_and(is_there), "{}", rule.name);
    }
}

#[test]
fn every_metric_of_the_agent_is_in_the_documentation() {
    let text = file("docs/agent.md");
    let page = evenkeel_agent::status::page(&evenkeel_agent::agent::Overview::default());
    let names: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert!(names.len() > 15, "{page}");
    for name in names {
        assert!(text.contains(&format!("`{name}`")) || text.contains(&format!("`{name}{{")), "{name}");
    }
}

#[test]
fn the_example_of_hosts_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("hosts");
    let example = file("deploy/agent/hosts");
    let lines: Vec<&str> = example.lines().filter_map(|line| line.strip_prefix("#1").map(|_| &line[1..])).collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(Source::List(list).discover(&mut Addresses::default()));
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    assert_eq!((found.hosts.len(), lines.len()), (6, 6));
}
