//! A sender whose requests all panic costs the others nothing: in virtual time, on the whole
//! node, with the same seed once with the panics and once without.

use std::path::Path;

use tests::simulation::{BESIDE, Beside, beside_a_broken_sender, catch_panics};

const SEEDS: [u64; 3] = [1, 2, 3];

#[test]
fn the_others_keep_their_rate_beside_a_sender_that_panics() {
    catch_panics();
    for seed in SEEDS {
        let (well, broken) = (run(seed, false), run(seed, true));
        assert_eq!((well.panics, &well.violations), (0, &Vec::new()));
        assert_eq!(broken.violations, Vec::<String>::new(), "seed {seed}");
        // It is taken for dead after five, with what was in flight, and then gets probes.
        let panics = broken.panics;
        assert!((5..=30).contains(&panics), "seed {seed}: {panics} panics");
        for place in BESIDE {
            let (kept, whole) = (broken.segments[place], well.segments[place]);
            assert!(
                kept * 100 >= whole * 99,
                "seed {seed}: provider {place} sent {kept} of {whole}"
            );
        }
    }
}

fn run(seed: u64, is_broken: bool) -> Beside {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken-sender");
    let beside = beside_a_broken_sender(seed, &folder, is_broken);
    // What is left of it is overwritten by the next run.
    let _ = std::fs::remove_dir_all(&folder);
    beside
}
