//! Asking a model about a part in conflict: what is under way, what came, and what goes wrong.
//!
//! What a model says is checked before it comes here, and is only ever shown. It belongs to the part as it was when it was
//! asked about: when the merge is made again, it is forgotten.

use std::collections::{HashMap, VecDeque};

use ratatui::text::{Line, Span};

use crate::engine::api::Request;
use crate::engine::assist::{Ask, Error, HunkAsk, News, Proposal, Refused, Sent};
use crate::llm::Usage;
use crate::model::RepoPath;
use crate::ui::action::Action;
use crate::ui::app::{App, Overlay, Tone, View};
use crate::ui::draw::key_of;
use crate::ui::line::{LineInput, Purpose};
use crate::ui::msg::{Effect, Slot, Tag};
use crate::ui::text;
use crate::ui::theme::Token;
use crate::ui::update::toast;
use crate::ui::words;

use super::right::Text;
use super::subject::{About, Subject};
use super::{Focus, MergeTag, MergeView, Right, offers, open_mut, view_mut};

/// Proposals asked for at a time.
const WANT: usize = 3;

/// How a question stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Asking,
    Done,
    Failed(String),
    Cancelled,
}

/// What was said about a part.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    pub stamp: u64,
    pub state: State,
    pub sent: Option<Sent>,
    pub streamed: String,
    pub usage: Option<Usage>,
    pub proposals: Vec<Proposal>,
    pub refused: Vec<Refused>,
    pub instructions: Vec<String>,
}

/// A part of a file.
pub(crate) type Place = (RepoPath, usize);

/// All that was asked.
#[derive(Debug, Default)]
pub(crate) struct Talks {
    pub by_place: HashMap<Place, Talk>,
    /// The one that is under way.
    pub asking: Option<Place>,
    /// To be asked one after the other.
    pub queue: VecDeque<Place>,
}

/// The place that is looked at, where a model can be asked about it.
pub(crate) fn place(view: &MergeView) -> Result<Place, &'static str> {
    let Some(subject) = &view.subject else {
        return Err("there is no conflict");
    };
    match &subject.about {
        About::State(_) => {
            Err("no model is asked about the agent's own state: take a side, or edit it")
        }
        About::File(_) if subject.is_whole() => {
            Err("it has no lines that could be proposed: take a side")
        }
        About::File(path) => Ok((path.clone(), view.part)),
    }
}

/// The talk about what is looked at.
pub(crate) fn talk(view: &MergeView) -> Option<&Talk> {
    view.talks.by_place.get(&place(view).ok()?)
}

/// `a`: asks about the part, or asks again.
pub(crate) fn ask(app: &mut App, out: &mut Vec<Effect>) {
    let stacked = super::draw::stacked(app);
    let Some(view) = open_mut(app) else { return };
    match place(view) {
        Ok(place) => {
            view.right = Right::Assist;
            if stacked {
                view.focus = Focus::Right;
            }
            view.right_top = 0;
            view.target = 0;
            view.shown = None;
            view.talks.queue.retain(|p| *p != place);
            view.talks.queue.push_front(place);
            stop(view, out);
            next(app, out);
        }
        Err(why) => toast(app, Tone::Note, why.to_owned(), &[], out),
    }
}

/// `A`: asks about every part that is left, one after the other.
pub(crate) fn ask_all(app: &mut App, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    let Some(info) = view.info.clone() else {
        return;
    };
    let here = view.subject.as_ref();
    let mut wanted = VecDeque::new();
    for conflict in info.conflicts.iter().filter(|c| !c.done) {
        for n in 0..conflict.hunks {
            let settled = here.is_some_and(|s: &Subject| {
                s.about == About::File(conflict.path.clone())
                    && s.part(n).is_some_and(|p| p.pick.is_some())
            });
            let place = (conflict.path.clone(), n);
            let known = view.talks.by_place.get(&place);
            let answered = known.is_some_and(|t| t.state == State::Done);
            let asking = view.talks.asking.as_ref() == Some(&place);
            if !settled && !answered && !asking {
                wanted.push_back(place);
            }
        }
    }
    // What is looked at comes first.
    if let Ok(here) = place(view)
        && let Some(at) = wanted.iter().position(|p| *p == here)
    {
        wanted.rotate_left(at);
    }
    view.right = Right::Assist;
    let n = wanted.len();
    view.talks.queue = wanted;
    let words = match n {
        0 => "nothing is left to be asked about".to_owned(),
        n => format!(
            "asking about {}; each proposal is still to be accepted",
            text::plural(n as u64, "part")
        ),
    };
    toast(app, Tone::Note, words, &[], out);
    next(app, out);
}

/// `i`: a line with what the model is to do.
pub(crate) fn instruct(app: &mut App, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    match place(view) {
        Ok((path, part)) => {
            let purpose = Purpose::Instruct { path, part };
            app.overlay = Some(Overlay::Line(LineInput::new(purpose)));
        }
        Err(why) => toast(app, Tone::Note, why.to_owned(), &[], out),
    }
}

