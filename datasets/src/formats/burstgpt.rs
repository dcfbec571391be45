//! `BurstGPT` (arXiv 2401.17644): requests to GPT-3.5 and GPT-4 over months.
//!
//! CSV with the header `Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,
//! Total tokens,Log Type`; older releases have neither `Session ID` nor `Elapsed time`. Times are
//! seconds from midnight of the first day. `Elapsed time`, in seconds, covers everything from the
//! request to the last token. Failed requests have 0 response tokens; they are kept, since they
//! arrived like all others.

use crate::ColumnMap;
use csv::ByteRecord;

const ELAPSED: &str = "Elapsed time";

pub(crate) fn columns(header: &ByteRecord) -> ColumnMap {
    let has_elapsed = header.iter().any(|field| field.trim_ascii().eq_ignore_ascii_case(ELAPSED.as_bytes()));
    ColumnMap {
        arrival: "Timestamp".to_owned(),
        prompt: Some("Request tokens".to_owned()),
        output: Some("Response tokens".to_owned()),
        service: has_elapsed.then(|| ELAPSED.to_owned()),
        ..ColumnMap::default()
    }
}
