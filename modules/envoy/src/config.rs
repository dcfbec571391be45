//! The options of the load-balancing policy: a Struct, which arrives as JSON.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not JSON at all: the Any holds another message than a Struct.
    #[error("configuration is not a google.protobuf.Struct: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but no object.
    #[error("configuration is {found}, expected an object with the fields {}", expected.join(", "))]
    NotAnObject { found: &'static str, expected: &'static [&'static str] },
    /// A field that is not known.
    #[error("unknown field {field:?}, expected one of {}", expected.join(", "))]
    UnknownField { field: String, expected: &'static [&'static str] },
    /// A field that must be there.
    #[error("field {field:?} is missing: {expected}")]
    Missing { field: &'static str, expected: &'static str },
    /// A field with a value that it cannot have.
    #[error("field {field:?} is {found}, expected {expected}")]
    Value { field: &'static str, found: String, expected: &'static str },
}

/// What is done with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The request goes where the policy says.
    Active,
    /// The policy decides and is recorded; the request goes where weighted round robin says.
    Shadow,
}

/// Options of the policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// The trained artifact.
    pub(crate) artifact: PathBuf,
    /// Whether the policy's choice counts.
    pub(crate) mode: Mode,
    /// Request header with the prompt's length in tokens, in lower case; without it, the
    /// content length divided by 4.
    pub(crate) tokens: Option<Box<str>>,
    /// Request header that requests with a common prefix share, in lower case.
    pub(crate) key: Option<Box<str>>,
    /// Request header whose value tells requests apart by how much they generate, in lower
    /// case.
    pub(crate) class: Option<Box<str>>,
    /// Request header with the most tokens that may be generated, in lower case.
    pub(crate) max_tokens: Option<Box<str>>,
    /// Response header with the number of tokens generated, in lower case.
    pub(crate) output_tokens: Option<Box<str>>,
    /// Time in which a host that has just come gets its full share of the traffic.
    pub(crate) slow_start: Duration,
    /// The file that the telemetry agent writes.
    pub(crate) telemetry: Option<PathBuf>,
    /// What demand is measured in, in place of what the artifact says.
    pub(crate) scale: ScaleOptions,
}

/// What of the artifact's scale model is overruled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ScaleOptions {
    /// Requests a second that one replica carries.
    pub(crate) capacity: Option<f32>,
    /// Seconds until a replica that is asked for serves.
    pub(crate) lead: Option<f32>,
    /// Quantile of the forecast, 0.1 to 0.9.
    pub(crate) quantile: Option<f32>,
    /// Factor on the demand, 1 to 10.
    pub(crate) headroom: Option<f32>,
    /// Share of the present slope by which a rise is taken to go on.
    pub(crate) trend: Option<f32>,
}

const FIELDS: &[&str] =
    &["artifact", "mode", "tokens", "key", "class", "max_tokens", "output_tokens", "slow_start", "telemetry", "scale"];
const SCALE_FIELDS: &[&str] = &["capacity", "lead", "quantile", "headroom", "trend"];

/// Longer than any start that can be called slow.
const SLOW_START_MAX_S: f64 = 86_400.0;

impl Options {
    /// Reads the bytes that Envoy hands over.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let fields = object(json, FIELDS)?;
        let artifact = text(&fields, "artifact", "a path, such as /etc/evenkeel/evenkeel.ekm")?
            .filter(|path| !path.is_empty())
            .ok_or(ConfigError::Missing { field: "artifact", expected: "the path of the trained artifact" })?;
        Ok(Self {
            artifact: artifact.into(),
            mode: word(&fields, "mode", "active or shadow", Mode::Active, |word| match word {
                "active" => Some(Mode::Active),
                "shadow" => Some(Mode::Shadow),
                _ => None,
            })?,
            tokens: header_name(&fields, "tokens")?,
            key: header_name(&fields, "key")?,
            class: header_name(&fields, "class")?,
            max_tokens: header_name(&fields, "max_tokens")?,
            output_tokens: header_name(&fields, "output_tokens")?,
            slow_start: duration(&fields, "slow_start")?,
            telemetry: text(&fields, "telemetry", "a path, such as /run/evenkeel/llm.tel")?.map(PathBuf::from),
            scale: scale(&fields)?,
        })
    }
}