/// The line was typed.
pub(crate) fn instructed(app: &mut App, place: Place, typed: String, out: &mut Vec<Effect>) {
    let Some(view) = open_mut(app) else { return };
    if typed.is_empty() {
        return;
    }
    let talk = view.talks.by_place.entry(place).or_insert_with(|| Talk {
        stamp: 0,
        state: State::Done,
        sent: None,
        streamed: String::new(),
        usage: None,
        proposals: Vec::new(),
        refused: Vec::new(),
        instructions: Vec::new(),
    });
    talk.instructions.push(typed);
    ask(app, out);
}

/// Ends what is under way.
fn stop(view: &mut MergeView, out: &mut Vec<Effect>) {
    if let Some(place) = view.talks.asking.take() {
        out.push(Effect::Cancel(Slot::Ask));
        if let Some(talk) = view.talks.by_place.get_mut(&place) {
            talk.state = State::Cancelled;
        }
    }
}

/// Ends what is under way and what was to follow. `false` when there was nothing.
pub(crate) fn cancel(view: &mut MergeView, out: &mut Vec<Effect>) -> bool {
    let was = view.talks.asking.is_some();
    view.talks.queue.clear();
    stop(view, out);
    was
}

/// Forgets everything: the merge is another one.
pub(crate) fn forget(view: &mut MergeView, out: &mut Vec<Effect>) {
    cancel(view, out);
    view.talks.by_place.clear();
    view.shown = None;
}

/// Asks what is to be asked next.
fn next(app: &mut App, out: &mut Vec<Effect>) {
    app.stamp += 1;
    let stamp = app.stamp;
    let root = root(app);
    let Some(view) = view_mut(app) else { return };
    if view.talks.asking.is_some() {
        return;
    }
    let Some(place) = view.talks.queue.pop_front() else {
        return;
    };
    let before = view.talks.by_place.remove(&place);
    let (earlier, instructions) = before.map_or_else(
        || (Vec::new(), Vec::new()),
        |t| (t.proposals, t.instructions),
    );
    let talk = Talk {
        stamp,
        state: State::Asking,
        sent: None,
        streamed: String::new(),
        usage: None,
        proposals: Vec::new(),
        refused: Vec::new(),
        instructions: instructions.clone(),
    };
    // A hunk that is on the screen is asked about as it is there.
    let subject = view
        .subject
        .as_ref()
        .filter(|s| s.about == About::File(place.0.clone()));
    let seen = subject.and_then(|s| s.part(place.1)).map(|part| {
        let sides = &part.sides;
        [&sides.ours, &sides.base, &sides.theirs].map(Clone::clone)
    });
    let ask = HunkAsk {
        path: place.0.clone(),
        hunk: place.1,
        want: WANT,
        instructions,
        earlier,
        seen,
    };
    view.talks.by_place.insert(place.clone(), talk);
    view.talks.asking = Some(place);
    out.push(Effect::Assist(stamp, Ask::Hunk(ask), root));
}

/// The project's directory, whose settings may say which model.
pub(crate) fn root(app: &App) -> Option<std::path::PathBuf> {
    let status = app.status.as_ref().filter(|_| !app.recording())?;
    Some(std::path::PathBuf::from(&status.project))
}

/// Something came. `false` when it is for somebody else.
pub(crate) fn news(app: &mut App, stamp: u64, news: News, out: &mut Vec<Effect>) -> bool {
    let Some(view) = view_mut(app) else {
        return false;
    };
    let found = view
        .talks
        .by_place
        .iter_mut()
        .find(|(_, t)| t.stamp == stamp);
    let Some((place, talk)) = found else {
        return false;
    };
    let place = place.clone();
    let (mut over, mut stale) = (true, false);
    match news {
        News::Prompt(sent) => {
            talk.sent = Some(sent);
            over = false;
        }
        News::Text(piece) => {
            talk.streamed.push_str(&piece);
            over = false;
        }
        News::Usage(usage) => {
            talk.usage = Some(usage);
            over = false;
        }
        News::Proposals(found) => {
            talk.state = State::Done;
            talk.proposals = found.proposals;
            talk.refused = found.refused;
        }
        News::Answer(answer) => {
            talk.state = State::Done;
            talk.streamed = answer.text;
        }
        News::Failed(error) => {
            stale = matches!(error, Error::Stale { .. });
            talk.state = State::Failed(error.to_string());
        }
    }
    if !over {
        return true;
    }
    if stale {
        let tag = Tag::Merge(MergeTag::Standing);
        out.push(Effect::Ask(None, tag, Request::Merging));
    }
    let failed = matches!(talk.state, State::Failed(_));
    view.talks.asking = None;
    view.offers += 1;
    if failed {
        // What would follow fails the same way.
        view.talks.queue.clear();
    }
    let here = self::place(view).ok().as_ref() == Some(&place);
    let settled = view
        .subject
        .as_ref()
        .is_some_and(|s| s.picked(view.part).is_some());
    if here && !failed && !settled && view.right == Right::Assist && view.editor.is_none() {
        show_first(view);
    }
    let open = matches!(app.view, Some(View::Merge(_)));
    if open {
        next(app, out);
    }
    true
}

