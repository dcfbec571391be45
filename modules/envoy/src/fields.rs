//! Fields of a configuration: a `google.protobuf.Struct`, which arrives as JSON whose numbers may
//! be strings, as YAML makes them.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Longer than any start that can be called slow.
const SLOW_START_MAX_S: f64 = 86_400.0;

/// Reason for refusing a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// No JSON object: the Any holds another message than a Struct.
    #[error("configuration is not a google.protobuf.Struct: {0}")]
    Json(serde_json::Error),
    /// A field that is missing, unknown, or has a value that it cannot have.
    #[error("{0}")]
    Fields(serde_json::Error),
    /// The same, with the field's name where the message lacks it.
    #[error("field \"{path}\": {cause}")]
    Field { path: String, cause: serde_json::Error },
}

/// A configuration without fields.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFields {}

/// Reads the bytes that Envoy hands over. No bytes at all stand for an empty object.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, ConfigError> {
    let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
    let fields: Map<String, Value> = serde_json::from_slice(json).map_err(ConfigError::Json)?;
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if path == "." { ConfigError::Fields(cause) } else { ConfigError::Field { path, cause } }
    })
}

/// Name of a header, in lower case.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct HeaderName(Box<str>);

impl HeaderName {
    /// A name that is known to be one, in lower case.
    pub(crate) fn known(name: &'static str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A text that is no header's name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the name of a header")]
pub(crate) struct NotAHeaderName(String);

impl TryFrom<String> for HeaderName {
    type Error = NotAHeaderName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        // A token, RFC 9110 section 5.6.2.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !name.is_empty() && name.bytes().all(is_token) {
            Ok(Self(name.to_ascii_lowercase().into()))
        } else {
            Err(NotAHeaderName(name))
        }
    }
}

/// Reads the name of a header, or a list of them.
pub(crate) fn header_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderName>, D::Error> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Vec<HeaderName>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a header, or a list of such names")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
            HeaderName::try_from(name.to_owned()).map(|name| vec![name]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
            let mut known = Vec::new();
            while let Some(name) = names.next_element()? {
                known.push(name);
            }
            Ok(known)
        }
    }

    deserializer.deserialize_any(Names)
}

/// Reads a switch: `true` or `false`, which YAML's `on` and `off` become, or these as text.
pub(crate) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Switch;

    impl Visitor<'_> for Switch {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("on or off")
        }

        fn visit_bool<E: Error>(self, is_on: bool) -> Result<bool, E> {
            Ok(is_on)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
            match text {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }
    }

    deserializer.deserialize_any(Switch)
}

/// Reads a path that is not empty.
pub(crate) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = String::deserialize(deserializer)?;
    if path.is_empty() { Err(D::Error::invalid_value(Unexpected::Str(""), &"a path")) } else { Ok(path.into()) }
}

/// Reads seconds, as a number or with a unit: `30s`, `500ms`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let parse = |text: &str| {
        let (number, unit_s) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 1e-3),
            (None, Some(number)) => (number, 1.0),
            (None, None) => (text, 1.0),
        };
        number.parse::<f64>().ok().map(|number| number * unit_s)
    };
    let expected = "a time of at most a day, such as 30s or 500ms";
    let seconds = deserializer.deserialize_any(Number { range: 0.0..=SLOW_START_MAX_S, expected, parse })?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads a number within a range.
pub(crate) fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<f64>,
    expected: &'static str,
) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Number { range, expected, parse: |text: &str| text.parse().ok() })
}

/// Functions that read optional numbers, each within its range.
macro_rules! numbers {
    ($($name:ident: $range:expr, $expected:literal;)+) => {
        $(fn $name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
            $crate::fields::number(deserializer, $range, $expected).map(|number| Some(number as f32))
        })+
    };
}
pub(crate) use numbers;

struct Number<F> {
    range: RangeInclusive<f64>,
    expected: &'static str,
    parse: F,
}

impl<F: Fn(&str) -> Option<f64>> Visitor<'_> for Number<F> {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        if self.range.contains(&number) { Ok(number) } else { Err(E::invalid_value(Unexpected::Float(number), &self)) }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        self.visit_f64(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match (self.parse)(text) {
            Some(number) if self.range.contains(&number) => Ok(number),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
