//! A million hostile artifacts, the same ones every time; and as many others as there is
//! time for, on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::guarded::Shared;
use crate::mutate::{FILE_MAX, Fate, Numbers, Taster, mutate, valid};

/// Files of each of the test's parts; every part has its own numbers, so that the files
/// are the same however many threads share the work.
const PART: u64 = 62_500;
const PARTS: u64 = 16;

#[test]
fn a_million_hostile_artifacts_are_refused_or_decide() {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64).min(PARTS);
    let fates = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || (thread..PARTS).step_by(threads as usize).map(part).collect::<Vec<_>>()))
            .collect();
        let mut sum = BTreeMap::new();
        for part in workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")) {
            for (fate, count) in part {
                *sum.entry(fate).or_insert(0u64) += count;
            }
        }
        sum
    });
    let total: u64 = fates.values().sum();
    let accepted: u64 = fates.iter().filter(|(fate, _)| matches!(fate, Fate::Decided(_))).map(|(_, count)| count).sum();
    println!("{total} files: {accepted} accepted, the others refused for {} reasons", fates.len() - 1);
    assert_eq!(total, PART * PARTS);
    // Every check behind the checksum was reached, and what passed them all was used.
    assert!(accepted > total / 50, "{fates:?}");
    assert!(fates.keys().filter(|fate| matches!(fate, Fate::Refused(_))).count() >= 15, "{fates:?}");
}

fn part(number: u64) -> BTreeMap<Fate, u64> {
    let valid = valid();
    let mut numbers = Numbers::new(number + 1);
    let mut taster = Taster::new();
    let mut fates = BTreeMap::new();
    let mut file = Vec::new();
    for _ in 0..PART {
        file.clone_from(&valid[numbers.below(valid.len())]);
        mutate(&mut file, &valid, &mut numbers);
        *fates.entry(taster.taste(&file)).or_insert(0) += 1;
    }
    fates
}

#[test]
fn the_seeds_are_what_they_are_called() {
    let mut taster = Taster::new();
    for file in valid() {
        assert!(matches!(taster.taste(&file), Fate::Decided(_)), "{:?}", taster.taste(&file));
        for len in 0..file.len() {
            assert!(matches!(taster.taste(&file[..len]), Fate::Refused(_)), "{len} bytes of {}", file.len());
        }
    }
}

/// `cargo xtask fuzz` runs this. Files that met a new fate become seeds of others; the
/// file in hand stands on disk before it is tasted, so that it survives what it does.
#[test]
#[ignore = "runs as long as EVENKEEL_FUZZ_SECONDS says"]
fn fuzz() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(number("EVENKEEL_FUZZ_SECONDS").unwrap_or(10));
    let seed = number("EVENKEEL_FUZZ_SEED").unwrap_or(1);
    let folder = PathBuf::from(std::env::var_os("EVENKEEL_FUZZ_FOLDER").expect("EVENKEEL_FUZZ_FOLDER names a folder"));
    let mut in_hand = InHand::new(&folder.join("in-hand.ekm"));
    let mut corpus = valid();
    let truncated = corpus.iter().map(|file| file[..file.len() / 2].to_vec()).collect::<Vec<_>>();
    corpus.extend(truncated);
    let (mut numbers, mut taster) = (Numbers::new(seed), Taster::new());
    for file in saved(&folder) {
        in_hand.hold(&file);
        taster.taste(&file);
        corpus.push(file);
    }
    let first_seeds = corpus.len();
    let mut seen = BTreeSet::new();
    let (start, mut executions) = (Instant::now(), 0u64);
    let mut file = Vec::new();
    while start.elapsed() < time {
        for _ in 0..1000 {
            file.clone_from(&corpus[numbers.below(corpus.len())]);
            mutate(&mut file, &corpus, &mut numbers);
            file.truncate(FILE_MAX);
            in_hand.hold(&file);
            let fate = taster.taste(&file);
            // New is a fate at a length class: files that grow differently take other ways.
            if seen.insert((fate, file.len() / 64)) && corpus.len() < 4096 {
                corpus.push(file.clone());
            }
            executions += 1;
        }
    }
    let rate_per_s = executions as f64 / start.elapsed().as_secs_f64();
    println!(
        "{executions} executions, {rate_per_s:.0} per second, {first_seeds} seeds, {} kept",
        corpus.len() - first_seeds
    );
    in_hand.hold(&[]);
}

/// Files that failed before, or that somebody put there.
fn saved(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let seeds =
        paths.iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-")));
    seeds.filter_map(|path| std::fs::read(path).ok()).filter(|file| file.len() <= FILE_MAX).collect()
}

/// The file that is being tasted: its length in 8 bytes, and its bytes. In shared memory,
/// which the system writes to disk even if the process is killed.
struct InHand(Shared);

impl InHand {
    fn new(path: &Path) -> Self {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(path);
        Self(Shared::file(&file.expect("the folder is writable"), FILE_MAX + 8))
    }

    fn hold(&mut self, file: &[u8]) {
        let (len, bytes) = self.0.bytes().split_at_mut(8);
        bytes[..file.len()].copy_from_slice(file);
        len.copy_from_slice(&(file.len() as u64).to_le_bytes());
    }
}
