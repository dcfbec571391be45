//! Response bodies: whole, streamed, cut off.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::UnboundedReceiver;

use super::host::Progress;
use super::openai::Writer;

/// The body of a response.
#[derive(Debug)]
pub enum ResponseBody {
    /// All at once; `None` once it was sent.
    Whole(Option<Bytes>),
    /// A part of what was announced, and then the connection breaks.
    Truncated(Truncated),
    /// Server-sent events, as tokens are there.
    Stream(Box<Stream>),
}

/// A response that breaks off.
#[derive(Debug)]
pub struct Truncated {
    announced_bytes: u64,
    sent: Option<Bytes>,
    /// What was sent must leave before the connection breaks: one turn more.
    is_paused: bool,
}

/// Why a body breaks off.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response was broken off")]
pub struct BrokenOff;

/// A streamed response.
#[derive(Debug)]
pub struct Stream {
    writer: Writer,
    receiver: UnboundedReceiver<Progress>,
    output_tokens: u32,
    include_usage: bool,
    /// Breaks off once half of the tokens were sent.
    is_truncated: bool,
    /// `None` before the opening was sent.
    sent_tokens: Option<u32>,
    /// What was received ahead of the body.
    unread: Option<Progress>,
    is_over: bool,
}

impl Stream {
    /// A stream that follows a request's progress.
    pub fn new(
        writer: Writer,
        receiver: UnboundedReceiver<Progress>,
        output_tokens: u32,
        include_usage: bool,
        is_truncated: bool,
    ) -> Self {
        Self {
            writer,
            receiver,
            output_tokens,
            include_usage,
            is_truncated,
            sent_tokens: None,
            unread: None,
            is_over: false,
        }
    }

    /// Waits for the first token; `false` if the host crashed instead.
    pub async fn wait_for_first(&mut self) -> bool {
        let first = self.receiver.recv().await.unwrap_or(Progress::Lost);
        self.unread = Some(first);
        first != Progress::Lost
    }

    fn events(&mut self, progress: Progress) -> Result<String, BrokenOff> {
        let mut events = if self.sent_tokens.is_none() { self.writer.opening() } else { String::new() };
        let sent = self.sent_tokens.unwrap_or(0);
        let there = match progress {
            Progress::Tokens(tokens) => tokens,
            Progress::Done => self.output_tokens,
            Progress::Lost => return Err(BrokenOff),
        };
        if self.is_truncated && there > self.output_tokens / 2 {
            return Err(BrokenOff);
        }
        if there > sent {
            events += &self.writer.tokens(sent, there);
        }
        self.sent_tokens = Some(there.max(sent));
        if progress == Progress::Done {
            events += &self.writer.closing(self.output_tokens, self.include_usage);
            self.is_over = true;
        }
        Ok(events)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let received = match self.unread.take() {
            Some(unread) => Poll::Ready(Some(unread)),
            None => self.receiver.poll_recv(context),
        };
        match received {
            Poll::Pending => Poll::Pending,
            Poll::Ready(progress) => {
                let events = self.events(progress.unwrap_or(Progress::Lost));
                self.is_over |= events.is_err();
                Poll::Ready(Some(events.map(|events| Frame::data(events.into()))))
            }
        }
    }
}

impl ResponseBody {
    /// All at once.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// The first half of it, and then the connection breaks.
    pub fn truncated(bytes: impl Into<Bytes>) -> Self {
        let bytes: Bytes = bytes.into();
        Self::Truncated(Truncated {
            announced_bytes: bytes.len() as u64,
            sent: Some(bytes.slice(..bytes.len() / 2)),
            is_paused: false,
        })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Truncated(truncated) => match truncated.sent.take() {
                Some(sent) => Poll::Ready(Some(Ok(Frame::data(sent)))),
                None if truncated.is_paused => Poll::Ready(Some(Err(BrokenOff))),
                None => {
                    truncated.is_paused = true;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            },
            Self::Stream(stream) => stream.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Truncated(..) => false,
            Self::Stream(stream) => stream.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Truncated(truncated) => SizeHint::with_exact(truncated.announced_bytes),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
