//! Reports for people: HTML pages that need nothing but themselves, no script, font or picture of another
//! file. What stands on a page is written where its numbers come from, [`train`](crate::train) and
//! [`search`](crate::search); this is what the pages share.

mod chart;
mod shares;

use std::fmt::{self, Write};

pub(crate) use chart::{Axis, CURVES, Chart, Curve, Shape, marks, short};
pub(crate) use shares::{Column, Shares};

/// Begins a page under a title. Where the reader wants dark pages, pictures are turned as well: what is white
/// becomes the page's ground, and hues stay.
pub(crate) fn begin(page: &mut String, title: &str) -> fmt::Result {
    let title = escape(title);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>\nbody {{ font: 15px/1.4 sans-serif; color: #1a1a1a; max-width: 46em; margin: 2em auto; \
         padding: 0 1em; }}\ntable {{ border-collapse: collapse; }}\n\
         td, th {{ padding: 0.15em 0.7em; text-align: right; border-bottom: 1px solid #ddd; }}\n\
         pre {{ background: #f5f5f5; padding: 0.8em; overflow-x: auto; }}\n\
         svg {{ max-width: 100%; height: auto; }}\n\
         @media (prefers-color-scheme: dark) {{\n:root {{ color-scheme: dark; }}\n\
         body {{ color: #e6e6e6; background: #121212; }}\ntd, th {{ border-color: #444; }}\n\
         pre {{ background: #222; }}\nsvg {{ filter: invert(0.93) hue-rotate(180deg); }}\n}}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )
}

/// Ends a page.
pub(crate) fn end(page: &mut String) -> fmt::Result {
    page.write_str("</body>\n</html>\n")
}

/// How many images there are of each part, `parted` in some way, the last of which `who` never sees.
pub(crate) fn counted_images(
    [train, validation, tests]: [usize; 3],
    parted: &str,
    who: &str,
) -> String {
    format!(
        "{train} training and {validation} validation images{parted}, and {tests} test images that the {who} \
         never sees"
    )
}

/// A heading and text as it stands under it.
pub(crate) fn listing(page: &mut String, heading: &str, text: &str) -> fmt::Result {
    write!(page, "<h2>{}</h2>\n<pre>{}</pre>\n", escape(heading), escape(text))
}

/// Text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
