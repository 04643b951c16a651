//! The fuzz targets, with their seeds and what is near those: so that they keep working, and find again at once what they
//! have found before.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{fs, panic::catch_unwind, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use targets::TARGETS;

/// How many inputs each target gets beside its seeds.
const TRIES: u32 = 512;

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&directory).unwrap_or_else(|_| panic!("{target} has no seeds"));
    let mut seeds: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

/// A seed after some changes: bytes that are replaced, left out, or put in.
fn changed(mut seed: Vec<u8>, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    for (place, how, byte) in changes {
        let place = place % (seed.len() + 1);
        match how % 3 {
            0 if place < seed.len() => seed[place] = *byte,
            1 if place < seed.len() => drop(seed.remove(place)),
            _ => seed.insert(place, *byte),
        }
    }
    seed
}

#[test]
fn targets_hold_for_their_seeds() {
    for (name, target) in TARGETS {
        for (file, seed) in seeds(name) {
            assert!(catch_unwind(|| target(&seed)).is_ok(), "{name} does not hold for its seed {file}");
        }
    }
}

#[test]
fn targets_hold_for_what_is_near_their_seeds() {
    for (name, target) in TARGETS {
        let seeds: Vec<_> = seeds(name).into_iter().map(|(_, seed)| seed).collect();
        let change = (any::<usize>(), any::<u8>(), prop_oneof![any::<u8>(), 0x20..0x7f_u8]);
        let near = (prop::sample::select(seeds), vec(change, 0..8))
            .prop_map(|(seed, changes)| changed(seed, &changes));
        let inputs = prop_oneof![4 => near, 1 => vec(any::<u8>(), 0..256)];
        let config = Config { cases: TRIES, failure_persistence: None, ..Config::default() };
        // The same inputs each time: what is new is for `make fuzz` to find.
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let found = TestRunner::new_with_rng(config, random).run(&inputs, |input| {
            target(&input);
            Ok(())
        });
        assert!(found.is_ok(), "{name}: {found:?}");
    }
}

/// Each target is a program of its own, and has its seeds.
#[test]
fn every_target_is_built_and_has_seeds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let listed: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |directory: &str| -> Vec<String> {
        let entries = fs::read_dir(fuzz.join(directory)).unwrap();
        let mut names: Vec<_> = entries
            .map(|it| it.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("fuzz_targets"), listed);
    assert_eq!(names("corpus"), listed);
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in listed {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(seeds(&name).len() >= 3, "{name}");
    }
}
