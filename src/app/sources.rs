//! Where the catalog comes from: the program, a directory of files, and what the surroundings add.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use super::AppError;
use crate::{
    config::ProviderArgs,
    provider::{Catalog, Fault, Transport},
};

/// An entry is a few kilobytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// All files together: what a reading may take of the memory.
const MAX_TOTAL_BYTES: usize = 64 * 1024 * 1024;
const MAX_FILES: usize = 5_000;

/// The built-in catalog, and what the arguments and the surroundings add.
pub fn load_catalog(args: &ProviderArgs, further: &[(String, String)]) -> Result<Catalog, AppError> {
    let sources = Sources::new(args, further.to_vec());
    sources.build(&sources.read()).map_err(AppError::Catalog)
}

/// Where the catalog comes from.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    directory: Option<PathBuf>,
    transport: Transport,
    /// Files that are not in the directory, and stay whatever happens there.
    further: Vec<(String, String)>,
}

/// What a directory holds at one moment.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The texts of its catalog files, by name.
    pub(super) files: BTreeMap<String, String>,
    /// What could not be read.
    pub(super) faults: Vec<Fault>,
}

impl Sources {
    pub(super) fn new(args: &ProviderArgs, further: Vec<(String, String)>) -> Self {
        let transport = if args.dev_loopback_providers { Transport::LoopbackHttp } else { Transport::Strict };
        Self { directory: args.providers_dir.clone(), transport, further }
    }

    /// The directory, if there is one.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Reads the directory. Blocks.
    pub(super) fn read(&self) -> Reading {
        let mut reading = Reading::default();
        if let Some(directory) = &self.directory
            && let Err(problem) = reading.read_directory(directory)
        {
            // What was read of it until then is not worth being checked.
            reading.files.clear();
            let file = directory.display().to_string();
            reading.faults.push(Fault { file, line: None, problem });
        }
        reading
    }

    /// Makes a catalog of what was read, or tells everything that is wrong with it.
    pub(super) fn build(&self, reading: &Reading) -> Result<Catalog, Vec<Fault>> {
        let mut catalog = Catalog::built_in()?;
        let mut faults = reading.faults.clone();
        let files = reading.files.iter().map(|(name, text)| (name.clone(), text.clone()));
        faults.extend(catalog.add_files(files, self.transport).err().into_iter().flatten());
        let further = self.further.iter().cloned();
        faults.extend(catalog.add_files(further, Transport::LoopbackHttp).err().into_iter().flatten());
        if faults.is_empty() { Ok(catalog) } else { Err(faults) }
    }
}

impl Reading {
    fn read_directory(&mut self, directory: &Path) -> Result<(), String> {
        let paths = catalog_files(directory).map_err(|error| error.to_string())?;
        if paths.len() > MAX_FILES {
            return Err(format!("it holds {} catalog files, and may hold {MAX_FILES}", paths.len()));
        }
        let mut total = 0;
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match read_file(&path) {
                Ok(text) => {
                    total += text.len();
                    if total > MAX_TOTAL_BYTES {
                        let limit = MAX_TOTAL_BYTES / 1024 / 1024;
                        return Err(format!("its catalog files are larger than {limit} MiB together"));
                    }
                    self.files.insert(name, text);
                }
                // It went after the directory was listed.
                Err(_) if is_gone(&path) => {}
                Err((line, problem)) => self.faults.push(Fault { file: name, line, problem }),
            }
        }
        Ok(())
    }
}

/// The `*.toml` files of a directory, but for hidden ones: editors and mounts keep theirs there.
fn catalog_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// The text of a file, or what is wrong, and in which line.
fn read_file(path: &Path) -> Result<String, (Option<usize>, String)> {
    let unreadable = |error: io::Error| (None, error.to_string());
    // Opening anything else, such as a pipe, might wait for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err((None, "it is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err((None, format!("it is larger than {} KiB", MAX_FILE_BYTES / 1024)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        (Some(line), "it is not UTF-8".to_owned())
    })
}