/// Shows the best of what was proposed now.
fn show_first(view: &mut MergeView) {
    let all = offers::offers(view);
    let first = all
        .iter()
        .position(|o| matches!(o.from, offers::From::Model(_)));
    if let Some(first) = first.filter(|_| view.shown.is_none()) {
        view.shown = Some(first);
        view.seek();
    }
}

/// The model and what it cost, for the edge of the pane.
pub(crate) fn cost(view: &MergeView) -> String {
    let Some(talk) = talk(view) else {
        return String::new();
    };
    let model = talk.sent.as_ref().map(|s| text::one_line(&s.model));
    let model = model.unwrap_or_default();
    match &talk.usage {
        Some(usage) => {
            let about = if usage.estimated { "about " } else { "" };
            let n = words::count(usage.input.saturating_add(usage.output));
            format!("  {model}  {about}{n} tok")
        }
        None if model.is_empty() => String::new(),
        None => format!("  {model}"),
    }
}

/// What the pane says.
pub(crate) fn text(app: &App, view: &MergeView, width: usize) -> Text {
    let mut out = Text::default();
    let talk = talk(view);
    if let Some(talk) = talk {
        standing(app, view, talk, width, &mut out);
    }
    let offers = offers::offers(view);
    if offers.is_empty() && talk.is_none() {
        match place(view) {
            Ok(_) => {
                let words = format!("nothing is proposed; {} asks", key_of(app, Action::Ask));
                out.wrapped(app, &words, width, Token::Dim);
            }
            Err(why) => out.wrapped(app, why, width, Token::Dim),
        }
    }
    if !offers.is_empty() {
        out.blank();
        offers::text(app, view, &offers, width, &mut out);
    }
    let waiting = view.talks.queue.len();
    if waiting > 0 {
        out.blank();
        let words = format!(
            "{} to be asked about",
            text::plural(waiting as u64, "more part")
        );
        out.wrapped(app, &words, width, Token::Dim);
    }
    if let Some((words, token)) = super::check::standing(app, view) {
        out.blank();
        let words = format!("checks  {words}  ({})", key_of(app, Action::MergeCheck));
        out.wrapped(app, &words, width, token);
    }
    out
}

fn standing(app: &App, view: &MergeView, talk: &Talk, width: usize, out: &mut Text) {
    let theme = app.look.theme;
    match &talk.state {
        State::Asking => {
            let words = match &talk.sent {
                None => "gathering what it is to know".to_owned(),
                Some(sent) => sent_words(sent),
            };
            out.wrapped(app, &words, width, Token::Dim);
            for line in talk.streamed.lines() {
                out.wrapped(app, &text::one_line(line), width, Token::Thought);
            }
            let ellipsis = app.look.glyphs.ellipsis;
            let words = format!("{ellipsis} {} cancels", key_of(app, Action::Close));
            out.push(Line::from(Span::styled(words, theme.style(Token::Warn))));
        }
        State::Failed(why) => {
            for line in why.lines() {
                out.wrapped(app, &text::one_line(line), width, Token::Bad);
            }
            let words = format!("{} asks again", key_of(app, Action::Ask));
            out.wrapped(app, &words, width, Token::Dim);
        }
        State::Cancelled => {
            let words = format!("cancelled; {} asks again", key_of(app, Action::Ask));
            out.wrapped(app, &words, width, Token::Dim);
        }
        State::Done => {
            if view.shown.is_none() && !talk.proposals.is_empty() {
                let words = "proposed, and not in the result before you accept it:";
                out.wrapped(app, words, width, Token::Dim);
            }
        }
    }
    for said in &talk.instructions {
        let words = format!("you: {}", text::one_line(said));
        out.wrapped(app, &words, width, Token::Prompt);
    }
    for refused in &talk.refused {
        let why = text::one_line(&refused.why);
        let words = format!(
            "proposal {} of its answer is not shown: {why}",
            refused.number
        );
        out.wrapped(app, &words, width, Token::Warn);
    }
}

/// What was sent to whom, in a line.
pub(crate) fn sent_words(sent: &Sent) -> String {
    let mut words = format!(
        "asking {}, {} tokens",
        text::one_line(&sent.to),
        text::grouped(sent.tokens)
    );
    let secrets: usize = sent.redacted.iter().map(|(_, n)| n).sum();
    if secrets > 0 {
        let n = text::plural(secrets as u64, "secret");
        words.push_str(&format!("; {n} taken out"));
    }
    if !sent.left_out.is_empty() {
        let n = text::plural(sent.left_out.len() as u64, "text");
        words.push_str(&format!("; {n} left out for length"));
    }
    words
}
