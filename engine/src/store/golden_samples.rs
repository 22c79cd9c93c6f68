//! One record of every kind, with every field set, for the golden rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::account::{Account, ApiKey};
use schemas::audience::{AudienceChunk, NumberKey};
use schemas::campaign::{Campaign, CampaignState, CampaignTally, SendWindow};
use schemas::consent::Consent;
use schemas::contact::{Contact, ContactList, ListMember};
use schemas::due::{DueEntry, DueLookUps, LookUp};
use schemas::health::{HealthChange, HealthEvent, HealthState, ProviderHealth};
use schemas::held::{HeldCount, HeldMessage};
use schemas::ingress::IngressPosition;
use schemas::job::{ImportPosition, Job, JobFilePiece, JobProgress, JobReject, JobState, JobWork};
use schemas::limit::{LimitDivision, LimitPart};
use schemas::message::{Encoding, IdempotencyKey, Intake, TimelineEntry};
use schemas::position::{CommittedPosition, SourceId};
use schemas::provider::{AttemptRef, DeliveryReceipt, ProviderOrder, ProviderStamp};
use schemas::record::Record;
use schemas::secret::{Body, Secret};
use schemas::status::ReceiptStatus;
use schemas::text::{Binding, ParkedReceipt, UnknownAttempt};
use schemas::topic::TopicMark;
use schemas::{
    AccountId, CampaignId, ContactId, Envelope, JobId, KeyId, ListId, Message, MessageClass,
    MessageId, MessageStatus, Partition, Phone, ProviderId, Slice, UnixMicros,
};

const AT: UnixMicros = UnixMicros(1_767_367_800_123_456);

fn some<T: From<&'static str>>(text: &'static str) -> Option<T> {
    Some(text.into())
}

fn phone() -> Phone {
    Phone::from_e164("+15005550006").expect("a number")
}

fn message_id() -> MessageId {
    MessageId::new(AT, phone().slice(), [3; 8])
}

fn envelope() -> Arc<Envelope> {
    Arc::new(Envelope {
        account: AccountId::from_bytes([1; 16]),
        id: message_id(),
        campaign: Some(CampaignId::from_bytes([2; 16])),
        contact: Some(ContactId::from_bytes([4; 16])),
        to: phone(),
        from: some("+15005550001"),
        body: Body::new("Selam, Ada — 50 €"),
        class: MessageClass::Marketing,
        provider: Some(ProviderId::of_name("one")),
        send_at: Some(AT),
        valid_until: AT,
        encoding: Encoding::Ucs2,
        segments: 2,
        created_at: AT,
    })
}

fn attempt() -> AttemptRef {
    AttemptRef {
        account: AccountId::from_bytes([1; 16]),
        message: message_id(),
        attempt: 2,
    }
}

pub(crate) fn message() -> Message {
    Message {
        envelope: envelope(),
        status: MessageStatus::Undelivered,
        reason: some("30003"),
        attempts: 2,
        provider: Some(ProviderId::of_name("one")),
        sender: some("+15005550001"),
        provider_message_id: some("SM0123456789abcdef"),
        last_attempt_at: Some(AT),
        last_sent_at: Some(AT),
        next_attempt_at: None,
        held: None,
        timeline: vec![TimelineEntry {
            at: AT,
            status: MessageStatus::Submitting,
            event: "attempt_begun".to_owned(),
            detail: some("attempt 1"),
            provider: Some(ProviderId::of_name("one")),
            attempt: Some(1),
        }],
        sequence: 77,
    }
}

fn due() -> DueEntry {
    DueEntry {
        partition: Partition(5),
        due: AT,
        account: AccountId::from_bytes([1; 16]),
        message: message_id(),
        sequence: 78,
    }
}

fn due_look_ups() -> DueLookUps {
    let look_up = |made| LookUp {
        account: AccountId::from_bytes([1; 16]),
        message: message_id(),
        attempt: 1,
        made,
    };
    DueLookUps {
        partition: Partition(5),
        due: AT,
        sequence: 78,
        part: 2,
        look_ups: vec![look_up(0), look_up(3)],
    }
}

fn parked_receipt() -> ParkedReceipt {
    ParkedReceipt {
        partition: Partition(5),
        provider: ProviderId::of_name("one"),
        receipt: DeliveryReceipt {
            attempt: Some(attempt()),
            provider_message_id: "SM0123456789abcdef".to_owned(),
            status: Some(ReceiptStatus::Undelivered),
            error_code: some("30003"),
            provider_status: "undelivered".to_owned(),
            to: Phone::from_e164("+14155550123").ok(),
        },
        received_at: AT,
        sequence: 79,
    }
}

