//! SGLang with its flags.

use std::fmt::Write as _;

use super::{NAN, expect, limits, load, read};

fn scheduler(labels: &str, running: u32, queued: u32, usage: f64) -> String {
    format!(
        "sglang:num_running_reqs{{{labels}}} {running}.0\nsglang:num_queue_reqs{{{labels}}} {queued}.0\n\
         sglang:token_usage{{{labels}}} {usage}\nsglang:max_total_num_tokens{{{labels}}} 1000.0\n"
    )
}

#[test]
fn schedulers_of_tensor_and_pipeline_ranks_are_one_engine() {
    let mut page = String::new();
    for rank in 0..8 {
        let labels = format!(
            "engine_type=\"unified\",model_name=\"m\",moe_ep_rank=\"{rank}\",pp_rank=\"{}\",tp_rank=\"{}\"",
            rank / 4,
            rank % 4
        );
        page += &scheduler(&labels, 5, 3, 0.4);
    }
    expect(load(&[&page]), [5.0, 3.0, 0.4, NAN]);
    assert_eq!(limits(&read(&[&page])), (Some(1000.0), None, Some(1)));
}

#[test]
fn data_parallel_ranks_are_added_each_once() {
    let mut page = String::new();
    for rank in 0..4 {
        let dp_rank = rank / 2;
        let labels = format!("dp_rank=\"{dp_rank}\",model_name=\"m\",pp_rank=\"0\",tp_rank=\"{rank}\"");
        page += &scheduler(&labels, 5 + dp_rank, 1, 0.1 + 0.3 * f64::from(dp_rank));
    }
    expect(load(&[&page]), [11.0, 2.0, 0.4, NAN]);
    assert_eq!(limits(&read(&[&page])), (Some(2000.0), None, Some(2)));
}

#[test]
fn priorities_are_parts_of_their_total() {
    let page = scheduler("model_name=\"m\",priority=\"\",tp_rank=\"0\"", 10, 6, 0.5)
        + "sglang:num_running_reqs{model_name=\"m\",priority=\"0\",tp_rank=\"0\"} 7\n\
           sglang:num_running_reqs{model_name=\"m\",priority=\"5\",tp_rank=\"0\"} 3\n\
           sglang:num_queue_reqs{model_name=\"m\",priority=\"0\",tp_rank=\"0\"} 6\n";
    expect(load(&[&page]), [10.0, 6.0, 0.5, NAN]);
    // Parts alone are added.
    let parts = "sglang:num_running_reqs{priority=\"0\"} 7\nsglang:num_running_reqs{priority=\"5\"} 3\n";
    expect(load(&[parts]), [10.0, NAN, NAN, NAN]);
}

#[test]
fn priorities_of_data_parallel_ranks_are_parts_of_each_rank_s_total() {
    let mut page = String::new();
    for rank in 0..2 {
        page += &scheduler(&format!("dp_rank=\"{rank}\",priority=\"\""), 4, 2, 0.3);
        let _ = writeln!(page, "sglang:num_running_reqs{{dp_rank=\"{rank}\",priority=\"1\"}} 4");
        let _ = writeln!(page, "sglang:num_queue_reqs{{dp_rank=\"{rank}\",priority=\"1\"}} 2");
    }
    expect(load(&[&page]), [8.0, 4.0, 0.3, NAN]);
}

#[test]
fn queues_of_a_disaggregated_worker_wait() {
    let decode = "engine_type=\"decode\",pp_rank=\"0\",tp_rank=\"0\"";
    let page = scheduler(decode, 6, 0, 0.7)
        + &format!(
            "sglang:num_decode_prealloc_queue_reqs{{{decode}}} 9\nsglang:num_decode_transfer_queue_reqs{{{decode}}} 2\n\
             sglang:num_grammar_queue_reqs{{{decode}}} 1\nsglang:num_paused_reqs{{{decode}}} 5\n"
        );
    expect(load(&[&page]), [6.0, 12.0, 0.7, NAN]);
    let prefill = scheduler("engine_type=\"prefill\"", 2, 3, 0.2)
        + "sglang:num_prefill_bootstrap_queue_reqs{engine_type=\"prefill\"} 4\n\
           sglang:num_prefill_inflight_queue_reqs{engine_type=\"prefill\"} 8\n";
    expect(load(&[&prefill]), [2.0, 7.0, 0.2, NAN]);
}

#[test]
fn underscores_and_steps_are_read() {
    let page = |tokens: u32| {
        format!(
            "sglang_num_running_reqs{{worker_addr=\"grpc://10.0.0.9:1\"}} 4\nsglang_num_queue_reqs{{worker_addr=\"grpc://10.0.0.9:1\"}} 1\n\
             sglang_token_usage{{worker_addr=\"grpc://10.0.0.9:1\"}} 0.2\n\
             sglang_inter_token_latency_seconds_sum {}\nsglang_inter_token_latency_seconds_count {tokens}\n",
            f64::from(tokens) * 0.05
        )
    };
    expect(load(&[&page(0), &page(60)]), [4.0, 1.0, 0.2, 0.05]);
}
