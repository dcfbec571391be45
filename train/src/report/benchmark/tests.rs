use super::*;
use crate::evaluate::entry::sample;
use crate::report::tests::check_well_formed;

fn sweep(entries: Vec<Entry>) -> Sweep<'static> {
    Sweep { settings: &[], mean_loads: vec![0.7, 0.9], mean: entries }
}

#[test]
fn the_page_is_well_formed_and_says_who_was_beaten() {
    let sweeps = [sweep(sample::entries())];
    let page = head("t") + &tables::overview(&sweeps) + &tables::settings(&sweeps) + &definitions::section() + &foot();
    check_well_formed(&page);
    assert!(page.contains("Prequal, tuned") && page.contains("Prequal, defaults"));
    assert!(page.contains("class=\"better\"") && page.contains("class=\"worse\""));
    for foreign in ["http://", "https://", "src=", "@import", "NaN"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn missing_figures_and_hostile_names_do_no_harm() {
    let mut entries = sample::entries();
    for entry in &mut entries {
        entry.scenario.trace = "<script>alert(1)</script>".to_owned();
        for figure in entry.metrics.values_mut().chain(entry.evenkeel_difference.values_mut()) {
            *figure = Figure::default();
        }
    }
    let page =
        head("t") + &tables::overview(&[sweep(entries.clone())]) + &tables::settings(&[sweep(entries)]) + &foot();
    check_well_formed(&page);
    assert_eq!(page.matches("<script>").count(), 1);
}
