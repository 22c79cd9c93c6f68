//! `/v1/verifications`, for the holder of the root key.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use engine::store::StoreError;
use engine::verify::{Verification, VerifierError};
use schemas::http::verifications::{DifferenceBody, VerificationBody};

use crate::auth::RootCaller;
use crate::doors::DoorState;
use crate::json::answer;
use crate::problem::{Problem, ProblemCode};

/// Verifies everything as it is at this moment, while the node goes on, and answers when
/// that is done: after seconds for each million messages. A body is not looked at. A
/// difference is an answer like any other, with status 200; the log has it too.
///
/// # Errors
/// The problem: `verification_running` while another one is under way, `damaged` when
/// what is stored cannot be read, `unavailable` on a node that does not own it.
pub async fn create(_: RootCaller, state: web::Data<DoorState>) -> Result<HttpResponse, Problem> {
    let verification = state.doors().ownership.verifier()?.verify().await?;
    if let Some(difference) = &verification.difference {
        tracing::error!(%difference, "what is stored does not agree");
    }
    Ok(answer(StatusCode::OK, &body_of(verification)))
}

fn body_of(verification: Verification) -> VerificationBody {
    let verified = verification.verified;
    VerificationBody {
        agrees: verification.difference.is_none(),
        difference: verification.difference.map(|difference| DifferenceBody {
            subject: difference.subject,
            detail: difference.detail,
        }),
        campaigns: verified.campaigns,
        recipients: verified.recipients,
        messages: verified.messages,
        open_attempts: verified.open_attempts,
        journal_records: verified.journal_records,
    }
}

impl From<VerifierError> for Problem {
    fn from(error: VerifierError) -> Self {
        match error {
            VerifierError::UnderWay => Self::new(ProblemCode::VerificationRunning),
            // Whoever asks for this wants to know, and it holds no content.
            VerifierError::Store(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, "what is stored cannot be read");
                Self::with_detail(ProblemCode::Damaged, error.to_string())
            }
            VerifierError::Store(error) => error.into(),
        }
    }
}
