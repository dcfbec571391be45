//! The options of the load-balancing policy: a Struct, which arrives as JSON.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::fields::{self, ConfigError, HeaderName};

/// Use of a decision.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The request goes where the policy says.
    #[default]
    Active,
    /// The policy decides and is recorded; the request goes where weighted round robin says.
    Shadow,
}

/// Options of the policy.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    /// The trained artifact.
    #[serde(deserialize_with = "fields::path")]
    pub(crate) artifact: PathBuf,
    /// Use of the policy's choice.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Request header with the prompt's length in tokens. Without it, and so on: what the body says.
    pub(crate) tokens: Option<HeaderName>,
    /// Request headers of which the first that is there names the session.
    #[serde(default = "session_headers", deserialize_with = "fields::header_names")]
    pub(crate) key: Vec<HeaderName>,
    /// Request header whose value tells requests apart by how much they generate.
    pub(crate) class: Option<HeaderName>,
    /// Request header with the most tokens that may be generated.
    pub(crate) max_tokens: Option<HeaderName>,
    /// Response header with the number of tokens generated.
    pub(crate) output_tokens: Option<HeaderName>,
    /// Time in which a host that has just come gets its full share of the traffic.
    #[serde(default, deserialize_with = "fields::duration")]
    pub(crate) slow_start: Duration,
    /// The file that the telemetry agent writes.
    pub(crate) telemetry: Option<PathBuf>,
    /// The unit of demand, in place of what the artifact says.
    #[serde(default)]
    pub(crate) scale: ScaleOptions,
}

fn session_headers() -> Vec<HeaderName> {
    ["x-session-affinity", "x-session-id"].map(HeaderName::known).into()
}

/// Numbers in place of those of the artifact's scale model.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields, expecting = "an object with some of its fields")]
pub(crate) struct ScaleOptions {
    /// Requests a second that one replica carries.
    #[serde(deserialize_with = "capacity")]
    pub(crate) capacity: Option<f32>,
    /// Seconds until a replica that is asked for serves.
    #[serde(deserialize_with = "lead")]
    pub(crate) lead: Option<f32>,
    /// Quantile of the forecast, 0.1 to 0.9.
    #[serde(deserialize_with = "quantile")]
    pub(crate) quantile: Option<f32>,
    /// Factor on the demand, 1 to 10.
    #[serde(deserialize_with = "headroom")]
    pub(crate) headroom: Option<f32>,
    /// Share of the present slope by which a rise is taken to go on.
    #[serde(deserialize_with = "trend")]
    pub(crate) trend: Option<f32>,
}

fields::numbers! {
    capacity: 1e-6..=1e9, "requests a second, more than 0";
    lead: 0.0..=1e6, "seconds";
    quantile: 0.1..=0.9, "0.1 to 0.9";
    headroom: 1.0..=10.0, "1 to 10";
    trend: 0.0..=2.0, "0 to 2";
}

impl Options {
    /// Reads the bytes that Envoy hands over.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        fields::parse(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str) -> Option<HeaderName> {
        HeaderName::try_from(name.to_owned()).ok()
    }

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
                tokens: header("x-tokens"),
                key: header("x-session").into_iter().collect(),
                class: header("x-model"),
                max_tokens: header("x-max"),
                output_tokens: header("x-output-tokens"),
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
    fn a_key_may_be_one_of_several_headers() {
        let options = Options::parse(br#"{"artifact":"a","key":["X-A","x-b"]}"#).expect("a valid configuration");
        assert_eq!(options.key, [header("x-a"), header("x-b")].map(|name| name.expect("it is one")));
        let default = Options::parse(br#"{"artifact":"a"}"#).expect("a valid configuration").key;
        assert_eq!(
            default,
            [header("x-session-affinity"), header("x-session-id")].map(|name| name.expect("it is one"))
        );
        assert_eq!(Options::parse(br#"{"artifact":"a","key":[]}"#).expect("a valid configuration").key, []);
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
            (r#"{"artifact":"a","key":7}"#, "key"),
            (r#"{"artifact":"a","key":["x","a b"]}"#, "key"),
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
            ("[]", "sequence"),
            ("\u{1}\u{2}", "Struct"),
        ];
        for (json, named) in cases {
            let said = refusal(json);
            assert!(said.contains(named), "{json}: {said}");
        }
    }
}
