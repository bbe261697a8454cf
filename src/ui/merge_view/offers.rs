//! Proposals for the part that is looked at: both changes put together within a line, what a model proposes now, and what
//! was proposed before. Each is shown as a difference in the result; none is there before a person has accepted it.

use ratatui::text::{Line, Span};

use crate::engine::api::ProposalRecord;
use crate::engine::assist::Proposal;
use crate::model::Ordinal;
use crate::ui::app::App;
use crate::ui::text;
use crate::ui::theme::Token;
use crate::ui::words;

use super::right::Text;
use super::{MergeView, assist};

/// Proposals that have a key.
pub(crate) const MOST: usize = 9;

/// Who proposes it.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// The merge itself, within the line.
    Within,
    /// A model, now.
    Model(Box<Proposal>),
    /// A model, before.
    Record(Box<ProposalRecord>),
}

/// A proposal.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// What would stand there.
    pub text: Vec<u8>,
    /// Why.
    pub explanation: String,
    pub cites: Vec<Ordinal>,
    pub drops: Vec<String>,
    pub confidence: String,
    /// What the check has to say.
    pub notes: Vec<String>,
    pub from: From,
}

/// All for the part that is looked at.
pub(crate) fn offers(view: &MergeView) -> Vec<Offer> {
    let Some(subject) = &view.subject else {
        return Vec::new();
    };
    let Some(part) = subject.part(view.part) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if let Some(text) = &part.within {
        out.push(Offer {
            text: text.clone(),
            explanation: "The sides changed different words of the line: this has both changes."
                .to_owned(),
            cites: Vec::new(),
            drops: Vec::new(),
            confidence: String::new(),
            notes: Vec::new(),
            from: From::Within,
        });
    }
    let talk = assist::talk(view);
    for proposal in talk.iter().flat_map(|t| &t.proposals) {
        out.push(Offer {
            text: proposal.text.clone(),
            explanation: proposal.explanation.clone(),
            cites: proposal.cites.clone(),
            drops: proposal.drops.clone(),
            confidence: proposal.confidence.to_string(),
            notes: proposal.notes.clone(),
            from: From::Model(Box::new(proposal.clone())),
        });
    }
    for (_, record) in subject.proposals.iter().filter(|(n, _)| *n == view.part) {
        if out.iter().any(|o| o.text == record.text.0) {
            continue;
        }
        out.push(Offer {
            text: record.text.0.clone(),
            explanation: record.explanation.clone(),
            cites: record.cites.clone(),
            drops: record.drops.clone(),
            confidence: record.confidence.clone(),
            notes: vec!["proposed before".to_owned()],
            from: From::Record(Box::new(record.clone())),
        });
    }
    out.truncate(MOST);
    out
}

/// What the pane says of them: the shown one in full, and a line for each.
pub(crate) fn text(app: &App, view: &MergeView, offers: &[Offer], width: usize, out: &mut Text) {
    if let Some(offer) = view.shown.and_then(|n| offers.get(n)) {
        one(app, offer, width, out);
        out.blank();
    }
    for (n, offer) in offers.iter().enumerate() {
        let theme = app.look.theme;
        let first = text::one_line(offer.explanation.lines().next().unwrap_or_default());
        let room = width.saturating_sub(4);
        let first = text::clip(&first, room, app.look.glyphs.ellipsis).into_owned();
        let token = if view.shown == Some(n) {
            Token::Focus
        } else {
            Token::Text
        };
        out.push(Line::from(vec![
            Span::styled(format!("[{}] ", n + 1), theme.style(Token::Key)),
            Span::styled(first, theme.style(token)),
        ]));
    }
}

/// One in full.
fn one(app: &App, offer: &Offer, width: usize, out: &mut Text) {
    let theme = app.look.theme;
    for line in offer.explanation.lines() {
        out.wrapped(app, &text::one_line(line), width, Token::Text);
    }
    if !offer.confidence.is_empty() {
        let words = format!("confidence {}", text::one_line(&offer.confidence));
        out.wrapped(app, &words, width, Token::Dim);
    }
    for cite in &offer.cites {
        let title = app
            .rows
            .at(*cite)
            .map(|r| format!("{} {}", words::kind(r), text::one_line(&r.title)))
            .unwrap_or_default();
        let head = format!("cites {cite} ");
        let room = width.saturating_sub(text::width(&head));
        let title = text::clip(&title, room, app.look.glyphs.ellipsis).into_owned();
        let line = Line::from(vec![
            Span::styled(head, theme.style(Token::Focus)),
            Span::styled(title, theme.style(Token::Dim)),
        ]);
        out.goes(line, *cite);
    }
    for drop in &offer.drops {
        let words = format!("! drops: {}", text::one_line(drop));
        out.wrapped(app, &words, width, Token::Warn);
    }
    for note in &offer.notes {
        out.wrapped(app, &text::one_line(note), width, Token::Dim);
    }
}
