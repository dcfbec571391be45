//! One HTTP stream, as a filter sees it.

use std::marker::PhantomData;
use std::ptr;

use crate::abi::{self, BodyType, Buffer, EnvoyPtr, HeaderType};

/// Namespace of the module's dynamic metadata.
const METADATA_NAMESPACE: &[u8] = b"evenkeel";

/// The filter's side of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilterView<'h> {
    filter: EnvoyPtr,
    hook: PhantomData<&'h ()>,
}

impl<'h> FilterView<'h> {
    /// # Safety
    /// - `filter` is what Envoy handed to a hook that runs during `'h`.
    pub(crate) unsafe fn new(filter: EnvoyPtr) -> Self {
        Self { filter, hook: PhantomData }
    }

    /// First value of a request header; `name` in lower case. To be used before a header is
    /// set.
    pub(crate) fn request_header(self, name: &[u8]) -> Option<&'h [u8]> {
        self.header(HeaderType::Request, name)
    }

    /// First value of a response header; `name` in lower case.
    pub(crate) fn response_header(self, name: &[u8]) -> Option<&'h [u8]> {
        self.header(HeaderType::Response, name)
    }

    fn header(self, kind: HeaderType, name: &[u8]) -> Option<&'h [u8]> {
        let mut value = Buffer::EMPTY;
        // SAFETY: the view holds a filter that is alive; the count may be NULL.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_http_get_header(
                self.filter,
                kind,
                Buffer::of(name),
                &raw mut value,
                0,
                ptr::null_mut(),
            )
        };
        // SAFETY: Envoy's, and valid during the hook as long as no header is set.
        found.then(|| unsafe { value.bytes() })
    }

    /// Sets a request header, whatever it was; `None` removes it.
    pub(crate) fn set_request_header(self, name: &[u8], value: Option<&[u8]>) {
        let value = value.map_or(Buffer::EMPTY, Buffer::of);
        // SAFETY: as above; Envoy copies the buffers.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_header(
                self.filter,
                HeaderType::Request,
                Buffer::of(name),
                value,
            )
        };
    }

    /// Sets a number of the stream's dynamic metadata, for access logs:
    /// `%DYNAMIC_METADATA(evenkeel:KEY)%`.
    pub(crate) fn set_metadata(self, key: &str, value: f64) {
        let (namespace, key) = (Buffer::of(METADATA_NAMESPACE), Buffer::of(key.as_bytes()));
        // SAFETY: the view holds a filter that is alive; Envoy copies the buffers.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_dynamic_metadata_number(self.filter, namespace, key, value);
        }
    }

    /// Bytes of a body that Envoy buffers at most; 0 for any number.
    pub(crate) fn buffer_limit(self) -> u64 {
        // SAFETY: the view holds a filter that is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_get_buffer_limit(self.filter) }
    }

    /// Bytes of the request's body so far.
    pub(crate) fn body_bytes(self) -> usize {
        [BodyType::BufferedRequest, BodyType::ReceivedRequest]
            .into_iter()
            // SAFETY: as above.
            .map(|kind| unsafe { abi::envoy_dynamic_module_callback_http_get_body_size(self.filter, kind) })
            .sum()
    }

    /// Pieces of the request's body so far.
    pub(crate) fn request_pieces(self) -> impl Iterator<Item = &'h [u8]> {
        [BodyType::BufferedRequest, BodyType::ReceivedRequest].into_iter().flat_map(move |kind| self.pieces(kind))
    }

    /// Pieces of the response's body that have just come.
    pub(crate) fn response_pieces(self) -> impl Iterator<Item = &'h [u8]> {
        self.pieces(BodyType::ReceivedResponse)
    }

    fn pieces(self, kind: BodyType) -> impl Iterator<Item = &'h [u8]> {
        // SAFETY: as above.
        let count = unsafe { abi::envoy_dynamic_module_callback_http_get_body_chunks_size(self.filter, kind) };
        let mut pieces = vec![Buffer::EMPTY; count];
        // SAFETY: there is room for as many pieces as there are.
        let found = count > 0
            && unsafe {
                abi::envoy_dynamic_module_callback_http_get_body_chunks(self.filter, kind, pieces.as_mut_ptr())
            };
        // SAFETY: Envoy's, and valid during the hook.
        pieces.into_iter().filter(move |_| found).map(|piece| unsafe { piece.bytes() })
    }

    /// Name of the cluster that the request is routed to.
    pub(crate) fn cluster(self) -> Option<&'h [u8]> {
        let mut name = Buffer::EMPTY;
        // SAFETY: as above.
        let found = unsafe { abi::envoy_dynamic_module_callback_http_get_cluster_name(self.filter, &raw mut name) };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { name.bytes() })
    }

    /// Address of the host that the request goes to, in an upstream filter.
    pub(crate) fn host_address(self) -> Option<&'h [u8]> {
        let mut address = Buffer::EMPTY;
        // SAFETY: as above.
        let found = unsafe {
            abi::envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.filter,
                abi::ATTRIBUTE_UPSTREAM_ADDRESS,
                &raw mut address,
            )
        };
        // SAFETY: Envoy's, and valid during the hook.
        found.then(|| unsafe { address.bytes() })
    }

    /// Prefers a host to the load balancer's choice, if Envoy finds it good enough.
    pub(crate) fn prefer_host(self, address: &[u8]) {
        // SAFETY: as above; Envoy copies the buffer.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_upstream_override_host(self.filter, Buffer::of(address), false)
        };
    }
}
