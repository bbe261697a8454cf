//! What looks like a secret. Rather too much than too little: what is taken out is put back exactly, so a false alarm costs
//! the model a word, never the person a line.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A place in a text that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) at: Range<usize>,
    pub(super) kind: &'static str,
}

struct Rule {
    kind: &'static str,
    /// The secret is the group `s`, or the whole.
    shape: Regex,
    /// Whether a match is one; asked of the secret.
    is: fn(&str) -> bool,
}

/// A rule before it is compiled.
type Shape = (&'static str, String, fn(&str) -> bool);

/// Words that names of secrets have in them.
const NAMES: &str = r"(?:passw(?:or)?d|passwd|passphrase|pwd|secret|api[_ -]?key|apikey|access[_ -]?key|auth[_ -]?token|access[_ -]?token|refresh[_ -]?token|private[_ -]?key|client[_ -]?secret|credentials?|encryption[_ -]?key|signing[_ -]?key|bearer)";

/// Words that names of secrets may be; then the value must look like one.
const MAYBE: &str = r"(?:(?:[\w.-]*[_.-])?(?:pass|auth|cookie|session[_-]?id)|[\w.-]*token)";

fn rules() -> Option<Vec<Rule>> {
    let always: fn(&str) -> bool = |_| true;
    let (names, maybe) = (NAMES, MAYBE);
    let then = r#"["']?\]?[^\S\n]*(?::=|=>|[:=])[^\S\n]*"#;
    let (in_double, in_single) = (r#"(?:[^"\\\n]|\\.){4,}?"#, r"(?:[^'\\\n]|\\.){4,}?");
    let (end, end_single) = (r#"(?:"|…|\\?\z)"#, r"(?:'|…|\\?\z)");
    let shapes: Vec<Shape> = vec![
        (
            "private-key",
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)".to_owned(),
            always,
        ),
        // The end of one that began before the text.
        (
            "private-key",
            r#"(?:\A|["'`])(?P<s>[A-Za-z0-9+/=\s]*-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)"#.to_owned(),
            always,
        ),
        // Its middle, where neither is seen: lines of nothing but base64, perhaps quoted, numbered or of a difference.
        (
            "private-key",
            {
                let before = r#"[^\S\n]*(?:[0-9]+[^\S\n]*[\t→:|])?[^\S\n]*[-+>"'`]?[^\S\n]*"#;
                let after = r#"["'`,\\+]{0,3}[^\S\n]*\r?"#;
                let line = format!("[A-Za-z0-9+/]{{60,76}}={{0,2}}{after}");
                format!(
                    r#"(?m)(?:^|["'`]){before}(?P<s>{line}(?:\n{before}{line}){{2,}}(?:\n{before}[A-Za-z0-9+/]{{15,76}}={{0,2}})?)"#
                )
            },
            is_mixed,
        ),
        ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*".to_owned(), always),
        ("aws-key", r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b".to_owned(), always),
        ("anthropic-key", r"\bsk-ant-[A-Za-z0-9_-]{8,}".to_owned(), always),
        ("api-key", r"\bsk-[A-Za-z0-9_-]{16,}".to_owned(), has_digit),
        ("github-token", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})".to_owned(), always),
        ("gitlab-token", r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat)-[A-Za-z0-9_-]{16,}".to_owned(), always),
        ("slack-token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}".to_owned(), always),
        ("slack-webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}".to_owned(), always),
        ("google-key", r"\bAIza[A-Za-z0-9_-]{30,}".to_owned(), always),
        ("google-token", r"\bya29\.[A-Za-z0-9_-]{20,}".to_owned(), always),
        ("stripe-key", r"\b(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}".to_owned(), has_digit),
        ("npm-token", r"\bnpm_[A-Za-z0-9]{30,}".to_owned(), always),
        ("pypi-token", r"\bpypi-[A-Za-z0-9_-]{30,}".to_owned(), always),
        ("huggingface-token", r"\bhf_[A-Za-z0-9]{24,}".to_owned(), always),
        ("sendgrid-key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}".to_owned(), always),
        ("telegram-token", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}".to_owned(), always),
        ("vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{16,}".to_owned(), always),
        ("digitalocean-token", r"\bdo[opr]_v1_[A-Za-z0-9]{16,}".to_owned(), always),
        ("age-key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}".to_owned(), always),
        ("azure-key", r"(?i)\b(?:AccountKey|SharedAccessKey)=(?P<s>[A-Za-z0-9+/=]{20,})".to_owned(), always),
        // scheme://user:password@host
        (
            "password",
            r#"\b[a-z][a-z0-9+.-]*://[^\s/:@"'<>]*:(?P<s>[^\s/@"'<>]{3,})@"#.to_owned(),
            is_value,
        ),
        ("authorization", r"(?i)\bauthorization[^\S\n]*[:=][^\S\n]*[\x22']?(?:bearer|basic|token)[^\S\n]+(?P<s>[A-Za-z0-9._~+/=-]{8,})".to_owned(), is_value),
        ("authorization", r"(?i)\bbearer[^\S\n]+(?P<s>[A-Za-z0-9._~+/=-]{20,})".to_owned(), has_digit),
        // name = "value" in code, JSON, TOML; one that is cut has no second quote
        (
            "password",
            format!(r#"(?i)[\w.-]*{names}[\w-]*{then}"(?P<s>{in_double}){end}"#),
            is_value,
        ),
        (
            "password",
            format!(r"(?i)[\w.-]*{names}[\w-]*{then}'(?P<s>{in_single}){end_single}"),
            is_value,
        ),
        (
            "password",
            format!(r#"(?i)(?:^|[^A-Za-z0-9]){maybe}{then}"(?P<s>{in_double}){end}"#),
            is_likely,
        ),
        (
            "password",
            format!(r"(?i)(?:^|[^A-Za-z0-9]){maybe}{then}'(?P<s>{in_single}){end_single}"),
            is_likely,
        ),
        // NAME=value
        (
            "password",
            format!(r#"(?im)(?:^|[\s;&|"'`+-])[\w.-]*{names}[\w-]*=(?P<s><?[^\s"'(){{}}<>;,&|`]{{4,}}?)(?:[\s;&|"'`…]|\z)"#),
            is_value,
        ),
        (
            "password",
            format!(r#"(?im)(?:^|[\s;&|"'`+-]){maybe}=(?P<s>[^\s"'(){{}}<>;,&|`]{{8,}}?)(?:[\s;&|"'`…]|\z)"#),
            is_likely,
        ),
        // ... whatever it consists of, alone in a line and by a name as variables have
        (
            "password",
            r#"(?m)(?:^[^\S\n]*(?:[-+>][^\S\n]?)?|["'`])(?:export[^\S\n]+)?[A-Z0-9_]*(?:PASS|PASSWORD|PASSWD|PASSPHRASE|PWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)=(?P<s>[^\s"'`…]{4,})(?:["'`…]|[^\S\n]*\r?$)"#.to_owned(),
            |s| is_value(s) && !s.ends_with([';', ')', ',']),
        ),
        // name: value, name = value, where the value is no identifier
        (
            "password",
            format!(r#"(?im)(?:^|[\s;,+-])[\w.-]*{names}[\w-]*[^\S\n]*[:=][^\S\n]+(?P<s>[^\s"'(){{}}<>;,\[\]]{{6,}}?)(?:[\s;,…]|\z)"#),
            |s| is_value(s) && (has_digit(s) || s.bytes().any(|b| b"!@#%^&*+/=".contains(&b))),
        ),
        (
            "password",
            format!(r#"(?im)(?:^|[\s;,+-]){maybe}[^\S\n]*[:=][^\S\n]+(?P<s>[^\s"'(){{}}<>;,\[\]]{{8,}}?)(?:[\s;,…]|\z)"#),
            is_likely,
        ),
        // <password>value</password>
        (
            "password",
            format!(r"(?i)<[\w.:-]*{names}[\w-]*(?:[^\S\n][^<>\n]*)?>[^\S\n]*(?P<s>[^<\n]{{4,}}?)[^\S\n]*(?:</|…|\z)"),
            is_value,
        ),
        (
            "password",
            format!(r"(?i)<{maybe}(?:[^\S\n][^<>\n]*)?>[^\S\n]*(?P<s>[^<\n]{{8,}}?)[^\S\n]*(?:</|…|\z)"),
            is_likely,
        ),
        // .netrc
        ("password", r"(?i)\blogin[^\S\n]+\S+\s+password[^\S\n]+(?P<s>\S{2,})".to_owned(), is_value),
        ("password", r"(?m)^[^\S\n]*[-+>]?[^\S\n]*password[^\S\n]+(?P<s>\S{4,})[^\S\n]*\r?$".to_owned(), is_value),
        // curl -u me:password
        (
            "password",
            r#"\bcurl\b[^\n]*?[^\S\n](?:-[a-zA-Z]*u|--user|-U|--proxy-user)(?:[^\S\n]+|=)?["']?[^\s:"']+:(?P<s>[^\s"']{2,})"#.to_owned(),
            is_value,
        ),
        ("cookie", r#"(?i)\b(?:set-)?cookie["']?[^\S\n]*[:=][^\S\n]*["']?(?P<s>[\w.-]+=[^\n"'`]{4,})"#.to_owned(), is_value),
        // Docker's, which are base64
        ("password", r#""(?:auth|identitytoken|registrytoken)"[^\S\n]*:[^\S\n]*"(?P<s>[A-Za-z0-9+/_.-]{8,}={0,2})"#.to_owned(), is_value),
        // --password value, -p value
        ("password", r#"(?i)--(?:password|passwd|token|secret|api-key)[ =](?P<s>[^\s"'-][^\s"']{5,})"#.to_owned(), is_value),
        // What looks random in a line of an environment file
        (
            "value",
            r#"(?m)(?:^[^\S\n]*(?:[-+>][^\S\n]?)?|["'`])(?:export[^\S\n]+)?[A-Z][A-Z0-9_]{2,}=["']?(?P<s>[^\s"'`]{20,})(?:["'`]|[^\S\n]*\r?$)"#.to_owned(),
            is_random,
        ),
    ];
    // One that does not compile would be a hole: then there are none, and nothing is sent.
    shapes
        .into_iter()
        .map(|(kind, shape, is)| {
            let shape = Regex::new(&shape).ok()?;
            Some(Rule { kind, shape, is })
        })
        .collect()
}

static RULES: LazyLock<Option<Vec<Rule>>> = LazyLock::new(rules);

/// Whether all rules can be used; without them nothing may be sent.
pub(super) fn ready() -> bool {
    RULES.is_some()
}

fn has_digit(s: &str) -> bool {
    s.bytes().any(|b| b.is_ascii_digit())
}

/// Whether it is a value, not a reference to one or a word in its place.
fn is_value(s: &str) -> bool {
    let lower = s.to_ascii_lowercase();
    let begins = [
        "changeme",
        "change-me",
        "example",
        "your-",
        "your_",
        "placeholder",
        "redacted",
    ];
    let holds = [
        "${",
        "$(",
        "{{",
        "%(",
        "process.env",
        "os.environ",
        "env(",
        "xxxx",
        "****",
        "....",
        "[redacted:",
    ];
    let word = [
        "none",
        "null",
        "true",
        "false",
        "string",
        "optional",
        "required",
        "undefined",
    ];
    !begins.iter().any(|p| lower.starts_with(p))
        && !holds.iter().any(|p| lower.contains(p))
        && !word.contains(&lower.as_str())
        && !is_named(s)
        && s.chars().any(|c| c.is_alphanumeric())
}

/// Whether it is a variable's name (`$NAME`, `$NAME/x`, `$name`), or a word in brackets that stands for a value.
fn is_named(s: &str) -> bool {
    if let Some(inner) = s.strip_prefix('<') {
        return inner.ends_with('>') && !has_digit(inner);
    }
    let Some(name) = s.strip_prefix('$') else {
        return false;
    };
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let (name, rest) = name.split_at(end.unwrap_or(name.len()));
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = !has_digit(name) || !name.bytes().any(|b| b.is_ascii_lowercase());
    begins && plain && (rest.is_empty() || rest.starts_with(['/', '.', ':', '$']))
}

/// Whether a value of a name that may be a secret's is one.
fn is_likely(s: &str) -> bool {
    is_value(s) && has_digit(s) && s.chars().count() >= 8
}

/// Whether it has what base64 has, and hashes in lines have not.
fn is_mixed(s: &str) -> bool {
    has_digit(s)
        && s.bytes().any(|b| b.is_ascii_lowercase())
        && s.bytes().any(|b| b.is_ascii_uppercase())
}

/// Whether it looks made by chance: letters and digits, hardly any repetition, no path or address.
fn is_random(s: &str) -> bool {
    let path = s.contains("://") || s.starts_with(['/', '.', '~']) || s.matches('/').count() > 3;
    let digits = s.bytes().filter(u8::is_ascii_digit).count();
    let letters = s.bytes().filter(u8::is_ascii_alphabetic).count();
    is_value(s) && !path && digits >= 2 && letters >= 2 && entropy(s) >= 3.5
}

/// Bits a character.
fn entropy(s: &str) -> f64 {
    let mut counts: HashMap<char, f64> = HashMap::new();
    for c in s.chars() {
        *counts.entry(c).or_default() += 1.0;
    }
    let all: f64 = counts.values().sum();
    -counts
        .values()
        .map(|n| n / all * (n / all).log2())
        .sum::<f64>()
}

/// The secrets of a text, first to last, none within another.
pub(super) fn find(text: &str) -> Vec<Found> {
    let mut all = Vec::new();
    for rule in RULES.iter().flatten() {
        for caps in rule.shape.captures_iter(text) {
            let Some(found) = caps.name("s").or_else(|| caps.get(0)) else {
                continue;
            };
            if (rule.is)(found.as_str()) {
                all.push(Found {
                    at: found.range(),
                    kind: rule.kind,
                });
            }
        }
    }
    merged(all)
}

/// Sorted; what overlaps becomes one, under the name of what begins first.
pub(super) fn merged(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by_key(|f| (f.at.start, std::cmp::Reverse(f.at.end)));
    let mut out: Vec<Found> = Vec::new();
    for found in all {
        match out.last_mut() {
            Some(last) if found.at.start < last.at.end => {
                last.at.end = last.at.end.max(found.at.end);
            }
            _ => out.push(found),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn kinds(text: &str) -> Vec<(&'static str, &str)> {
        find(text)
            .into_iter()
            .map(|f| (f.kind, &text[f.at]))
            .collect()
    }

    #[test]
    fn every_rule_compiles() {
        assert!(ready());
    }

    #[test]
    fn known_shapes() {
        for (kind, text) in [
            ("aws-key", "AKIAIOSFODNN7EXAMPLE"),
            ("github-token", "ghp_0123456789abcdefABCDEF0123456789abcd"),
            ("anthropic-key", "sk-ant-api03-abcDEF123"),
            ("api-key", "sk-proj-abcdefghij0123456789"),
            ("slack-token", "xoxb-123456789012-abcdefABCDEF"),
            ("google-key", "AIzaSyA0123456789abcdefghijklmnopqrstuv"),
            (
                "jwt",
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
            ),
            ("stripe-key", "sk_live_0123456789abcdefABCD"),
        ] {
            let line = format!("let x = f(\"{text}\");");
            assert_eq!(kinds(&line), [(kind, text)], "{line}");
        }
    }

    #[test]
    fn passwords_where_they_usually_stand() {
        for (text, secret) in [
            ("password = \"hunter2\"", "hunter2"),
            ("{\"api_key\": \"abc def\"}", "abc def"),
            ("config['db_password'] = 'swordfish'", "swordfish"),
            ("DB_PASSWORD=swordfish\n", "swordfish"),
            ("  password: hunter2!\r\n", "hunter2!"),
            ("postgres://me:pa55@db/x", "pa55"),
            ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
            (
                "SESSION_SALT=9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c\n",
                "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c",
            ),
            ("mysql --password hunter22 db", "hunter22"),
            ("run DB_PASSWORD=swordfish ./serve", "swordfish"),
            ("he said: the api key: abc123! works", "abc123!"),
            ("DB_PASS=correcthorse\n", "correcthorse"),
            ("{\"pass\": \"swordfish9\"}", "swordfish9"),
            (
                "passphrase: \"correct horse battery\"",
                "correct horse battery",
            ),
            ("{\"token\": \"9f8a7b6c5d\"}", "9f8a7b6c5d"),
            ("token: 9f8a7b6c5d\n", "9f8a7b6c5d"),
            ("API_TOKEN=9f8a7b6c5d\n", "9f8a7b6c5d"),
            ("<password>swordfish</password>", "swordfish"),
            ("machine h login me password swordfish", "swordfish"),
            ("  password swordfish\n", "swordfish"),
            ("curl -s -u me:swordfish https://h/", "swordfish"),
            ("Cookie: session=abcdefgh; x=y\n", "session=abcdefgh; x=y"),
            ("{\"auth\": \"bWU6c3dvcmRmaXNo\"}", "bWU6c3dvcmRmaXNo"),
            ("x hvs.CAESIJabcdefghijklmn y", "hvs.CAESIJabcdefghijklmn"),
            (
                "x dop_v1_0123456789abcdef0123 y",
                "dop_v1_0123456789abcdef0123",
            ),
            ("password = \"$ecret99\"", "$ecret99"),
            ("DB_PASSWORD=$ecret99\n", "$ecret99"),
            ("password = \"<x9!ab\"", "<x9!ab"),
            (
                "password = \"correct horse battery stap…",
                "correct horse battery stap",
            ),
            ("password = 'correct horse battery", "correct horse battery"),
            ("DB_PASSWORD=ab(cd!9\n", "ab(cd!9"),
            ("password = \"say \\\"hi\\\" 9\"", "say \\\"hi\\\" 9"),
        ] {
            let got = kinds(text);
            assert_eq!(got.len(), 1, "{text}: {got:?}");
            assert_eq!(got[0].1, secret, "{text}");
        }
    }

    #[test]
    fn ordinary_code_stays() {
        for text in [
            "let password = read_password()?;",
            "password = os.environ[\"PW\"]",
            "fn check(password: &str) -> bool {",
            "PASSWORD=$OTHER\n",
            "api_key = config.api_key\n",
            "connect(host, password=secret_of(user))",
            "connect(host, password=word, port=1)",
            "PATH=/usr/local/bin:/usr/bin:/bin:/opt/x86_64/bin\n",
            "let token = tokens.next();",
            "secret: Option<String>,",
            "const MAX_TOKENS: u32 = 4096;",
            "https://example.org/a:b@c",
            "sk-learn-is-a-library-for-python",
            "commit bff09a0d1c2e3f4a5b6c7d8e9f0a1b2c3d4e5f60",
            "password=\"$PASSWORD\"",
            "password=\"$password\" run",
            "PASSWORD=$HOME/x\n",
            "password = \"<your password>\"",
            "bypass = \"abcdefgh1\"",
            "let token = \"identifier\";",
            "docker run -u 1000:1000 x",
            "the password reset was done\n",
        ] {
            assert_eq!(kinds(text), [], "{text}");
        }
    }

    #[test]
    fn a_key_block_goes_whole_even_when_its_end_or_beginning_is_missing() {
        let block = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\ndef==\n-----END RSA PRIVATE KEY-----";
        assert_eq!(kinds(&format!("a\n{block}\nb")), [("private-key", block)]);
        let cut = "x\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb\nmore";
        assert_eq!(kinds(cut), [("private-key", &cut[2..])]);
        let tail = "MIIabc\ndef==\n-----END PRIVATE KEY-----";
        assert_eq!(kinds(&format!("{tail}\nb")), [("private-key", tail)]);
        // Its middle alone, plain and in a difference.
        let line = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn3ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpP";
        let middle = format!("{line}\n{line}\n{line}");
        let found = find(&format!("a\n{middle}\nb c\n"));
        assert_eq!(found.len(), 1);
        let diff = format!(" a\n+{line}\n+{line}\n+{line}\n+b c\n");
        assert!(find(&diff)[0].at.len() > 3 * line.len());
        assert_eq!(kinds(&format!("{line}\n{line}\nb\n")), []);
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n";
        assert_eq!(kinds(&hash.repeat(4)), []);
        assert_eq!(
            kinds("-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----"),
            []
        );
    }
}
