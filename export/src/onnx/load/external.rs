//! Weights in files beside the model, never outside its folder.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use tract_onnx::pb::{GraphProto, TensorProto};

use super::tensor::{TENSOR_BYTES_MAX, bytes_of};
use crate::onnx::error::ReadError;

/// Value of `TensorProto.data_location` for a tensor in another file.
const EXTERNAL: i32 = 1;

/// Puts external data into the graph.
pub(super) fn resolve(graph: &mut GraphProto, folder: Option<&Path>) -> Result<(), ReadError> {
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|it| it.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(attributes) {
        if tensor.data_location == Some(EXTERNAL) {
            let read = read(tensor, folder);
            tensor.raw_data = read.map_err(|reason| ReadError::External { tensor: tensor.name.clone(), reason })?;
            tensor.data_location = None;
            tensor.external_data.clear();
        }
    }
    Ok(())
}

fn read(tensor: &TensorProto, folder: Option<&Path>) -> Result<Vec<u8>, String> {
    let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    let number = |key: &str| match entry(key) {
        Some(text) => match text.parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("found {key} {text:?}, expected a whole number of bytes")),
        },
        None => Ok(None),
    };
    let location = entry("location").ok_or("found no location, expected the name of a file")?;
    let folder = folder.ok_or_else(|| {
        format!("its data is in {location:?}, and the model was given as bytes: give the path of the file")
    })?;
    let outside = || {
        format!(
            "found location {location:?}, expected a file in the model's folder: save with \
             onnx.save(model, path, save_as_external_data=False)"
        )
    };
    let relative = Path::new(location);
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(outside());
    }
    let path = folder.join(relative);
    let missing = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    // A link may lead out of the folder.
    let path_of_data = path.canonicalize().map_err(missing)?;
    if !path_of_data.starts_with(folder) {
        return Err(outside());
    }
    let expected = bytes_of(tensor)?;
    if let Some(length) = number("length")?
        && length != expected
    {
        return Err(format!("found length {length}, expected {expected} for its type and shape"));
    }
    let mut file = File::open(&path_of_data).map_err(missing)?;
    file.seek(SeekFrom::Start(number("offset")?.unwrap_or(0))).map_err(missing)?;
    let mut bytes = Vec::new();
    file.take(expected.min(TENSOR_BYTES_MAX)).read_to_end(&mut bytes).map_err(missing)?;
    if bytes.len() as u64 == expected {
        Ok(bytes)
    } else {
        Err(format!("{} ends after {} of its {expected} bytes: copy the file again", path.display(), bytes.len()))
    }
}
