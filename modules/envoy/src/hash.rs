//! Keys of hosts, sessions and prefixes.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a, as in the NGINX module and the telemetry file; never 0.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)).max(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn hosts_have_the_keys_of_the_telemetry_file() {
        for address in ["10.0.0.1:8000", "[::1]:8000", ""] {
            let bytes = address.as_bytes();
            assert_eq!(super::fnv1a(bytes), evenkeel_runtime::telemetry_file::host_key(bytes));
        }
    }
}
