//! What keys, news and time do to the live view.

use std::time::Duration;

use crate::engine::api::{ApiError, LiveSession, Request, Response, TerminalAnswer, TerminalQuery};
use crate::model::{Session, SessionId};

use super::jobs::{News, Work};
use super::{Known, LiveView, Shown, draw, keys, open, open_mut, runs};
use crate::ui::action::{Action, Context, Meaning};
use crate::ui::app::{App, Overlay, Tone, View};
use crate::ui::keys::Key;
use crate::ui::msg::{Effect, Tag, Timer};
use crate::ui::play;
use crate::ui::text;
use crate::ui::update::{failed, toast};

/// How long an agent that is stopped may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cells by which the terminal is scrolled sideways.
const BY: u16 = 8;

/// Opens the live view.
pub(crate) fn enter(app: &mut App) {
    app.live.behind = false;
    app.view = Some(View::Live(Box::default()));
}

/// The live view again, when it lies behind one that is closed.
pub(crate) fn behind(app: &mut App) -> Option<View> {
    std::mem::take(&mut app.live.behind).then(|| View::Live(Box::<LiveView>::default()))
}

/// Why an action of this view cannot be done.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    match action {
        Action::Freeze if app.agent_runs() => Ok(()),
        Action::Freeze | Action::Slower | Action::Faster => play::enabled(app),
        Action::StopAgent if !app.agent_runs() => no("no agent is running"),
        Action::NextSession | Action::PrevSession if sessions(app).len() < 2 => {
            no("no other agent is running")
        }
        Action::Attach => match (&app.live.shown.known, app.live.shown.over) {
            (_, Some(_)) => no("the agent has ended"),
            (Known::Terminal(info), None) if info.socket.is_some() => Ok(()),
            (Known::Terminal(_), None) => no("the agent has ended; its recorded terminal is shown"),
            (Known::Asked, None) => no("the terminal was asked for and is not there yet"),
            _ => no("only an agent that backtrail run started in a terminal can be attached to"),
        },
        Action::Detach if !open(app).is_some_and(|v| v.attached) => no("you are not attached"),
        Action::Zoom if app.live.shown.known == Known::Nothing => no("there is no terminal"),
        _ => Ok(()),
    }
}

/// The sessions that run.
pub(crate) fn sessions(app: &App) -> &[LiveSession] {
    let live = app.status.as_ref().filter(|_| app.live());
    live.map_or(&[], |s| &s.sessions)
}

/// The name of a session, with its letter where there are several.
pub(crate) fn name(app: &App, id: SessionId) -> String {
    let session = sessions(app).iter().find(|s| s.session.id == id);
    let agent = session.map_or_else(
        || "the agent".to_owned(),
        |s| text::one_line(&s.session.agent),
    );
    match app.live.letter(id).filter(|_| app.live.letters.len() > 1) {
        Some((letter, _)) => format!("{agent} ({letter})"),
        None => agent,
    }
}

/// The session whose terminal is meant: the chosen one, the one that is shown, or the first that runs.
fn meant(app: &App) -> Option<SessionId> {
    let chosen = app.live.chosen.filter(|c| runs(app, *c));
    let first = || sessions(app).first().map(|s| s.session.id);
    chosen
        .or_else(|| app.live.shown.who.filter(|w| runs(app, *w)))
        .or_else(first)
}

/// Freezes or thaws: in the live view the agent whose terminal is shown, elsewhere all. Where none runs, plays or pauses.
pub(crate) fn freeze(app: &mut App, out: &mut Vec<Effect>) {
    if !app.agent_runs() {
        return play::toggle(app, out);
    }
    let one = meant(app).filter(|_| open(app).is_some() && sessions(app).len() > 1);
    let frozen = match one {
        Some(id) => !sessions(app).iter().any(|s| s.session.id == id && s.frozen),
        None => !app.frozen(),
    };
    app.live.meant = match (one.or_else(|| meant(app)), sessions(app).len()) {
        (Some(id), 1) => name(app, id),
        (Some(id), _) if one.is_some() => name(app, id),
        (_, n) => format!("all {n} agents"),
    };
    let request = Request::Freeze {
        session: one,
        frozen,
    };
    out.push(Effect::Ask(None, Tag::Freeze(frozen), request));
}

