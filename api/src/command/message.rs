//! `volley message show`: the life of a message as a story, with what each step took.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Subcommand;
use engine::client::NodeClient;
use schemas::http::messages::{MessageBody, TimelineBody};
use schemas::http::providers::ProvidersBody;
use schemas::{MessageId, ProviderId, UnixMicros};

use super::serving::Failed;
use super::user::UserArguments;
use super::{complain, give};
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum MessageCommand {
    /// Tell the life of a message: why it waited, who was to send it, what became of it.
    Show {
        /// The message's id, `msg_…`.
        message: MessageId,
        /// Print it as JSON, as the API has it.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        user: UserArguments,
    },
}

pub(super) fn run(command: MessageCommand) -> Exit {
    let MessageCommand::Show {
        message,
        json,
        user,
    } = command;
    user.run(async |client, _| show(&client, message, json).await)
}

async fn show(client: &NodeClient, id: MessageId, json: bool) -> Result<Exit, Failed> {
    let message: MessageBody = client.get(&format!("/v1/messages/{id}")).await?;
    if json {
        return Ok(match serde_json::to_string(&message) {
            Ok(text) => {
                give(&text);
                Exit::Success
            }
            Err(error) => {
                complain(&error);
                Exit::Failure
            }
        });
    }
    let providers: ProvidersBody = client.get("/v1/providers").await?;
    let providers = providers.data.into_iter();
    let names = providers.map(|provider| (provider.id, provider.name));
    give(&told(&message, &names.collect()));
    Ok(Exit::Success)
}

/// The names of provider accounts.
type Names = BTreeMap<ProviderId, String>;

fn told(message: &MessageBody, names: &Names) -> String {
    let mut told = format!("{}  {}", message.id, message.status.as_str());
    if let Some(reason) = &message.reason {
        let _ = write!(told, " ({reason})");
    }
    let of_campaign = message
        .campaign
        .map_or_else(String::new, |id| format!(" of campaign {id}"));
    let _ = write!(
        told,
        "\n{} text{of_campaign} to {}, {} segment{}, valid until {}\n",
        message.class.as_str(),
        message.to,
        message.segments,
        if message.segments == 1 { "" } else { "s" },
        message.valid_until
    );
    let mut before = None;
    for entry in message.timeline.iter().flatten() {
        let at = UnixMicros::from_rfc3339(&entry.at);
        let passed = before.zip(at).map_or_else(
            || entry.at.clone(),
            |(before, at): (UnixMicros, UnixMicros)| format!("+{}", span(at.0 - before.0)),
        );
        let status = entry.status.as_str();
        let _ = write!(told, "\n{passed:>27}  {status:<11}  {}", step(entry, names));
        before = at.or(before);
    }
    if let Some(at) = &message.next_attempt_at {
        let _ = write!(told, "\n{at:>27}  {:<11}  its next attempt is due", "then");
    }
    told
}

/// A span of microseconds for people.
fn span(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        1_000_000..120_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => format!("{} min", micros / 60_000_000),
    }
}

/// What happened, in a sentence. A word that is not known yet is told as it is.
fn step(entry: &TimelineBody, names: &Names) -> String {
    let provider = entry.provider.map(|id| {
        let name = names.get(&id);
        name.cloned().unwrap_or_else(|| id.to_string())
    });
    let provider = provider.unwrap_or_else(|| "a provider".to_owned());
    let attempt = entry.attempt.map_or_else(
        || "an attempt".to_owned(),
        |number| format!("attempt {number}"),
    );
    let mut sentence = match entry.event.as_str() {
        "created" => "was accepted by the node".to_owned(),
        "due" => "its time has come".to_owned(),
        "attempt_begun" => format!("{attempt} was written down, to go by {provider}"),
        "accepted_by_provider" => format!("{provider} took it"),
        "rejected_by_provider" => format!("{provider} refused it"),
        "retry_planned" => format!("{attempt} certainly did not leave; another is planned"),
        "given_up" => "no further attempt is made".to_owned(),
        "outcome_unknown" => format!("{provider} may or may not have it"),
        "receipt" => format!("a receipt came from {provider}"),
        "receipt_fetched" => format!("{provider} was asked what became of it"),
        "found_by_search" => format!("a search at {provider} found it"),
        "no_receipt" => "no receipt came in all the time there was".to_owned(),
        "resend_planned" => "searches found nothing; it is sent again".to_owned(),
        "skipped" => "was not to be sent".to_owned(),
        "validity_ended" => "its validity ended first".to_owned(),
        "canceled" => "was withdrawn".to_owned(),
        "held" => "was put aside".to_owned(),
        "postponed" => "had to wait: as many others were tried again as may be".to_owned(),
        "released" => "was taken up again".to_owned(),
        other => other.replace('_', " "),
    };
    if let Some(detail) = &entry.detail {
        let _ = write!(sentence, ": {detail}");
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_told_in_their_unit() {
        let told: Vec<String> = [0, 999, 1_000, 2_500_000, 119_999_999, 7_200_000_000]
            .into_iter()
            .map(span)
            .collect();
        assert_eq!(
            told,
            ["0 µs", "999 µs", "1.0 ms", "2.5 s", "120.0 s", "120 min"]
        );
    }
}
