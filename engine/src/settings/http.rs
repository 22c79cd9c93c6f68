//! `[http]`: where and how the REST API is served.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::error::SettingsError;
use super::layers::Layers;

/// The most threads that serve requests: more than cores of any machine we know of
/// would only add stacks.
const WORKERS_MAX: usize = 512;
/// The longest JSON body that may be set, in KiB: bodies are held in memory whole.
const JSON_LIMIT_KIB_MAX: usize = 16 * 1_024;
/// The longest import that may be set, in MiB: one TiB.
const IMPORT_LIMIT_MIB_MAX: u64 = 1_024 * 1_024;

/// The most requests under way that may be set: each holds its body, and waits for the store's
/// writer, whose queue is no longer.
const REQUESTS_IN_FLIGHT_MAX: usize = 4_096;
/// The most uploads at once that may be set: each holds a file, a connection and half a MiB.
const UPLOADS_MAX: usize = 256;

/// Section `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// `VOLLEY_HTTP__LISTEN`: address and port.
    pub listen: SocketAddr,
    /// `VOLLEY_HTTP__PUBLIC_URL`: how providers reach us, without a slash at its end.
    pub public_url: Option<String>,
    /// `VOLLEY_HTTP__WORKERS`: threads; 0 is one for each core.
    pub workers: usize,
    /// `VOLLEY_HTTP__JSON_LIMIT_KIB`: the longest JSON body, in bytes.
    pub json_limit_bytes: usize,
    /// `VOLLEY_HTTP__IMPORT_LIMIT_MIB`: the longest contacts file, in bytes.
    pub import_limit_bytes: u64,
    /// `VOLLEY_HTTP__KEY_REQUESTS_PER_SECOND`: how often one key may ask.
    pub key_requests_per_second: NonZeroU32,
    /// `VOLLEY_HTTP__ACCOUNT_REQUESTS_PER_SECOND`: how often an account may, with all its keys.
    pub account_requests_per_second: NonZeroU32,
    /// `VOLLEY_HTTP__REQUESTS_IN_FLIGHT`: requests that are under way at once.
    pub requests_in_flight: usize,
    /// `VOLLEY_HTTP__UPLOADS`: contacts files that are received at once.
    pub uploads: usize,
}

impl HttpSettings {
    pub(super) fn read(layers: &mut Layers) -> Result<Self, SettingsError> {
        let mut section = layers.section("http");
        let settings = Self {
            listen: section.checked("listen", |text: String| {
                text.parse().map_err(|_| {
                    "is not an IP address and a port, such as 127.0.0.1:8080".to_owned()
                })
            })?,
            public_url: section.optional("public_url", check_url)?,
            workers: section.checked("workers", |workers: usize| {
                at_most(workers, WORKERS_MAX, "threads")
            })?,
            json_limit_bytes: section.checked("json_limit_kib", |kib: usize| {
                at_least_one(kib, "KiB")?;
                at_most(kib, JSON_LIMIT_KIB_MAX, "KiB").map(|kib| kib * 1_024)
            })?,
            import_limit_bytes: section.checked("import_limit_mib", |mib: u64| {
                at_least_one(mib, "MiB")?;
                at_most(mib, IMPORT_LIMIT_MIB_MAX, "MiB").map(|mib| mib * 1_024 * 1_024)
            })?,
            key_requests_per_second: section.checked("key_requests_per_second", per_second)?,
            account_requests_per_second: section
                .checked("account_requests_per_second", per_second)?,
            requests_in_flight: section.checked("requests_in_flight", |requests: usize| {
                at_least_one(requests, "request")?;
                at_most(requests, REQUESTS_IN_FLIGHT_MAX, "requests")
            })?,
            uploads: section.checked("uploads", |uploads: usize| {
                at_least_one(uploads, "upload")?;
                at_most(uploads, UPLOADS_MAX, "uploads")
            })?,
        };
        section.finish()?;
        Ok(settings)
    }
}

fn per_second(requests: u32) -> Result<NonZeroU32, String> {
    NonZeroU32::new(requests).ok_or_else(|| "is less than 1 request".to_owned())
}

fn check_url(text: String) -> Result<String, String> {
    let url = reqwest::Url::parse(&text).map_err(|error| format!("is not a URL: {error}"))?;
    let usable = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    if usable {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("must be http:// or https:// and a host, without a query".to_owned())
    }
}

fn at_most<N: PartialOrd + std::fmt::Display>(value: N, most: N, unit: &str) -> Result<N, String> {
    if value <= most {
        Ok(value)
    } else {
        Err(format!("is more than {most} {unit}"))
    }
}

fn at_least_one<N: PartialOrd + From<u8>>(value: N, unit: &str) -> Result<(), String> {
    if value >= N::from(1) {
        Ok(())
    } else {
        Err(format!("is less than 1 {unit}"))
    }
}
