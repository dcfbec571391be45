//! Weights in files beside the model: read in the forms that exporters write, and refused
//! outside the model's folder.

use std::fs;
use std::path::Path;

use evenkeel_export::onnx::{read_bytes, read_file};
use tract_onnx::pb::StringStringEntryProto;
use tract_onnx::pb::tensor_proto::DataLocation;

use crate::hand_made::HandMade;
use crate::support::weights;

/// A model whose weights are described by `entries`.
fn model(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut model = HandMade::new(2).floats("w", &[2, 2], &[]).node("layer", "MatMul", &["x", "w"], "y", &[]);
    let weight = &mut model.graph.initializer[0];
    weight.data_location = Some(DataLocation::External as i32);
    weight.external_data = entries
        .iter()
        .map(|(key, value)| StringStringEntryProto { key: (*key).to_owned(), value: (*value).to_owned() })
        .collect();
    model.bytes()
}

fn data(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// What reading a model with such entries in `folder` says.
fn read(folder: &Path, entries: &[(&str, &str)]) -> Result<Vec<f32>, String> {
    let path = folder.join("model.onnx");
    fs::write(&path, model(entries)).unwrap();
    read_file(&path).map(|program| program.weights).map_err(|error| error.to_string())
}

#[test]
fn data_is_found_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = weights(4, 2);
    fs::create_dir(folder.path().join("weights")).unwrap();
    fs::write(folder.path().join("model.onnx.data"), data(&numbers)).unwrap();
    let padded = [vec![0; 4096], data(&numbers), vec![7; 8]].concat();
    fs::write(folder.path().join("weights/layer"), padded).unwrap();
    let forms: [&[(&str, &str)]; 5] = [
        &[("location", "model.onnx.data"), ("offset", "0"), ("length", "16")],
        &[("location", "model.onnx.data")],
        &[("location", "./model.onnx.data"), ("length", "16"), ("checksum", "ignored")],
        &[("location", "weights/layer"), ("offset", "4096"), ("length", "16")],
        &[("location", "weights/layer"), ("offset", "4096")],
    ];
    for entries in forms {
        assert_eq!(read(folder.path(), entries).as_ref(), Ok(&numbers), "{entries:?}");
    }
}

#[test]
fn data_outside_the_folder_is_refused() {
    let around = tempfile::tempdir().unwrap();
    let folder = around.path().join("model");
    fs::create_dir(&folder).unwrap();
    let secret = around.path().join("secret");
    fs::write(&secret, data(&weights(4, 2))).unwrap();
    let mut locations = vec!["../secret".to_owned(), "./../secret".to_owned(), secret.display().to_string()];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, folder.join("link")).unwrap();
        locations.push("link".to_owned());
    }
    for location in locations {
        let error = read(&folder, &[("location", &location)]).unwrap_err();
        assert!(error.contains("expected a file in the model's folder"), "{error}");
    }
}

#[test]
fn data_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |entries: &[(&str, &str)], expected: &str| {
        let error = read(folder.path(), entries).unwrap_err();
        assert!(error.starts_with("tensor \"w\": ") && error.contains(expected), "{error}");
    };
    refused(&[("location", "missing")], "cannot read");
    refused(&[("offset", "0")], "found no location");
    fs::write(folder.path().join("short"), [0; 15]).unwrap();
    refused(&[("location", "short")], "ends after 15 of its 16 bytes");
    refused(&[("location", "short"), ("offset", "18446744073709551615")], "");
    refused(&[("location", "short"), ("length", "15")], "found length 15, expected 16");
    refused(&[("location", "short"), ("offset", "-1")], "found offset \"-1\"");
    let error = read_bytes(&model(&[("location", "short")])).unwrap_err().to_string();
    assert!(error.contains("give the path of the file"), "{error}");
}
