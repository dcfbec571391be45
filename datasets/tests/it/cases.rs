use evenkeel_datasets::*;
#[test]
fn show() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    let mut names: Vec<_> = std::fs::read_dir(folder.join("logs")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in names {
        println!("=== {}", path.file_name().unwrap().to_string_lossy());
        match load_trace_with_report(&path, None, &LoadOptions::default()) {
            Ok((trace, understanding)) => {
                println!("{}", stats::TraceStats::new(&trace, 60.0));
                println!("{understanding}");
            }
            Err(error) => println!("ERROR {error}"),
        }
    }
    let mut names: Vec<_> = std::fs::read_dir(folder.join("series")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in names {
        println!("=== {}", path.file_name().unwrap().to_string_lossy());
        match load_series_with_report(&path, &LoadOptions::default()) {
            Ok((series, report)) => {
                for s in series {
                    println!(
                        "{} {:?} step {} start {} len {} mean {:.4} missing {} ",
                        s.name,
                        s.unit,
                        s.step_s,
                        s.start_epoch_s,
                        s.len(),
                        s.mean(),
                        s.missing()
                    );
                }
                println!("{report:#?}");
            }
            Err(error) => println!("ERROR {error}"),
        }
    }
}
