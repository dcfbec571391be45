//! llama.cpp, TGI, `LMDeploy`, `MLServer`, `BentoML`.

use super::{NAN, expect, load, read};

fn llama(running: u32, tokens: u32, seconds: f64, steps: u32) -> String {
    format!(
        "llamacpp:requests_processing {running}\nllamacpp:requests_deferred 1\n\
         llamacpp:tokens_predicted_total {tokens}\nllamacpp:tokens_predicted_seconds_total {seconds}\n\
         llamacpp:n_decode_total {steps}\nllamacpp:predicted_tokens_seconds 1234\n\
         llamacpp:prompt_tokens_seconds 5678\nllamacpp:n_busy_slots_per_decode 1.5\n"
    )
}

#[test]
fn llama_cpp_s_tokens_come_when_requests_end() {
    // 30 tokens in 0.6 s, added up over slots.
    expect(load(&[&llama(3, 10, 1.0, 5), &llama(3, 40, 1.6, 9)]), [3.0, 1.0, NAN, 0.02]);
}

#[test]
fn until_a_request_ends_llama_cpp_is_timed_by_its_steps() {
    // Pages are 100 ms apart: 10 steps in each of the last two.
    let pages = [llama(2, 10, 1.0, 100), llama(2, 10, 1.0, 110), llama(2, 10, 1.0, 120)];
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    expect(load(&pages), [2.0, 1.0, NAN, 0.01]);
    // An idle time is no step's.
    let idle = [llama(2, 10, 1.0, 100), llama(0, 10, 1.0, 100), llama(1, 10, 1.0, 110)];
    let idle: Vec<&str> = idle.iter().map(String::as_str).collect();
    expect(load(&idle), [1.0, 1.0, NAN, NAN]);
}

#[test]
fn tgi_tells_means_of_requests() {
    let page = |requests: u32| {
        format!(
            "tgi_batch_current_size 5\ntgi_batch_current_max_tokens 9000\ntgi_queue_size 2\n\
             tgi_request_duration_sum 99\ntgi_request_duration_count {requests}\n\
             tgi_request_mean_time_per_token_duration_sum {}\n\
             tgi_request_mean_time_per_token_duration_count {requests}\n",
            f64::from(requests) * 0.04
        )
    };
    expect(load(&[&page(30), &page(40)]), [5.0, 2.0, NAN, 0.04]);
}

#[test]
fn lmdeploy_waits_in_front_of_the_engine_too() {
    let page = |tokens: u32| {
        format!(
            "lmdeploy:num_requests_running{{engine=\"0\"}} 4\nlmdeploy:num_requests_waiting{{engine=\"0\"}} 1\n\
             lmdeploy:num_api_requests_waiting{{engine=\"0\"}} 2\nlmdeploy:gpu_cache_usage_perc{{engine=\"0\"}} 0.6\n\
             lmdeploy:iter_token_latency_sum{{engine=\"0\"}} {}\nlmdeploy:iter_token_latency_count{{engine=\"0\"}} {tokens}\n",
            f64::from(tokens) * 0.015
        )
    };
    expect(load(&[&page(100), &page(200)]), [4.0, 3.0, 0.6, 0.015]);
}

#[test]
fn mlserver_and_bentoml_tell_what_is_in_progress() {
    let mlserver = "rest_server_requests_in_progress{app_name=\"mlserver\",method=\"POST\",path=\"/v2/models/a/infer\"} 2\n\
        rest_server_requests_in_progress{app_name=\"mlserver\",method=\"POST\",path=\"/v2/models/b/infer\"} 1\n\
        parallel_request_queue_sum{workerpid=\"7\"} 40\nparallel_request_queue_count{workerpid=\"7\"} 20\n";
    expect(load(&[mlserver, mlserver]), [3.0, NAN, NAN, NAN]);
    // One service calls the other: a request is in both.
    let bentoml = "bentoml_service_request_in_progress{endpoint=\"/generate\",service_name=\"Api\"} 3\n\
        bentoml_service_request_in_progress{endpoint=\"/embed\",service_name=\"Api\"} 2\n\
        bentoml_service_request_in_progress{endpoint=\"/run\",service_name=\"Runner\"} 4\n";
    expect(load(&[bentoml]), [5.0, NAN, NAN, NAN]);
}

#[test]
fn what_is_no_engine_s_says_nothing() {
    let reader = read(&["# HELP python_info x\npython_info{version=\"3.12\"} 1.0\nprocess_open_fds 7\n"]);
    assert!(!reader.load.is_known());
    let telemetry = reader.telemetry();
    assert!(telemetry.running.is_nan() && telemetry.step_s.is_nan());
}
