//! Kinds of fault in series, each on made-up files.

use crate::support::{Files, advised};
use evenkeel_datasets::{Combine, LoadOptions, Series, SeriesUnit, ValueUnit, load_series, load_series_with_report};
use std::fmt::Write as _;
use std::path::Path;

fn all(path: &Path) -> Vec<Series> {
    load_series(path, &LoadOptions::default()).unwrap()
}

fn rows(count: u32, row: impl Fn(u32) -> String) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        let _ = writeln!(text, "{}", row(index));
        text
    })
}

#[test]
fn the_time_is_told_by_what_it_is() {
    let files = Files::new();
    let date = |index: u32| format!("2025-11-24 {:02}:{:02}:00", 10 + index / 60, index % 60);
    for (name, text) in [
        ("index", format!(",requests,when\n{}", rows(80, |i| format!("{i},{},{}", 5 + i % 3, date(i))))),
        (
            "last",
            format!(
                "requests,node count,time\n{}",
                rows(80, |i| format!("{},3,{}", 5 + i % 3, 1_764_000_000 + 60 * i))
            ),
        ),
        (
            "ms",
            format!(
                "Time,requests\n{}",
                rows(80, |i| format!("{},{}", 1_764_000_000_000_u64 + 60_000 * u64::from(i), 5 + i % 3))
            ),
        ),
        (
            "us",
            format!(
                "Date;Requests\n{}",
                rows(80, |i| format!("11/24/2025 {}:{:02} PM;{}", 1 + i / 60, i % 60, 5 + i % 3))
            ),
        ),
        (
            "de",
            format!(
                "Datum;Anfragen\n{}",
                rows(80, |i| format!("24.11.2025 {:02}:{:02};{}", 10 + i / 60, i % 60, 5 + i % 3))
            ),
        ),
        (
            "two",
            format!(
                "day,time,requests\n{}",
                rows(80, |i| format!("2025-11-24,{:02}:{:02},{}", 10 + i / 60, i % 60, 5 + i % 3))
            ),
        ),
    ] {
        let series = all(&files.write(&format!("{name}.csv"), text));
        assert_eq!((series[0].step_s, series[0].len(), series[0].values[1]), (60.0, 80, 6.0), "{name}");
    }
    let text = format!("day,hour,requests\n{}", rows(72, |i| format!("{},{},{}", 1 + i / 24, i % 24, 5 + i % 7)));
    let series = all(&files.write("hours.csv", text));
    assert_eq!((series.len(), series[0].step_s, series[0].len()), (1, 3600.0, 72));
    let text = format!("a,b\n{}", rows(10, |i| format!("{},{}", i * i, 5)));
    let message = load_series(files.write("none.csv", text), &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("--columns time=COLUMN") && message.contains("`a`"), "{message}");
}

#[test]
fn ambiguous_dates_take_an_order() {
    let files = Files::new();
    let path =
        files.write("dates.csv", format!("date,requests\n{}", rows(9, |i| format!("0{}/02/2025 00:00,{i}", i + 1))));
    let message = load_series(&path, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("--date-order"), "{message}");
    let series = load_series(&path, &advised(&message)).unwrap();
    assert_eq!((series[0].step_s, series[0].len()), (86_400.0, 9));
}

