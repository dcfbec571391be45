//! From named fields to a request: which field means what, and in which unit.

use super::json;
use super::moment::Moments;
use super::role::{Alias, Role, aliases, looks_useful};
use super::sessions::Sessions;
use crate::input::date::DayOrder;
use crate::input::{number, quoted};
use crate::row::{Context, DURATION, Fault, Row, TIME, TOKENS, identity};
use crate::work::Seen;
use crate::{FieldUse, Format, LoadOptions, Reason, TimeUnit};
use std::collections::BTreeMap;

const ROLES: usize = Role::ALL.len();
/// Different names of fields that are kept track of.
const NAMES_MAX: usize = 4096;
/// Longer names are no field's.
const NAME_BYTES_MAX: usize = 512;
/// Unused fields that are shown.
const UNUSED_MAX: usize = 12;
const NONE: u16 = u16::MAX;

/// The values of one row by their role; empty where there is none.
pub(crate) struct Found<'a> {
    values: [&'a [u8]; ROLES],
    ids: [u16; ROLES],
    /// Whether there was a field for the role, filled in or not.
    present: [bool; ROLES],
    position: usize,
}

impl<'a> Found<'a> {
    pub(crate) fn new() -> Self {
        Self { values: [b""; ROLES], ids: [NONE; ROLES], present: [false; ROLES], position: 0 }
    }

    pub(crate) fn value(&self, role: Role) -> &'a [u8] {
        self.values[role as usize]
    }
}

/// A field that was met.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) role: Option<Role>,
    rank: u8,
    pub(super) unit_ns: i64,
    rows: u64,
    pub(super) sample: String,
}

/// Maps fields to requests.
pub(crate) struct Mapper {
    pub(super) format: Format,
    aliases: Vec<Alias>,
    pub(super) fields: Vec<Field>,
    by_name: BTreeMap<Vec<u8>, u16>,
    /// The field met at each position of the row before: rows have the same order, mostly.
    by_position: Vec<u16>,
    pub(super) moments: Moments,
    pub(super) duration_unit: Option<TimeUnit>,
    /// Whether times of completion are those of the start, as in Envoy's logs under other names.
    pub(super) done_is_start: bool,
    /// Whether the whole duration stands for a response time that the file does not have.
    pub(super) service_is_took: bool,
    pub(super) block_tokens: u32,
    pub(super) time: String,
    pub(super) assumed: Vec<String>,
    pub(super) sessions: Option<Sessions>,
    previous_ns: Option<i64>,
}

impl Mapper {
    pub(crate) fn new(format: Format, options: &LoadOptions) -> Self {
        Self {
            format,
            aliases: aliases(format, options.columns.as_ref()),
            fields: Vec::new(),
            by_name: BTreeMap::new(),
            by_position: Vec::new(),
            moments: Moments::new(TimeUnit::Seconds.nanoseconds(), DayOrder::default(), None),
            duration_unit: options.asked_duration_unit(),
            done_is_start: false,
            service_is_took: false,
            block_tokens: 0,
            time: String::new(),
            assumed: Vec::new(),
            sessions: None,
            previous_ns: None,
        }
    }

