//! What must hold for any input.

use crate::support::Files;
use evenkeel_datasets::{Format, LoadOptions, Request, Split, Trace, load_series, load_trace};
use proptest::prelude::*;

/// Bytes that resemble the formats: mostly their own words, in any order.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "TIMESTAMP,ContextTokens,GeneratedTokens\n",
        "Timestamp,Request tokens,Response tokens\n",
        "{\"timestamp\": ",
        "\"input_length\": ",
        "\"output_length\": 1",
        "\"hash_ids\": [1, 2]}\n",
        "{\"msec\":1741770003.5,\"request_time\":",
        "{\"start_time\":\"2025-03-12T09:00:00Z\",",
        "1.2.3.4 - - [12/Mar/2025:10:00:01 +0100] \"GET / HTTP/1.1\" 200 5\n",
        "[99/Mar/2025:10:00:01 +0100]",
        "2024-05-12 00:00:00.5",
        "9223372036",
        "-9223372036",
        "1e308",
        "time,value\n0,1\n",
        ",",
        ";",
        "\"",
        "\n",
        "}",
        "-",
    ];
    let word = prop_oneof![
        4 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

fn trace() -> impl Strategy<Value = Trace> {
    proptest::collection::vec((0.0..1e4_f64, 0..9000_u32, 0_u16..4), 1..200).prop_map(|mut rows| {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut trace = Trace { start_epoch_s: Some(1e9), ..Trace::default() };
        for (arrival_s, tokens, prefix_len) in rows {
            let prefix_begin = trace.prefix_blocks.len() as u32;
            trace.prefix_blocks.extend((0..u64::from(prefix_len)).map(|block| block + u64::from(tokens)));
            trace.requests.push(Request { prefix_begin, prefix_len, ..Request::new(arrival_s, tokens, 1) });
        }
        trace
    })
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in noise(), max_bad_rows in 0_u64..4, sort: bool) {
        let files = Files::new();
        let path = files.write("noise", &bytes);
        let columns = "arrival=TIMESTAMP,prompt=ContextTokens,service=GeneratedTokens,unit=ms".parse().unwrap();
        let options = LoadOptions { max_bad_rows, sort, ..LoadOptions::default() };
        for format in Format::ALL.into_iter().map(Some).chain([None]) {
            let _ = load_trace(&path, format, &options);
        }
        let _ = load_series(&path, &options);
        let options = LoadOptions { columns: Some(columns), ..options };
        let _ = load_trace(&path, None, &options);
        let _ = load_series(&path, &options);
    }

    #[test]
    fn good_rows_are_never_lost(noise in noise(), position in 0_usize..4) {
        // However many bad lines stand between them, all good lines are found or an error is raised.
        let good = "1.2.3.4 - - [12/Mar/2025:10:00:01 +0100] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"";
        let noise = String::from_utf8_lossy(&noise).replace("GET / HTTP/1.1", "");
        let mut lines = vec![good; 4];
        lines.insert(position + 1, &noise);
        let files = Files::new();
        let path = files.write("log", lines.join("\n"));
        let options = LoadOptions { max_bad_rows: u64::MAX, ..LoadOptions::default() };
        let trace = load_trace(path, Some(Format::NginxCombined), &options).unwrap();
        prop_assert!(trace.requests.len() >= 4);
    }

    #[test]
    fn a_split_is_in_order_and_loses_nothing(trace in trace(), train in 0.0..0.8_f64, validation in 0.0..0.2_f64) {
        let parts = trace.split(&Split { train, validation });
        let mut rejoined = Vec::new();
        let mut prefixes = Vec::new();
        for part in &parts {
            let offset_s = part.start_epoch_s.unwrap() - 1e9;
            for request in &part.requests {
                prop_assert!(request.arrival_s >= 0.0);
                rejoined.push((request.arrival_s + offset_s, request.prompt_tokens));
                prefixes.extend_from_slice(part.prefix(request));
            }
        }
        prop_assert_eq!(rejoined.len(), trace.requests.len());
        for (joined, request) in rejoined.iter().zip(&trace.requests) {
            prop_assert!((joined.0 - request.arrival_s).abs() < 1e-5);
            prop_assert_eq!(joined.1, request.prompt_tokens);
        }
        prop_assert_eq!(prefixes, trace.prefix_blocks);
    }

    #[test]
    fn rates_integrate_to_the_number_of_requests(trace in trace(), step_s in 0.5..5000.0_f64) {
        let series = trace.rates(step_s);
        let integral: f64 = series.values.iter().map(|&rate| f64::from(rate) * step_s).sum();
        let n = trace.requests.len() as f64;
        prop_assert!((integral - n).abs() < 1e-4 * n);
    }
}
