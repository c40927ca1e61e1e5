//! Text made safe for HTML, numbers for SVG.

use std::fmt::{self, Display, Write as _};

/// Shows text with the characters that mean something in HTML replaced; safe in elements and quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                control if control.is_control() => formatter.write_char(' ')?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A coordinate with one decimal; 0 for what is not a number, so that a damaged value cannot break the drawing.
pub(super) fn coordinate(value: f64) -> String {
    format!("{:.1}", if value.is_finite() { value } else { 0.0 })
}
