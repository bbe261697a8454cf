//! Screens as SVG, for the eye and for documents: each cell at its place, in the colours of a common dark terminal.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::ui::theme::{Backdrop, Depth};

use super::stage::Stage;
use super::story::{live, story};

const CELL: (f64, f64) = (8.4, 18.0);
const PAD: f64 = 12.0;

/// The 16 colours.
const PALETTE: [&str; 16] = [
    "#1e222a", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf",
    "#5c6370", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#ffffff",
];

fn color(c: Color, default: &str) -> String {
    let index = match c {
        Color::Rgb(r, g, b) => return format!("#{r:02x}{g:02x}{b:02x}"),
        Color::Reset => return default.to_owned(),
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
        Color::Indexed(i) => usize::from(i) % 16,
    };
    PALETTE[index].to_owned()
}

/// The buffer as SVG.
fn svg(buffer: &Buffer, light: bool) -> String {
    let (paper, ink) = if light {
        ("#fdfdfc", "#2b303b")
    } else {
        ("#1e222a", "#d5dae3")
    };
    let area = *buffer.area();
    let (cw, ch) = CELL;
    let width = f64::from(area.width) * cw + 2.0 * PAD;
    let height = f64::from(area.height) * ch + 2.0 * PAD;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{paper}\"/>\n"
    );
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            let cell = &buffer[(x, y)];
            let style = cell.style();
            let mut fg = color(style.fg.unwrap_or(Color::Reset), ink);
            let mut bg = color(style.bg.unwrap_or(Color::Reset), paper);
            let has = |m| style.add_modifier.contains(m);
            if has(Modifier::REVERSED) {
                std::mem::swap(&mut fg, &mut bg);
            }
            let (px, py) = (PAD + f64::from(x) * cw, PAD + f64::from(y) * ch);
            if bg != paper {
                out.push_str(&format!(
                    "<rect x=\"{px:.1}\" y=\"{py:.1}\" width=\"{:.1}\" height=\"{ch:.1}\" fill=\"{bg}\"/>\n",
                    cw + 0.4
                ));
            }
            let symbol = cell.symbol();
            if symbol.trim().is_empty() {
                continue;
            }
            let symbol = symbol
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            let mut extra = String::new();
            if has(Modifier::BOLD) {
                extra.push_str(" font-weight=\"bold\"");
            }
            if has(Modifier::ITALIC) {
                extra.push_str(" font-style=\"italic\"");
            }
            if has(Modifier::DIM) {
                extra.push_str(" opacity=\"0.55\"");
            }
            if has(Modifier::UNDERLINED) {
                extra.push_str(" text-decoration=\"underline\"");
            }
            out.push_str(&format!(
                "<text x=\"{px:.1}\" y=\"{:.1}\" fill=\"{fg}\"{extra}>{symbol}</text>\n",
                py + 13.5
            ));
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Writes a screen: `PICTURE=FILE SHOW=100x30:9Gd THEME=dark cargo test --lib picture -- --ignored`.
#[tokio::test]
#[ignore = "writes a picture, asserts nothing"]
async fn picture() {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let show = var("SHOW");
    let (size, keys) = show.split_once(':').unwrap_or(("100x30", ""));
    let (width, height) = size.split_once('x').unwrap();
    let world = if var("LIVE").is_empty() {
        story()
    } else {
        live()
    };
    let (depth, backdrop) = match var("THEME").as_str() {
        "dark" => (Depth::Full, Backdrop::Dark),
        "light" => (Depth::Full, Backdrop::Light),
        "none" => (Depth::None, Backdrop::Unknown),
        _ => (Depth::Ansi, Backdrop::Unknown),
    };
    let stage = Stage::open(world, width.parse().unwrap(), height.parse().unwrap()).await;
    let mut stage = stage.theme(depth, backdrop);
    stage.keys(keys).await.pause().await;
    let picture = svg(&stage.buffer(), backdrop == Backdrop::Light);
    std::fs::write(var("PICTURE"), picture).unwrap();
}
