//! Envoy's interface for dynamic modules, as far as it is used here.
//!
//! Declared from `source/extensions/dynamic_modules/abi/abi.h` of envoyproxy/envoy, as of
//! Envoy 1.38 to 1.40. The functions are symbols of the Envoy that loads the module; one
//! that it lacks makes it refuse the module. `tests/test_abi.py` looks up every name.
//!
//! For all of them the header says: buffers that Envoy hands out are Envoy's, and stay
//! valid until the hook that asked for them returns; buffers that the module hands over are
//! read before the function returns. A function that returns `bool` leaves its output
//! alone, or empty, when it returns `false`.

#![allow(unsafe_code, reason = "foreign functions; each line says what it asks of its caller")]

use std::ffi::{c_char, c_void};

/// Version that `on_program_init` returns: Envoy warns when its own is another one.
pub(crate) const ABI_VERSION: &std::ffi::CStr = c"v0.2.0";

/// Bytes of the other side.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Buffer {
    pub(crate) ptr: *const c_char,
    pub(crate) length: usize,
}

/// Times of one upstream request in nanoseconds after its start; -1 where there is none.
#[expect(clippy::struct_field_names, reason = "units come last in names")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct TimingInfo {
    /// Start, in nanoseconds since 1970.
    pub(crate) start_time_unix_ns: i64,
    pub(crate) request_complete_duration_ns: i64,
    pub(crate) first_upstream_tx_byte_sent_ns: i64,
    pub(crate) last_upstream_tx_byte_sent_ns: i64,
    pub(crate) first_upstream_rx_byte_received_ns: i64,
    pub(crate) last_upstream_rx_byte_received_ns: i64,
    pub(crate) first_downstream_tx_byte_sent_ns: i64,
    pub(crate) last_downstream_tx_byte_sent_ns: i64,
}

/// Bytes of one upstream request: of the bodies, and with everything around them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct BytesInfo {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) wire_received: u64,
    pub(crate) wire_sent: u64,
}

/// `envoy_dynamic_module_type_log_level`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum LogLevel {
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// `envoy_dynamic_module_type_http_header_type`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum HeaderType {
    Request = 0,
    Response = 2,
    ResponseTrailer = 3,
}

/// `envoy_dynamic_module_type_http_body_type`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum BodyType {
    ReceivedRequest = 0,
    BufferedRequest = 1,
    ReceivedResponse = 2,
}

/// `envoy_dynamic_module_type_attribute_id`: response.code.
pub(crate) const ATTRIBUTE_RESPONSE_CODE: u32 = 15;
/// `envoy_dynamic_module_type_attribute_id`: upstream.address.
pub(crate) const ATTRIBUTE_UPSTREAM_ADDRESS: u32 = 41;

/// `envoy_dynamic_module_type_host_stat`: failed requests, a counter.
pub(crate) const HOST_STAT_REQUEST_ERRORS: u32 = 2;
/// `envoy_dynamic_module_type_host_stat`: requests that took too long, a counter.
pub(crate) const HOST_STAT_REQUEST_TIMEOUTS: u32 = 4;
/// `envoy_dynamic_module_type_host_stat`: requests under way, a gauge.
pub(crate) const HOST_STAT_REQUESTS_ACTIVE: u32 = 7;

/// `envoy_dynamic_module_type_access_log_type`: an upstream request has ended.
pub(crate) const LOG_UPSTREAM_END: u32 = 9;

/// `envoy_dynamic_module_type_on_http_filter_request_headers_status`: go on.
pub(crate) const HEADERS_CONTINUE: u32 = 0;
/// The same: later filters wait until the body hook says "continue".
pub(crate) const HEADERS_STOP: u32 = 1;
/// `envoy_dynamic_module_type_on_http_filter_request_body_status`: go on.
pub(crate) const BODY_CONTINUE: u32 = 0;
/// The same: keep the data, later filters wait. Beyond the buffer limit Envoy reads no more
/// from the client, rather than answer with 413.
pub(crate) const BODY_STOP_AND_WATERMARK: u32 = 2;

/// An object of Envoy's.
pub(crate) type EnvoyPtr = *mut c_void;
/// An object of the module's, in Envoy's keeping.
pub(crate) type ModulePtr = *const c_void;
/// To be called once, with the pointer that came with it.
pub(crate) type EventCallback = Option<unsafe extern "C" fn(context: *mut c_void)>;

