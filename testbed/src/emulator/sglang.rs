//! What SGLang's servers tell of themselves, under the paths and names by which its router asks.
//!
//! Newer routers ask for `/model_info` and `/server_info`, older ones for the same with `get_`
//! before it. Fields that no router looks at are left out.

use evenkeel_env::host::{HostReport, ServiceOptions};
use serde_json::{Value, json};

use super::EmulatorOptions;

/// The answer to `path`; `None` where SGLang has no such path. `report` is in wall time.
pub fn answer(path: &str, options: &EmulatorOptions, report: &HostReport) -> Option<Value> {
    match path {
        "/model_info" | "/get_model_info" => Some(model_info(options)),
        "/server_info" | "/get_server_info" => Some(server_info(options)),
        "/get_load" => Some(load(options, report)),
        _ => None,
    }
}

fn model_info(options: &EmulatorOptions) -> Value {
    json!({
        "model_path": options.model,
        "tokenizer_path": options.model,
        "is_generation": true,
        "preferred_sampling_params": null,
    })
}

fn server_info(options: &EmulatorOptions) -> Value {
    let (batch_max, kv_capacity_tokens) = limits(options);
    json!({
        "model_path": options.model,
        "served_model_name": options.model,
        "tp_size": 1,
        "dp_size": 1,
        "max_running_requests": batch_max,
        "max_total_num_tokens": kv_capacity_tokens,
    })
}

/// One entry for each data-parallel rank, of which there is one.
fn load(options: &EmulatorOptions, report: &HostReport) -> Value {
    let (_, kv_capacity_tokens) = limits(options);
    let held = (report.kv_use * f64::from(kv_capacity_tokens)).round() as u64;
    json!([{
        "dp_rank": 0,
        "num_reqs": report.running + report.waiting,
        "num_waiting_reqs": report.waiting,
        "num_tokens": held + report.pending_prefill_tokens,
    }])
}

/// Requests in a batch, and tokens in the KV cache; a FIFO host has servers and no cache.
fn limits(options: &EmulatorOptions) -> (u32, u32) {
    match options.service {
        ServiceOptions::Llm(llm) => (llm.batch_max, llm.kv_capacity_tokens),
        ServiceOptions::Fifo(fifo) => (fifo.servers, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::{EmulatorOptions, answer};
    use evenkeel_env::host::HostReport;

    #[test]
    fn loads_count_what_waits() {
        let report = HostReport { running: 3, waiting: 2, pending_prefill_tokens: 512, ..HostReport::default() };
        let load = answer("/get_load", &EmulatorOptions::default(), &report).unwrap();
        assert_eq!(load[0]["num_reqs"], 5);
        assert_eq!(load[0]["num_waiting_reqs"], 2);
        assert_eq!(load[0]["num_tokens"], 512);
    }

    #[test]
    fn old_and_new_paths_say_the_same_and_others_nothing() {
        let answer = |path| answer(path, &EmulatorOptions::default(), &HostReport::default());
        assert_eq!(answer("/model_info"), answer("/get_model_info"));
        assert_eq!(answer("/server_info"), answer("/get_server_info"));
        assert_eq!(answer("/server_info").unwrap()["served_model_name"], "emulated");
        assert_eq!(answer("/v2"), None);
    }
}
