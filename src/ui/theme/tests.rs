#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]
use super::colours::{BUILT_IN, GROUNDS, HUES, TOKENS, indexed, kept};
use super::*;

const DEPTHS: [Depth; 4] = [Depth::None, Depth::Ansi, Depth::Indexed, Depth::Full];
const BACKDROPS: [Backdrop; 3] = [Backdrop::Unknown, Backdrop::Dark, Backdrop::Light];

fn rank(color: Option<Color>) -> Depth {
    match color {
        None | Some(Color::Reset) => Depth::None,
        Some(Color::Rgb(..)) => Depth::Full,
        Some(Color::Indexed(_)) => Depth::Indexed,
        Some(_) => Depth::Ansi,
    }
}

fn all_styles(theme: Theme) -> Vec<Style> {
    let mut styles: Vec<Style> = TOKENS.iter().map(|t| theme.style(*t)).collect();
    for flag in [true, false] {
        styles.extend([
            theme.selection(flag),
            theme.line_tint(flag),
            theme.word_tint(flag),
        ]);
    }
    styles.push(theme.syntax(Syntax::Comment));
    styles.push(theme.syntax(Syntax::Keyword));
    styles
}

#[test]
fn no_token_uses_more_colours_than_there_are() {
    for depth in DEPTHS {
        for backdrop in BACKDROPS {
            let auto = Theme::new(depth, backdrop);
            let mut themes = vec![(auto, backdrop == Backdrop::Unknown)];
            themes.push((auto.with(Choice::Ansi), true));
            for (name, _) in BUILT_IN {
                themes.push((auto.with(Choice::Theme(named(name).unwrap())), false));
            }
            for (theme, plain) in themes {
                for style in all_styles(theme) {
                    for color in [style.fg, style.bg] {
                        assert!(rank(color) <= depth, "{theme:?} {style:?}");
                        if plain {
                            assert!(rank(color) <= Depth::Ansi, "{theme:?} {style:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn without_colours_the_selection_and_words_still_show() {
    let theme = Theme::new(Depth::None, Backdrop::Unknown);
    for theme in [theme, theme.with(Choice::Theme(named("night").unwrap()))] {
        assert!(!theme.selection(true).add_modifier.is_empty());
        assert!(!theme.word_tint(true).add_modifier.is_empty());
        assert!(!theme.style(Token::Match).add_modifier.is_empty());
    }
}

/// As WCAG measures it: from 1 to 21.
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let luminance = |rgb: [u8; 3]| {
        let [r, g, b] = rgb.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.03928 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn every_text_can_be_read_on_everything_that_lies_behind_it() {
    assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 0.01);
    assert!((contrast([119; 3], [255; 3]) - 4.48).abs() < 0.01);
    for (name, _) in BUILT_IN {
        let colours = named(name).unwrap_or_else(|| panic!("{name} cannot be read"));
        for ((hue, _), ink) in HUES.iter().zip(colours.inks) {
            for (behind, ground) in GROUNDS.iter().zip(colours.grounds) {
                // Frames are no text; they are not drawn on tints.
                let least = match (*hue, *behind) {
                    ("frame", "ground") => 1.5,
                    ("frame", _) => 1.0,
                    _ => 4.5,
                };
                let full = contrast(ink.rgb, ground.rgb);
                assert!(full >= least, "{name}: {hue} on {behind}: {full:.2}");
                let few = contrast(indexed(ink.index), indexed(ground.index));
                assert!(few >= least, "{name}, 256: {hue} on {behind}: {few:.2}");
            }
        }
        // What lies behind a line tells itself from what lies behind the others.
        let [ground, selection, added, removed, ..] = colours.grounds;
        for (a, b) in [
            (ground, selection),
            (ground, added),
            (ground, removed),
            (added, removed),
        ] {
            assert_ne!(a.rgb, b.rgb, "{name}");
            assert_ne!(a.index, b.index, "{name}");
        }
    }
}

#[test]
fn a_theme_can_give_a_token_another_colour() {
    let blind = named("colour-blind").unwrap();
    let usual = Theme::new(Depth::Ansi, Backdrop::Unknown);
    assert_eq!(usual.style(Token::Added).fg, Some(Color::Green));
    // Also on a terminal that has 16 colours only.
    let theme = usual.with(Choice::Theme(blind));
    assert_eq!(theme.style(Token::Added).fg, Some(Color::Blue));
    assert_eq!(theme.style(Token::Removed).fg, Some(Color::Red));
}

#[test]
fn a_theme_with_a_ground_paints_all_of_the_screen() {
    let area = ratatui::layout::Rect::new(0, 0, 3, 1);
    let painted = |theme: Theme| {
        let mut buf = Buffer::empty(area);
        buf.set_string(1, 0, "x", Style::new().fg(Color::Red));
        theme.paint(&mut buf);
        (
            buf[(0, 0)].fg,
            buf[(0, 0)].bg,
            buf[(1, 0)].fg,
            buf[(1, 0)].bg,
        )
    };
    let full = Theme::new(Depth::Full, Backdrop::Unknown);
    let night = full.with(Choice::Theme(named("night").unwrap()));
    let (fg, bg, own, below) = painted(night);
    assert!(matches!((fg, bg), (Color::Rgb(..), Color::Rgb(..))));
    assert_eq!((own, below), (Color::Red, bg));
    let dark = full.with(Choice::Theme(named("dark").unwrap()));
    for theme in [
        full,
        dark,
        Theme {
            depth: Depth::Ansi,
            ..night
        },
    ] {
        assert_eq!(painted(theme).1, Color::Reset);
    }
}

#[test]
fn a_file_with_a_mistake_is_told_with_its_line() {
    let good = BUILT_IN[0].1;
    assert!(Colours::read(good).is_ok());
    // Without the replacement the nearest of the 256 is found.
    let bare = good.replace("#d8dce3/253", "#d8dce3");
    assert_eq!(Colours::read(&bare).unwrap().inks[0].index, 253);
    let lines = good.lines().count() + 1;
    for (text, said) in [
        (
            good.replace("cyan =", "cyn ="),
            "a theme has no colour \"cyn\"; is cyan meant?",
        ),
        (good.replace("/253", "/3"), "\"text\" must be a colour"),
        (
            good.replace("#d8dce3", "#d8dce"),
            "\"text\" must be a colour",
        ),
        (good.replace("paint = false", ""), ""),
        (good.replace("paint", "pant"), "is paint meant?"),
        (
            format!("{good}\n[tokens]\naded = \"blue\"\n"),
            "is added meant?",
        ),
        (
            format!("{good}\n[tokens]\nadded = \"puce\"\n"),
            "added must be one of text, quiet",
        ),
        (good.replace("[colors]", ""), "is nothing that a theme has"),
        (String::new(), "1: [colors] lacks text, quiet"),
        (format!("{good}\n]"), "it is not TOML"),
    ] {
        match Colours::read(&text) {
            Ok(_) => assert_eq!(said, ""),
            Err(why) => {
                assert!(!said.is_empty() && why.contains(said), "{why}");
                let line: usize = why.split(':').next().unwrap().parse().unwrap();
                assert!(line <= lines + 2, "{why}");
            }
        }
    }
}

#[test]
fn the_same_colours_are_kept_once() {
    let one = kept(Colours::read(BUILT_IN[1].1).unwrap());
    let two = kept(Colours::read(BUILT_IN[1].1).unwrap());
    assert!(std::ptr::eq(one, two));
}

#[test]
fn the_environment_says_how_many_colours_there_are() {
    assert_eq!(depth("1", "truecolor", "xterm-256color"), Depth::None);
    assert_eq!(depth("", "", "dumb"), Depth::None);
    assert_eq!(depth("", "truecolor", "xterm"), Depth::Full);
    assert_eq!(depth("", "24bit", "xterm"), Depth::Full);
    assert_eq!(depth("", "", "xterm-direct"), Depth::Full);
    assert_eq!(depth("", "", "tmux-256color"), Depth::Indexed);
    assert_eq!(depth("", "", "xterm"), Depth::Ansi);
    assert_eq!(depth("", "", "linux"), Depth::Ansi);
    assert_eq!(depth("", "", ""), Depth::Ansi);
}
