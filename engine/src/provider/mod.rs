//! The port to the companies that carry texts.
//!
//! A provider takes one text at a time and answers in the closed words of
//! [`SubmitOutcome`]: what is not clearly a yes or a no is unknown, and an unknown text
//! is never sent again by this module. It repeats nothing, waits for nothing and keeps
//! no state: pacing, retries and the window of open requests belong to its callers.
//!
//! Each company's dialect is one folder; [`open`] holds the table of their names.

mod connect;
mod connections;
#[cfg(feature = "testkit")]
pub mod contract;
mod http;
mod settings;
pub mod transport;
mod twilio;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use schemas::provider::{AttemptRef, DeliveryReceipt, SubmitOutcome};
use schemas::{Body, Phone, ProviderId, UnixMicros};

use crate::inbound::Wish;
use crate::pacing::Condition;
use connect::TlsProblem;
use transport::Transport;

pub use settings::{
    LimitedSender, ProviderSettings, ProviderSettingsError, SenderSettings, Specifics,
};

/// One attempt to send one text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubmitRequest {
    /// Which attempt it is; receipts bring it back through our callback URL.
    pub attempt: AttemptRef,
    /// The recipient.
    pub to: Phone,
    /// One of the account's senders.
    pub sender: String,
    /// The text.
    pub body: Body,
    /// How long the provider may try, in seconds; `None` is the provider's default.
    pub validity_seconds: Option<u32>,
}

/// What identifies a text whose provider id we never learned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextSearch {
    /// The recipient.
    pub to: Phone,
    /// The sender of the attempt.
    pub sender: String,
    /// The text.
    pub body: Body,
    /// The provider took it at this instant or later. Providers keep whole seconds, so
    /// this is rounded down to a second.
    pub not_before: UnixMicros,
    /// The provider took it at this instant or earlier.
    pub not_after: UnixMicros,
}

/// A text at the provider that agrees with a [`TextSearch`] in all of its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundText {
    /// What the provider says of it; its `attempt` is `None`.
    pub receipt: DeliveryReceipt,
    /// When the provider took it.
    pub taken_at: UnixMicros,
}

/// A provider account, as its dialect sees it.
pub trait Provider: Send + Sync + 'static {
    /// Hands over one text, once: nothing below repeats a request of which a byte may
    /// have left. Ends within the account's request timeout.
    fn submit<'a>(&'a self, request: &'a SubmitRequest) -> BoxFuture<'a, SubmitOutcome>;

    /// What became of the text with this id; `None` when the provider does not know
    /// it, which proves nothing about whether it was ever sent.
    ///
    /// # Errors
    /// [`LookUpError`] when there is no clear answer.
    fn fetch<'a>(
        &'a self,
        provider_message_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeliveryReceipt>, LookUpError>>;

    /// Every text that agrees with `search` in recipient, sender, body and time. An
    /// empty answer proves nothing: a text may be listed later.
    ///
    /// # Errors
    /// [`LookUpError`] when the provider's list could not be read to its end, because
    /// then a text that was found need not be the only one.
    fn search<'a>(
        &'a self,
        search: &'a TextSearch,
    ) -> BoxFuture<'a, Result<Vec<FoundText>, LookUpError>>;

    /// Asks whether the account's credentials are taken, and changes nothing. Tells when
    /// that was by the provider's clock, in whole seconds, where it said so.
    ///
    /// # Errors
    /// [`LookUpError`] when it said no, or nothing.
    fn check(&self) -> BoxFuture<'_, Result<Option<UnixMicros>, LookUpError>>;

    /// The receipts in a request to our webhook, after its signature was checked over
    /// the raw body.
    ///
    /// # Errors
    /// [`ReceiptError`] when the request is not the provider's or makes no sense.
    fn parse_receipts(
        &self,
        request: &InboundRequest,
    ) -> Result<Vec<DeliveryReceipt>, ReceiptError>;

    /// The text of a person in a request to our webhook, checked as receipts are.
    ///
    /// # Errors
    /// [`ReceiptError`] when the request is not the provider's or makes no sense.
    fn parse_inbound(&self, request: &InboundRequest) -> Result<InboundText, ReceiptError>;

    /// What the provider is answered when it brought a text: that there is nothing to say to
    /// the person. The media type, and the body.
    fn no_answer(&self) -> (&'static str, &'static str);
}

/// What a person texted to one of our senders. Only what it asks for is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InboundText {
    /// The provider's own id of the text.
    pub provider_message_id: String,
    /// Who texted; `None` for whoever has no number of ours.
    pub from: Option<Phone>,
    /// The sender that was texted, and the service that it belongs to.
    pub senders: Vec<String>,
    /// What it asks for, if it asks for anything that we understand.
    pub wish: Option<Wish>,
}

/// A provider account that is ready to send.
#[derive(Clone)]
pub struct ProviderAccount {
    /// Its id, made from its name: the same on every node and after every restart.
    pub id: ProviderId,
    /// What the settings call it.
    pub name: String,
    /// The senders it owns: numbers, short codes, alphanumeric ids, services.
    pub senders: Vec<String>,
    /// The sender of texts that ask for none; one of `senders`.
    pub default_sender: String,
    /// The senders that have a limit of their own, in segments per second.
    pub sender_rates: BTreeMap<String, f64>,
    /// Segments per second; may be fractional.
    pub rate: f64,
    /// Segments that may leave at once; `None` leaves it to the pacing.
    pub burst: Option<u32>,
    /// Requests that may be open at once.
    pub max_in_flight: u32,
    /// The account's dialect and connections.
    pub provider: Arc<dyn Provider>,
    /// How it does, as far as this process knows.
    pub condition: Arc<Condition>,
}

