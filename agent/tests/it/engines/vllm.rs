//! vLLM 0.6 to now, with data parallelism, several API servers, in Ray.

use std::fmt::Write as _;

use super::{NAN, expect, limits, load, read};

#[test]
fn counts_of_data_parallel_engines_are_added_and_steps_weighed_by_tokens() {
    let page = |sums: [f64; 2], counts: [u32; 2]| {
        let engine = |index: usize, running: u32, waiting: u32, kv_use: f64| {
            let (sum, count) = (sums[index], counts[index]);
            format!(
                "vllm:num_requests_running{{engine=\"{index}\",model_name=\"llama{{x}}\"}} {running}.0\n\
                 vllm:num_requests_waiting{{engine=\"{index}\",model_name=\"llama{{x}}\"}} {waiting}.0\n\
                 vllm:kv_cache_usage_perc{{engine=\"{index}\",model_name=\"llama{{x}}\"}} {kv_use}\n\
                 vllm:cache_config_info{{block_size=\"16\",cache_dtype=\"auto\",engine=\"{index}\",num_gpu_blocks=\"1000\"}} 1.0\n\
                 vllm:inter_token_latency_seconds_bucket{{engine=\"{index}\",le=\"+Inf\",model_name=\"llama{{x}}\"}} {count}.0\n\
                 vllm:inter_token_latency_seconds_count{{engine=\"{index}\",model_name=\"llama{{x}}\"}} {count}.0\n\
                 vllm:inter_token_latency_seconds_sum{{engine=\"{index}\",model_name=\"llama{{x}}\"}} {sum}\n\
                 vllm:inter_token_latency_seconds_created{{engine=\"{index}\",model_name=\"llama{{x}}\"}} 1.7e+09\n"
            )
        };
        format!("# TYPE vllm:num_requests_running gauge\n{}{}", engine(0, 5, 1, 0.25), engine(1, 3, 0, 0.75))
    };
    let (first, second) = (page([1.0, 8.0], [50, 200]), page([3.0, 9.0], [150, 220]));
    // 3 s over 120 tokens.
    expect(load(&[&first, &second]), [8.0, 1.0, 0.75, 0.025]);
    assert_eq!(limits(&read(&[&first])), (Some(32_000.0), None, Some(2)));
}

#[test]
fn a_value_per_process_is_one_engine_s() {
    // Of several API servers one hears of the engine; the others show what they heard last.
    let mut page = "vllm:num_requests_running{engine=\"0\"} 4.0\nvllm:num_requests_waiting{engine=\"0\"} 2.0\n\
        vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"capacity\"} 2.0\n"
        .to_owned();
    for (pid, kv_use) in [(11, 0.0), (12, 0.44), (13, 0.1), (14, 0.0)] {
        let _ = writeln!(page, "vllm:kv_cache_usage_perc{{engine=\"0\",pid=\"{pid}\"}} {kv_use}");
        let _ = writeln!(
            page,
            "vllm:cache_config_info{{block_size=\"32\",engine=\"0\",num_gpu_blocks=\"100\",pid=\"{pid}\"}} 1"
        );
    }
    expect(load(&[&page]), [4.0, 2.0, 0.44, NAN]);
    assert_eq!(limits(&read(&[&page])), (Some(3200.0), None, Some(1)));
}

#[test]
fn counts_per_process_of_two_engines_are_added_over_engines_alone() {
    let mut page = String::new();
    for (engine, pid, running) in [(0, 1, 3), (0, 2, 7), (1, 1, 5), (1, 2, 5)] {
        let _ = writeln!(page, "vllm:num_requests_running{{engine=\"{engine}\",pid=\"{pid}\"}} {running}");
    }
    expect(load(&[&page]), [12.0, NAN, NAN, NAN]);
}

#[test]
fn of_two_names_for_one_thing_one_counts() {
    let page = |tokens: u32| {
        let seconds = f64::from(tokens) * 0.01;
        format!(
            "vllm:num_requests_running{{engine=\"0\"}} 2\nvllm:num_requests_waiting{{engine=\"0\"}} 0\n\
             vllm:gpu_cache_usage_perc{{engine=\"0\"}} 0.5\nvllm:kv_cache_usage_perc{{engine=\"0\"}} 0.5\n\
             vllm:time_per_output_token_seconds_count{{engine=\"0\"}} {tokens}\n\
             vllm:time_per_output_token_seconds_sum{{engine=\"0\"}} {seconds}\n\
             vllm:inter_token_latency_seconds_count{{engine=\"0\"}} {tokens}\n\
             vllm:inter_token_latency_seconds_sum{{engine=\"0\"}} {seconds}\n\
             vllm:request_time_per_output_token_seconds_count{{engine=\"0\"}} 9\n\
             vllm:request_time_per_output_token_seconds_sum{{engine=\"0\"}} 900\n# EOF\n"
        )
    };
    expect(load(&[&page(7), &page(17)]), [2.0, 0.0, 0.5, 0.01]);
    // Fewer tokens than say anything.
    expect(load(&[&page(7), &page(14)]), [2.0, 0.0, 0.5, NAN]);
}

