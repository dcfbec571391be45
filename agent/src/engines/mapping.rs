//! Metrics of other engines, named by a file:
//!
//! ```json
//! {"running": "my_active", "waiting": {"name": "my_queue", "label": "pool=\"main\""},
//!  "kv_use": {"name": "my_cache_percent", "scale": 0.01},
//!  "step": {"sum": "my_token_us_sum", "count": "my_token_us_count", "scale": 1e-6}}
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Engine, Field, Filter, NAME_BYTES_MAX, Over, Rule, Value};

/// Errors of a mapping.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// It cannot be read.
    #[error("mapping {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is not the expected JSON.
    #[error("mapping {}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The place and the cause.
        source: serde_json::Error,
    },
    /// It names no metric.
    #[error("mapping {}: names no metric; expected one of running, waiting, pending_prefill, kv_use, kv_capacity_tokens, batch_limit, step", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A name that no metric has.
    #[error("mapping {}: metric {name:?}: expected letters, digits, _ and :, at most {NAME_BYTES_MAX}, no digit first", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The text found.
        name: String,
    },
    /// A scale that makes no sense.
    #[error("mapping {}: metric {name}: scale {scale}, expected a number greater than 0", path.display())]
    Scale {
        /// The file.
        path: PathBuf,
        /// The metric.
        name: String,
        /// Its scale.
        scale: f64,
    },
}

/// Reads the rules of a mapping.
pub(super) fn read(path: &Path) -> Result<Vec<Rule>, MappingError> {
    let path = path.to_owned();
    let text = std::fs::read_to_string(&path).map_err(|source| MappingError::Read { path: path.clone(), source })?;
    let mapping: Mapping =
        serde_json::from_str(&text).map_err(|source| MappingError::Json { path: path.clone(), source })?;
    let rules = mapping.rules();
    if rules.is_empty() {
        return Err(MappingError::Empty { path });
    }
    for rule in &rules {
        let Value::Scaled(scale) = rule.value else { continue };
        if !is_name(&rule.name) {
            return Err(MappingError::Name { path, name: rule.name.clone() });
        }
        if !(scale.is_finite() && scale > 0.0) {
            return Err(MappingError::Scale { path, name: rule.name.clone(), scale });
        }
    }
    Ok(rules)
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(fits)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    running: Option<Gauge>,
    waiting: Option<Gauge>,
    pending_prefill: Option<Gauge>,
    kv_use: Option<Gauge>,
    kv_capacity_tokens: Option<Gauge>,
    batch_limit: Option<Gauge>,
    step: Option<Mean>,
}

/// A metric: its name alone, or more of it.
#[derive(Debug)]
struct Gauge(Metric);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: String,
    label: Option<String>,
    #[serde(default = "one")]
    scale: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    sum: String,
    count: String,
    label: Option<String>,
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

// Not an untagged enumeration, whose errors would not name the key that is wrong.
impl<'de> Deserialize<'de> for Gauge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrObject;

        impl<'de> Visitor<'de> for NameOrObject {
            type Value = Gauge;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a metric's name, or an object with name and perhaps label and scale")
            }

            fn visit_str<E>(self, name: &str) -> Result<Gauge, E> {
                Ok(Gauge(Metric { name: name.to_owned(), label: None, scale: one() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gauge, A::Error> {
                Metric::deserialize(MapAccessDeserializer::new(map)).map(Gauge)
            }
        }

        deserializer.deserialize_any(NameOrObject)
    }
}

impl Mapping {
    fn rules(self) -> Vec<Rule> {
        let gauges = [
            (self.running, Field::Running),
            (self.waiting, Field::Waiting),
            (self.pending_prefill, Field::PendingPrefill),
            (self.kv_use, Field::KvUse),
            (self.kv_capacity_tokens, Field::KvCapacity),
            (self.batch_limit, Field::BatchLimit),
        ];
        let mut rules: Vec<Rule> = gauges.into_iter().filter_map(|(gauge, field)| Some(gauge?.0.rule(field))).collect();
        if let Some(Mean { sum, count, label, scale }) = self.step {
            rules.push(Metric { name: sum, label: label.clone(), scale }.rule(Field::TokenSeconds));
            rules.push(Metric { name: count, label, scale: one() }.rule(Field::Tokens));
        }
        rules
    }
}

impl Metric {
    fn rule(self, field: Field) -> Rule {
        Rule {
            engine: Engine::Mapped,
            name: self.name,
            filter: self.label.map_or(Filter::Any, Filter::Text),
            field,
            choice: 0,
            over: if field == Field::KvUse { Over::Max } else { Over::Sum },
            value: Value::Scaled(self.scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rule, read};
    use crate::engines::{Field, Filter, Value};

    fn mapping(text: &str) -> Result<Vec<Rule>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mapping.json");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn names_labels_and_scales_are_taken() {
        let rules = mapping(
            "{\"running\": \"my_active\", \"kv_use\": {\"name\": \"my_percent\", \"label\": \"pool=\\\"a\\\"\", \"scale\": 0.01},
              \"step\": {\"sum\": \"us_sum\", \"count\": \"us_count\", \"scale\": 1e-6}}",
        )
        .unwrap();
        let found: Vec<_> = rules.iter().map(|rule| (rule.name.as_str(), rule.field, rule.value)).collect();
        let scaled = Value::Scaled;
        assert_eq!(
            found,
            [
                ("my_active", Field::Running, scaled(1.0)),
                ("my_percent", Field::KvUse, scaled(0.01)),
                ("us_sum", Field::TokenSeconds, scaled(1e-6)),
                ("us_count", Field::Tokens, scaled(1.0)),
            ]
        );
        assert_eq!(rules[1].filter, Filter::Text("pool=\"a\"".to_owned()));
    }

    #[test]
    fn mistakes_are_refused_and_named() {
        for (text, expected) in [
            ("{\"runing\": \"a\"}", "unknown field `runing`"),
            (
                "{\"running\": {\"name\": \"a\", \"lable\": \"b\"}}",
                "unknown field `lable`, expected one of `name`, `label`, `scale`",
            ),
            ("{\"running\": {\"label\": \"b\"}}", "missing field `name`"),
            ("{\"running\": 3}", "expected a metric's name"),
            ("{\"step\": {\"sum\": \"a\"}}", "missing field `count`"),
            ("{\"running\": {\"name\": \"a\", \"scale\": 0}}", "scale 0, expected a number greater than 0"),
            ("{\"running\": \"a b\"}", "metric \"a b\": expected letters"),
            ("{}", "names no metric"),
            ("[", "line 1"),
        ] {
            let error = mapping(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
