//! Triton, trtllm-serve, NIM, Dynamo.

use super::{NAN, expect, limits, load, read};

/// A model of a Triton: requests that ended, their duration, requests that wait.
fn model(name: &str, requests: u32, duration_s: u32, pending: u32) -> String {
    format!(
        "nv_inference_request_success{{model=\"{name}\",version=\"1\"}} {requests}\n\
         nv_inference_request_duration_us{{model=\"{name}\",version=\"1\"}} {}\n\
         nv_inference_exec_count{{model=\"{name}\",version=\"1\"}} {requests}\n\
         nv_inference_pending_request_count{{model=\"{name}\",version=\"1\"}} {pending}\n",
        u64::from(duration_s) * 1_000_000
    )
}

#[test]
fn triton_with_tensorrt_llm_is_read_by_its_batcher() {
    let page = |requests: u32| {
        let batcher = [("waiting", 2), ("context", 3), ("scheduled", 7), ("max", 48), ("active", 9)];
        let batcher = batcher.map(|(kind, count)| {
            format!(
                "nv_trt_llm_request_metrics{{model=\"tensorrt_llm\",request_type=\"{kind}\",version=\"1\"}} {count}\n"
            )
        });
        let blocks = [("fraction", "0.3"), ("tokens_per", "32"), ("used", "30"), ("free", "70"), ("max", "100")];
        let blocks = blocks.map(|(kind, value)| {
            format!("nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type=\"{kind}\",model=\"tensorrt_llm\",version=\"1\"}} {value}\n")
        });
        model("ensemble", requests, 2 * requests, 0)
            + &model("preprocessing", requests, 0, 1)
            + &model("tensorrt_llm", requests, 2 * requests, 6)
            + &model("postprocessing", 80 * requests, 1, 5)
            + &batcher.concat()
            + &blocks.concat()
    };
    let (first, second) = (page(100), page(140));
    // A request's duration is no step.
    expect(load(&[&first, &second]), [7.0, 2.0, 0.3, NAN]);
    assert_eq!(limits(&read(&[&first])), (Some(3200.0), Some(48.0), Some(1)));
    let without_scheduled: Vec<&str> = first.lines().filter(|line| !line.contains("scheduled")).collect();
    expect(load(&[&without_scheduled.join("\n")]), [7.0, 2.0, 0.3, NAN]);
}

#[test]
fn triton_with_vllm_has_vllm_s_steps_and_its_own_queue() {
    let page = |tokens: u32| {
        model("m", tokens / 10, tokens, 4)
            + &format!(
                "vllm:time_per_output_token_seconds_count{{model=\"m\",version=\"1\"}} {tokens}\n\
                 vllm:time_per_output_token_seconds_sum{{model=\"m\",version=\"1\"}} {}\n",
                f64::from(tokens) * 0.03
            )
    };
    expect(load(&[&page(50), &page(90)]), [NAN, 4.0, NAN, 0.03]);
}

#[test]
fn plain_models_wait_each_for_themselves_and_stages_together() {
    let plain = model("resnet", 9, 1, 3) + &model("bert", 9, 1, 4);
    expect(load(&[&plain, &plain]), [NAN, 7.0, NAN, NAN]);
    for ensemble in ["ensemble", "ensemble_ocr", "llama_bls"] {
        let stages = model(ensemble, 9, 9, 0) + &model("preprocessing", 9, 1, 2) + &model("encoder", 9, 8, 5);
        expect(load(&[&stages]), [NAN, 5.0, NAN, NAN]);
    }
}

#[test]
fn trtllm_serve_has_names_of_its_own() {
    let page = |requests: u32, seconds: f64| {
        let labels = "engine_type=\"undefined\",model_name=\"m\"";
        format!(
            "trtllm_num_requests_running{{{labels}}} 6\ntrtllm_num_requests_waiting{{{labels}}} 2\n\
             trtllm_kv_cache_utilization{{{labels}}} 0.45\ntrtllm_kv_cache_max_blocks{{{labels}}} 500\n\
             trtllm_kv_cache_tokens_per_block{{{labels}}} 32\ntrtllm_max_batch_size_static{{{labels}}} 256\n\
             trtllm_max_batch_size_runtime{{{labels}}} 128\ntrtllm_e2e_request_latency_seconds_sum{{{labels}}} 900\n\
             trtllm_time_per_output_token_seconds_sum{{{labels}}} {seconds}\n\
             trtllm_time_per_output_token_seconds_count{{{labels}}} {requests}\n"
        )
    };
    expect(load(&[&page(10, 0.2), &page(20, 0.7)]), [6.0, 2.0, 0.45, 0.05]);
    assert_eq!(limits(&read(&[&page(1, 1.0)])), (Some(16_000.0), Some(128.0), Some(1)));
    // One request's mean, perhaps over two tokens, says little.
    expect(load(&[&page(10, 0.2), &page(11, 1.2)]), [6.0, 2.0, 0.45, NAN]);
}

#[test]
fn nim_has_names_without_a_prefix_or_vllm_s_beside_its_limit() {
    let page = |tokens: u32| {
        format!(
            "num_requests_running{{model_name=\"m\"}} 3.0\nnum_requests_waiting{{model_name=\"m\"}} 2.0\n\
             num_request_max{{model_name=\"m\"}} 512.0\ngpu_cache_usage_perc{{model_name=\"m\"}} 0.125\n\
             time_per_output_token_seconds_sum{{model_name=\"m\"}} {}\n\
             time_per_output_token_seconds_count{{model_name=\"m\"}} {tokens}\n",
            f64::from(tokens) * 0.02
        )
    };
    expect(load(&[&page(10), &page(60)]), [3.0, 2.0, 0.125, 0.02]);
    let newer = "num_request_max{model_name=\"m\"} 64\nvllm:num_requests_running{engine=\"0\"} 1\n";
    expect(load(&[newer]), [1.0, NAN, NAN, NAN]);
    assert_eq!(limits(&read(&[newer])).1, Some(64.0));
}

#[test]
fn a_dynamo_worker_is_known_before_its_engine_is() {
    let runtime = "dynamo_component_inflight_requests{dynamo_component=\"backend\",dynamo_endpoint=\"generate\"} 2\n\
        dynamo_component_inflight_requests{dynamo_component=\"backend\",dynamo_endpoint=\"load_metrics\"} 9\n\
        dynamo_component_uptime_seconds 12.5\n";
    expect(load(&[runtime]), [2.0, NAN, NAN, NAN]);
    let with_engine = runtime.to_owned()
        + "vllm:num_requests_running{dynamo_component=\"backend\"} 1\n\
        vllm:num_requests_waiting{dynamo_component=\"backend\"} 1\n";
    expect(load(&[&with_engine]), [1.0, 1.0, NAN, NAN]);
}
