//! The line of a lane: committed attempts in the order in which they go.

use std::collections::VecDeque;

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
    /// A transactional text that waits takes the place of a marketing one that is about to go.
    pub(super) fn overtake(&mut self, ticket: &mut Ticket) {
        if ticket.class() == Some(MessageClass::Transactional) || self.transactional.is_empty() {
            return;
        }
        if let Some(first) = self.pop() {
            let overtaken = std::mem::replace(ticket, first);
            self.waiting.all += u64::from(overtaken.segments);
            self.marketing.push_front(overtaken);
        }
    }
}
