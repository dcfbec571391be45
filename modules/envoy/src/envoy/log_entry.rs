//! The end of one upstream request, as the access log tells it.

use std::marker::PhantomData;

use crate::abi::{self, Buffer, BytesInfo, EnvoyPtr, HeaderType, TimingInfo};

/// One attempt at a request, ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEntry<'h> {
    logger: EnvoyPtr,
    hook: PhantomData<&'h ()>,
}

/// Envoy's response flags of an attempt, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseFlags(pub(crate) u64);

impl ResponseFlags {
    const REQUEST_TIMEOUT: u32 = 2;
    const LOCAL_RESET: u32 = 3;
    const REMOTE_RESET: u32 = 4;
    const CONNECTION_FAILURE: u32 = 5;
    const CONNECTION_TERMINATION: u32 = 6;
    const OVERFLOW: u32 = 7;
    const DOWNSTREAM_TERMINATION: u32 = 14;
    const STREAM_IDLE_TIMEOUT: u32 = 16;
    const MAX_STREAM_DURATION: u32 = 19;
    const DURATION_TIMEOUT: u32 = 22;
    const PROTOCOL_ERROR: u32 = 23;
    const DOWNSTREAM_RESET: u32 = 28;

    const fn any(self, flags: &[u32]) -> bool {
        let mut mask = 0;
        let mut rest = flags;
        while let [flag, others @ ..] = rest {
            mask |= 1 << *flag;
            rest = others;
        }
        self.0 & mask != 0
    }

    /// The host did not answer in time.
    pub(crate) const fn is_timeout(self) -> bool {
        self.any(&[Self::REQUEST_TIMEOUT, Self::STREAM_IDLE_TIMEOUT, Self::MAX_STREAM_DURATION, Self::DURATION_TIMEOUT])
    }

    /// The client left, or Envoy's own limits stopped the request: not the host's doing.
    pub(crate) const fn is_not_the_hosts(self) -> bool {
        self.any(&[Self::DOWNSTREAM_TERMINATION, Self::DOWNSTREAM_RESET, Self::OVERFLOW])
    }

    /// The host could not be reached, or broke off.
    pub(crate) const fn is_failure(self) -> bool {
        self.any(&[
            Self::LOCAL_RESET,
            Self::REMOTE_RESET,
            Self::CONNECTION_FAILURE,
            Self::CONNECTION_TERMINATION,
            Self::PROTOCOL_ERROR,
        ])
    }
}

impl<'h> LogEntry<'h> {
    /// # Safety
    /// - `logger` is what Envoy handed to the log hook, which runs during `'h`.
    pub(crate) unsafe fn new(logger: EnvoyPtr) -> Self {
        Self { logger, hook: PhantomData }
    }

    /// Name of the cluster that the request went to.
    pub(crate) fn cluster(self) -> Option<&'h [u8]> {
        let mut name = Buffer::EMPTY;
        // SAFETY: the view holds an entry that is alive.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_access_logger_get_upstream_cluster(self.logger, &raw mut name)
        };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { name.bytes() })
    }

    /// Address of the host that was chosen.
    pub(crate) fn host_address(self) -> Option<&'h [u8]> {
        let mut address = Buffer::EMPTY;
        // SAFETY: as above.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_access_logger_get_attribute_string(
                self.logger,
                abi::ATTRIBUTE_UPSTREAM_ADDRESS,
                &raw mut address,
            )
        };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { address.bytes() })
    }

    /// Status of the response; `None` if there was none.
    pub(crate) fn status(self) -> Option<u64> {
        let mut status = 0;
        // SAFETY: as above.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_access_logger_get_attribute_int(
                self.logger,
                abi::ATTRIBUTE_RESPONSE_CODE,
                &raw mut status,
            )
        };
        (found && status != 0).then_some(status)
    }

    /// Bytes of the response's body.
    pub(crate) fn body_bytes(self) -> u64 {
        let mut bytes = BytesInfo { received: 0, sent: 0, wire_received: 0, wire_sent: 0 };
        // SAFETY: as above.
        unsafe { abi::envoy_dynamic_module_callback_access_logger_get_bytes_info(self.logger, &raw mut bytes) };
        bytes.received
    }

    pub(crate) fn flags(self) -> ResponseFlags {
        // SAFETY: as above.
        ResponseFlags(unsafe { abi::envoy_dynamic_module_callback_access_logger_get_response_flags(self.logger) })
    }

    pub(crate) fn timing(self) -> TimingInfo {
        let mut timing = TimingInfo {
            start_time_unix_ns: -1,
            request_complete_duration_ns: -1,
            first_upstream_tx_byte_sent_ns: -1,
            last_upstream_tx_byte_sent_ns: -1,
            first_upstream_rx_byte_received_ns: -1,
            last_upstream_rx_byte_received_ns: -1,
            first_downstream_tx_byte_sent_ns: -1,
            last_downstream_tx_byte_sent_ns: -1,
        };
        // SAFETY: as above.
        unsafe { abi::envoy_dynamic_module_callback_access_logger_get_timing_info(self.logger, &raw mut timing) };
        timing
    }

    /// First value of a response header, or else of a trailer; `name` in lower case.
    pub(crate) fn response_header(self, name: &[u8]) -> Option<&'h [u8]> {
        self.header(HeaderType::Response, name).or_else(|| self.header(HeaderType::ResponseTrailer, name))
    }

    /// First value of a request header; `name` in lower case.
    pub(crate) fn request_header(self, name: &[u8]) -> Option<&'h [u8]> {
        self.header(HeaderType::Request, name)
    }

    fn header(self, kind: HeaderType, name: &[u8]) -> Option<&'h [u8]> {
        let mut value = Buffer::EMPTY;
        // SAFETY: as above; the count may be NULL.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_access_logger_get_header_value(
                self.logger,
                kind,
                Buffer::of(name),
                &raw mut value,
                0,
                std::ptr::null_mut(),
            )
        };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { value.bytes() })
    }
}