#[test]
fn labels_are_added_up_unless_told_otherwise() {
    let files = Files::new();
    let text = format!(
        "time,pod,req/s\n{}",
        rows(120, |i| format!("{},pod-{},{}", 1_764_000_000 + i / 3 * 15, i % 3, 1 + i % 3))
    );
    let path = files.write("long.csv", text);
    let (series, report) = load_series_with_report(&path, &LoadOptions::default()).unwrap();
    assert_eq!(
        (series.len(), series[0].len(), series[0].values[3], series[0].unit),
        (1, 40, 6.0, SeriesUnit::PerSecond)
    );
    assert!(report.notes.iter().any(|note| note.contains("3 labels are added up")), "{report:?}");
    let options = LoadOptions { combine: Some(Combine::Max), ..LoadOptions::default() };
    assert_eq!(load_series(&path, &options).unwrap()[0].values[3], 3.0);
    // Labels one after the other, in the order of time each; one of them starts later.
    let text = (0..3).fold("time,pod,req/s\n".to_owned(), |text, pod| {
        text + &rows(
            20,
            |i| if pod == 1 && i < 5 { String::new() } else { format!("{},p{pod},2", 1_764_000_000 + 60 * i) },
        )
    });
    let series = all(&files.write("blocks.csv", text));
    assert_eq!((series[0].values[0], series[0].values[10], series[0].missing()), (4.0, 6.0, 0));
    // Columns that differ in their labels, as dashboards join them by time.
    let header = r#"Time,"{pod=""a""}","{pod=""b""}","latency""#;
    let text = format!("{header}\n{}", rows(60, |i| format!("{},1.5,2.5,{}", 1_764_000_000 + i * 60, i % 4)));
    let series = all(&files.write("joined.csv", text));
    assert_eq!((series.len(), series[0].values[7], series[1].values[7]), (2, 4.0, 3.0));
    // Levels are added up or averaged as somebody says.
    let text = format!("time,pod,queue\n{}", rows(60, |i| format!("{},p{},4", 1_764_000_000 + i / 2 * 60, i % 2)));
    let path = files.write("levels.csv", text);
    let message = load_series(&path, &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("--combine sum"), "{message}");
    assert_eq!(load_series(&path, &advised(&message)).unwrap()[0].values[0], 8.0);
}

#[test]
fn counters_become_rates() {
    let files = Files::new();
    // Two instances, one of which starts again half-way.
    let count = |pod: u32, i: u32| {
        if pod == 1 && i >= 30 { (i - 30) * 60 + 30 } else { 5_000_000 * (pod + 1) + i * 60 * (pod + 1) }
    };
    let text = (0..60).fold("timestamp,instance,http_requests_total\n".to_owned(), |text, i| {
        text + &rows(2, |pod| format!("{},i{pod},{}", 1_764_000_000 + 60 * i, count(pod, i)))
    });
    let series = all(&files.write("counter.csv", text));
    let values = &series[0].values;
    assert_eq!((series[0].unit, values.len()), (SeriesUnit::PerSecond, 59));
    assert_eq!((values[5], values[29], values[40]), (3.0, 1.5, 2.0));
    // A total that falls and rises is none.
    let text = format!(
        "timestamp,daily_total\n{}",
        rows(90, |i| format!("{},{}", 1_764_000_000 + 86_400 * i, 1000 + i * 37 % 90))
    );
    assert_eq!(all(&files.write("daily.csv", text))[0].values[0], 1000.0);
}

#[test]
fn one_demand_has_one_rate_in_every_unit() {
    let files = Files::new();
    for (name, factor) in [
        ("req/s", 1.0),
        ("requests per minute", 60.0),
        ("Requests (Sum)", 300.0),
        ("rpm", 60.0),
        ("requests_per_s", 1.0),
    ] {
        let text = format!(
            "time,{name}\n{}",
            rows(50, |i| format!("{},{}", 1_764_000_000 + 300 * i, factor * f64::from(2 + i % 5)))
        );
        let series = all(&files.write("unit.csv", text));
        assert_eq!((series[0].unit, series[0].values[3]), (SeriesUnit::PerSecond, 5.0), "{name}");
        assert_eq!(series[0].per_step(), 300.0);
    }
    let text = format!("time,value\n{}", rows(50, |i| format!("{},{}", 1_764_000_000 + 300 * i, 600)));
    let path = files.write("unknown.csv", text);
    assert_eq!((all(&path)[0].unit, all(&path)[0].per_step()), (SeriesUnit::Unknown, 1.0));
    let options = LoadOptions { value_unit: Some(ValueUnit::PerStep), ..LoadOptions::default() };
    assert_eq!(load_series(&path, &options).unwrap()[0].values[0], 2.0);
}