/// Does an action of this view.
pub(crate) fn act(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    match action {
        Action::ViewLive => enter(app),
        Action::Attach => attach(app, out),
        Action::Detach => detach(app, out),
        Action::Zoom => {
            if let Some(view) = open_mut(app) {
                view.zoom = !view.zoom;
            }
        }
        Action::NextSession => choose(app, true),
        Action::PrevSession => choose(app, false),
        Action::Slower => play::change_speed(app, false, out),
        Action::Faster => play::change_speed(app, true, out),
        Action::StopAgent => {
            if let Some(id) = meant(app) {
                let name = name(app, id);
                app.overlay = Some(Overlay::Stop { session: id, name });
            }
        }
        Action::StopYes => stop(app, out),
        _ => {}
    }
}

fn choose(app: &mut App, forward: bool) {
    let all: Vec<SessionId> = sessions(app).iter().map(|s| s.session.id).collect();
    let at = meant(app).and_then(|m| all.iter().position(|s| *s == m));
    let by = if forward {
        1
    } else {
        all.len().saturating_sub(1)
    };
    let to = at.map_or(0, |at| (at + by) % all.len().max(1));
    app.live.chosen = all.get(to).copied();
}

fn attach(app: &mut App, out: &mut Vec<Effect>) {
    let Some(who) = app.live.shown.who else {
        return;
    };
    if let Some(view) = open_mut(app) {
        view.attached = true;
        view.crop = None;
    }
    // The size of the pane as it will be.
    let size = draw::room(app);
    out.push(Effect::Live(Work::Watch(who, Some(size))));
}

/// Gives the keys back.
pub(crate) fn detach(app: &mut App, out: &mut Vec<Effect>) {
    if let Some(view) = open_mut(app)
        && std::mem::take(&mut view.attached)
        && let Some(who) = app.live.shown.who
    {
        out.push(Effect::Live(Work::Watch(who, None)));
    }
}

fn stop(app: &mut App, out: &mut Vec<Effect>) {
    let Some(Overlay::Stop { session, name }) = app.overlay.take() else {
        return;
    };
    let patience = u64::try_from(PATIENCE.as_millis()).unwrap_or(5000);
    let query = TerminalQuery::Stop { session, patience };
    let words = format!("{name} is asked to end; what is left after 5 s is killed");
    toast(app, Tone::Note, words, &[], out);
    let request = Request::Terminal(query);
    out.push(Effect::Ask(None, Tag::StopAgent(name), request));
}

/// The engine said how an agent ended.
pub(crate) fn stopped(
    app: &mut App,
    name: &str,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    match result {
        Ok(Response::Terminal(TerminalAnswer::Done(how))) => {
            let words = format!("{name} was stopped: {}", text::one_line(&how));
            toast(app, Tone::Good, words, &[], out);
        }
        Ok(_) => {}
        Err(error) => failed(app, &format!("{name} was not stopped"), &error, out),
    }
}

/// A key while the person is attached.
pub(crate) fn attached_key(app: &mut App, key: Key, out: &mut Vec<Effect>) {
    app.pending.clear();
    if let Meaning::Action(Action::Detach, _) = app.feel.keymap.meaning(Context::Live, &[key]) {
        return detach(app, out);
    }
    let application = app
        .live
        .shown
        .now
        .as_ref()
        .is_some_and(|s| s.application_cursor());
    let bytes = keys::bytes(key, application);
    if !bytes.is_empty() {
        out.push(Effect::Live(Work::Type(bytes)));
    }
}