/// An object none of whose fields is unknown. No bytes at all stand for an empty object.
pub(crate) fn object(json: &[u8], known: &'static [&'static str]) -> Result<Map<String, Value>, ConfigError> {
    let value = if json.trim_ascii().is_empty() { Value::Object(Map::new()) } else { serde_json::from_slice(json)? };
    let Value::Object(fields) = value else {
        return Err(ConfigError::NotAnObject { found: kind(&value), expected: known });
    };
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(ConfigError::UnknownField { field: field.clone(), expected: known }),
        None => Ok(fields),
    }
}

fn scale(fields: &Map<String, Value>) -> Result<ScaleOptions, ConfigError> {
    const EXPECTED: &str = "an object with some of the fields capacity, lead, quantile, headroom, trend";
    let fields = match fields.get("scale") {
        None => return Ok(ScaleOptions::default()),
        Some(Value::Object(fields)) => fields,
        Some(other) => {
            return Err(ConfigError::Value { field: "scale", found: other.to_string(), expected: EXPECTED });
        }
    };
    if let Some(field) = fields.keys().find(|field| !SCALE_FIELDS.contains(&field.as_str())) {
        return Err(ConfigError::UnknownField { field: format!("scale.{field}"), expected: SCALE_FIELDS });
    }
    let number = |key, field, range: RangeInclusive<f32>, expected| {
        let Some(value) = fields.get(key) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            // What YAML makes of a number with a point.
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match number.map(|number| number as f32).filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(ConfigError::Value { field, found: value.to_string(), expected }),
        }
    };
    Ok(ScaleOptions {
        capacity: number("capacity", "scale.capacity", 1e-6..=1e9, "requests a second, more than 0")?,
        lead: number("lead", "scale.lead", 0.0..=1e6, "seconds")?,
        quantile: number("quantile", "scale.quantile", 0.1..=0.9, "0.1 to 0.9")?,
        headroom: number("headroom", "scale.headroom", 1.0..=10.0, "1 to 10")?,
        trend: number("trend", "scale.trend", 0.0..=2.0, "0 to 2")?,
    })
}

fn text<'f>(
    fields: &'f Map<String, Value>,
    field: &'static str,
    expected: &'static str,
) -> Result<Option<&'f str>, ConfigError> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(ConfigError::Value { field, found: other.to_string(), expected }),
    }
}

