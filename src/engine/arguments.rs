//! The texts in a call's arguments: JSON whose strings hold commands and contents, which nobody looks for as JSON writes
//! them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Gives each string and number in `body`, names left out; the whole where it is not JSON. `false` when `each` wants no more.
pub(super) fn strings(body: &[u8], each: &mut dyn FnMut(&str) -> bool) -> bool {
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    if !matches!(first, Some(b'{' | b'[' | b'"')) {
        return each(&String::from_utf8_lossy(body));
    }
    let mut go_on = true;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let walk = Walk {
        each,
        go_on: &mut go_on,
    };
    let read = reader.deserialize_any(walk);
    // What was cut off, or is not JSON after all, is looked through as it is.
    let whole = read.is_ok() && reader.end().is_ok();
    if !whole && go_on {
        return each(&String::from_utf8_lossy(body));
    }
    go_on
}

struct Walk<'a> {
    each: &'a mut dyn FnMut(&str) -> bool,
    go_on: &'a mut bool,
}

impl Walk<'_> {
    fn see(self, text: &str) {
        if *self.go_on {
            *self.go_on = (self.each)(text);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, n: i64) -> Result<(), E> {
        self.see(&n.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, n: u64) -> Result<(), E> {
        self.see(&n.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, n: f64) -> Result<(), E> {
        self.see(&n.to_string());
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.see(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let Self { each, go_on } = self;
        while all
            .next_element_seed(Walk {
                each: &mut *each,
                go_on: &mut *go_on,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        let Self { each, go_on } = self;
        while all.next_key::<serde::de::IgnoredAny>()?.is_some() {
            all.next_value_seed(Walk {
                each: &mut *each,
                go_on: &mut *go_on,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(body: &str) -> Vec<String> {
        let mut out = Vec::new();
        strings(body.as_bytes(), &mut |s| {
            out.push(s.to_owned());
            true
        });
        out
    }

    #[test]
    fn strings_come_as_they_are_meant() {
        assert_eq!(
            all(r#"{"command":"echo \"a\nb\"","n":[3,null,true,{"x":"\u00e9"}]}"#),
            ["echo \"a\nb\"", "3", "é"]
        );
    }

    #[test]
    fn what_is_not_json_is_taken_whole() {
        assert_eq!(all("cargo test"), ["cargo test"]);
        // What was read before the mistake is given, too.
        assert_eq!(all("{\"a\":\"b\", oops"), ["b", "{\"a\":\"b\", oops"]);
    }

    #[test]
    fn it_ends_when_nothing_more_is_wanted() {
        let mut seen = 0;
        let go_on = strings(br#"["a","b","c"]"#, &mut |_| {
            seen += 1;
            seen < 2
        });
        assert!(!go_on);
        assert_eq!(seen, 2);
    }
}
