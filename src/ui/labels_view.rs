//! The labels of a run, in the order of their steps.

use ratatui::text::{Line, Span};

use crate::engine::api::Row;
use crate::model::Ordinal;

use super::action::Action;
use super::app::App;
use super::desk::{self, Deed, List, Sheet};
use super::draw::key_of;
use super::msg::Effect;
use super::text;
use super::theme::Token;
use super::words;

/// A label with its step.
#[derive(Debug, Clone, PartialEq)]
struct Label {
    name: String,
    row: Row,
}

/// The labels.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    items: Vec<Label>,
    shown: Vec<usize>,
}

impl Labels {
    /// Those of the steps that are there.
    pub(crate) fn of(app: &App) -> Self {
        if !matches!(
            desk::open(app).map(|d| &d.list),
            Some(List::Labels(_)) | None
        ) {
            return Self::default();
        }
        let mut items = Vec::new();
        let labelled = app.rows.labelled();
        for row in labelled.into_iter().filter_map(|at| app.rows.get(at)) {
            for name in &row.labels {
                items.push(Label {
                    name: name.strip_prefix("label/").unwrap_or(name).to_owned(),
                    row: row.clone(),
                });
            }
        }
        let shown = (0..items.len()).collect();
        Self { items, shown }
    }

    /// Whether these are the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.items == other.items
    }

    /// How many are listed.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    fn item(&self, at: usize) -> Option<&Label> {
        self.items.get(*self.shown.get(at)?)
    }

    /// Where one leads.
    pub(crate) fn step(&self, at: usize) -> Result<Ordinal, String> {
        let item = self.item(at).ok_or("there is no label")?;
        Ok(item.row.ordinal)
    }

    /// Lists what fits.
    pub(crate) fn sift(&mut self, filter: &str) {
        let fits = |label: &Label| {
            let line = format!("{} {} {}", label.name, label.row.ordinal, label.row.title);
            desk::holds(&line, filter)
        };
        self.shown = (0..self.items.len())
            .filter(|at| self.items.get(*at).is_some_and(fits))
            .collect();
    }
}

/// Takes the selected label away.
pub(crate) fn delete(app: &mut App, out: &mut Vec<Effect>) {
    let name = desk::open(app).and_then(|desk| match &desk.list {
        List::Labels(labels) => labels.item(desk.cursor).map(|l| l.name.clone()),
        _ => None,
    });
    if let Some(name) = name {
        desk::send(app, Deed::Unlabel(name), out);
    }
}

/// Over the list.
pub(crate) fn headings() -> String {
    format!("  {:<12} {:>8} {:>8}  step", "label", "", "time")
}

/// What the step says of itself.
fn title(row: &Row) -> String {
    match text::one_line(&row.title) {
        title if title.is_empty() => words::what(row),
        title => title,
    }
}

/// A label as a line.
pub(crate) fn row(app: &App, labels: &Labels, at: usize, width: usize) -> Vec<Span<'static>> {
    let look = &app.look;
    let Some(item) = labels.item(at) else {
        return Vec::new();
    };
    let theme = look.theme;
    let name = desk::cell(look, &text::one_line(&item.name), 12);
    let clock = words::clock(&look.zone, item.row.time, true);
    let mut spans = vec![
        Span::styled(format!(" {name} "), theme.style(Token::Label)),
        Span::styled(
            format!("{:>8} ", item.row.ordinal.to_string()),
            theme.style(Token::Focus),
        ),
        Span::styled(format!("{clock}  "), theme.style(Token::Dim)),
        Span::styled(
            format!("{:<7} ", words::kind(&item.row)),
            theme.style(words::kind_token(&item.row)),
        ),
    ];
    let used: usize = 1 + spans.iter().map(Span::width).sum::<usize>();
    let what = title(&item.row);
    spans.push(Span::raw(desk::cell(
        look,
        &what,
        width.saturating_sub(used),
    )));
    spans
}

/// What is known of the step of a label.
pub(crate) fn preview(app: &App, labels: &Labels, at: usize, width: usize) -> Vec<Line<'static>> {
    let mut sheet = Sheet::new(&app.look, width);
    let Some(item) = labels.item(at) else {
        return Vec::new();
    };
    sheet.bold(&format!("label {}", text::one_line(&item.name)));
    sheet.gap();
    sheet.fact("step", &item.row.ordinal.to_string());
    sheet.fact("when", &item.row.time.local());
    sheet.fact("kind", &words::kind(&item.row));
    sheet.fact("what", &title(&item.row));
    if let Some(effect) = item.row.effect.filter(|e| e.files > 0) {
        let files = text::plural(u64::from(effect.files), "file");
        let words = format!("{files} +{} -{}", effect.added, effect.removed);
        sheet.fact("changed", &words);
    }
    sheet.gap();
    sheet.key(&key_of(app, Action::Open), "go there");
    if !app.recording() {
        sheet.key(&key_of(app, Action::LabelDelete), "take the label away");
    }
    sheet.lines
}
