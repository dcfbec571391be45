//! The presets against the file that they were fitted to.

use std::fs::File;

use evenkeel_env::calibration::{PRESETS, fit, read};

use crate::traces;

#[test]
fn presets_are_what_the_measurements_give() {
    let Some(path) = traces::find("perf/splitwise_perf_model.csv.gz") else { return };
    let file = File::open(path).expect("the file can be opened");
    let measurements = read(flate2::read::GzDecoder::new(file)).expect("the file can be read");
    assert_eq!(measurements.len(), 1260);
    assert!(!PRESETS.is_empty());
    for preset in PRESETS {
        let found = fit(&measurements, preset.model, preset.hardware, preset.tensor_parallel).expect("it was measured");
        println!("{}: {found:?}", preset.name);
        let (step, stated) = (found.step, preset.fit.step);
        for (found, stated) in [
            (step.base_s, stated.base_s),
            (step.per_request_s, stated.per_request_s),
            (step.per_kv_token_s, stated.per_kv_token_s),
            (step.per_prefill_token_s, stated.per_prefill_token_s),
        ] {
            assert!((found - stated).abs() <= 1e-3 * found, "{}: {found:e}, stated {stated:e}", preset.name);
        }
        for (found, stated) in [(found.prefill, preset.fit.prefill), (found.decode, preset.fit.decode)] {
            let close = |a: f64, b: f64| (a - b).abs() <= 0.001;
            assert!(
                close(found.median, stated.median) && close(found.p90, stated.p90),
                "{}: {found:?}, stated {stated:?}",
                preset.name
            );
        }
    }
}