/// Text was pasted. `false` when it is not for the agent.
pub(crate) fn paste(app: &App, text: &str, out: &mut Vec<Effect>) -> bool {
    if !super::attached(app) {
        return false;
    }
    let marked = app
        .live
        .shown
        .now
        .as_ref()
        .is_some_and(|s| s.bracketed_paste());
    out.push(Effect::Live(Work::Type(keys::pasted(text, marked))));
    true
}

/// Scrolls the terminal by keys of the list. `false` when they are for the list.
pub(crate) fn scroll(app: &mut App, n: usize, forward: bool) -> bool {
    let n = u16::try_from(n).unwrap_or(u16::MAX);
    shift(app, |(row, col)| {
        let row = if forward {
            row.saturating_add(n)
        } else {
            row.saturating_sub(n)
        };
        (row, col)
    })
}

/// Scrolls the terminal sideways.
pub(crate) fn sideways(app: &mut App, right: bool) {
    shift(app, |(row, col)| {
        let col = if right {
            col.saturating_add(BY)
        } else {
            col.saturating_sub(BY)
        };
        (row, col)
    });
}

fn shift(app: &mut App, by: impl FnOnce((u16, u16)) -> (u16, u16)) -> bool {
    let Some(view) = open(app).filter(|v| v.in_terminal || v.zoom) else {
        return false;
    };
    let wish = view.crop;
    if let Some(now) = draw::cut(app, wish) {
        let to = by(now);
        let to = draw::cut(app, Some(to));
        if let Some(view) = open_mut(app) {
            view.crop = to;
        }
    }
    true
}

/// Closes what is innermost: attached, zoomed, the terminal's turn. `false` when there is nothing of that.
pub(crate) fn close(app: &mut App, out: &mut Vec<Effect>) -> bool {
    detach(app, out);
    match open_mut(app) {
        Some(view) if view.zoom => view.zoom = false,
        Some(view) if view.in_terminal => {
            view.in_terminal = false;
            view.crop = None;
        }
        _ => return false,
    }
    true
}

/// News of a terminal.
pub(crate) fn news(app: &mut App, news: News, out: &mut Vec<Effect>) {
    let shown = &mut app.live.shown;
    let who = match &news {
        News::Info(who, _)
        | News::Now(who, _)
        | News::Then(who, ..)
        | News::Over(who, _)
        | News::Lost(who, _) => *who,
    };
    if shown.who != Some(who) {
        return;
    }
    match news {
        News::Info(_, Ok(Some(info))) => shown.known = Known::Terminal(Box::new(info)),
        News::Info(_, Ok(None)) => shown.known = Known::Nothing,
        News::Info(_, Err(why)) => shown.known = Known::Failed(why),
        News::Now(_, screen) => {
            shown.now = Some(screen);
            shown.problem = None;
        }
        News::Then(_, at, screen) => shown.then = Some((at, screen)),
        News::Over(_, code) => {
            shown.over = Some(code);
            if let Some(view) = open_mut(app) {
                view.attached = false;
            }
            let words = format!("the agent ended with exit code {code}");
            toast(app, Tone::Note, words, &[], out);
        }
        News::Lost(_, why) => {
            shown.problem = Some(why);
            if let Some(view) = open_mut(app)
                && std::mem::take(&mut view.attached)
            {
                let words = "the agent's terminal is gone".to_owned();
                toast(app, Tone::Bad, words, &[], out);
            }
        }
    }
}

/// All sessions are known: which of them are of one run.
pub(crate) fn told_sessions(app: &mut App, result: Result<Response, ApiError>) {
    let Ok(Response::Sessions(all)) = result else {
        return;
    };
    let is_run = |s: &&Session| !s.cgroup.is_empty() && s.native.starts_with("run-");
    for session in &all {
        let host = all
            .iter()
            .filter(is_run)
            .find(|h| h.cgroup == session.cgroup && h.id != session.id);
        if let Some(host) = host {
            app.live.hosts.insert(session.id, host.id);
        }
    }
}

/// A second has passed.
pub(crate) fn second(app: &mut App, stamp: u64) {
    app.live.second.take_if(|s| *s == stamp);
}