pub(crate) fn campaign() -> Campaign {
    Campaign {
        account: AccountId::from_bytes([1; 16]),
        id: CampaignId::from_bytes([2; 16]),
        name: "Spring".to_owned(),
        lists: vec![ListId::from_bytes([5; 16])],
        template: "Selam {{ first_name }}".to_owned(),
        class: MessageClass::Marketing,
        from: some("+15005550001"),
        providers: vec![ProviderId::of_name("one")],
        rate_millionths: Some(12_500_000),
        validity_seconds: 14_400,
        send_at: Some(AT),
        window: Some(SendWindow {
            from: 540,
            until: 1_200,
            time_zone: "Europe/Berlin".to_owned(),
        }),
        state: CampaignState::Running,
        created_at: AT,
        started_at: Some(AT),
        finished_at: None,
        version: 3,
    }
}

fn campaign_tally() -> CampaignTally {
    CampaignTally {
        campaign: CampaignId::from_bytes([2; 16]),
        partition: Partition(5),
        total_recipients: 12,
        chunks: 1,
        frozen: true,
        by_status: BTreeMap::from([(MessageStatus::Queued, 10), (MessageStatus::Skipped, 2)]),
        skipped: BTreeMap::from([("missing_field".to_owned(), 2)]),
        untouched: 3,
        held: 1,
        canceled: false,
        sequence: 80,
    }
}

fn contact() -> Contact {
    Contact {
        account: AccountId::from_bytes([1; 16]),
        id: ContactId::from_bytes([4; 16]),
        phone: phone(),
        fields: BTreeMap::from([("first_name".to_owned(), "Ada".to_owned())]),
        created_at: AT,
        updated_at: AT,
        sequence: 81,
    }
}

fn job() -> Job {
    Job {
        account: AccountId::from_bytes([1; 16]),
        id: JobId::from_bytes([6; 16]),
        work: JobWork::ImportContacts {
            list: ListId::from_bytes([5; 16]),
            default_region: some("ET"),
            phone_column: some("Telefon"),
        },
        created_at: AT,
    }
}

fn job_progress() -> JobProgress {
    JobProgress {
        job: JobId::from_bytes([6; 16]),
        partition: Partition(3),
        state: JobState::Running,
        records: 10,
        contacts: 7,
        merged: 2,
        rejected: 1,
        resume: Some(ImportPosition {
            byte: 512,
            line: 12,
            records: 10,
        }),
        error: some("not UTF-8"),
        updated_at: AT,
        sequence: 82,
    }
}

