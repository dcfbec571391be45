//! Endpoints of llama.cpp's server beside its page of metrics.
//!
//! Asking for `/metrics` wakes a server that sleeps, and in router mode loads the model that is
//! asked for, putting another out. `/props` and `/models` do neither, and `autoload=false`
//! keeps `/metrics` from it (tried on build 10434).

use serde_json::Value;

/// Path of a server's properties.
pub const PROPS: &str = "/props";
/// Path of the models that a router has.
pub const MODELS: &str = "/models";
/// Most models of a router that are asked.
pub const MODELS_MAX: usize = 8;
/// Longest name of a model that is asked.
const NAME_BYTES_MAX: usize = 256;

/// Properties of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Props {
    /// Requests that it processes at once.
    pub slots: Option<u32>,
    /// Set while its model is out of memory until the next request.
    pub is_sleeping: bool,
}

/// Reads `/props`.
pub fn props(body: &[u8]) -> Props {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let slots = value["total_slots"].as_u64().and_then(|slots| u32::try_from(slots).ok());
    Props { slots: slots.filter(|slots| *slots > 0), is_sleeping: value["is_sleeping"].as_bool().unwrap_or(false) }
}

/// Reads `/models`: the names of those that are loaded. `None` if this is no router's, which
/// says of every model how it stands.
pub fn loaded_models(body: &[u8]) -> Option<Vec<String>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let models = value["data"].as_array()?;
    let states: Option<Vec<&str>> = models.iter().map(|model| model["status"]["value"].as_str()).collect();
    let loaded = models.iter().zip(states?).filter(|(_, state)| *state == "loaded");
    let names = loaded.filter_map(|(model, _)| model["id"].as_str()).filter(|name| name.len() <= NAME_BYTES_MAX);
    Some(names.take(MODELS_MAX).map(str::to_owned).collect())
}

/// The path of a router's metrics of one model, which does not load it.
pub fn model_path(path: &str, model: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped =
        model.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    without_loading(&format!("{path}?model={}", escaped.collect::<String>()))
}

/// A path that names a model, so that asking for it does not load that. Servers without a
/// router take no notice.
pub fn without_loading(path: &str) -> String {
    let names_model = path.contains("?model=") || path.contains("&model=");
    if names_model && !path.contains("autoload=") { format!("{path}&autoload=false") } else { path.to_owned() }
}

/// Recognises a router that wants to be asked for a model.
pub fn is_router(status: u16, said: &str) -> bool {
    status == 400 && said.contains("model name is missing")
}

/// Recognises a router that has not loaded the model.
pub fn is_unloaded(status: u16, said: &str) -> bool {
    status == 400 && said.contains("model is not loaded")
}

#[cfg(test)]
mod tests {
    use super::{Props, loaded_models, model_path, props, without_loading};

    #[test]
    fn properties_and_models_are_read() {
        let awake = props(b"{\"total_slots\": 4, \"is_sleeping\": false, \"modalities\": {}}");
        assert_eq!(awake, Props { slots: Some(4), is_sleeping: false });
        assert!(props(b"{\"is_sleeping\": true}").is_sleeping);
        for garbage in [&b""[..], b"[]", b"{\"total_slots\": -1}", b"{\"total_slots\": 0, \"is_sleeping\": 1}"] {
            assert_eq!(props(garbage), Props::default());
        }
        let models =
            br#"{"data": [{"id": "a", "status": {"value": "loaded"}}, {"id": "b", "status": {"value": "unloaded"}},
                          {"id": "org/c:Q4", "status": {"value": "loaded"}}, {"id": 3, "status": {"value": "loaded"}}]}"#;
        assert_eq!(loaded_models(models).unwrap(), ["a", "org/c:Q4"]);
        assert_eq!(loaded_models(b"{\"data\": []}").unwrap(), [""; 0]);
        for other in [&b"<html>"[..], b"{}", b"{\"data\": [{\"id\": \"a\"}]}"] {
            assert_eq!(loaded_models(other), None);
        }
    }

    #[test]
    fn asking_for_a_model_does_not_load_it() {
        assert_eq!(model_path("/metrics", "org/c:Q4 x"), "/metrics?model=org%2Fc%3AQ4%20x&autoload=false");
        assert_eq!(without_loading("/metrics?model=a"), "/metrics?model=a&autoload=false");
        assert_eq!(without_loading("/metrics?model=a&autoload=true"), "/metrics?model=a&autoload=true");
        assert_eq!(without_loading("/metrics"), "/metrics");
    }
}
