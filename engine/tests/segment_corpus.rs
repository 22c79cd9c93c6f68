//! Our counts against those of the calculator that Twilio publishes, case by case.
//!
//! `tests/corpus/segments/generate.mjs` writes the corpus and says what is in it.

use engine::text::{SegmentCount, count_segments, split};

const CORPUS: &str = include_str!("../../tests/corpus/segments/corpus.jsonl");

/// One line of the corpus.
#[derive(serde::Deserialize)]
struct Case {
    body: String,
    #[serde(flatten)]
    expected: SegmentCount,
}

#[test]
fn counts_are_those_of_the_published_calculator() {
    let mut cases = 0;
    for (index, line) in CORPUS.lines().enumerate() {
        let number = index + 1;
        let case: Case = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("corpus.jsonl line {number}: {error}"));
        let counted = count_segments(&case.body);
        assert_eq!(
            counted, case.expected,
            "corpus.jsonl line {number}: {:?}",
            case.body
        );
        let parts = split(&case.body).len() as u32;
        assert_eq!(
            parts, case.expected.segments,
            "corpus.jsonl line {number}: {:?}",
            case.body
        );
        cases += 1;
    }
    assert!(
        cases >= 1_500,
        "only {cases} cases: was the corpus cut short?"
    );
}