/// Who looks at the samples.
pub(crate) trait Samples {
    /// One record and its name.
    fn sample<R: Record>(&mut self, name: &'static str, record: R);
}

/// Shows one record of every kind, some of several.
pub(crate) fn show_all(to: &mut impl Samples) {
    let account = AccountId::from_bytes([1; 16]);
    let list = ListId::from_bytes([5; 16]);
    let provider = ProviderId::of_name("one");
    let position = |source| CommittedPosition {
        partition: Partition(5),
        source,
        position: 4_096,
        sequence: 83,
    };
    to.sample("message", message());
    to.sample(
        "intake",
        Intake {
            envelope: envelope(),
        },
    );
    to.sample(
        "idempotency_key",
        IdempotencyKey {
            account,
            key: "order 66".to_owned(),
            request_sha256: "00ff".to_owned(),
            resource: [7; 16],
            created_at: AT,
        },
    );
    to.sample(
        "binding",
        Binding {
            provider,
            provider_message_id: "SM0123456789abcdef".to_owned(),
            attempt: attempt(),
            sequence: 84,
        },
    );
    to.sample(
        "ingress_position",
        IngressPosition {
            topic: "volley.requests.marketing".to_owned(),
            partition: 7,
            next: 4_711,
            version: 3,
        },
    );
    to.sample(
        "topic_mark",
        TopicMark {
            topic: "volley.work.marketing".to_owned(),
            mark: (1 << 62) + 4_711,
        },
    );
    to.sample("due_send", due());
    to.sample("due_look_ups", due_look_ups());
    to.sample("parked_receipt", parked_receipt());
    to.sample(
        "unknown_attempt",
        UnknownAttempt {
            to: phone(),
            attempt: attempt(),
            provider,
            begun_at: AT,
            sequence: 85,
        },
    );
    to.sample(
        "consent",
        Consent {
            phone: phone(),
            stopped: vec!["+14155550100".to_owned()],
            heard: vec!["SM1".to_owned()],
            changed_at: AT,
            sequence: 87,
        },
    );
    to.sample(
        "provider_order",
        ProviderOrder {
            provider,
            rate_millionths: Some(2_500_000),
            is_disabled: true,
            version: 3,
        },
    );
    to.sample(
        "provider_health",
        ProviderHealth {
            provider,
            state: HealthState::Probing,
            rate_millionths: 2_000_000,
            at: AT,
            changes: vec![HealthChange {
                at: AT,
                event: HealthEvent::Opened,
                cause: "silence".to_owned(),
                rate_millionths: 2_000_000,
            }],
            version: 4,
        },
    );
    to.sample(
        "limit_division",
        LimitDivision {
            turn: 1,
            parts: vec![
                LimitPart {
                    rate_millionths: 1_500_000,
                    limit_millionths: 1_500_000,
                    waits: false,
                    owner: 7,
                },
                LimitPart {
                    rate_millionths: 0,
                    limit_millionths: 2_000_000,
                    waits: true,
                    owner: 8,
                },
            ],
            version: 5,
            ..LimitDivision::none(format!("provider/{provider}"), 2)
        },
    );
    to.sample("campaign", campaign());
    to.sample("campaign_tally", campaign_tally());
    to.sample(
        "held_message",
        HeldMessage {
            campaign: Some(CampaignId::from_bytes([2; 16])),
            providers: Vec::new(),
            partition: Partition(5),
            account,
            message: attempt().message,
            sequence: 86,
        },
    );
    to.sample(
        "held_single",
        HeldMessage {
            campaign: None,
            providers: vec![provider],
            partition: Partition(5),
            account,
            message: attempt().message,
            sequence: 88,
        },
    );
    to.sample(
        "held_count",
        HeldCount {
            partition: Partition(5),
            providers: vec![provider],
            messages: 7,
            sequence: 89,
        },
    );
    to.sample(
        "job_file_piece",
        JobFilePiece {
            job: JobId::from_bytes([6; 16]),
            piece: 17,
            bytes: b"phone\n+15005550006\n".to_vec(),
        },
    );
    to.sample(
        "audience_chunk",
        AudienceChunk {
            campaign: CampaignId::from_bytes([2; 16]),
            partition: Partition(5),
            chunk: 1,
            entries: vec![(NumberKey::of(&phone()), ContactId::from_bytes([4; 16]))],
        },
    );
    to.sample("contact", contact());
    to.sample(
        "list_member",
        ListMember {
            list,
            slice: Slice::from_low_bits(1_234),
            number: NumberKey::of(&phone()),
            contact: ContactId::from_bytes([4; 16]),
            added_by: (JobId::from_bytes([6; 16]), 12),
            added_at: AT,
            sequence: 85,
        },
    );
    to.sample(
        "contact_list",
        ContactList {
            account,
            id: list,
            name: "Friends".to_owned(),
            created_at: AT,
            version: 1,
        },
    );
    to.sample("job", job());
    to.sample("job_progress", job_progress());
    to.sample(
        "job_reject",
        JobReject {
            job: JobId::from_bytes([6; 16]),
            line: 9,
            column: some("phone"),
            reason: "not_a_number".to_owned(),
            sequence: 86,
        },
    );
    to.sample(
        "account",
        Account {
            id: account,
            name: "Acme".to_owned(),
            weight: 1,
            rate_millionths: Some(5_000_000),
            number_key: Secret::new("00ff"),
            created_at: AT,
            version: 1,
        },
    );
    to.sample(
        "api_key",
        ApiKey {
            secret_sha256: "00ff".to_owned(),
            id: KeyId::from_bytes([8; 16]),
            account,
            name: "deploy".to_owned(),
            created_at: AT,
        },
    );
    to.sample(
        "position_work",
        position(SourceId::Work(MessageClass::Transactional)),
    );
    to.sample(
        "position_audience",
        position(SourceId::Audience(CampaignId::from_bytes([2; 16]))),
    );
    to.sample(
        "position_due",
        position(SourceId::Due(schemas::due::DueKind::Send)),
    );
    to.sample(
        "position_import",
        position(SourceId::Import(JobId::from_bytes([6; 16]))),
    );
    to.sample("position_callbacks", position(SourceId::Callbacks));
    to.sample(
        "provider_stamp",
        ProviderStamp {
            provider,
            partition: Partition(5),
            latest_deadline: AT,
            sequence: 87,
        },
    );
}