macro_rules! callbacks {
    ($($(#[doc = $doc:literal])+ fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)+) => {
        unsafe extern "C" {
            $($(#[doc = $doc])+ pub(crate) fn $name($($argument: $type),*) $(-> $result)?;)+
        }
    };
}

callbacks! {
    /// Writes a line to Envoy's log. Any thread.
    fn envoy_dynamic_module_callback_log(level: LogLevel, message: Buffer);

    /// Name of the load balancer's cluster; always there. `lb` as handed to the hook.
    fn envoy_dynamic_module_callback_lb_get_cluster_name(lb: EnvoyPtr, result: *mut Buffer);
    /// Number of priorities. `lb` as handed to the hook.
    fn envoy_dynamic_module_callback_lb_get_priority_set_size(lb: EnvoyPtr) -> usize;
    /// Hosts of a priority, whatever their health; 0 for a priority that is not there.
    fn envoy_dynamic_module_callback_lb_get_hosts_count(lb: EnvoyPtr, priority: u32) -> usize;
    /// Healthy hosts of a priority; 0 for a priority that is not there.
    fn envoy_dynamic_module_callback_lb_get_healthy_hosts_count(lb: EnvoyPtr, priority: u32) -> usize;
    /// Address of a host by its place among all hosts; `false` beyond the end.
    fn envoy_dynamic_module_callback_lb_get_host_address(
        lb: EnvoyPtr, priority: u32, index: usize, result: *mut Buffer,
    ) -> bool;
    /// Address of a host by its place among the healthy ones; `false` beyond the end.
    fn envoy_dynamic_module_callback_lb_get_healthy_host_address(
        lb: EnvoyPtr, priority: u32, index: usize, result: *mut Buffer,
    ) -> bool;
    /// Weight, 1 to 128, by the place among the healthy hosts; 0 beyond the end.
    fn envoy_dynamic_module_callback_lb_get_healthy_host_weight(lb: EnvoyPtr, priority: u32, index: usize) -> u32;
    /// A statistic of a host, by its place among all hosts: of all workers together.
    fn envoy_dynamic_module_callback_lb_get_host_stat(lb: EnvoyPtr, priority: u32, index: usize, stat: u32) -> u64;
    /// Value of a request header; `false` if it has none at that index, or `context` is null.
    /// Only in `choose_host`; `count` may be null.
    fn envoy_dynamic_module_callback_lb_context_get_downstream_header(
        context: EnvoyPtr, key: Buffer, result: *mut Buffer, index: usize, count: *mut usize,
    ) -> bool;
    /// Times that the choice of a host may be repeated: 1 for a first attempt, for a retry what the
    /// route says (1 by default). Only in `choose_host`.
    fn envoy_dynamic_module_callback_lb_context_get_host_selection_retry_count(context: EnvoyPtr) -> u32;
    /// Asks if a retry should go elsewhere, by the index among all hosts. Only in
    /// `choose_host`, `context` not null.
    fn envoy_dynamic_module_callback_lb_context_should_select_another_host(
        lb: EnvoyPtr, context: EnvoyPtr, priority: u32, index: usize,
    ) -> bool;
    /// Defines a counter; 0 is success. Main thread, while `config` is made.
    fn envoy_dynamic_module_callback_lb_config_define_counter(
        config: EnvoyPtr, name: Buffer, labels: *const Buffer, labels_length: usize, id: *mut usize,
    ) -> u32;
    /// Adds to a counter; as many label values as were defined. Any thread, while `config` lives.
    fn envoy_dynamic_module_callback_lb_config_increment_counter(
        config: EnvoyPtr, id: usize, labels: *const Buffer, labels_length: usize, value: u64,
    ) -> u32;
    /// Defines a histogram; 0 is success. Main thread, while `config` is made.
    fn envoy_dynamic_module_callback_lb_config_define_histogram(
        config: EnvoyPtr, name: Buffer, labels: *const Buffer, labels_length: usize, id: *mut usize,
    ) -> u32;
    /// Records a value; as many label values as were defined. Any thread, while `config` lives.
    fn envoy_dynamic_module_callback_lb_config_record_histogram_value(
        config: EnvoyPtr, id: usize, labels: *const Buffer, labels_length: usize, value: u64,
    ) -> u32;

    /// An attribute that is text; `false` if the request has none. Only in the log hook.
    fn envoy_dynamic_module_callback_access_logger_get_attribute_string(
        logger: EnvoyPtr, attribute: u32, result: *mut Buffer,
    ) -> bool;
    /// An attribute that is a number; `false` if the request has none. Only in the log hook.
    fn envoy_dynamic_module_callback_access_logger_get_attribute_int(
        logger: EnvoyPtr, attribute: u32, result: *mut u64,
    ) -> bool;
    /// Response flags: bit `i` is flag `i` of `envoy_dynamic_module_type_response_flag`. Only
    /// in the log hook.
    fn envoy_dynamic_module_callback_access_logger_get_response_flags(logger: EnvoyPtr) -> u64;
    /// Times of the request; fills in all fields. Only in the log hook.
    fn envoy_dynamic_module_callback_access_logger_get_timing_info(logger: EnvoyPtr, timing: *mut TimingInfo);
    /// Bytes of the request; fills in all fields. Only in the log hook.
    fn envoy_dynamic_module_callback_access_logger_get_bytes_info(logger: EnvoyPtr, bytes: *mut BytesInfo);
    /// Name of the cluster; `false` if there is none. Only in the log hook.
    fn envoy_dynamic_module_callback_access_logger_get_upstream_cluster(
        logger: EnvoyPtr, result: *mut Buffer,
    ) -> bool;
    /// Value of a header; `false` if there is none at that index. Only in the log hook;
    /// `count` may be null.
    fn envoy_dynamic_module_callback_access_logger_get_header_value(
        logger: EnvoyPtr, kind: HeaderType, key: Buffer, result: *mut Buffer, index: usize, count: *mut usize,
    ) -> bool;

    /// Lets Envoy go on with its start. Exactly once for each configuration; main thread.
    fn envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(config: EnvoyPtr);
    /// A timer, not armed yet, to be deleted by the module. Main thread.
    fn envoy_dynamic_module_callback_bootstrap_extension_timer_new(config: EnvoyPtr) -> EnvoyPtr;
    /// Arms a timer, once. Main thread.
    fn envoy_dynamic_module_callback_bootstrap_extension_timer_enable(timer: EnvoyPtr, delay_ms: u64);
    /// Deletes a timer. Main thread.
    fn envoy_dynamic_module_callback_bootstrap_extension_timer_delete(timer: EnvoyPtr);
    /// Adds a page to the admin interface; `false` if there is none or the path is taken.
    /// Main thread, from `server_initialized` on.
    fn envoy_dynamic_module_callback_bootstrap_extension_register_admin_handler(
        config: EnvoyPtr, prefix: Buffer, help: Buffer, removable: bool, mutates_state: bool,
    ) -> bool;
    /// Sets the body of a page; copied at once. Only in the admin hook.
    fn envoy_dynamic_module_callback_bootstrap_extension_admin_set_response(config: EnvoyPtr, body: Buffer);
    /// Defines a gauge; 0 is success. Main thread, while `config` is made.
    fn envoy_dynamic_module_callback_bootstrap_extension_config_define_gauge(
        config: EnvoyPtr, name: Buffer, labels: *const Buffer, labels_length: usize, id: *mut usize,
    ) -> u32;
    /// Sets a gauge; as many label values as were defined. While `config` lives.
    fn envoy_dynamic_module_callback_bootstrap_extension_config_set_gauge(
        config: EnvoyPtr, id: usize, labels: *const Buffer, labels_length: usize, value: u64,
    ) -> u32;
    /// Defines a counter; 0 is success. Main thread, while `config` is made.
    fn envoy_dynamic_module_callback_bootstrap_extension_config_define_counter(
        config: EnvoyPtr, name: Buffer, labels: *const Buffer, labels_length: usize, id: *mut usize,
    ) -> u32;
    /// Adds to a counter; as many label values as were defined. While `config` lives.
    fn envoy_dynamic_module_callback_bootstrap_extension_config_increment_counter(
        config: EnvoyPtr, id: usize, labels: *const Buffer, labels_length: usize, value: u64,
    ) -> u32;

    /// Value of a header; `false` if there is none at that index. While the filter lives;
    /// `count` may be null.
    fn envoy_dynamic_module_callback_http_get_header(
        filter: EnvoyPtr, kind: HeaderType, key: Buffer, result: *mut Buffer, index: usize, count: *mut usize,
    ) -> bool;
    /// Sets a header, or removes it if the value is null. While the filter lives.
    fn envoy_dynamic_module_callback_http_set_header(
        filter: EnvoyPtr, kind: HeaderType, key: Buffer, value: Buffer,
    ) -> bool;
    /// Sets a number among the stream's dynamic metadata. While the filter lives.
    fn envoy_dynamic_module_callback_http_set_dynamic_metadata_number(
        filter: EnvoyPtr, namespace: Buffer, key: Buffer, value: f64,
    );
    /// Bytes that Envoy buffers of a body; 0 for any number. While the filter lives.
    fn envoy_dynamic_module_callback_http_get_buffer_limit(filter: EnvoyPtr) -> u64;
    /// Bytes of a body, of what has just come or of what is kept. In a body hook.
    fn envoy_dynamic_module_callback_http_get_body_size(filter: EnvoyPtr, kind: BodyType) -> usize;
    /// Number of pieces that a body is in. In a body hook.
    fn envoy_dynamic_module_callback_http_get_body_chunks_size(filter: EnvoyPtr, kind: BodyType) -> usize;
    /// The pieces of a body: `result` has room for as many as there are. In a body hook.
    fn envoy_dynamic_module_callback_http_get_body_chunks(
        filter: EnvoyPtr, kind: BodyType, result: *mut Buffer,
    ) -> bool;
    /// An attribute that is text; `false` if there is none. While the filter lives.
    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: EnvoyPtr, attribute: u32, result: *mut Buffer,
    ) -> bool;
    /// Name of the cluster that the request is routed to; `false` if there is none.
    fn envoy_dynamic_module_callback_http_get_cluster_name(filter: EnvoyPtr, result: *mut Buffer) -> bool;
    /// Prefers a host, by its address and port, to the load balancer's choice.
    fn envoy_dynamic_module_callback_http_set_upstream_override_host(
        filter: EnvoyPtr, host: Buffer, strict: bool,
    ) -> bool;
}
