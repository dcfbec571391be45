//! Asking one host in the way that its engine wants: the path is found where none is given, and
//! llama.cpp is neither woken nor made to load a model.

use std::time::{Duration, Instant};

use crate::discovery::Host;
use crate::engines::{Engine, PATHS, Rules};
use crate::llamacpp::{self, MODELS, PROPS};
use crate::page::Page;
use crate::scrape::{ScrapeError, ScrapeOptions, Scraper, shortened};

/// The state that a look at a host found.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A page of metrics.
    Page(Page),
    /// The host sleeps, or has its model not loaded: nothing runs there.
    Resting,
    /// It was not asked how busy it is, so that it may go to sleep.
    LeftAlone,
}

/// Other paths are tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Time between two questions to a router which models it has loaded.
const MODELS_ASKED: Duration = Duration::from_secs(2);
/// Idle for so long, a host that sleeps is left alone.
const LEFT_ALONE_AFTER: Duration = Duration::from_secs(2);
/// Pause between looks at a host that is left alone.
pub const RARELY: Duration = Duration::from_secs(1);

/// A host, and what is known of how to ask it.
pub struct Probe {
    scraper: Scraper,
    /// Paths that may be the right one, the present one first.
    paths: Vec<String>,
    is_found: bool,
    tried: Option<Instant>,
    /// Models of a llama.cpp router that are loaded, and when that was asked.
    models: Option<(Instant, Vec<String>)>,
    sleeps_after: Option<Duration>,
    nap: Nap,
    has_props: bool,
    /// Requests that the server processes at once, where that is not in its page.
    pub slots: Option<u32>,
    /// Bytes of the last page.
    pub page_bytes: usize,
}

/// The state of a host that sleeps when idle.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Nap {
    /// It was not asked yet.
    Unknown,
    Busy,
    Idle {
        since: Instant,
    },
    /// Until then it should have gone to sleep.
    LeftAlone {
        until: Instant,
    },
    Asleep,
}

impl Probe {
    /// Asks a host.
    pub fn new(host: &Host, options: &ScrapeOptions) -> Self {
        let given = host.path.as_deref().or(options.path.as_deref());
        let paths = match given {
            Some(path) => vec![llamacpp::without_loading(path)],
            None => PATHS.map(str::to_owned).to_vec(),
        };
        Self {
            scraper: Scraper::new(host, &options.access, options.limits),
            paths,
            is_found: false,
            tried: None,
            models: None,
            sleeps_after: host.sleeps_after_s.map(|seconds| Duration::from_secs(u64::from(seconds))),
            nap: Nap::Unknown,
            has_props: false,
            slots: None,
            page_bytes: 0,
        }
    }

    /// The URL that is asked.
    pub fn url(&self) -> String {
        self.scraper.url(&self.paths[0])
    }

    /// Returns true while it is left alone, and looked at rarely.
    pub fn is_left_alone(&self) -> bool {
        matches!(self.nap, Nap::LeftAlone { .. } | Nap::Asleep)
    }

    /// Asks how busy the host is.
    ///
    /// # Errors
    /// If it does not answer, or not with metrics.
    pub async fn ask(&mut self, rules: &Rules) -> Result<Seen, ScrapeError> {
        if self.sleeps_after.is_some()
            && let Some(seen) = self.let_sleep().await?
        {
            return Ok(seen);
        }
        let seen = self.look(rules).await?;
        if let (Some(after), Seen::Page(page)) = (self.sleeps_after, &seen) {
            self.watch_idleness(page, rules, after);
        }
        Ok(seen)
    }

    /// Returns the state of a host that must be left alone now; `None` if it may be asked.
    async fn let_sleep(&mut self) -> Result<Option<Seen>, ScrapeError> {
        if matches!(self.nap, Nap::Busy | Nap::Idle { .. }) {
            return Ok(None);
        }
        let props = llamacpp::props(self.scraper.page(&mut PROPS.to_owned()).await?);
        let now = Instant::now();
        self.nap = match self.nap {
            _ if props.is_sleeping => Nap::Asleep,
            Nap::LeftAlone { until } if now < until => Nap::LeftAlone { until },
            // Somebody used it in between.
            _ => Nap::Busy,
        };
        Ok(match self.nap {
            Nap::Asleep => Some(Seen::Resting),
            Nap::LeftAlone { .. } => Some(Seen::LeftAlone),
            _ => None,
        })
    }

