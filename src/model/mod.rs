//! The plain types that every room speaks: ids, paths, trees, commits, operations, steps, events.
//!
//! No I/O happens here, and nothing here knows how a thing is stored or drawn. The words are those of
//! ARCHITECTURE.md, one word per thing.

mod bytes;
mod change;
mod commit;
mod event;
mod id;
mod kind_word;
mod known;
mod op;
mod path;
mod step;
mod time;
mod tree;

pub use bytes::{Bytes, base64_bytes};
pub use change::{Origin, Touch, Writer};
pub use commit::{Attr, Cause, Commit, FORK};
pub use event::{EmitBody, EmitEvent};
pub use id::{BlobId, CommitId, IdError, OpId, SessionId, StepId, TreeId};
pub use kind_word::{kind_word, marker_word};
pub use known::{Known, git_sha1};
pub use op::{OpKind, Operation, RefChange, RefTarget};
pub use path::{PathError, RepoPath, is_hidden, neutral};
pub use step::{
    CallKind, Link, LinkRule, Ordinal, Session, Source, Status, Step, StepKind, Talk, Tokens,
};
pub use time::Time;
pub use tree::{Entry, Kind, Tree};
