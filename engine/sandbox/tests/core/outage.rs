//! An account that dies and comes back.

use crate::bench::{Bench, Outcome, START};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::core::Answer;
use sandbox::dialect::{HttpRequest, Method, respond};
use sandbox::{AnswerFault, FaultPlan, Outage, OutageKind};

/// Microseconds in a millisecond.
const MS: u64 = 1_000;

fn dying(kind: OutageKind) -> Result<Bench, Box<dyn std::error::Error>> {
    Bench::with(&FaultPlan::none(), |account| {
        account.outage = Some(Outage {
            kind,
            after_ms: 1_000,
            for_ms: 5_000,
        });
    })
}

#[test]
fn it_begins_after_the_first_text_and_ends() -> Outcome {
    let bench = dying(OutageKind::Refuses)?;
    let begun = START + 70_000 * MS;
    let mut answered = Vec::new();
    for after in [0, 999, 1_000, 5_999, 6_000] {
        let (answer, at) = bench.submit(begun + after * MS, "+15005550006", "hello")?;
        assert_eq!(at, begun + after * MS);
        answered.push(match answer {
            Answer::Created(_) => 201,
            Answer::ServerError(status) => status,
            Answer::Refused(_)
            | Answer::Throttled { .. }
            | Answer::Cut
            | Answer::Nonsense { .. } => 0,
        });
    }
    assert_eq!(answered, [201, 201, 503, 503, 201]);
    let texts = bench.texts()?;
    let taken: Vec<bool> = texts.iter().map(|text| text.took).collect();
    assert_eq!(taken, [true, true, false, false, true]);
    let faults: Vec<_> = texts.iter().filter_map(|text| text.fault).collect();
    assert_eq!(faults, [AnswerFault::ErrorBefore; 2]);
    Ok(())
}

#[test]
fn who_hangs_cuts_the_lines_when_it_is_back() -> Outcome {
    let bench = dying(OutageKind::Hangs)?;
    bench.submit(START, "+15005550006", "hello")?;
    let (answer, at) = bench.submit(START + 2_000 * MS, "+15005550006", "hello")?;
    assert!(matches!(answer, Answer::Cut));
    assert_eq!(at, START + 6_000 * MS);
    let texts = bench.texts()?;
    let last = texts.last().ok_or("two texts")?;
    assert_eq!(
        (last.took, last.fault),
        (false, Some(AnswerFault::NoAnswerUntaken))
    );
    Ok(())
}

#[test]
fn nobody_can_ask_it_anything() -> Outcome {
    let credentials = format!("Basic {}", STANDARD.encode("AC1:token"));
    let ask = |bench: &Bench, at| {
        let request = HttpRequest {
            method: Method::Get,
            path: "/2010-04-01/Accounts/AC1/Messages.json",
            query: "",
            authorization: Some(credentials.as_bytes()),
            body: &[],
        };
        let reply = respond(&bench.core, at, &request);
        (reply.at, reply.answer.map(|answer| answer.status))
    };
    let dead = START + 2_000 * MS;
    for (kind, told) in [
        (OutageKind::Refuses, (dead, Some(503))),
        (OutageKind::Hangs, (START + 6_000 * MS, None)),
    ] {
        let bench = dying(kind)?;
        bench.submit(START, "+15005550006", "hello")?;
        assert_eq!(ask(&bench, START), (START, Some(200)));
        assert_eq!(ask(&bench, dead), told);
        let back = START + 6_000 * MS;
        assert_eq!(ask(&bench, back), (back, Some(200)));
    }
    Ok(())
}
