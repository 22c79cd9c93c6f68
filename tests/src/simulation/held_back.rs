//! Receipts that a lagging provider holds back while it is asked for their text, and tells
//! when the last search has found nothing: just when the text is to be sent again.

use std::collections::BTreeMap;

use sandbox::core::DueReceipt;
use serde::Deserialize;

/// Searches after which a text is sent again.
const SEARCHES: u32 = 3;

/// What is held back, by number.
#[derive(Default)]
pub struct HeldBack {
    searches: BTreeMap<String, u32>,
    receipts: BTreeMap<String, Vec<DueReceipt>>,
}

/// What a list of texts is asked for.
#[derive(Deserialize)]
struct Search {
    #[serde(rename = "To")]
    to: String,
}

impl HeldBack {
    /// A list was asked for with this query. Tells whose receipts are to come now.
    pub fn searched(&mut self, query: &str) -> Option<String> {
        let search: Search = serde_urlencoded::from_str(query).ok()?;
        let searches = self.searches.entry(search.to.clone()).or_default();
        *searches += 1;
        (*searches == SEARCHES).then_some(search.to)
    }

    /// Gives the receipt back, unless its text is being searched for.
    ///
    /// # Errors
    /// The number whose receipt is held back now.
    pub fn pass(&mut self, receipt: DueReceipt) -> Result<DueReceipt, String> {
        let searches = self.searches.get(&*receipt.to).copied().unwrap_or(0);
        if !(1..SEARCHES).contains(&searches) {
            return Ok(receipt);
        }
        let to = receipt.to.to_string();
        self.receipts.entry(to.clone()).or_default().push(receipt);
        Err(to)
    }

    /// What was held back of a number, in order.
    pub fn release(&mut self, to: &str) -> Vec<DueReceipt> {
        self.receipts.remove(to).unwrap_or_default()
    }
}