#[test]
fn version_0_6_has_no_engine_and_swaps() {
    let page = |tokens: u32| {
        format!(
            "vllm:num_requests_running{{model_name=\"m\"}} 6.0\nvllm:num_requests_swapped{{model_name=\"m\"}} 1.0\n\
             vllm:num_requests_waiting{{model_name=\"m\"}} 2.0\nvllm:gpu_cache_usage_perc{{model_name=\"m\"}} 0.9\n\
             vllm:cpu_cache_usage_perc{{model_name=\"m\"}} 0.99\n\
             vllm:cache_config_info{{block_size=\"16\",num_cpu_blocks=\"4096\",num_gpu_blocks=\"2048\"}} 1.0\n\
             vllm:time_per_output_token_seconds_sum{{model_name=\"m\"}} {}\n\
             vllm:time_per_output_token_seconds_count{{model_name=\"m\"}} {tokens}\n",
            f64::from(tokens) * 0.04
        )
    };
    let (first, second) = (page(100), page(200));
    expect(load(&[&first, &second]), [6.0, 3.0, 0.9, 0.04]);
    assert_eq!(limits(&read(&[&first])).0, Some(32_768.0));
}

#[test]
fn a_capacity_that_is_not_known_yet_is_none() {
    let info = |blocks: &str| format!("vllm:cache_config_info{{block_size=\"16\",num_gpu_blocks=\"{blocks}\"}} 1\n");
    assert_eq!(limits(&read(&[&info("None")])).0, None);
    assert_eq!(limits(&read(&[&info("-5")])).0, None);
    let told = "vllm:cache_config_info{block_size=\"16\",kv_cache_size_tokens=\"5000\",num_gpu_blocks=\"None\"} 1\n";
    assert_eq!(limits(&read(&[told])).0, Some(5000.0));
}

#[test]
fn counters_that_went_back_give_no_sample() {
    let page = |tokens: u32, seconds: f64| {
        format!(
            "vllm:num_requests_running 1\nvllm:inter_token_latency_seconds_sum {seconds}\n\
             vllm:inter_token_latency_seconds_count {tokens}\n"
        )
    };
    let pages = [page(1000, 20.0), page(40, 4.0), page(140, 7.0)];
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    expect(load(&pages[..2]), [1.0, NAN, NAN, NAN]);
    expect(load(&pages), [1.0, NAN, NAN, 0.03]);
}

#[test]
fn numbers_that_no_host_could_mean_are_dropped_and_counted() {
    use evenkeel_agent::engines::Rules;
    use evenkeel_agent::page::Page;
    for value in ["NaN", "-1", "+Inf", "1e999", "2e6", "x"] {
        let page = format!("vllm:num_requests_running{{engine=\"0\"}} {value}\nvllm:num_requests_waiting 1\n");
        assert_eq!(Page::parse(page.as_bytes(), &Rules::default()).dropped, 1, "{value}");
        expect(load(&[&page]), [NAN, 1.0, NAN, NAN]);
    }
    expect(load(&["vllm:kv_cache_usage_perc 45\nvllm:num_requests_running 0\n"]), [0.0, NAN, NAN, NAN]);
}

#[test]
fn blanks_may_stand_around_labels() {
    let page =
        "vllm:num_requests_running {engine=\"0\"} 3\nvllm:num_requests_waiting{ engine=\"0\" , x = \"y\" } 1 17000\n";
    expect(load(&[page]), [3.0, 1.0, NAN, NAN]);
}

#[test]
fn replicas_of_ray_serve_are_added() {
    let mut page = String::new();
    for (replica, running, kv_use) in [("ab", 3, 0.1), ("cd", 4, 0.2)] {
        let labels = format!(
            "Component=\"core_worker\",ReplicaId=\"{replica}\",WorkerId=\"w{replica}\",engine=\"0\",model_name=\"m\""
        );
        let _ = write!(
            page,
            "ray_vllm_num_requests_running{{{labels}}} {running}\nray_vllm_num_requests_waiting{{{labels}}} 1\n\
             ray_vllm_kv_cache_usage_perc{{{labels}}} {kv_use}\n\
             ray_vllm_cache_config_info{{{labels},block_size=\"16\",num_gpu_blocks=\"10\"}} 1\n"
        );
    }
    expect(load(&[&page]), [7.0, 2.0, 0.2, NAN]);
    assert_eq!(limits(&read(&[&page])), (Some(320.0), None, Some(2)));
}
