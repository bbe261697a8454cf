//! `keys`: the keys of the screen, from the table that the screen itself uses.

use super::Fail;
use super::args;
use super::out::Out;
use crate::ui;

/// `keys`
pub fn keys(args: &args::Keys, out: &mut Out) -> Result<(), Fail> {
    if args.json {
        for key in ui::keys_json() {
            out.json(&key)?;
        }
        return Ok(());
    }
    if args.markdown {
        return out.raw(ui::keys_markdown().as_bytes());
    }
    out.raw(ui::keys_text().as_bytes())
}
