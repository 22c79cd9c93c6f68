//! Nobody is texted again because nobody could be asked: in virtual time, on the whole node.

use std::path::Path;

use tests::simulation::{GONE_FOR_MS, while_its_account_is_gone};

#[test]
fn who_cannot_be_searched_for_is_not_sent_again() {
    for seed in [1, 2, 3] {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gone-account");
        let gone = while_its_account_is_gone(seed, &folder);
        // What is left of it is overwritten by the next run.
        let _ = std::fs::remove_dir_all(&folder);
        assert_eq!(gone.violations, Vec::<String>::new(), "seed {seed}");
        assert_eq!(gone.waits.len(), 1, "seed {seed}: it is sent again once");
        let waited = gone.waits[0];
        assert!(waited > GONE_FOR_MS, "seed {seed}: after {waited} ms");
    }
}
