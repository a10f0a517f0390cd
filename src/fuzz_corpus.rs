//! The corpora of the fuzz targets in `tests/fuzz`, run as unit tests.

use std::path::Path;

/// Seeds of at most so many bytes are cut and changed at every byte, longer ones at some fifty.
const DENSE_MAX: usize = 2048;

/// Runs `check` over the corpus of `target`, over prefixes of each seed, and over each seed with a
/// byte changed to one of `bytes`. A checkout without the corpora is fine.
#[expect(clippy::disallowed_methods, reason = "a test reads its seeds")]
pub(crate) fn run(target: &str, bytes: &[u8], check: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let Ok(seeds) = std::fs::read_dir(corpus) else { return };
    for seed in seeds {
        let seed = std::fs::read(seed.unwrap().path()).unwrap();
        check(&seed);
        let step = if seed.len() <= DENSE_MAX { 1 } else { seed.len() / 50 };
        for at in (0..seed.len()).step_by(step) {
            check(&seed[..at]);
            for byte in bytes {
                let mut changed = seed.clone();
                changed[at] = *byte;
                check(&changed);
            }
        }
    }
}
