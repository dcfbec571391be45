//! Hooks of the HTTP filters.

use std::ffi::c_void;
use std::ptr;

use crate::abi::{
    BODY_CONTINUE, BODY_STOP_AND_WATERMARK, Buffer, EnvoyPtr, HEADERS_CONTINUE, HEADERS_STOP, LogLevel, ModulePtr,
};
use crate::envoy::{self, FilterView};
use crate::http_filter::{Kind, Stream};

use super::guard;

/// A new configuration; NULL refuses it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    _config: EnvoyPtr,
    name: Buffer,
    options: Buffer,
) -> ModulePtr {
    guard("http_filter_config_new", ptr::null(), || {
        // SAFETY: Envoy's, and valid during the hook.
        let (name, options) = unsafe { (name.bytes(), options.bytes()) };
        match Kind::parse(name, options) {
            Ok(kind) => Box::into_raw(Box::new(kind)).cast_const().cast(),
            Err(error) => {
                envoy::log(LogLevel::Error, error);
                ptr::null()
            }
        }
    })
}

/// No filter uses the configuration any more.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: ModulePtr) {
    guard("http_filter_config_destroy", (), || {
        // SAFETY: from `config_new`, and not used again.
        drop(unsafe { Box::from_raw(config.cast::<Kind>().cast_mut()) });
    });
}

/// Routes have no options of their own.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(_name: Buffer, _options: Buffer) -> ModulePtr {
    guard("http_filter_per_route_config_new", ptr::null(), || {
        envoy::log(LogLevel::Error, "the filters have no options for a route");
        ptr::null()
    })
}

/// Nothing to give back.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(_config: ModulePtr) {}

/// The filter of a stream. The configuration outlives it.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(config: ModulePtr, _filter: EnvoyPtr) -> ModulePtr {
    guard("http_filter_new", ptr::null(), || {
        // SAFETY: from `config_new`, not destroyed before its filters.
        let kind: &Kind = unsafe { &*config.cast::<Kind>() };
        Box::into_raw(Box::new(Stream::new(kind))).cast_const().cast()
    })
}

/// The stream is over.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: ModulePtr) {
    guard("http_filter_destroy", (), || {
        // SAFETY: from `filter_new`, and not used again.
        drop(unsafe { Box::from_raw(stream.cast::<Stream<'_>>().cast_mut()) });
    });
}

/// The head of a request.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    filter: EnvoyPtr,
    stream: ModulePtr,
    end_of_stream: bool,
) -> u32 {
    guard("http_filter_request_headers", HEADERS_CONTINUE, || {
        let goes_on = of(stream).request_headers(view(filter), end_of_stream);
        if goes_on { HEADERS_CONTINUE } else { HEADERS_STOP }
    })
}

/// A piece of a request's body.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    filter: EnvoyPtr,
    stream: ModulePtr,
    end_of_stream: bool,
) -> u32 {
    guard("http_filter_request_body", BODY_CONTINUE, || {
        let goes_on = of(stream).request_body(view(filter), end_of_stream);
        if goes_on { BODY_CONTINUE } else { BODY_STOP_AND_WATERMARK }
    })
}

/// The trailers of a request: its body has ended.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(filter: EnvoyPtr, stream: ModulePtr) -> u32 {
    guard("http_filter_request_trailers", 0, || {
        of(stream).request_body(view(filter), true);
        0
    })
}

/// The head of a response.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    filter: EnvoyPtr,
    stream: ModulePtr,
    end_of_stream: bool,
) -> u32 {
    guard("http_filter_response_headers", HEADERS_CONTINUE, || {
        of(stream).response_headers(view(filter), end_of_stream);
        HEADERS_CONTINUE
    })
}

/// A piece of a response's body, which passes as it is.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    filter: EnvoyPtr,
    stream: ModulePtr,
    end_of_stream: bool,
) -> u32 {
    guard("http_filter_response_body", BODY_CONTINUE, || {
        of(stream).response_body(view(filter), end_of_stream);
        BODY_CONTINUE
    })
}

/// The trailers of a response: its body has ended.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(filter: EnvoyPtr, stream: ModulePtr) -> u32 {
    guard("http_filter_response_trailers", 0, || {
        of(stream).response_end(view(filter));
        0
    })
}

/// Nothing is left to be done.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(_filter: EnvoyPtr, _stream: ModulePtr) {}

/// No request is ever sent.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
    _callout: u64,
    _result: u32,
    _headers: *mut c_void,
    _headers_size: usize,
    _chunks: *mut Buffer,
    _chunks_size: usize,
) {
}

/// No stream is ever opened.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
    _id: u64,
    _headers: *mut c_void,
    _headers_size: usize,
    _end_of_stream: bool,
) {
}

/// No stream is ever opened.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
    _id: u64,
    _data: *const Buffer,
    _data_count: usize,
    _end_of_stream: bool,
) {
}

/// No stream is ever opened.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
    _id: u64,
    _trailers: *mut c_void,
    _trailers_size: usize,
) {
}

/// No stream is ever opened.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
    _id: u64,
) {
}

/// No stream is ever opened.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
    _id: u64,
    _reason: u32,
) {
}

/// No event is ever scheduled.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(_filter: EnvoyPtr, _stream: ModulePtr, _event: u64) {}

/// The client's connection is not of interest.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
) {
}

/// The client's connection is not of interest.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _filter: EnvoyPtr,
    _stream: ModulePtr,
) {
}

fn view<'h>(filter: EnvoyPtr) -> FilterView<'h> {
    // SAFETY: called from hooks alone, with what Envoy handed to them.
    unsafe { FilterView::new(filter) }
}

fn of<'h>(stream: ModulePtr) -> &'h mut Stream<'h> {
    // SAFETY: from `filter_new`; only its thread uses it, one hook after the other.
    unsafe { &mut *stream.cast::<Stream<'h>>().cast_mut() }
}
