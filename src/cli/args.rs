//! What was typed: the command line as clap reads it. What it means is worked out by each verb.

mod graph;
mod keep;
mod mount;
mod screen;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::agent::Place;
pub use graph::{Blame, Children, History, Leaves, Lineage, TraceOf};
pub use keep::{Delete, Du, Exists, Forget, Gc, Verify};
pub use mount::{At, Mount, Reads, Umount};
pub use screen::{Config, Keys, Man, Screen};

/// A time-travel debugger for AI coding agents.
///
/// Without a command it opens the screen: live when an engine runs, else on what was recorded last.
#[derive(Debug, Parser)]
#[command(
    name = "backtrail",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "\
A revision (REV) is a commit id or the beginning of one, a branch, a label,
@ (the latest commit), @~3, step:N, call:ID (after that tool call), call:ID^
(before it), or a time such as \"10m ago\".

Try it: backtrail demo. Recorded runs: backtrail open FILE, or any command that
reads with --trace FILE."
)]
pub struct Cli {
    /// Work on the project in DIR instead of the one that the current directory lies in
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub project: Option<PathBuf>,

    /// How a recording is read instead of a project.
    #[command(flatten)]
    pub trace: Trace,

    /// How the screen is drawn.
    #[command(flatten)]
    pub screen: Screen,

    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Reading a recording without a project.
#[derive(Debug, Clone, Default, Args)]
pub struct Trace {
    /// Read the recording FILE (- for standard input) instead of a project: for steps, search, log, show, diff, cat, history,
    /// blame, lineage, trace, effects, sessions, status
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "project")]
    pub trace: Option<PathBuf>,
    /// The recording's format, by a name of `backtrail formats` [default: recognised from the content]
    #[arg(long, value_name = "NAME", global = true, hide_short_help = true)]
    pub format: Option<String>,
    /// What the files were at the recording's start: a directory, or a git revision [default: found in the repository
    /// that the recording is of, where that is there]
    #[arg(long, value_name = "DIR|REV", global = true, hide_short_help = true)]
    pub base: Option<String>,
    /// The repository that the recording is of [default: its working directory]
    #[arg(
        long = "repo",
        value_name = "DIR",
        global = true,
        hide_short_help = true
    )]
    pub repository: Option<PathBuf>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a command under Backtrail, recording what it changes
    Run(Run),
    /// Open a recorded run (of Claude Code, Codex and others) on the screen
    Open(Open),
    /// Show how the engine and the project stand
    Status(JsonOnly),
    /// End this project's engine
    Stop(Stop),
    /// List the commits, newest first
    Log(Log),
    /// Show a commit with what it changed
    Show(Show),
    /// Show what differs between two revisions, or a revision and the workspace
    Diff(Diff),
    /// Write a file of a past state to standard output
    Cat(Cat),
    /// Set the workspace to a revision (undone by `backtrail undo`)
    Rollback(Rollback),
    /// Reverse the last rollback or other undoable operation
    Undo(Undo),
    /// Reverse the last undo
    Redo(JsonOnly),
    /// Bring files of a past state back into the workspace (undone by `backtrail undo`)
    ///
    /// Nothing else is changed. With -o, writes the agent's own state of a past commit to a file instead.
    Restore(Restore),
    /// Commit the workspace as it is now
    #[command(visible_alias = "snapshot")]
    Checkpoint(Checkpoint),
    /// List labels, or give, move or remove one
    Label(Label),
    /// List, make, rename or remove branches
    Branch(Branch),
    /// Take the workspace to another branch, as a rollback would (undone by `backtrail undo`)
    Switch(Switch),
    /// Make a branch with a view of its own, where agents run beside the workspace (undone by `backtrail undo`)
    Fork(Fork),
    /// List the branches that have a view of their own, and who runs in them
    Forks(JsonOnly),
    /// Sit down at a running agent's terminal; Ctrl-] leaves it again
    ///
    /// What the agent prints reaches this terminal as it is, as under `run`. The terminal has the size of the one that the
    /// agent was started in; where there is none (`run -d`) it gets the size of yours while only you are attached.
    Attach(Attach),
    /// Print the path of a directory that is a past state, for any tool to read
    At(mount::At),
    /// Show past states, the live view and open branches in a directory of your choice
    Mount(mount::Mount),
    /// Take that away again
    Umount(mount::Umount),
    /// Stop a running session's processes where they are
    Freeze(OneSession),
    /// Let a frozen session go on
    Thaw(OneSession),
    /// Kill a running session's processes
    Kill(OneSession),
    /// Show how two branches stand to each other: commits and files of each, and files that both changed
    Compare(Compare),
    /// Write what was recorded as a patch, or as a branch of the project's git repository
    Export(Export),
    /// Merge a branch into another one (undone by `backtrail undo`)
    ///
    /// Nothing is written before all conflicts are settled. Until then the merge is kept and survives restarts.
    Merge(Box<Merge>),
    /// Merge a fork into the project's directory; git is left alone and the fork stays
    Land(Land),
    /// List the conflicts that commits left open
    Conflicts(Conflicts),
    /// Take the conflicts of a commit up again
    Resolve(Resolve),
    /// Make the project's store and its first commit
    Init(JsonOnly),
    /// Take a session's reasoning as NDJSON on standard input (see docs/emit.md)
    Emit(Emit),
    /// Print the timeline: what the agent did, with the commits that came of it
    Steps(Steps),
    /// Search prompts, thoughts, commands, outputs, paths and changed lines
    Search(SearchFor),
    /// The operation log: every change to branches, labels or workspace
    Op(Op),
    /// List the commits that nothing follows: the tips of branches, and what was left by rollbacks
    Leaves(Leaves),
    /// List a commit and what it continues, newest first
    Lineage(Lineage),
    /// List the commits that follow one directly
    Children(Children),
    /// List every version of a file, newest first
    History(History),
    /// Show the reasoning that led to a commit: prompt, thought, call, result, effect
    Trace(TraceOf),
    /// Show which step each line of a file is from
    Blame(Blame),
    /// List the recorded sessions, newest first
    Sessions(Sessions),
    /// Ask a language model about steps (answers in words that cite steps; needs [llm] in the configuration)
    Ask(Ask),
    /// Print every change of a file that is known, one a line
    Effects(JsonOnly),
    /// List who opened which file for reading, and during which call
    Reads(mount::Reads),
    /// Take recordings into the project's store for good
    Import(Import),
    /// List the formats of recordings that can be read
    Formats(JsonOnly),
    /// Re-hash the whole store and say what is wrong with it
    Verify(Verify),
    /// Make the index of the store anew from what was recorded
    Doctor(JsonOnly),
    /// Let older states go and give their space back
    Gc(Gc),
    /// Say what takes up how much of the store
    Du(Du),
    /// Remove recorded contents from everywhere, such as a leaked secret
    Forget(Forget),
    /// Let the content of one state go; its place in the history stays
    Delete(Delete),
    /// Say by the exit code whether a state is there
    Exists(Exists),
    /// Print the keys of the screen
    Keys(Keys),
    /// Say where your settings are and whether they can be followed; print all of them with their defaults
    Config(Config),
    /// Watch a recorded agent at work on a small project in a temporary directory
    Demo(Demo),

    /// The engine's own process
    #[command(hide = true)]
    Engine,
    /// Puts its process in an agent's place and becomes the command
    #[command(hide = true)]
    Enter(Box<Enter>),
    /// Print the manual page, or write the pages of all commands into a directory
    Man(Man),
    /// Print shell completions
    #[command(hide = true)]
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// Only `--json`.
#[derive(Debug, Args)]
pub struct JsonOnly {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `undo`
#[derive(Debug, Args)]
pub struct Undo {
    /// Leave the last operation as it is and pass over it, so that the one before it is undone next
    #[arg(long)]
    pub skip: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `run --capture`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Capture {
    /// A mounted view
    Fuse,
    /// The directory itself, watched
    Watch,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// Name of the agent in lists [default: the command's name]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Run on the fork of branch NAME instead of in the workspace; without such a branch it is made of the workspace as it
    /// is now
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// How changes are seen: through a mount, which knows the process and protects the store; or by watching the
    /// directory, which works where nothing can be mounted and ties changes to calls by time alone
    #[arg(long, value_name = "HOW", default_value = "fuse")]
    pub capture: Capture,
    /// Run it in the background, with a terminal of its own: `backtrail attach` sits down at it
    #[arg(short, long)]
    pub detach: bool,
    /// The process that `--detach` leaves behind
    #[arg(long, hide = true)]
    pub unseen: bool,
    /// The command with its arguments
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<OsString>,
}

/// `attach`
#[derive(Debug, Args)]
pub struct Attach {
    /// The agent's name or the beginning of its session's id, where several run
    #[arg(value_name = "SESSION")]
    pub session: Option<String>,
    /// Print the screen as it is now, as text, and leave
    #[arg(long)]
    pub print: bool,
}

/// `fork`
#[derive(Debug, Args)]
pub struct Fork {
    /// The state to begin with
    #[arg(value_name = "REV")]
    pub rev: String,
    /// The branch's name [default: try-1, try-2, ...]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["count", "prefix"])]
    pub name: Option<String>,
    /// Make N of them
    #[arg(long, value_name = "N")]
    pub count: Option<u32>,
    /// What their names begin with [default: try]
    #[arg(long, value_name = "P")]
    pub prefix: Option<String>,
    /// What is to run in them.
    #[command(flatten)]
    pub race: Race,
    /// One JSON object a line, one for each fork
    #[arg(long)]
    pub json: bool,
}

/// `fork ... --run`
#[derive(Debug, Default, Args)]
pub struct Race {
    /// Run CMD in each of them at once, by sh -c; it finds its number in BACKTRAIL_FORK and its branch in
    /// BACKTRAIL_BRANCH
    #[arg(long, value_name = "CMD")]
    pub run: Option<String>,
    /// Then score each by CMD in its own view: exit code 0 is better, then the number in its last line of output, the
    /// higher the better
    #[arg(long, value_name = "CMD", requires = "run")]
    pub score: Option<String>,
    /// Remove the branches of all but the K best (had back by `backtrail undo`)
    #[arg(long, value_name = "K", requires = "run")]
    pub keep: Option<usize>,
    /// End each command after this time: 90s, 15m, 2h
    #[arg(long, value_name = "TIME", requires = "run")]
    pub timeout: Option<String>,
    /// So many at a time [default: all]
    #[arg(long, value_name = "J", requires = "run")]
    pub jobs: Option<usize>,
}

/// `freeze`, `thaw`, `kill`
#[derive(Debug, Args)]
pub struct OneSession {
    /// The session: the beginning of its id, its agent's name, the branch on whose fork it runs, or all
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `open`
#[derive(Debug, Args)]
pub struct Open {
    /// A recording, a directory of recordings, or - for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub what: PathBuf,
    /// How the screen is drawn.
    #[command(flatten)]
    pub screen: Screen,
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// Recordings, or directories of recordings
    #[arg(value_name = "FILE|DIR", required = true)]
    pub what: Vec<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `sessions`
#[derive(Debug, Args)]
pub struct Sessions {
    /// All recordings that agents keep on this machine, also those made without Backtrail
    #[arg(long, conflicts_with = "trace")]
    pub all: bool,
    /// With --all: at most N
    #[arg(short = 'n', long = "limit", value_name = "N", requires = "all")]
    pub limit: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `stop`
#[derive(Debug, Args)]
pub struct Stop {
    /// End running sessions too: their processes are killed
    #[arg(long)]
    pub force: bool,
}

/// `log`
#[derive(Debug, Args)]
pub struct Log {
    /// Draw the lines of the commit graph
    #[arg(long, conflicts_with = "json")]
    pub graph: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// At most N commits
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub limit: Option<usize>,
    /// Only commits of steps that fit QUERY, as in `backtrail search`
    #[arg(long, value_name = "QUERY", conflicts_with = "graph")]
    pub filter: Option<String>,
}

/// `show`
#[derive(Debug, Args)]
pub struct Show {
    /// Which commit
    #[arg(value_name = "REV", default_value = "@")]
    pub rev: String,
    /// Files and counts instead of the lines themselves
    #[arg(long, conflicts_with = "json")]
    pub stat: bool,
    /// The records of the trace that the step was read from, as they are
    #[arg(long, conflicts_with = "stat")]
    pub raw: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// From
    #[arg(value_name = "A")]
    pub a: String,
    /// To [default: the workspace as it is now]
    #[arg(value_name = "B")]
    pub b: Option<String>,
    /// Only these files and directories
    #[arg(value_name = "PATH", last = true)]
    pub paths: Vec<PathBuf>,
    /// The facts in the agent's own state instead of the files
    #[arg(long, conflicts_with_all = ["stat", "paths"])]
    pub state: bool,
    /// Files and counts instead of the lines themselves
    #[arg(long, conflicts_with = "json")]
    pub stat: bool,
    /// One JSON object a line, one for each changed file
    #[arg(long)]
    pub json: bool,
}

/// `cat`
#[derive(Debug, Args)]
pub struct Cat {
    /// A revision and a path in the project
    #[arg(value_name = "REV:PATH")]
    pub what: OsString,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct Rollback {
    /// The state to go to
    #[arg(value_name = "REV")]
    pub rev: String,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Give the files their old modification times (build tools may then take newer results for fresh)
    #[arg(long)]
    pub keep_mtime: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `checkpoint`
#[derive(Debug, Args)]
pub struct Checkpoint {
    /// A line for people; a commit is made even when nothing has changed
    #[arg(short = 'm', long, value_name = "MSG")]
    pub message: Option<String>,
    /// Keep the agent's own state with it: JSON from FILE (- for standard input)
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// One JSON object a line, one for each commit made
    #[arg(long)]
    pub json: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// The past state
    #[arg(value_name = "REV")]
    pub rev: String,
    /// Files and directories to be as they were then; those that were not there are removed
    #[arg(value_name = "PATH", last = true, required_unless_present = "output")]
    pub paths: Vec<PathBuf>,
    /// Write the agent's own state to this file (- for standard output); what is there is replaced
    #[arg(short = 'o', long, value_name = "FILE", conflicts_with = "paths")]
    pub output: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long, conflicts_with = "output")]
    pub dry_run: bool,
    /// One JSON object
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// `label`
#[derive(Debug, Args)]
pub struct Label {
    /// The label's name; without one, all labels and branches are listed
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// What it names
    #[arg(value_name = "REV", default_value = "@", requires = "name")]
    pub rev: String,
    /// Remove the label
    #[arg(long, requires = "name", conflicts_with = "rev")]
    pub remove: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `branch`
#[derive(Debug, Args)]
pub struct Branch {
    /// What to do [default: list]
    #[command(subcommand)]
    pub verb: Option<BranchVerb>,
}

/// `branch ...`
#[derive(Debug, Subcommand)]
pub enum BranchVerb {
    /// List the branches with their latest commits
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make a branch; the workspace stays where it is
    Create {
        /// Its name, as git would allow it
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it begins [default: the latest commit]
        #[arg(value_name = "REV")]
        rev: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Give a branch another name
    Rename {
        /// Its name now
        #[arg(value_name = "OLD")]
        from: String,
        /// The new one
        #[arg(value_name = "NEW")]
        to: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove a branch; its commits stay
    Delete {
        /// Which
        #[arg(value_name = "NAME")]
        name: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove the branches whose latest commit is on another branch as well
    Prune {
        /// Only say which
        #[arg(long)]
        dry_run: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `switch`
#[derive(Debug, Args)]
pub struct Switch {
    /// The branch to go to
    #[arg(value_name = "BRANCH")]
    pub branch: String,
    /// Make it, beginning where the workspace is
    #[arg(short = 'c', long)]
    pub create: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `compare`
#[derive(Debug, Args)]
pub struct Compare {
    /// A branch or another revision
    #[arg(value_name = "A")]
    pub a: String,
    /// The one to hold it against
    #[arg(value_name = "B", default_value = "@")]
    pub b: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `ask`
#[derive(Debug, Args)]
pub struct Ask {
    /// Steps or revisions that it is about [default: the latest steps], then the question, in quotes
    #[arg(value_name = "STEP|REV... QUESTION", required = true)]
    pub words: Vec<String>,
    /// Print what would be sent, without the secrets that are taken out, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Another model than the one configured
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// One JSON object, when the answer is whole
    #[arg(long)]
    pub json: bool,
}

/// `export`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("how").required(true).multiple(true).args(["patch", "git_branch", "output"])))]
pub struct Export {
    /// A branch or another revision [default: the workspace as it is now]
    #[arg(value_name = "REV")]
    pub rev: Option<String>,
    /// What it is held against [default: where it parted from the workspace's branch; the first state for that branch
    /// itself]
    #[arg(long, value_name = "REV")]
    pub from: Option<String>,
    /// Write a patch that `git apply` takes to FILE (- for standard output)
    #[arg(long, value_name = "FILE")]
    pub patch: Option<PathBuf>,
    /// Write the state with all that led to it (commits, files, steps and their texts) into one file, which `open` and
    /// `import` take
    #[arg(short = 'o', long, value_name = "FILE", conflicts_with_all = ["patch", "git_branch", "from"])]
    pub output: Option<PathBuf>,
    /// Make a branch in the project's git repository; HEAD, the index and the files stay as they are
    #[arg(long, value_name = "NAME")]
    pub git_branch: Option<String>,
    /// What a commit of the branch stands for
    #[arg(long, value_enum, default_value_t = ExportPer::Turn, requires = "git_branch")]
    pub per: ExportPer,
    /// Take files along that git ignores and does not track
    #[arg(long)]
    pub ignored: bool,
    /// Move a branch of that name
    #[arg(long, requires = "git_branch")]
    pub force: bool,
    /// One JSON object for each of the two
    #[arg(long)]
    pub json: bool,
}

/// What a commit of an exported branch stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportPer {
    /// A step
    Step,
    /// From one prompt to the next
    Turn,
}

/// How conflicts are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ResolverArg {
    /// By a person.
    #[default]
    Manual,
    /// As the branch that is merged into has it.
    Ours,
    /// As the merged one has it.
    Theirs,
    /// By the language model that is configured. Without a terminal what it resolved is marked unreviewed; with one it
    /// is to be looked at before the merge is finished.
    Llm,
}

/// `merge`
#[derive(Debug, Default, Args)]
#[command(group = clap::ArgGroup::new("for_model").args(["branch", "dry_run"]).multiple(true))]
pub struct Merge {
    /// What to merge: a branch or another revision [default: go on with the unfinished merge]
    #[arg(value_name = "BRANCH", required_unless_present_any = ["status", "go_on", "abort", "pick", "unpick", "markers", "read_markers", "show", "dry_run"], conflicts_with_all = ["status", "go_on", "abort", "unpick", "show"])]
    pub branch: Option<String>,
    /// The branch to merge into [default: the one that the workspace is on]
    #[arg(long, value_name = "B", requires = "branch")]
    pub into: Option<String>,
    /// Only look. With `--resolver llm` and no BRANCH: print what a model would be asked about the unfinished merge, and send
    /// nothing
    #[arg(long, conflicts_with_all = ["pick", "markers", "read_markers", "keep_conflicts", "status", "go_on", "abort", "unpick", "show"])]
    pub dry_run: bool,
    /// Who settles conflicts
    #[arg(
        long,
        value_name = "WHO",
        value_enum,
        default_value_t,
        requires = "for_model"
    )]
    pub resolver: ResolverArg,
    /// Another model than the one configured
    #[arg(long, value_name = "NAME", requires = "for_model")]
    pub model: Option<String>,
    /// A line for people, for the merge's commit
    #[arg(short = 'm', long, value_name = "MSG")]
    pub message: Option<String>,
    /// Finish it also with conflicts: the commit keeps them, the files have ours there; see `conflicts` and `resolve`
    #[arg(long)]
    pub keep_conflicts: bool,
    /// Show the unfinished merge
    #[arg(long)]
    pub status: bool,
    /// Finish the unfinished merge
    #[arg(long = "continue", conflicts_with_all = ["status", "abort"])]
    pub go_on: bool,
    /// Forget the unfinished merge
    #[arg(long, conflicts_with_all = ["status", "pick", "markers", "read_markers", "show", "unpick"])]
    pub abort: bool,
    /// Settle a conflict, or a hunk of it (numbered from 1): PATH=ours, PATH#2=FILE, @state#1=theirs for the agent's
    /// state; with nothing behind the = it is unsettled again
    #[arg(long, value_name = "PATH[#HUNK]=ours|theirs|both|base|FILE")]
    pub pick: Vec<OsString>,
    /// Take the last pick back
    #[arg(long, conflicts_with = "pick")]
    pub unpick: bool,
    /// Show one conflict: both sides, what was there before, and why each side is as it is
    #[arg(long, value_name = "PATH")]
    pub show: Option<OsString>,
    /// Write the files in conflict with git's markers below DIR, for other tools
    #[arg(long, value_name = "DIR")]
    pub markers: Option<PathBuf>,
    /// Read back what other tools made of those files
    #[arg(long, value_name = "DIR")]
    pub read_markers: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `land`
#[derive(Debug, Args)]
pub struct Land {
    /// The fork's branch
    #[arg(value_name = "BRANCH")]
    pub branch: String,
    /// Only look
    #[arg(long)]
    pub dry_run: bool,
    /// Who settles conflicts
    #[arg(long, value_name = "WHO", value_enum, default_value_t)]
    pub resolver: ResolverArg,
    /// A line for people, for the merge's commit
    #[arg(short = 'm', long, value_name = "MSG")]
    pub message: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `conflicts`
#[derive(Debug, Args)]
pub struct Conflicts {
    /// As of this revision
    #[arg(value_name = "REV")]
    pub rev: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `resolve`
#[derive(Debug, Args)]
pub struct Resolve {
    /// The commit that left conflicts open, or a branch [default: the nearest one of the workspace's branch]
    #[arg(value_name = "REV")]
    pub rev: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `emit`
#[derive(Debug, Args)]
pub struct Emit {
    /// The session of events that do not name one, by the agent's own id [default: the session that runs us]
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

/// `steps`
#[derive(Debug, Args)]
pub struct Steps {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Only the last N steps
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub limit: Option<usize>,
    /// Only steps that fit QUERY, as in `backtrail search`
    #[arg(long, value_name = "QUERY")]
    pub filter: Option<String>,
}

/// `search`
#[derive(Debug, Args)]
pub struct SearchFor {
    /// Words of any text of a step, and terms: kind:bash exit:!0 path:src/** text:~REGEX by:agent step:10..20 is:failed;
    /// ! before a term turns it round, a,b is one or the other
    #[arg(value_name = "QUERY", required = true)]
    pub query: Vec<String>,
    /// Only the last N hits
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub limit: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `op`
#[derive(Debug, Args)]
pub struct Op {
    /// Which.
    #[command(subcommand)]
    pub verb: OpVerb,
}

/// `op ...`
#[derive(Debug, Subcommand)]
pub enum OpVerb {
    /// List the operations, newest first
    Log {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// At most N operations
        #[arg(short = 'n', long = "limit", value_name = "N")]
        limit: Option<usize>,
    },
    /// Show what an operation changed: branches, labels and files
    Show {
        /// Its number, the beginning of its id, or @ for the newest
        #[arg(value_name = "OP", default_value = "@")]
        op: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Set files, branches and labels to what they were right after an operation
    Restore {
        /// Its number, the beginning of its id, or @ for the newest
        #[arg(value_name = "OP")]
        op: String,
        /// To what they were before it
        #[arg(long)]
        before: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Reverse one operation and nothing else
    Revert {
        /// Its number, the beginning of its id, or @ for the newest
        #[arg(value_name = "OP")]
        op: String,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the temporary directory and say where it is
    #[arg(long)]
    pub keep: bool,
    /// The process that shows, in a directory that is laid out.
    #[arg(long, hide = true)]
    pub stage: Option<PathBuf>,
    /// How the screen is drawn.
    #[command(flatten)]
    pub screen: Screen,
}

/// `enter`; written by [`crate::agent::Place::to_args`].
#[derive(Debug, Args)]
pub struct Enter {
    /// What is to be seen at the project's path.
    #[arg(long)]
    pub view: PathBuf,
    /// The project's path.
    #[arg(long = "at")]
    pub at: PathBuf,
    /// Working directory below it.
    #[arg(long, allow_hyphen_values = true)]
    pub below: Option<PathBuf>,
    /// Directory of the cgroup to join.
    #[arg(long)]
    pub cgroup: Option<PathBuf>,
    /// The session's socket.
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// Directories to hide.
    #[arg(long)]
    pub mask: Vec<PathBuf>,
    /// Begin a terminal session.
    #[arg(long)]
    pub terminal: bool,
    /// Without namespaces.
    #[arg(long)]
    pub plain: bool,
    /// Only try.
    #[arg(long)]
    pub probe: bool,
    /// The command.
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

impl Enter {
    /// The place that it describes.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            cgroup: self.cgroup.clone(),
            view: self.view.clone(),
            project: self.at.clone(),
            below: self.below.clone().unwrap_or_default(),
            socket: self.socket.clone(),
            mask: self.mask.clone(),
            terminal: self.terminal,
            plain: self.plain,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_leaves_the_commands_own_options_alone() {
        for line in [
            &["backtrail", "run", "--", "ls", "-C", "--json"][..],
            &["backtrail", "run", "ls", "-C", "--json"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            let Some(Verb::Run(run)) = cli.verb else {
                panic!("not run");
            };
            assert_eq!(run.command, ["ls", "-C", "--json"]);
            assert_eq!(cli.project, None);
        }
        assert!(Cli::try_parse_from(["backtrail", "run"]).is_err());
    }

    #[test]
    fn the_project_can_stand_before_and_after_the_verb() {
        for line in [
            &["backtrail", "-C", "d", "log"][..],
            &["backtrail", "log", "-C", "d"],
            &["backtrail", "--project", "d", "log"],
        ] {
            assert_eq!(
                Cli::try_parse_from(line).unwrap().project,
                Some(PathBuf::from("d"))
            );
        }
    }

    #[test]
    fn a_place_survives_the_command_line() {
        let place = Place {
            cgroup: Some("/c".into()),
            view: "/v".into(),
            project: "/-p".into(),
            below: "-a b".into(),
            socket: Some("/s".into()),
            mask: vec!["/m".into(), "/n".into()],
            terminal: true,
            plain: true,
        };
        let mut line = vec![OsString::from("backtrail")];
        line.extend(place.to_args());
        line.extend(["--".into(), "ls".into(), "--probe".into()]);
        let Some(Verb::Enter(enter)) = Cli::try_parse_from(line).unwrap().verb else {
            panic!("not enter");
        };
        assert_eq!(enter.command, ["ls", "--probe"]);
        assert!(!enter.probe);
        assert_eq!(enter.place(), place);
    }
}
