//! Pages: one file that needs no script and loads nothing. Equal input gives equal bytes.

use std::fmt::Write;

const HEAD: &str = include_str!("page.head.html");
const STYLE: &str = include_str!("page.css");

/// A section of a page.
#[derive(Debug)]
pub struct Section {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: String,
    /// What stands under the heading (HTML).
    pub body: String,
}

impl Section {
    /// A section; an empty body means that there is nothing to show.
    pub fn new(id: &'static str, title: impl Into<String>, body: String) -> Section {
        Section {
            id,
            title: title.into(),
            body,
        }
    }
}

/// A whole page. `lead` and `foot` are HTML.
pub fn page(title: &str, lead: &str, sections: &[Section], foot: &str) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let title = escaped(title);
    // Writing to a String cannot fail: here and below the results of `write!` hold nothing.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         {HEAD}\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n{lead}\n</header>\n"
    );
    if sections.len() > 2 {
        out.push_str("<nav aria-label=\"Sections\">\n<ul>\n");
        for section in sections {
            let _ = writeln!(
                out,
                "<li><a href=\"#{}\">{}</a></li>",
                section.id,
                escaped(&section.title)
            );
        }
        out.push_str("</ul>\n</nav>\n");
    }
    out.push_str("<main>\n");
    for section in sections {
        let _ = write!(
            out,
            "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n{}</section>\n",
            escaped(&section.title),
            section.body,
            id = section.id
        );
    }
    let _ = write!(
        out,
        "</main>\n<footer>\n{foot}\n</footer>\n</body>\n</html>\n"
    );
    out
}

/// Text for elements and quoted attributes. Controls, and marks that turn the direction of what follows, become U+FFFD.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            _ if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(c),
        }
    }
    out
}

/// A paragraph.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

/// A quiet paragraph: how something was measured.
pub fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escaped(text))
}

/// A heading inside a section.
pub fn heading(text: &str) -> String {
    format!("<h3>{}</h3>\n", escaped(text))
}

/// One cell.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A figure, as it shall stand.
    Number(String),
    /// HTML that was made here.
    Html(String),
    /// A figure on a coloured ground: "right" or "wrong", and how strongly, 0 to 3.
    Shaded(String, &'static str, usize),
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows, in words.
    pub caption: String,
    /// Column headings; the first stands over the row headings.
    pub head: Vec<String>,
    /// Row heading and cells.
    pub rows: Vec<(String, Vec<Cell>)>,
    /// The last row is a total.
    pub total: bool,
    /// A class of the table.
    pub class: &'static str,
}

impl Table {
    /// The table, in a region that scrolls by itself where the page is narrow.
    pub fn html(&self) -> String {
        let mut out = String::new();
        let caption = escaped(&self.caption);
        let class = match self.class {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        // Above the region: in it, a narrow page would cut the words off.
        let _ = write!(
            out,
            "<p class=\"caption\">{caption}</p>\n<div class=\"wide\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n<table{class}>\n<thead><tr>"
        );
        let text_column = |n: usize| {
            n == 0
                || self.rows.iter().any(|(_, cells)| {
                    matches!(cells.get(n - 1), Some(Cell::Text(_) | Cell::Html(_)))
                })
        };
        for (n, head) in self.head.iter().enumerate() {
            let class = if text_column(n) {
                " class=\"text\""
            } else {
                ""
            };
            let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escaped(head));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for (n, (name, cells)) in self.rows.iter().enumerate() {
            let class = match self.total && n + 1 == self.rows.len() {
                true => " class=\"total\"",
                false => "",
            };
            let _ = write!(out, "<tr{class}><th scope=\"row\">{}</th>", escaped(name));
            for cell in cells {
                let _ = match cell {
                    Cell::Text(text) => {
                        write!(out, "<td class=\"text\">{}</td>", escaped(text))
                    }
                    Cell::Number(text) => write!(out, "<td>{}</td>", escaped(text)),
                    Cell::Html(html) => write!(out, "<td class=\"text\">{html}</td>"),
                    Cell::Shaded(text, _, 0) => write!(out, "<td>{}</td>", escaped(text)),
                    Cell::Shaded(text, kind, level) => {
                        write!(out, "<td class=\"{kind}{level}\">{}</td>", escaped(text))
                    }
                };
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table>\n</div>\n");
        out
    }

    /// The table behind a line that opens it.
    pub fn folded(&self, summary: &str) -> String {
        format!(
            "<details>\n<summary>{}</summary>\n{}</details>\n",
            escaped(summary),
            self.html()
        )
    }
}

/// A text of paragraphs and of lines that begin with "- ", as lists; other lines go on with the one before.
pub fn prose(text: &str) -> String {
    let mut parts: Vec<(bool, String)> = Vec::new();
    let mut apart = true;
    for line in text.lines().map(str::trim) {
        match (line.strip_prefix("- "), parts.last_mut()) {
            (Some(item), _) => parts.push((true, item.to_owned())),
            (None, Some((_, last))) if !apart && !line.is_empty() => {
                last.push(' ');
                last.push_str(line);
            }
            _ if line.is_empty() => {}
            _ => parts.push((false, line.to_owned())),
        }
        apart = line.is_empty();
    }
    let mut out = String::new();
    for run in parts.chunk_by(|a, b| a.0 && b.0) {
        let list = run.first().is_some_and(|part| part.0);
        let tag = if list { "li" } else { "p" };
        out.push_str(if list { "<ul>\n" } else { "" });
        for (_, text) in run {
            let _ = writeln!(out, "<{tag}>{}</{tag}>", escaped(text));
        }
        out.push_str(if list { "</ul>\n" } else { "" });
    }
    out
}

/// Names and what they stand for.
pub fn list(items: &[(&str, String)]) -> String {
    let mut out = String::from("<dl>\n");
    for (name, value) in items.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    out.push_str("</dl>\n");
    out
}

/// A picture with its title. Its numbers must also stand in a table: it is not read aloud.
pub fn figure(title: &str, subtitle: &str, svg: &str) -> String {
    format!(
        "<figure>\n<figcaption>{}<small>{}</small></figcaption>\n{svg}</figure>\n",
        escaped(title),
        escaped(subtitle)
    )
}

/// A share as percent with one decimal.
pub fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// A whole number with thin gaps between thousands.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202F}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_obeyed() {
        assert_eq!(
            escaped("<b a='1' & \"x\">\u{202E}\u{0}"),
            "&lt;b a=&#39;1&#39; &amp; &quot;x&quot;&gt;\u{FFFD}\u{FFFD}"
        );
    }

    #[test]
    fn lines_become_paragraphs_and_lists() {
        assert_eq!(
            prose("One\ntwo.\n- a <b>\n  and more\n- c\n\nThree."),
            "<p>One two.</p>\n<ul>\n<li>a &lt;b&gt; and more</li>\n<li>c</li>\n</ul>\n<p>Three.</p>\n"
        );
        assert_eq!(prose(" \n"), "");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1\u{202F}000", "1\u{202F}234\u{202F}567"]
        );
        assert_eq!(percent(0.8367), "83.7");
    }
}
