//! A page to step through timelines with: one file, without a network.
//!
//! Diagram, table and verdict are written here; the logs of each step are put together by a small script from the states,
//! which the page carries as JSON.

use super::grid::{Cell, LEGEND, Line, grid};
use super::json::{list, start, steps};
use super::svg::svg;
use super::verdict::verdict;
use crate::replication::play::Timeline;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A page with the timelines of one story under different rules, each with its name; `title` stands above.
///
/// Arrow keys and buttons go from step to step, a list changes the timeline. Nothing is fetched from anywhere.
pub fn html(title: &str, timelines: &[(String, Timeline)]) -> String {
    let title = escape(title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<header>\n<h1>{title}</h1>\n<label>Rules <select id=\"variant\">"
    );
    for (name, number) in timelines.iter().map(|(name, _)| name).zip(0..) {
        out.push_str(&format!("<option value=\"{number}\">{}</option>", escape(name)));
    }
    out.push_str(CONTROLS);
    for ((_, timeline), number) in timelines.iter().zip(0..) {
        variant(number, timeline, &mut out);
    }
    let states = timelines.iter().map(|(_, timeline)| list(std::iter::once(start(timeline)).chain(steps(timeline))));
    out.push_str("<script type=\"application/json\" id=\"states\">");
    out.push_str(&within_script(&list(states)));
    out.push_str("</script>\n<script>\n");
    out.push_str(SCRIPT);
    out.push_str("</script>\n</body>\n</html>\n");
    out
}

const CONTROLS: &str = "</select></label>\n<button id=\"first\" title=\"Home\">|&lt;</button>\
     <button id=\"back\" title=\"Left\">&lt;</button>\
     <input id=\"step\" type=\"range\" min=\"0\" value=\"0\" aria-label=\"step\">\
     <button id=\"next\" title=\"Right\">&gt;</button><button id=\"last\" title=\"End\">&gt;|</button>\
     <button id=\"wrong\" title=\"v\">next violation</button>\n<output id=\"where\"></output>\n</header>\n\
     <main id=\"now\" aria-live=\"polite\"></main>\n";

/// What does not change from step to step.
fn variant(number: usize, timeline: &Timeline, out: &mut String) {
    let verdict = escape(&verdict(timeline).to_string());
    out.push_str(&format!(
        "<section class=\"variant\" data-variant=\"{number}\" hidden>\n<pre class=\"verdict\">{verdict}</pre>\n"
    ));
    out.push_str("<details open><summary>Diagram</summary><div class=\"diagram\">");
    out.push_str(&svg(timeline));
    out.push_str("</div></details>\n<details open><summary>Table</summary>");
    out.push_str(&format!("<p class=\"legend\">{}</p><div class=\"table\">", escape(LEGEND)));
    table(&grid(timeline), out);
    out.push_str("</div></details>\n</section>\n");
}

fn table(lines: &[Line], out: &mut String) {
    let Some(first) = lines.first() else { return };
    out.push_str("<table><thead><tr><th>#</th><th>step</th>");
    (0..first.replicas.len()).for_each(|broker| out.push_str(&format!("<th>b{broker}</th>")));
    for (name, cell) in [("ISR", &first.isr), ("ELR", &first.elr)] {
        if cell.is_some() {
            out.push_str(&format!("<th>{name}</th>"));
        }
    }
    out.push_str("<th>what happened</th></tr></thead><tbody>\n");
    let columns = 3 + first.replicas.len() + usize::from(first.isr.is_some()) + usize::from(first.elr.is_some());
    for line in lines {
        let number = line.number;
        out.push_str(&format!(
            "<tr data-step=\"{number}\"><td class=\"n\">{number}</td><td>{}</td>",
            escape(&line.step)
        ));
        for [glyph, epoch, leo, hw, flushed] in &line.replicas {
            let (glyph, epoch, leo) = (cell(glyph), cell(epoch), cell(leo));
            out.push_str(&format!("<td>{glyph} {epoch} {leo}/{}/{}</td>", cell(hw), cell(flushed)));
        }
        for set in [&line.isr, &line.elr].into_iter().flatten() {
            out.push_str(&format!("<td>{}</td>", cell(set)));
        }
        out.push_str(&format!("<td class=\"w\">{}</td></tr>\n", escape(&line.happened)));
        for below in &line.below {
            let text = escape(below.trim_start());
            out.push_str(&format!(
                "<tr data-step=\"{number}\"><td></td><td class=\"v\" colspan=\"{}\">{text}</td></tr>\n",
                columns - 1
            ));
        }
    }
    out.push_str("</tbody></table>");
}

fn cell(cell: &Cell) -> String {
    let text = escape(&cell.text);
    if cell.is_new { format!("<b>{text}</b>") } else { text }
}

/// Text as it may stand in a page.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// JSON as it may stand in a script: without a letter that could end it or begin a comment. Such letters are in strings only.
fn within_script(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}
