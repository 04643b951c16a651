//! What a directory may hold, and what is said of one that holds something else.

use std::{
    fs::{self, File},
    path::Path,
};

use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;
use tokenwell::{
    app::{AppError, load_catalog},
    config::ProviderArgs,
    provider::Catalog,
};

use super::entry;

fn load(directory: &Path) -> Result<Catalog, Vec<String>> {
    let args = ProviderArgs { providers_dir: Some(directory.to_owned()), ..ProviderArgs::default() };
    load_catalog(&args, &[]).map_err(|error| match error {
        AppError::Catalog(faults) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("{other}"),
    })
}

#[test]
fn a_file_has_a_greatest_size() {
    let directory = TempDir::new().unwrap();
    let good = entry("Acme", "acme.com");
    let comment = |bytes: usize| format!("{good}#{}", "x".repeat(bytes - good.len() - 1));
    let file = directory.path().join("acme.toml");
    fs::write(&file, comment(256 * 1024)).unwrap();
    load(directory.path()).unwrap();
    fs::write(&file, comment(256 * 1024 + 1)).unwrap();
    assert_eq!(load(directory.path()).unwrap_err(), ["acme.toml: it is larger than 256 KiB"]);
}

#[test]
fn a_directory_has_a_greatest_count_and_size() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    for number in 0..5_000 {
        File::create(path.join(format!("p{number}.toml"))).unwrap();
    }
    // All are read, and each is said to be empty.
    assert_eq!(load(path).unwrap_err().len(), 5_000);
    // What is no catalog file does not count.
    fs::write(path.join("README.md"), "").unwrap();
    assert_eq!(load(path).unwrap_err().len(), 5_000);
    File::create(path.join("one-more.toml")).unwrap();
    let named = path.display();
    assert_eq!(load(path).unwrap_err(), [format!("{named}: it holds 5001 catalog files, and may hold 5000")]);

    let directory = TempDir::new().unwrap();
    let path = directory.path();
    for number in 0..257 {
        // It takes no room on the disk.
        File::create(path.join(format!("p{number}.toml"))).unwrap().set_len(256 * 1024).unwrap();
    }
    let named = path.display();
    assert_eq!(
        load(path).unwrap_err(),
        [format!("{named}: its catalog files are larger than 64 MiB together")]
    );
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let faults = load(&missing).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with(&format!("{}: ", missing.display())), "{faults:?}");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(load(&file).unwrap_err()[0].starts_with(&file.display().to_string()));
}

/// Whatever is in a file, it is a fault of this file or an entry, and the reading comes to an end.
#[test]
fn no_file_is_too_strange_to_be_read() {
    let directory = TempDir::new().unwrap();
    let good = entry("Acme", "acme.com").into_bytes();
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    let place = 0..good.len();
    let strategy = (bytes, place.clone(), place);
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) });
    let ran = runner.run(&strategy, |(bytes, from, to)| {
        let (from, to) = (from.min(to), from.max(to));
        let text = [&good[..from], &bytes, &good[to..]].concat();
        fs::write(directory.path().join("acme.toml"), text).unwrap();
        if let Err(faults) = load(directory.path()) {
            // What is left of an entry may lack more than one thing.
            prop_assert!(!faults.is_empty());
            prop_assert!(faults.iter().all(|fault| fault.starts_with("acme.toml:")), "{:?}", faults);
        }
        Ok(())
    });
    ran.unwrap();
}