fn word<T>(
    fields: &Map<String, Value>,
    field: &'static str,
    expected: &'static str,
    otherwise: T,
    known: impl Fn(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    match text(fields, field, expected)? {
        None => Ok(otherwise),
        Some(word) => known(word).ok_or_else(|| ConfigError::Value { field, found: format!("{word:?}"), expected }),
    }
}

/// Header names are compared in lower case.
pub(crate) fn header_name(fields: &Map<String, Value>, field: &'static str) -> Result<Option<Box<str>>, ConfigError> {
    const EXPECTED: &str = "the name of a header";
    let Some(name) = text(fields, field, EXPECTED)? else { return Ok(None) };
    // A token, RFC 9110 section 5.6.2.
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if is_name {
        Ok(Some(name.to_ascii_lowercase().into()))
    } else {
        Err(ConfigError::Value { field, found: format!("{name:?}"), expected: EXPECTED })
    }
}

/// Seconds as a number, which YAML may have made a string, or with a unit: `30s`, `500ms`.
pub(crate) fn duration(fields: &Map<String, Value>, field: &'static str) -> Result<Duration, ConfigError> {
    let Some(value) = fields.get(field) else { return Ok(Duration::ZERO) };
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let (number, unit_s) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
                (Some(number), _) => (number, 1e-3),
                (None, Some(number)) => (number, 1.0),
                (None, None) => (text.as_str(), 1.0),
            };
            number.parse::<f64>().ok().map(|number| number * unit_s)
        }
        _ => None,
    };
    seconds.filter(|seconds| (0.0..=SLOW_START_MAX_S).contains(seconds)).map(Duration::from_secs_f64).ok_or_else(|| {
        ConfigError::Value {
            field,
            found: value.to_string(),
            expected: "a time of at most a day, such as 30s or 500ms",
        }
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        Options::parse(json.as_bytes()).expect_err(json).to_string()
    }

    #[test]
    fn all_fields_are_read() {
        let json = br#"{"slow_start":"500ms","artifact":"/a.ekm","mode":"shadow","tokens":"X-Tokens",
            "key":"x-session","class":"x-model","max_tokens":"X-Max","output_tokens":"x-output-tokens","telemetry":"/t","scale":{"capacity":"2.5","headroom":2}}"#;
        let options = Options::parse(json).expect("a valid configuration");
        assert_eq!(
            options,
            Options {
                artifact: "/a.ekm".into(),
                mode: Mode::Shadow,
                tokens: Some("x-tokens".into()),
                key: Some("x-session".into()),
                class: Some("x-model".into()),
                max_tokens: Some("x-max".into()),
                output_tokens: Some("x-output-tokens".into()),
                slow_start: Duration::from_millis(500),
                telemetry: Some("/t".into()),
                scale: ScaleOptions { capacity: Some(2.5), headroom: Some(2.0), ..ScaleOptions::default() },
            }
        );
    }

    #[test]
    fn numbers_may_be_strings_as_yaml_makes_them() {
        for json in [r#"{"artifact":"a","slow_start":30}"#, r#"{"artifact":"a","slow_start":"30"}"#] {
            let options = Options::parse(json.as_bytes()).expect(json);
            assert_eq!(options.slow_start, Duration::from_secs(30));
        }
    }

    #[test]
    fn wrong_fields_are_named() {
        let cases = [
            ("", "artifact"),
            ("{}", "artifact"),
            (r#"{"artifact":""}"#, "artifact"),
            (r#"{"artifact":7}"#, "artifact"),
            (r#"{"artifact":"a","zone":"x"}"#, "zone"),
            (r#"{"artifact":"a","mode":"on"}"#, "mode"),
            (r#"{"artifact":"a","mode":true}"#, "mode"),
            (r#"{"artifact":"a","tokens":"two words"}"#, "tokens"),
            (r#"{"artifact":"a","key":""}"#, "key"),
            (r#"{"artifact":"a","class":"a:b"}"#, "class"),
            (r#"{"artifact":"a","max_tokens":512}"#, "max_tokens"),
            (r#"{"artifact":"a","output_tokens":[]}"#, "output_tokens"),
            (r#"{"artifact":"a","slow_start":"-1s"}"#, "slow_start"),
            (r#"{"artifact":"a","slow_start":"NaN"}"#, "slow_start"),
            (r#"{"artifact":"a","slow_start":"soon"}"#, "slow_start"),
            (r#"{"artifact":"a","telemetry":1}"#, "telemetry"),
            (r#"{"artifact":"a","scale":1}"#, "scale"),
            (r#"{"artifact":"a","scale":{"size":1}}"#, "scale.size"),
            (r#"{"artifact":"a","scale":{"capacity":0}}"#, "scale.capacity"),
            (r#"{"artifact":"a","scale":{"lead":-1}}"#, "scale.lead"),
            (r#"{"artifact":"a","scale":{"quantile":"1.0"}}"#, "scale.quantile"),
            (r#"{"artifact":"a","scale":{"headroom":true}}"#, "scale.headroom"),
            ("[]", "a list"),
            ("\u{1}\u{2}", "Struct"),
        ];
        for (json, named) in cases {
            let said = refusal(json);
            assert!(said.contains(named), "{json}: {said}");
        }
    }
}
