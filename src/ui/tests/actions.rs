//! The table of actions: no key means two things, every action is described.

use std::collections::HashSet;

use crate::ui::action::{Action, Context, EVERYWHERE, Meaning, TABLE, entry};
use crate::ui::keymap::Keymap;
use crate::ui::keys::{self, Key};
use crate::ui::keys_text::keys_text;

#[test]
fn every_sequence_can_be_read() {
    for entry in TABLE {
        assert!(!entry.keys.is_empty(), "{}", entry.id);
        for key in entry.keys {
            assert!(keys::parse(key).is_some(), "{key} of {}", entry.id);
        }
    }
}

#[test]
fn no_sequence_means_two_things_or_begins_another() {
    let map = Keymap::default();
    for context in EVERYWHERE {
        let here: Vec<_> = map
            .bindings()
            .iter()
            .filter(|b| b.contexts.contains(context))
            .collect();
        for (i, a) in here.iter().enumerate() {
            for b in &here[i + 1..] {
                let short = a.strokes.len().min(b.strokes.len());
                assert_ne!(
                    a.strokes[..short],
                    b.strokes[..short],
                    "{} and {} in {context:?}",
                    a.entry.id,
                    b.entry.id
                );
            }
        }
    }
}

#[test]
fn every_action_is_described_once() {
    let mut ids = HashSet::new();
    let mut actions = HashSet::new();
    for entry in TABLE {
        assert!(ids.insert(entry.id), "{} twice", entry.id);
        assert!(actions.insert(entry.action), "{:?} twice", entry.action);
        assert!(entry.title.len() <= 16, "{}", entry.id);
        assert!(entry.description.ends_with('.'), "{}", entry.id);
        assert!(entry.description.len() > entry.title.len(), "{}", entry.id);
        assert!(!entry.contexts.is_empty(), "{}", entry.id);
    }
}

#[test]
fn what_confirms_is_not_what_asked() {
    let keys = |a| entry(a).unwrap().keys;
    for confirm in [Action::Confirm, Action::ConfirmFrozen] {
        for key in keys(confirm) {
            assert!(!keys(Action::Rollback).contains(key));
        }
    }
}

#[test]
fn meanings() {
    let key = |c| Key::char(c);
    let map = Keymap::default();
    let at = |keys: &[Key]| map.meaning(Context::Timeline, keys);
    assert_eq!(at(&[key('j')]), Meaning::Action(Action::Down, None));
    assert_eq!(at(&[key(']')]), Meaning::Prefix);
    assert_eq!(
        at(&[key(']'), key('c')]),
        Meaning::Action(Action::NextChange, None)
    );
    assert_eq!(at(&[key(']'), key('~')]), Meaning::Nothing);
    assert_eq!(
        at(&[key('m'), key('b')]),
        Meaning::Action(Action::Label, Some('b'))
    );
    assert_eq!(at(&[key('~')]), Meaning::Nothing);
    assert_eq!(map.meaning(Context::Dialog, &[key('r')]), Meaning::Nothing);
}

#[test]
fn the_printed_list_names_every_action() {
    let text = keys_text();
    for entry in TABLE {
        assert!(text.contains(entry.description), "{}", entry.id);
    }
}