    /// Takes a field of a row.
    pub(crate) fn take<'a>(&mut self, found: &mut Found<'a>, name: &[u8], value: &'a [u8]) {
        let position = found.position;
        found.position += 1;
        let id = match self.by_position.get(position) {
            Some(&id) if id != NONE && self.fields[usize::from(id)].name.as_bytes() == name => id,
            _ => {
                let id = self.id(name);
                if position < NAMES_MAX {
                    self.by_position.resize(self.by_position.len().max(position + 1), NONE);
                    self.by_position[position] = id;
                }
                id
            }
        };
        self.take_id(found, id, value);
    }

    /// Takes a field by its number.
    pub(crate) fn take_id<'a>(&mut self, found: &mut Found<'a>, id: u16, value: &'a [u8]) {
        let Some(field) = self.fields.get_mut(usize::from(id)) else { return };
        if let Some(role) = field.role {
            found.present[role as usize] = true;
        }
        if value.is_empty() {
            return;
        }
        field.rows += 1;
        if field.sample.is_empty() {
            field.sample = quoted(value);
        }
        let Some(role) = field.role else { return };
        let rank = field.rank;
        let before = found.ids[role as usize];
        if before == NONE || self.fields[usize::from(before)].rank > rank {
            found.values[role as usize] = value;
            found.ids[role as usize] = id;
        }
    }

    /// The number of a field, new names included.
    pub(crate) fn id(&mut self, name: &[u8]) -> u16 {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        if self.fields.len() >= NAMES_MAX || name.len() > NAME_BYTES_MAX {
            return NONE;
        }
        let is_it = |alias: &&Alias| alias.name.as_bytes().eq_ignore_ascii_case(name.trim_ascii());
        let alias = self.aliases.iter().filter(is_it).min_by_key(|alias| alias.rank);
        let field = Field {
            name: String::from_utf8_lossy(name).into_owned(),
            role: alias.map(|alias| alias.role),
            rank: alias.map_or(0, |alias| alias.rank),
            unit_ns: alias.map_or(0, |alias| alias.unit_ns),
            rows: 0,
            sample: String::new(),
        };
        let id = self.fields.len() as u16;
        self.fields.push(field);
        self.by_name.insert(name.to_vec(), id);
        id
    }

    /// Whether any field with this role was met.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.fields.iter().any(|field| field.role == Some(role))
    }

    /// Whether a name of the options' map was met.
    pub(crate) fn missing_alias(&self) -> Option<&str> {
        let is_met = |alias: &&Alias| {
            self.fields.iter().any(|field| field.name.trim().eq_ignore_ascii_case(&alias.name) && field.role.is_some())
        };
        self.aliases.iter().filter(|alias| alias.rank == 0).find(|alias| !is_met(alias)).map(|alias| &*alias.name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| &*field.name)
    }

    pub(super) fn name_of(&self, found: &Found<'_>, role: Role) -> String {
        let id = found.ids[role as usize];
        self.fields.get(usize::from(id)).map_or_else(|| self.usual_name(role).to_owned(), |field| field.name.clone())
    }

    /// The name that a field goes by where there is none.
    fn usual_name(&self, role: Role) -> &str {
        let of_role = self.aliases.iter().filter(|alias| alias.role == role);
        of_role.min_by_key(|alias| alias.rank).map_or(role.meaning(), |alias| &alias.name)
    }

    /// What a row shows about being work.
    fn seen<'a>(found: &Found<'a>) -> Seen<'a> {
        let has = |role: Role| found.present[role as usize];
        let cancelled = found.value(Role::Cancelled);
        let seen = Seen {
            status: found.value(Role::Status),
            method: found.value(Role::Method),
            path: found.value(Role::Path),
            protocol: found.value(Role::Protocol),
            agent: found.value(Role::Agent),
            has_protocol: has(Role::Protocol) || has(Role::Request),
            failed: !found.value(Role::Error).is_empty() || cancelled == b"true" || cancelled == b"1",
        };
        let request = found.value(Role::Request);
        let seen = if request.is_empty() { seen } else { seen.with_request_line(request) };
        seen.with_plain_path()
    }

    /// Makes a request of a row's fields, or marks the row as no work.
    pub(crate) fn finish(&mut self, found: &Found<'_>, row: &mut Row, context: &mut Context) -> Result<(), Fault> {
        let phase = found.value(Role::Phase);
        if !phase.is_empty() && phase != b"profiling" && !context.include().protocols {
            context.leave_out(Reason::Protocol, row, || format!("phase {}", String::from_utf8_lossy(phase)));
            return Ok(());
        }
        if !context.admits(&Self::seen(found), row) {
            return Ok(());
        }
        if self.sessions.is_none() {
            self.arrival(found, row)?;
        }
        row.request.service_s = self.duration_s(found, Role::Service)?;
        if self.service_is_took {
            row.request.service_s = self.duration_s(found, Role::Took)?;
        }
        row.request.first_byte_s = self.duration_s(found, Role::FirstByte)?;
        // In a log some requests have no tokens; where a trace has none, something is wrong.
        let is_log =
            !matches!(self.format, Format::Azure | Format::BurstGpt | Format::Mooncake | Format::Bailian | Format::Csv);
        let tokens = |role: Role| {
            let field = found.value(role);
            let may_be_none = is_log || !self.has(role);
            let count = if field.is_empty() && may_be_none { Some(0) } else { number::tokens(field) };
            count.ok_or_else(|| Fault::new(self.name_of(found, role), field, TOKENS))
        };
        row.request.prompt_tokens = tokens(Role::Prompt)?.saturating_add(tokens(Role::MorePrompt)?);
        row.request.output_tokens = tokens(Role::Output)?;
        let session = found.value(Role::Session);
        row.request.session = if session.is_empty() { crate::Request::NO_SESSION } else { identity(session) };
        self.blocks(found, row)?;
        if self.sessions.is_some() {
            self.arrival(found, row)?;
        }
        let address = found.value(Role::Upstream);
        let address = if self.format == Format::NginxJson { json::last_attempt(address) } else { address };
        row.request.upstream = context.upstreams.index(address)?;
        Ok(())
    }

    fn arrival(&mut self, found: &Found<'_>, row: &mut Row) -> Result<(), Fault> {
        let think_s = self.duration_s(found, Role::Delay)?;
        if let Some(sessions) = &mut self.sessions {
            let start = found.value(Role::Arrival);
            let time_ns = if start.is_empty() {
                None
            } else {
                let time_ns = self.moments.time_ns(start, self.previous_ns);
                Some(time_ns.ok_or_else(|| Fault::new("timestamp", start, TIME))?)
            };
            let chat = [Role::Chat, Role::Parent].map(|role| found.value(role));
            return sessions.place(time_ns, think_s, chat, row);
        }
        let role = if found.value(Role::Arrival).is_empty() { Role::Done } else { Role::Arrival };
        let field = found.value(role);
        let time = self.moments.time_ns(field, self.previous_ns);
        let time_ns = time.ok_or_else(|| Fault::new(self.name_of(found, role), field, TIME))?;
        row.arrival_ns = time_ns;
        if role == Role::Done && !self.done_is_start {
            let took_ns = self.duration_ns(found, Role::Took)?.ok_or_else(|| {
                Fault::new(
                    self.name_of(found, Role::Took),
                    b"",
                    "seconds from the request's first byte to the log entry",
                )
            })?;
            row.arrival_ns = time_ns.saturating_sub(took_ns);
        }
        self.previous_ns = Some(row.arrival_ns);
        Ok(())
    }

    /// A duration in nanoseconds; `None` where there is none.
    pub(super) fn duration_ns(&self, found: &Found<'_>, role: Role) -> Result<Option<i64>, Fault> {
        let field = found.value(role);
        let field = if self.format == Format::NginxJson { json::last_attempt(field) } else { field };
        if field.is_empty() || field == b"-" {
            return Ok(None);
        }
        let unit_ns = self.duration_unit.map(TimeUnit::nanoseconds);
        let unit_ns = unit_ns.unwrap_or_else(|| self.fields[usize::from(found.ids[role as usize])].unit_ns);
        match number::nanoseconds(field, unit_ns) {
            Some(duration_ns) if duration_ns >= 0 => Ok(Some(duration_ns)),
            _ => Err(Fault::new(self.name_of(found, role), field, DURATION)),
        }
    }

    /// A duration in seconds; NaN where there is none.
    fn duration_s(&self, found: &Found<'_>, role: Role) -> Result<f32, Fault> {
        let duration_ns = self.duration_ns(found, role)?;
        Ok(duration_ns.map_or(f32::NAN, |duration_ns| (duration_ns as f64 / 1e9) as f32))
    }

    fn blocks(&self, found: &Found<'_>, row: &mut Row) -> Result<(), Fault> {
        let field = found.value(Role::Blocks);
        let wrong = |found: String, expected: &'static str| Fault {
            field: self.name_of_blocks().to_owned().into(),
            found,
            expected: expected.into(),
        };
        if !parse_blocks(field, &mut row.blocks) {
            return Err(wrong(quoted(field), "an array of block identifiers, such as [0, 1, 2]"));
        }
        let len = row.blocks.len();
        row.request.prefix_len = u16::try_from(len).map_err(|_| wrong(format!("{len} blocks"), "at most 65535"))?;
        Ok(())
    }

    fn name_of_blocks(&self) -> &str {
        self.usual_name(Role::Blocks)
    }

    /// The fields that were used, and those that look useful and were not.
    pub(crate) fn uses(&self) -> [Vec<FieldUse>; 2] {
        let of = |field: &Field, meaning| FieldUse {
            meaning,
            name: field.name.clone(),
            rows: field.rows,
            sample: field.sample.clone(),
        };
        let used = self.fields.iter().filter(|field| field.rows > 0);
        let mut used: Vec<(Role, u8, FieldUse)> =
            used.filter_map(|field| Some((field.role?, field.rank, of(field, field.role?.meaning())))).collect();
        used.sort_by_key(|&(role, rank, _)| (role, rank));
        let is_useful = |field: &&Field| field.role.is_none() && field.rows > 0 && looks_useful(field.name.as_bytes());
        let unused = self.fields.iter().filter(is_useful).take(UNUSED_MAX).map(|field| of(field, "")).collect();
        [used.into_iter().map(|(.., field)| field).collect(), unused]
    }

    /// Tokens that a prefix block stands for; 0 where there are none.
    pub(crate) fn block_tokens(&self) -> u32 {
        self.block_tokens
    }

    /// The unit of times, in words.
    pub(crate) fn time(&self) -> &str {
        &self.time
    }

    /// What is taken for granted.
    pub(crate) fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// Forgets what was counted while the beginning was looked at.
    pub(super) fn reset_counts(&mut self) {
        for field in &mut self.fields {
            field.rows = 0;
        }
        self.previous_ns = None;
    }
}

/// Appends the identifiers of an array: whole numbers as they are, others by a hash.
pub(super) fn parse_blocks(field: &[u8], blocks: &mut Vec<u64>) -> bool {
    if field.is_empty() {
        return true;
    }
    let Some(inner) = field.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) else { return false };
    if inner.trim_ascii().is_empty() {
        return true;
    }
    for item in inner.split(|&byte| byte == b',') {
        let item = item.trim_ascii();
        let text = item.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(item);
        if text.is_empty() || matches!(item[0], b'{' | b'[') {
            return false;
        }
        blocks.push(number::digits(text).unwrap_or_else(|| identity(text)));
    }
    true
}
