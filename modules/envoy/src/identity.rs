//! The identity of an artifact, for whoever asks which one serves: pages, metrics, logs.

use std::fmt;
use std::path::Path;

use evenkeel_runtime::Model;
use serde_json::{Map, Value, json};

/// Metadata longer than this is for programs: weights to go on training from.
const TEXT_BYTES_MAX: usize = 256;

/// Identity of an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// As its metadata has it, or else the file's.
    pub(crate) name: String,
    /// Of the artifact; empty if its metadata has none.
    pub(crate) version: String,
    /// Program and version that made it; empty if unknown.
    pub(crate) made_by: String,
    /// CRC-32 of the content, in hexadecimal.
    pub(crate) checksum: String,
    /// Names of the traces that its policy was trained on.
    pub(crate) traces: Vec<String>,
    /// Names of the series that its forecaster was trained on.
    pub(crate) series: Vec<String>,
    /// Of its making; empty if its metadata has none.
    pub(crate) date: String,
    /// The rest of its metadata.
    more: Map<String, Value>,
}

impl Identity {
    pub(crate) fn of(model: &Model<'_>, path: &Path) -> Self {
        Self::read(model.metadata_json(), model.checksum(), path)
    }

    fn read(metadata: &str, checksum: u32, path: &Path) -> Self {
        let mut more = match serde_json::from_str(metadata) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let mut text = |names: &[&str]| {
            let found = names.iter().find_map(|name| more.remove(*name));
            found.and_then(|value| value.as_str().map(String::from)).unwrap_or_default()
        };
        let (name, version, made_by) = (text(&["name"]), text(&["version"]), text(&["made_by"]));
        let date = text(&["date", "made_at", "trained_at"]);
        let mut list = |name| match more.remove(name) {
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).map(String::from).collect(),
            _ => Vec::new(),
        };
        let (traces, series) = (list("traces"), list("series"));
        more.retain(|_, value| value.to_string().len() <= TEXT_BYTES_MAX);
        let file = || path.file_stem().unwrap_or_default().to_string_lossy().into();
        let name = if name.is_empty() { file() } else { name };
        Self { name, version, made_by, checksum: format!("{checksum:08x}"), traces, series, date, more }
    }

    /// For the status page; what is unknown is null.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let known = |text: &String| if text.is_empty() { Value::Null } else { json!(text) };
        let fields = [
            ("name", known(&self.name)),
            ("version", known(&self.version)),
            ("made_by", known(&self.made_by)),
            ("checksum", known(&self.checksum)),
            ("training_data", json!({ "traces": self.traces, "series": self.series })),
            ("date", known(&self.date)),
            ("metadata", Value::Object(self.more.clone())),
        ];
        fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        for text in [&self.version, &self.made_by, &self.date] {
            if !text.is_empty() {
                write!(f, ", {text}")?;
            }
        }
        write!(f, ", checksum {}", self.checksum)?;
        if !self.traces.is_empty() {
            write!(f, ", trained on {}", self.traces.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_metadata_lacks_is_not_made_up() {
        let path = Path::new("/etc/evenkeel/llm.ekm");
        let metadata = r#"{"made_by":"evenkeel train 0.1.0","traces":["a","b"],"seed":1,"weights":"FILL"}"#;
        let identity = Identity::read(&metadata.replace("FILL", &"0".repeat(9_000)), 0xAB, path);
        assert_eq!(identity.to_string(), "llm, evenkeel train 0.1.0, checksum 000000ab, trained on a, b");
        let page = identity.json();
        assert_eq!((&page["date"], &page["version"]), (&Value::Null, &Value::Null));
        assert_eq!(page["training_data"], json!({ "traces": ["a", "b"], "series": [] }));
        assert_eq!(page["metadata"], json!({ "seed": 1 }));
    }

    #[test]
    fn metadata_of_any_kind_is_borne() {
        let path = Path::new("x.ekm");
        for metadata in ["", "[]", "{", r#"{"name":7,"traces":"a","date":{}}"#] {
            let identity = Identity::read(metadata, 1, path);
            assert_eq!((identity.name.as_str(), identity.traces.len()), ("x", 0), "{metadata}");
        }
        let named = Identity::read(r#"{"name":"general","version":"3","date":"2026-01-31"}"#, 1, path);
        assert_eq!(named.to_string(), "general, 3, 2026-01-31, checksum 00000001");
    }
}