impl fmt::Debug for ProviderAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProviderAccount")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("rate", &self.rate)
            .field("burst", &self.burst)
            .field("max_in_flight", &self.max_in_flight)
            .finish_non_exhaustive()
    }
}

/// A request to one of our webhooks, as it came off the wire.
#[derive(Clone)]
pub struct InboundRequest {
    /// The method in capitals.
    pub method: String,
    /// Path and query exactly as in the request line, nothing decoded.
    pub path_and_query: String,
    /// Names and values of the headers, names in any case; values that are not text
    /// may be left out.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
}

impl InboundRequest {
    /// The value of the header `name`, in any case; `None` unless it comes exactly
    /// once, because of two values nobody can say which one counts.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// What stands behind the first `?` of the request line, or nothing.
    pub fn query(&self) -> &str {
        self.path_and_query
            .split_once('?')
            .map_or("", |(_, query)| query)
    }
}

impl fmt::Debug for InboundRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InboundRequest")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why a webhook request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// This account has no public URL, so it asked for no receipts and can check none.
    #[error("receipts are not expected: no public url is set")]
    NotExpected,
    /// The body is larger than any receipt.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No signature came with it, or more than one.
    #[error("the request carries no single signature")]
    Unsigned,
    /// The signature belongs to another request or another key.
    #[error("the signature does not fit the request")]
    WrongSignature,
    /// The signature fits, but the content makes no sense.
    #[error("the receipt has no proper {field}")]
    Malformed {
        /// The field that is missing or wrong.
        field: &'static str,
    },
}

/// Why a look-up has no clear answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    /// The id is not one that this provider gives.
    #[error("not a message id of this provider")]
    NotAnId,
    /// No whole answer came.
    #[error("no answer from the provider: {cause}")]
    NoAnswer {
        /// A stable word, such as `timeout`.
        cause: &'static str,
    },
    /// Too many requests: ask later.
    #[error("the provider asks to wait")]
    Throttled {
        /// The wait it asked for, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The provider refused to answer.
    #[error("the provider refused the look-up with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what the provider's description promises.
    #[error("the provider's answer was not understood")]
    NotUnderstood,
    /// The list has more pages than are worth reading.
    #[error("the provider's list is longer than {pages} pages")]
    TooLong {
        /// How many pages were read.
        pages: usize,
    },
}

/// What makes the transport of an account, with its limits and whether it needs TLS.
type Connect<'a> = &'a dyn Fn(http::Limits, bool) -> Result<Arc<dyn Transport>, TlsProblem>;

/// A way to open an account of one kind of provider.
type Open = fn(
    &ProviderSettings,
    Option<&str>,
    Connect<'_>,
) -> Result<Arc<dyn Provider>, ProviderSettingsError>;

/// Every kind of provider there is: the word in the settings, and what opens it.
const KINDS: [(&str, Open); 1] = [(twilio::KIND, twilio::open)];

/// Makes a provider account ready to send. Nothing is connected yet. `public_url` is
/// where providers reach this deployment, such as `https://sms.example.com`; without
/// it texts are sent without a callback URL and receipts have to be fetched.
///
/// # Errors
/// [`ProviderSettingsError`] names the account, the setting and the cure.
pub fn open(
    settings: &ProviderSettings,
    public_url: Option<&str>,
) -> Result<ProviderAccount, ProviderSettingsError> {
    let connect = |limits, tls| -> Result<Arc<dyn Transport>, TlsProblem> {
        Ok(Arc::new(http::Client::new(limits, tls)?))
    };
    open_with(settings, public_url, &connect)
}

/// The same over another transport than sockets.
///
/// # Errors
/// As [`open`].
pub fn open_over(
    transport: &Arc<dyn Transport>,
    settings: &ProviderSettings,
    public_url: Option<&str>,
) -> Result<ProviderAccount, ProviderSettingsError> {
    open_with(settings, public_url, &|_, _| Ok(Arc::clone(transport)))
}

fn open_with(
    settings: &ProviderSettings,
    public_url: Option<&str>,
    connect: Connect<'_>,
) -> Result<ProviderAccount, ProviderSettingsError> {
    let default_sender = settings.check()?;
    let Some((_, open_kind)) = KINDS.iter().find(|(kind, _)| *kind == settings.kind) else {
        return Err(ProviderSettingsError::UnknownKind {
            provider: settings.name.clone(),
            kind: settings.kind.clone(),
            known: KINDS.map(|(kind, _)| kind).join(", "),
        });
    };
    let provider = open_kind(settings, public_url, connect)?;
    Ok(ProviderAccount {
        id: ProviderId::of_name(&settings.name),
        name: settings.name.clone(),
        senders: settings.sender_names().map(str::to_owned).collect(),
        default_sender,
        sender_rates: settings.sender_rates(),
        rate: settings.rate,
        burst: settings.burst,
        max_in_flight: settings.max_in_flight,
        provider,
        condition: Arc::default(),
    })
}