/// Asks for what the view needs and does not have; lets go of what it does not need.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    play::check(app);
    let running: Vec<SessionId> = sessions(app).iter().map(|s| s.session.id).collect();
    for id in running {
        if !app.live.letters.contains(&id) {
            app.live.letters.push(id);
        }
    }
    if open(app).is_none() {
        if app.live.shown.who.is_some() {
            app.live.shown = Shown::default();
            out.push(Effect::Live(Work::Leave));
        }
        return;
    }
    clock(app, out);
    hosts(app, out);
    watch(app, out);
    seek(app, out);
}

/// The header's clock and those of open calls go on while somebody looks at them.
fn clock(app: &mut App, out: &mut Vec<Effect>) {
    if app.agent_runs() && app.live.second.is_none() && !super::still(app) {
        app.stamp += 1;
        app.live.second = Some(app.stamp);
        out.push(Effect::Later(
            Duration::from_secs(1),
            Timer::Second(app.stamp),
        ));
    }
}

/// Sessions that an agent named are told apart by the run that they are of.
fn hosts(app: &mut App, out: &mut Vec<Effect>) {
    if app.recording() {
        return;
    }
    let rows = [app.focus_row(), app.rows.last()];
    let unknown: Vec<SessionId> = rows
        .into_iter()
        .flatten()
        .filter_map(|r| r.session)
        .filter(|s| !app.live.letters.contains(s) && !app.live.asked_hosts.contains(s))
        .collect();
    if !unknown.is_empty() {
        app.live.asked_hosts.extend(unknown);
        out.push(Effect::Ask(None, Tag::LiveSessions, Request::Sessions));
    }
}

/// Watches the terminal that is meant.
fn watch(app: &mut App, out: &mut Vec<Effect>) {
    let of_row = || app.focus_row().and_then(|r| r.session);
    let in_past = !app.follow && app.live.chosen.is_none();
    let wanted = match meant(app) {
        // Who looks at the past of another run sees that run's terminal.
        Some(id) if in_past && !super::attached(app) => {
            let host = of_row().map(|s| app.live.host(s));
            Some(host.or(app.live.shown.who).unwrap_or(id))
        }
        Some(id) => Some(id),
        None => of_row()
            .map(|s| app.live.host(s))
            .or(app.live.shown.who)
            .or_else(|| app.recording().then(|| SessionId::of("recording"))),
    };
    let Some(who) = wanted.filter(|w| app.live.shown.who != Some(*w)) else {
        return;
    };
    app.live.shown = Shown {
        who: Some(who),
        ..Shown::default()
    };
    if let Some(view) = open_mut(app) {
        view.crop = None;
        view.attached = false;
    }
    out.push(Effect::Live(Work::Watch(who, None)));
}

/// Asks for the recorded terminal as it was, unless it is shown as it is.
fn seek(app: &mut App, out: &mut Vec<Effect>) {
    let recorded = matches!(&app.live.shown.known, Known::Terminal(info) if info.recorded > 0 || info.socket.is_some());
    let Some(who) = app.live.shown.who.filter(|_| recorded) else {
        return;
    };
    if super::is_now(app) {
        app.live.shown.asked = None;
        return;
    }
    let Some(time) = play::time(app) else { return };
    if app.live.shown.asked != Some(time) {
        app.live.shown.asked = Some(time);
        out.push(Effect::Live(Work::Seek(who, time)));
    }
}

/// The terminal's pane has another size: the agent is told where that counts.
pub(crate) fn resized(app: &App, out: &mut Vec<Effect>) {
    if super::attached(app) {
        let (cols, rows) = draw::room(app);
        out.push(Effect::Live(Work::Size(cols, rows)));
    }
}

/// Tab: the list, or the terminal.
pub(crate) fn pane(app: &mut App) {
    if let Some(view) = open_mut(app) {
        view.in_terminal = !view.in_terminal;
        view.zoom = false;
    }
}