#[test]
fn numbers_are_read_as_they_are_written() {
    let files = Files::new();
    let time = |i: u32| 1_764_000_000 + 60 * i;
    for (name, header, value) in [
        ("thousands", "time,n", "\"1,500\""),
        ("suffix", "time,n", "1.5 K"),
        ("unit", "time,n", "1.5K req/s"),
        ("comma", "time;n", "1500,000"),
        ("both", "time;n", "1.500,0"),
        ("exponent", "time,n", "1.5e+03"),
    ] {
        let delimiter = &header[4..5];
        let series = all(&files.write(
            &format!("{name}.csv"),
            format!("{header}\n{}", rows(30, |i| format!("{}{delimiter}{value}", time(i)))),
        ));
        assert_eq!(series[0].values[7], 1500.0, "{name}");
    }
    let text = format!(
        "time,a,b\n{}",
        rows(30, |i| format!("{},{},{}", time(i), if i < 9 { "-" } else { "5" }, ["NaN", "+Inf", "7"][i as usize % 3]))
    );
    let series = all(&files.write("missing.csv", text));
    assert_eq!((series.len(), series[0].missing(), series[1].missing()), (2, 9, 20));
    let message = load_series(files.write("huge.csv", "time,n\n0,1\n60,1e300\n"), &LoadOptions::default()).unwrap_err();
    assert!(message.to_string().contains("1e300"), "{message}");
}

#[test]
fn preambles_and_orders_do_not_matter() {
    let files = Files::new();
    let date = |i: u32| format!("2025/11/24 {:02}:{:02}:00", 10 + i / 60, i % 60);
    let text =
        format!("Full label,Requests\nLabel,Requests\nId,m1\nTime,Value\n{}", rows(50, |i| format!("{},{i}", date(i))));
    assert_eq!((all(&files.write("aws.csv", &text))[0].len(), all(&files.path("aws.csv"))[0].values[49]), (50, 49.0));
    let text = format!("\u{feff}sep=;\n\"Time\";\"req/s\"\n{}", rows(50, |i| format!("{};{i}", date(i))));
    assert_eq!(all(&files.write("excel.csv", text))[0].values[49], 49.0);
    let text = format!("time,req/s\n{}", rows(50, |i| format!("{},{i}", date(49 - i))));
    let (series, report) = load_series_with_report(files.write("newest.csv", text), &LoadOptions::default()).unwrap();
    assert_eq!((series[0].values[0], series[0].len()), (49.0, 50));
    assert!(report.notes.iter().any(|note| note.contains("newest first")));
}

#[test]
fn repeated_and_skipped_hours_take_a_zone() {
    let files = Files::new();
    let local = |day: &str, minute: u32| format!("{day} {:02}:{:02}:00", minute / 60, minute % 60);
    // New York, 2 November 2025: 1:00 to 1:59 is there twice.
    let minutes: Vec<u32> = (0..120).step_by(10).chain((60..300).step_by(10)).collect();
    let text = minutes
        .iter()
        .fold("time,req/s\n".to_owned(), |text, &minute| text + &format!("{},{minute}\n", local("2025-11-02", minute)));
    let path = files.write("autumn.csv", text);
    for sort in [false, true] {
        let message = load_series(&path, &LoadOptions { sort, ..LoadOptions::default() }).unwrap_err().to_string();
        assert!(message.contains("--time-zone") && message.contains("autumn.csv:14"), "{message}");
    }
    let options = LoadOptions { time_zone: Some("America/New_York".to_owned()), ..LoadOptions::default() };
    let series = load_series(&path, &options).unwrap();
    assert_eq!((series[0].len(), series[0].missing()), (36, 0));
    let wrong = LoadOptions { time_zone: Some("Mars/Olympus".to_owned()), ..LoadOptions::default() };
    assert!(load_series(&path, &wrong).unwrap_err().to_string().contains("Europe/Berlin"));
}
