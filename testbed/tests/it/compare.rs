//! A comparison with nothing between replayer and host: simulator and sockets must agree.

use evenkeel_datasets::{Request, Trace};
use evenkeel_env::fleet::Antagonists;
use evenkeel_env::metrics::Metrics;
use evenkeel_testbed::compare::figure::Result;
use evenkeel_testbed::compare::run::{Hosts, replay_through};
use evenkeel_testbed::compare::{Proxy, Setting, predict};
use evenkeel_testbed::compare::{setting, table};
use evenkeel_testbed::emulator::StreamHead;
use evenkeel_testbed::replay::summary::Summary;

use crate::support::{quick_service, run};

fn setting() -> Setting {
    let request = |i: u32| Request::new(f64::from(i) + f64::from(i % 3) * 0.2, 100 + 90 * (i % 7), 20 + 11 * (i % 4));
    Setting {
        service: quick_service(),
        speeds: vec![1.0],
        time_scale: 2.0,
        load: 0.6,
        antagonists: Antagonists { slow_mean_s: 0.5, ..Antagonists::standard(0.5) },
        requests: 200,
        warm_up_share: 0.1,
        deadline_s: 60.0,
        telemetry_wall_s: f64::INFINITY,
        piggyback: false,
        trace: Trace { requests: (0..1000).map(request).collect(), ..Trace::default() },
    }
}

#[test]
fn simulator_and_sockets_agree() {
    run(async {
        let setting = setting();
        let hosts = Hosts::start(&setting, 0, StreamHead::FirstToken).await.unwrap();
        let proxy = Proxy {
            name: "none".to_owned(),
            authority: hosts.servers()[0].address().to_string(),
            simulated_as: Some("round_robin".to_owned()),
            is_built_in: true,
        };
        let mut result = Result { proxy, measured: Vec::new(), predicted: Vec::new() };
        for seed in [1, 2] {
            let observations = replay_through(&setting, &hosts, &result.proxy, seed).await.unwrap();
            assert_eq!(observations.len(), 200);
            result.measured.push(Summary::new(&observations, setting.warm_up_share).metrics);
            result.predicted.extend(predict::predict(&setting, "round_robin", &[], seed).unwrap());
        }
        let mean = |metrics: &[Metrics]| metrics.iter().map(|m| m.latency_mean_s).sum::<f64>() / metrics.len() as f64;
        let (measured_s, predicted_s) = (mean(&result.measured), mean(&result.predicted));
        // A wake-up costs two milliseconds of service time here, on a busy machine several.
        let excess_s = measured_s - predicted_s;
        assert!((-0.1 * predicted_s..0.02 + 0.25 * predicted_s).contains(&excess_s), "{measured_s} s, {predicted_s} s");
        let table = table::table(std::slice::from_ref(&result));
        assert!(table.contains("none") && table.lines().count() == 2, "{table}");
        let json = table::json(&[result], &serde_json::json!({}));
        assert!(json["results"][0]["figures"]["latency_mean_s"]["prediction_error"].is_number(), "{json}");
    });
}

#[test]
fn what_cannot_be_predicted_is_named() {
    let unknown = predict::predict(&setting(), "best", &[], 1).unwrap_err();
    assert!(unknown.to_string().contains("no policy called \"best\""), "{unknown}");
    let refused = predict::predict(&setting(), setting::TRAINED, b"not an artifact", 1).unwrap_err();
    assert!(refused.to_string().contains("needs its artifact"), "{refused}");
    assert!(evenkeel_testbed::artifact::faster(b"not an artifact", 2.0).is_err());
}
