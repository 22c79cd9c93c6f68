//! The line of a lane: committed attempts in the order in which they go.

use std::collections::VecDeque;

use engine::runtime::BootMicros;
use schemas::MessageClass;

use super::ticket::Ticket;

/// Attempts in their order, and the segments that they have together. A one-time code
/// does not wait for the marketing that was committed before it.
#[derive(Default)]
pub(super) struct Line {
    transactional: VecDeque<Ticket>,
    marketing: VecDeque<Ticket>,
    /// What waits.
    pub(super) waiting: Waiting,
}

/// Segments that wait in a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// Of all texts.
    pub all: u64,
    /// Of the transactional ones among them.
    pub transactional: u64,
}

impl Line {
    /// Puts attempts at the end.
    pub(super) fn extend(&mut self, tickets: Vec<Ticket>) {
        for ticket in tickets {
            let segments = u64::from(ticket.segments);
            self.waiting.all += segments;
            match ticket.class() {
                Some(MessageClass::Transactional) => {
                    self.waiting.transactional += segments;
                    self.transactional.push_back(ticket);
                }
                Some(MessageClass::Marketing) | None => self.marketing.push_back(ticket),
            }
        }
    }

    /// The next to go.
    pub(super) fn pop(&mut self) -> Option<Ticket> {
        let next = self.transactional.pop_front();
        if let Some(ticket) = &next {
            self.waiting.transactional -= u64::from(ticket.segments);
        }
        let ticket = next.or_else(|| self.marketing.pop_front())?;
        self.waiting.all -= u64::from(ticket.segments);
        Some(ticket)
    }
}

impl Line {
    /// Another text takes the place of the one that is about to go: a transactional one that of
    /// a marketing one, and any that may leave now that of one whose own limits let it wait.
    pub(super) fn overtake(&mut self, ticket: &mut Ticket, now: BootMicros) {
        let waits = |ticket: &Ticket| ticket.ready_at(now) > now;
        let is_urgent = ticket.class() == Some(MessageClass::Transactional);
        let waiting = waits(ticket);
        if let Some(place) = self.transactional.iter().position(|other| !waits(other))
            && (!is_urgent || waiting)
            && let Some(first) = self.transactional.remove(place)
        {
            let segments = u64::from(first.segments);
            self.waiting.transactional -= segments;
            self.waiting.all -= segments;
            self.put_back(std::mem::replace(ticket, first));
        } else if waiting
            && let Some(place) = self.marketing.iter().position(|other| !waits(other))
            && let Some(first) = self.marketing.remove(place)
        {
            self.waiting.all -= u64::from(first.segments);
            self.put_back(std::mem::replace(ticket, first));
        }
    }

    /// Puts an attempt back where it was.
    fn put_back(&mut self, ticket: Ticket) {
        let segments = u64::from(ticket.segments);
        self.waiting.all += segments;
        match ticket.class() {
            Some(MessageClass::Transactional) => {
                self.waiting.transactional += segments;
                self.transactional.push_front(ticket);
            }
            Some(MessageClass::Marketing) | None => self.marketing.push_front(ticket),
        }
    }
}
