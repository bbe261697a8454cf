//! What writing markers and reading them back promises, beside the laws in `tests/merge_laws.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::conflict::{Piece, pieces};
use super::markers::*;
use super::resolve::{Pick, text as resolved};
use super::structured::json;
use super::text::merge;

fn of(base: &str, ours: &str, theirs: &str) -> Vec<Piece> {
    pieces(&merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()))
}

fn written(pieces: &[Piece], style: Style) -> (String, usize) {
    let written = write(pieces, style, &Labels::default());
    (String::from_utf8(written.content).unwrap(), written.size)
}

#[test]
fn the_styles_are_gits() {
    let pieces = of("a\nm\nz\n", "a\nx\n1\nz\n", "a\nx\n2\nz\n");
    assert_eq!(
        written(&pieces, Style::Merge).0,
        "a\n<<<<<<< ours\nx\n1\n=======\nx\n2\n>>>>>>> theirs\nz\n"
    );
    assert_eq!(
        written(&pieces, Style::Diff3).0,
        "a\n<<<<<<< ours\nx\n1\n||||||| base\nm\n=======\nx\n2\n>>>>>>> theirs\nz\n"
    );
    assert_eq!(
        written(&pieces, Style::Zdiff3).0,
        "a\nx\n<<<<<<< ours\n1\n||||||| base\nm\n=======\n2\n>>>>>>> theirs\nz\n"
    );
}

#[test]
fn markers_outgrow_those_in_the_text() {
    let pieces = of(
        "<<<<<<<<< no marker\nm\n",
        "<<<<<<<<< no marker\n1\n",
        "<<<<<<<<< no marker\n=======\n",
    );
    let (text, size) = written(&pieces, Style::Merge);
    assert_eq!(size, 10);
    let back = |text: &str| {
        read(
            text.as_bytes(),
            &pieces,
            Style::Merge,
            &Labels::default(),
            size,
        )
    };
    assert_eq!(back(&text), ReadBack::Hunks(vec![None]));
    let taken = "<<<<<<<<< no marker\n=======\n";
    assert_eq!(back(taken), ReadBack::Hunks(vec![Some(Pick::Theirs)]));
}

#[test]
fn line_ends_are_those_of_the_file() {
    let pieces = of("a\r\nm", "a\r\n1", "a\r\n2");
    let (text, size) = written(&pieces, Style::Merge);
    assert_eq!(
        text,
        "a\r\n<<<<<<< ours\r\n1\r\n=======\r\n2\r\n>>>>>>> theirs\r\n"
    );
    let back = read(
        text.as_bytes(),
        &pieces,
        Style::Merge,
        &Labels::default(),
        size,
    );
    assert_eq!(back, ReadBack::Hunks(vec![None]));
    let (both, left, _) = resolved(&pieces, &|_| Some(Pick::Both));
    assert!(left.is_empty());
    assert_eq!(both, b"a\r\n1\r\n2");
}

#[test]
fn what_was_edited_elsewhere_is_the_file() {
    let pieces = of("a\nm\nz\n", "a\n1\nz\n", "a\n2\nz\n");
    let (text, size) = written(&pieces, Style::Merge);
    let back = |text: &str| {
        read(
            text.as_bytes(),
            &pieces,
            Style::Merge,
            &Labels::default(),
            size,
        )
    };
    assert_eq!(back("A\n1\nz\n"), ReadBack::Whole(b"A\n1\nz\n".to_vec()));
    assert_eq!(
        back("a\n1 and 2\nz\n"),
        ReadBack::Hunks(vec![Some(Pick::Edited(b"1 and 2\n".to_vec()))])
    );
    assert_eq!(
        back(&text.replace("=======\n", "")),
        ReadBack::StillMarked(2)
    );
    assert_eq!(back(&text.replace("a\n", "A\n")), ReadBack::StillMarked(2));
}

#[test]
fn a_value_is_written_as_its_line() {
    let base = "{\n  \"v\": 1,\n  \"w\": 1\n}\n";
    let pieces = json::merge(
        base,
        &base.replace("\"v\": 1", "\"v\": 2"),
        &base.replace("\"v\": 1", "\"v\": 3"),
    )
    .unwrap();
    let (text, size) = written(&pieces, Style::Merge);
    assert_eq!(
        text,
        "{\n<<<<<<< ours\n  \"v\": 2,\n=======\n  \"v\": 3,\n>>>>>>> theirs\n  \"w\": 1\n}\n"
    );
    let back = |text: &str| {
        read(
            text.as_bytes(),
            &pieces,
            Style::Merge,
            &Labels::default(),
            size,
        )
    };
    assert_eq!(back(&text), ReadBack::Hunks(vec![None]));
    assert_eq!(
        back(&base.replace("\"v\": 1", "\"v\": 3")),
        ReadBack::Hunks(vec![Some(Pick::Theirs)])
    );
    assert_eq!(
        back(&base.replace("\"v\": 1", "\"v\": 23")),
        ReadBack::Hunks(vec![Some(Pick::Edited(b"23".to_vec()))])
    );
    let (_, left, why) = resolved(&pieces, &|_| Some(Pick::Both));
    assert!(left == [0] && why.is_some());
}
