//! Files of every format and name give the same.

use crate::support::{SQL, ingested, logs, written};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

fn gzipped(folder: &Path, from: &Path) -> PathBuf {
    let folder = folder.join("gz/deep");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{}.gz", path.file_name().unwrap().to_str().unwrap());
        let mut file =
            flate2::write::GzEncoder::new(fs::File::create(folder.join(name)).unwrap(), flate2::Compression::fast());
        file.write_all(&fs::read(path).unwrap()).unwrap();
        file.finish().unwrap();
    }
    fs::write(folder.join("README.md"), "not a log").unwrap();
    folder.parent().unwrap().to_owned()
}

#[test]
fn parquet_csv_and_json_give_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut traces = Vec::new();
    for format in ["parquet", "csv", "json"] {
        let logs = logs(&folder.path().join(format), &["20000", "--files", "2", "--days", "1", "--format", format]);
        let output = folder.path().join(format!("{format}-out.parquet"));
        let said = ingested(&[logs.to_str().unwrap(), "--sql", SQL, "-o", output.to_str().unwrap(), "--windows", "4"]);
        assert!(said.contains("2 files"), "{said}");
        traces.push(written(&output).trace);
        if format == "json" {
            let packed = gzipped(folder.path(), &logs);
            let pattern = packed.join("**/*.json.gz");
            let output = folder.path().join("packed.parquet");
            ingested(&[pattern.to_str().unwrap(), "--sql", SQL, "-o", output.to_str().unwrap(), "--windows", "4"]);
            traces.push(written(&output).trace);
        }
    }
    assert!(traces.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(traces[0].lines().count() > 1000);
}

#[test]
fn times_may_be_numbers_of_any_unit() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for (unit, factor) in [("s", 1_u64), ("ms", 1000), ("us", 1_000_000), ("ns", 1_000_000_000)] {
        let mut text = "ts,prompt_tokens,output_tokens\n".to_owned();
        for row in 0..500_u64 {
            text += &format!("{},{},7\n", (1_764_000_000 + row * 20) * factor, 100 + row);
        }
        let path = folder.path().join(format!("{unit}.csv"));
        fs::write(&path, text).unwrap();
        let output = folder.path().join(format!("{unit}.parquet"));
        let said = ingested(&[path.to_str().unwrap(), "-o", output.to_str().unwrap(), "--window", "600"]);
        assert!(said.contains("by the size of the numbers"), "{said}");
        seen.push(written(&output).trace);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", seen.iter().map(String::len).collect::<Vec<_>>());
}
