//! Texts taken out of scripts: patches in a shell's here documents, string literals in the JavaScript of code mode. Only
//! what stands there to the letter is taken; nothing is evaluated.

use std::borrow::Cow;

/// How a patch begins.
pub(super) const BEGIN: &str = "*** Begin Patch";

/// The patches that a shell script gives to `apply_patch` in here documents, with the directory of a `cd ... &&` before.
///
/// A document whose end is not quoted goes through the shell, unless it is all that the script does: then Codex takes it
/// as it stands. So where the shell would have changed it, it is not taken.
pub(super) fn heredocs(script: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = script
        .get(from..)
        .and_then(|s| s.find("apply_patch").or_else(|| s.find("applypatch")))
    {
        let at = from + at;
        from = at + "applypatch".len();
        let Some(line_end) = script[at..].find('\n').map(|n| at + n) else {
            break;
        };
        let Some((_, mark)) = script[at..line_end].split_once("<<") else {
            continue;
        };
        let mark = mark.trim_start_matches('-').trim_start();
        let quoted = mark.starts_with(['\'', '"']);
        let word: String = mark
            .trim_start_matches(['\'', '"'])
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if word.is_empty() {
            continue;
        }
        let body = &script[line_end + 1..];
        let mut len = 0;
        let mut ended = false;
        for line in body.split_inclusive('\n') {
            if line.trim() == word {
                ended = true;
                break;
            }
            len += line.len();
        }
        if !ended {
            continue;
        }
        let text = &body[..len];
        let dir = directory(&script[..at]);
        let alone = script[..at].trim().is_empty() || dir.is_some();
        if quoted || alone || !text.contains(['$', '`', '\\']) {
            found.push((text.to_owned(), dir));
        }
        from = line_end + 1 + len;
    }
    found
}

/// The directory of `cd DIR &&` that stands right before.
fn directory(before: &str) -> Option<String> {
    let before = before.trim_end().strip_suffix("&&")?;
    let last = before
        .rsplit(['\n', ';'])
        .next()
        .unwrap_or(before)
        .rsplit("&&")
        .next()?
        .trim();
    let dir = last.strip_prefix("cd ")?.trim().trim_matches(['\'', '"']);
    (!dir.is_empty() && !dir.contains(['$', '`', '~'])).then(|| dir.to_owned())
}

/// The string literals of a script that hold a patch.
pub(super) fn literals(script: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + script.get(from..)?.find(BEGIN)?;
            from = at + BEGIN.len();
            let start = script[..at].char_indices().next_back();
            if let Some((quote_at, quote)) = start
                && let Some((text, end)) = literal(script, quote_at, quote)
            {
                from = end.max(from);
                return Some(text);
            }
        }
    })
}

/// The string literals that stand as the value of `key` (`cmd: "..."`, `"cmd":"..."`).
pub(super) fn literals_after<'a>(
    script: &'a str,
    key: &'a str,
) -> impl Iterator<Item = Cow<'a, str>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + script.get(from..)?.find(key)? + key.len();
            from = at;
            let rest = script[at..].trim_start_matches(['"', '\'']).trim_start();
            let Some(rest) = rest.strip_prefix(':') else {
                continue;
            };
            let rest = rest.trim_start();
            let Some(quote) = rest.chars().next() else {
                continue;
            };
            if let Some((text, end)) = literal(script, script.len() - rest.len(), quote) {
                from = end;
                return Some(text);
            }
        }
    })
}

/// The JavaScript string literal that begins with `quote` at `at`, and where it ends. `None` where its text depends on
/// what the script does (`${...}`), or where it does not end.
fn literal(script: &str, at: usize, quote: char) -> Option<(Cow<'_, str>, usize)> {
    if !matches!(quote, '"' | '\'' | '`') {
        return None;
    }
    let verbatim = quote == '`' && script[..at].ends_with("String.raw");
    let body_at = at + quote.len_utf8();
    let body = script.get(body_at..)?;
    let mut text = String::new();
    let mut copied = 0;
    let mut chars = body.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if c == quote {
            let end = body_at + i + c.len_utf8();
            if copied == 0 {
                return Some((Cow::Borrowed(&body[..i]), end));
            }
            text.push_str(&body[copied..i]);
            return Some((Cow::Owned(text), end));
        }
        if quote == '`' && c == '$' && body[i..].starts_with("${") {
            return None;
        }
        if c != '\\' {
            continue;
        }
        if verbatim {
            // `\`` stays as it is, but does not end it.
            chars.next();
            continue;
        }
        text.push_str(&body[copied..i]);
        let (_, escape) = chars.next()?;
        let mut hex = |n: usize| {
            let mut code = 0;
            for _ in 0..n {
                code = code * 16 + chars.next()?.1.to_digit(16)?;
            }
            Some(code)
        };
        match escape {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'v' => text.push('\u{b}'),
            '0' => text.push('\0'),
            '\n' => {}
            'x' => text.push(char::from_u32(hex(2)?)?),
            'u' if body[i..].starts_with("\\u{") => {
                chars.next();
                let mut code: u32 = 0;
                loop {
                    match chars.next()?.1 {
                        '}' => break,
                        c => code = code.checked_mul(16)?.checked_add(c.to_digit(16)?)?,
                    }
                }
                text.push(char::from_u32(code)?);
            }
            'u' => {
                let mut code = hex(4)?;
                if (0xd800..0xdc00).contains(&code) {
                    let (_, slash) = chars.next()?;
                    let (_, u) = chars.next()?;
                    if (slash, u) != ('\\', 'u') {
                        return None;
                    }
                    let mut low = 0;
                    for _ in 0..4 {
                        low = low * 16 + chars.next()?.1.to_digit(16)?;
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + low.checked_sub(0xdc00)?;
                }
                text.push(char::from_u32(code)?);
            }
            other => text.push(other),
        }
        copied = chars.peek().map_or(body.len(), |(at, _)| *at);
    }
    None
}
