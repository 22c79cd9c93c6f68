//! A refused change is not in the journal, so it must leave no trace in any row.

use schemas::change::Change;
use schemas::position::{CommittedPosition, SourceId};

use super::{Owner, PARTITION, campaign};
use crate::journal::{Refusal, Verdict};

fn chunk(chunk: u32) -> Change {
    Change::AudienceFrozen {
        campaign: campaign(1),
        chunk,
        entries: 3,
        last: false,
    }
}

fn advanced(number: u8, position: u64) -> Change {
    Change::Advanced {
        source: SourceId::Audience(campaign(number)),
        position,
    }
}

/// Found by the simulation, seed 79756: the row of a refused one was stamped as changed.
#[test]
fn beside_one_that_is_done_it_touches_nothing() {
    let refused = Verdict::Refused(Refusal::OutOfOrder);
    for (first, again) in [(chunk(0), chunk(0)), (advanced(1, 5), advanced(1, 5))] {
        let mut owner = Owner::new();
        assert_eq!(owner.commit(first), Verdict::Done);
        let key = CommittedPosition::key_of(PARTITION, &SourceId::Audience(campaign(1)));
        let before = (
            owner.tally(campaign(1)),
            owner.row::<CommittedPosition>(&key),
        );
        let verdicts = owner.commit_all(vec![again, advanced(2, 1)]);
        assert_eq!(verdicts, [refused, Verdict::Done]);
        let after = (
            owner.tally(campaign(1)),
            owner.row::<CommittedPosition>(&key),
        );
        assert_eq!(before, after);
        assert!(owner.rebuilds());
    }
}
