//! The ways in which a directory changes: editors, links, mounts, and other directories in its place.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Stage, entry};

/// A volume as Kubernetes makes it of a `ConfigMap`: files are links through `..data` to a directory of this version.
fn mount(volume: &Path, version: &str, files: &[(&str, &str)]) {
    let versioned = volume.join(format!("..{version}"));
    for (file, text) in files {
        let file = versioned.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(format!("..{version}"), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (file, _) in files {
        let first = Path::new(file).components().next().unwrap();
        let link = volume.join(first);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(first), link).unwrap();
        }
    }
    if let Some(old) = old {
        // What is left of a version is deleted some time later: it must not be what tells the server.
        fs::rename(volume.join(old), volume.join(format!("..{version}-old"))).unwrap();
    }
}

#[tokio::test]
async fn a_config_map_is_followed() {
    let [first, second] = ["Acme 1", "Acme 2"].map(|name| entry(name, "acme.com"));
    let stage = Stage::new(|volume| mount(volume, "2026_01", &[("acme.toml", &first)])).await;
    stage.named("acme", "Acme 1").await;
    let volume = stage.directory.path();
    mount(volume, "2026_02", &[("acme.toml", &second)]);
    stage.named("acme", "Acme 2").await;
    let beta = entry("Beta", "beta.com");
    mount(volume, "2026_03", &[("acme.toml", &first), ("beta.toml", &beta)]);
    stage.named("beta", "Beta").await;
    stage.named("acme", "Acme 1").await;
}

#[tokio::test]
async fn a_config_map_with_a_directory_in_it_is_followed() {
    let [first, second] = ["Acme 1", "Acme 2"].map(|name| entry(name, "acme.com"));
    let prepare = |volume: &Path| mount(volume, "2026_01", &[("providers/acme.toml", &first)]);
    let stage = Stage::at("providers", prepare).await;
    stage.named("acme", "Acme 1").await;
    for (version, text, name) in [("2026_02", &second, "Acme 2"), ("2026_03", &first, "Acme 1")] {
        mount(stage.directory.path(), version, &[("providers/acme.toml", text)]);
        stage.named("acme", name).await;
    }
}

/// Editors write beside the file and rename, or move the old one away first; their own files are none of ours.
#[tokio::test]
async fn editors_that_rename_are_followed() {
    let stage = Stage::new(|_| {}).await;
    let path = |name: &str| stage.directory.path().join(name);
    symlink("ada@laptop.1234:5678", path(".#acme.toml")).unwrap();
    for swap in [".acme.toml.swp", "acme.toml~", "4913", ".hidden.toml"] {
        stage.write(swap, "not an entry");
    }
    for round in 0..3 {
        let name = format!("Acme {round}");
        stage.write("acme.tmp", &entry(&name, "acme.com"));
        fs::rename(path("acme.tmp"), path("acme.toml")).unwrap();
        stage.named("acme", &name).await;
    }
    fs::rename(path("acme.toml"), path("acme.toml~")).unwrap();
    stage.write("acme.toml", &entry("Acme", "acme.com"));
    stage.named("acme", "Acme").await;
    // A file's new name is a new id.
    fs::rename(path("acme.toml"), path("beta.toml")).unwrap();
    stage.named("beta", "Acme").await;
    stage.gone("acme").await;
}

/// A directory with one entry.
fn directory(at: PathBuf, name: &str) -> PathBuf {
    fs::create_dir(&at).unwrap();
    fs::write(at.join("acme.toml"), entry(name, "acme.com")).unwrap();
    at
}

#[tokio::test]
async fn another_directory_takes_the_place_of_the_first() {
    let stage = Stage::at("live", |base| drop(directory(base.join("live"), "First"))).await;
    let base = stage.directory.path();
    let live = base.join("live");
    stage.named("acme", "First").await;
    let second = directory(base.join("second"), "Second");
    fs::rename(&live, base.join("old")).unwrap();
    fs::rename(second, &live).unwrap();
    stage.named("acme", "Second").await;
    // It is this one that is watched now.
    fs::write(live.join("acme.toml"), entry("Third", "acme.com")).unwrap();
    stage.named("acme", "Third").await;
    // While there is none, the last good set stays.
    fs::remove_dir_all(&live).unwrap();
    assert_eq!(stage.get("acme").await.unwrap().display_name, "Third");
    directory(live.clone(), "Fourth");
    stage.named("acme", "Fourth").await;
    fs::write(live.join("acme.toml"), entry("Fifth", "acme.com")).unwrap();
    stage.named("acme", "Fifth").await;
}

#[tokio::test]
async fn a_link_that_leads_to_another_directory_is_followed() {
    let stage = Stage::at("live", |base| {
        let first = directory(base.join("first"), "First");
        symlink(first, base.join("live")).unwrap();
    })
    .await;
    let base = stage.directory.path();
    stage.named("acme", "First").await;
    let second = directory(base.join("second"), "Second");
    symlink(&second, base.join("next")).unwrap();
    fs::rename(base.join("next"), base.join("live")).unwrap();
    stage.named("acme", "Second").await;
    fs::write(second.join("acme.toml"), entry("Third", "acme.com")).unwrap();
    stage.named("acme", "Third").await;
}
