//! Reading a `providers.yaml`, the catalog that users of Nango have, into entries of this catalog.
//!
//! Text in, text out: no I/O. Nothing is guessed that decides where a secret goes: an address whose host is not pinned
//! by the file itself is not carried over. What is written was loaded before; what is not carried over is named.

mod address;
mod draft;
mod entry;
mod expression;
mod field;
mod fields;
mod host;
mod keys;
mod pattern;
mod source;
mod token;
mod verification;

#[cfg(test)]
mod tests;

pub use source::Source;

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its key in the file, which is the provider's id.
    pub id: String,
    /// The text of its catalog file. None if it could not be carried over.
    pub text: Option<String>,
    /// What was not carried over, or not as it was.
    pub remarks: Vec<Remark>,
}

/// What became of an entry, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it that concerns a connection is in the catalog file.
    Written,
    /// There is a catalog file, but look at the remarks.
    WrittenWithRemarks,
    /// There is none.
    Skipped,
}

/// One key that was not carried over, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What it is about.
    pub kind: Kind,
    /// The key in the entry, with dots between the levels. Empty: the entry as a whole.
    pub key: String,
    /// Why, in words for people.
    pub why: String,
}

/// What a remark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The catalog cannot say it: the provider may not work without it.
    Lost,
    /// It is in the catalog file in another form.
    Changed,
    /// It belongs to something that Tokenwell does not do. Connections work without it.
    Outside,
}

/// The remarks of an entry as they come up.
#[derive(Debug, Default)]
struct Remarks(Vec<Remark>);

// === impl Imported ===

impl Imported {
    /// What became of it, in a word.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &self.text {
            None => Outcome::Skipped,
            Some(_) if self.remarks.iter().all(|remark| remark.kind == Kind::Outside) => Outcome::Written,
            Some(_) => Outcome::WrittenWithRemarks,
        }
    }

    /// Whether something that concerns a connection was not carried over.
    #[must_use]
    pub fn lost(&self) -> bool {
        self.text.is_none() || self.remarks.iter().any(|remark| remark.kind == Kind::Lost)
    }
}

// === impl Outcome ===

impl Outcome {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::WrittenWithRemarks => "written with remarks",
            Self::Skipped => "skipped",
        }
    }
}

// === impl Kind ===

impl Kind {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Changed => "changed",
            Self::Outside => "outside",
        }
    }
}

// === impl Remarks ===

impl Remarks {
    fn lost(&mut self, key: impl AsRef<str>, why: impl AsRef<str>) {
        self.add(Kind::Lost, key.as_ref(), why.as_ref());
    }

    fn changed(&mut self, key: impl AsRef<str>, why: impl AsRef<str>) {
        self.add(Kind::Changed, key.as_ref(), why.as_ref());
    }

    fn outside(&mut self, key: impl AsRef<str>, why: impl AsRef<str>) {
        self.add(Kind::Outside, key.as_ref(), why.as_ref());
    }

    fn add(&mut self, kind: Kind, key: &str, why: &str) {
        let remark = Remark { kind, key: one_line(key), why: one_line(why) };
        if !self.0.contains(&remark) {
            self.0.push(remark);
        }
    }
}

/// Words of the file go into reports and comments: they stay on their line, and do not steer a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