    fn watch_idleness(&mut self, page: &Page, rules: &Rules, after: Duration) {
        let load = crate::reading::Load::of(page, rules);
        let is_idle =
            load.running.is_some_and(|found| found.value == 0.0) && load.waiting.is_none_or(|found| found.value == 0.0);
        let now = Instant::now();
        self.nap = match self.nap {
            _ if !is_idle => Nap::Busy,
            Nap::Idle { since } if now.duration_since(since) >= LEFT_ALONE_AFTER => {
                Nap::LeftAlone { until: now + after + RARELY }
            }
            Nap::Idle { since } => Nap::Idle { since },
            _ => Nap::Idle { since: now },
        };
    }

    async fn look(&mut self, rules: &Rules) -> Result<Seen, ScrapeError> {
        if self.models.is_some() {
            return self.router(rules).await;
        }
        let result = self.page(0, rules).await;
        match &result {
            Ok(page) if page.has_engine() => {
                self.is_found = true;
                self.ask_slots(page, rules).await;
                return result.map(Seen::Page);
            }
            Err(ScrapeError::Status { status, said }) if llamacpp::is_router(*status, said) => {
                return self.router(rules).await;
            }
            Err(ScrapeError::Status { status, said }) if llamacpp::is_unloaded(*status, said) => {
                return Ok(Seen::Resting);
            }
            Err(ScrapeError::Status { status: 404, .. }) => self.is_found = false,
            _ => {}
        }
        // Who does not answer at all does not at another path either.
        let has_answered = matches!(
            &result,
            Ok(_) | Err(ScrapeError::Status { .. } | ScrapeError::NoMetrics(_) | ScrapeError::Redirect(_))
        );
        let is_due = self.tried.is_none_or(|tried| tried.elapsed() > TRY_AGAIN);
        if has_answered && !self.is_found && is_due {
            self.tried = Some(Instant::now());
            for other in 1..self.paths.len() {
                if let Ok(page) = self.page(other, rules).await
                    && page.has_engine()
                {
                    self.paths.swap(0, other);
                    self.is_found = true;
                    return Ok(Seen::Page(page));
                }
            }
        }
        result.map(Seen::Page)
    }

    async fn page(&mut self, path: usize, rules: &Rules) -> Result<Page, ScrapeError> {
        let text = self.scraper.page(&mut self.paths[path]).await?;
        let page = Page::parse(text, rules);
        if !page.is_metrics() && !page.has_engine() {
            return Err(ScrapeError::NoMetrics(shortened(text)));
        }
        self.page_bytes = text.len();
        Ok(page)
    }

    /// Asks a llama.cpp once how many requests it processes at once.
    async fn ask_slots(&mut self, page: &Page, rules: &Rules) {
        let is_llama = page.value(rules, Engine::LlamaCpp, crate::engines::Field::Running).is_some();
        if is_llama && !self.has_props {
            self.has_props = true;
            self.slots =
                self.scraper.page(&mut PROPS.to_owned()).await.ok().and_then(|body| llamacpp::props(body).slots);
        }
    }

    /// The models that a router has loaded, asked for every few seconds.
    async fn loaded_models(&mut self) -> Result<Vec<String>, ScrapeError> {
        if let Some((asked, names)) = &self.models
            && asked.elapsed() < MODELS_ASKED
        {
            return Ok(names.clone());
        }
        // Should it be no router any more, it is asked as others are.
        self.models = None;
        let body = self.scraper.page(&mut MODELS.to_owned()).await?;
        let names = llamacpp::loaded_models(body).ok_or_else(|| ScrapeError::NoMetrics(shortened(body)))?;
        self.models = Some((Instant::now(), names.clone()));
        Ok(names)
    }

    /// The pages of all models that a router has loaded, together.
    async fn router(&mut self, rules: &Rules) -> Result<Seen, ScrapeError> {
        let names = self.loaded_models().await?;
        let mut all = Page::default();
        let mut bytes = 0;
        let base = self.paths[0].split('?').next().unwrap_or_default().to_owned();
        for name in &names {
            match self.scraper.page(&mut llamacpp::model_path(&base, name)).await {
                Ok(text) => {
                    bytes += text.len();
                    all.add(text, rules, name);
                }
                Err(ScrapeError::Status { status, said }) if llamacpp::is_unloaded(status, &said) => {}
                Err(error) => return Err(error),
            }
        }
        self.page_bytes = bytes;
        Ok(if all.has_engine() { Seen::Page(all) } else { Seen::Resting })
    }
}
