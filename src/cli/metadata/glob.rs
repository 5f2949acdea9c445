//! Paths in the tree, with the globs of Kafka's metadata shell (`GlobVisitor`): `*`, `?`, `{a,b}`, `\` before any.

use regex::Regex;

use crate::cli::consume::select::distance;
use crate::cli::ui::Problem;
use crate::schema::image::{Node, escape, split_path};

/// A node and its path.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// From the root, `/` before each name.
    pub path: String,
    /// The node.
    pub node: Node<'a>,
}

/// One name of a path: itself, or a pattern.
enum Component {
    Literal(String),
    Pattern(Regex),
}

impl Component {
    /// As `GlobComponent`; a pattern that cannot be one is a name.
    fn new(glob: &str) -> Component {
        let (mut pattern, mut literal) = (String::from("^(?s:"), String::new());
        let (mut is_pattern, mut in_group) = (false, false);
        let mut chars = glob.chars();
        while let Some(c) = chars.next() {
            match c {
                '?' | '*' | '{' => is_pattern = true,
                _ => {}
            }
            match c {
                '?' => pattern.push('.'),
                '*' => pattern.push_str(".*"),
                '{' if in_group => return Component::Literal(glob.to_owned()),
                '{' => {
                    pattern.push_str("(?:(?:");
                    in_group = true;
                }
                ',' if in_group => pattern.push_str(")|(?:"),
                '}' if in_group => {
                    pattern.push_str("))");
                    in_group = false;
                }
                _ => {
                    let c = if c == '\\' { chars.next().unwrap_or(c) } else { c };
                    pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
                    literal.push(c);
                }
            }
        }
        pattern.push_str(")$");
        match Regex::new(&pattern) {
            Ok(pattern) if is_pattern && !in_group => Component::Pattern(pattern),
            _ if is_pattern => Component::Literal(glob.to_owned()),
            _ => Component::Literal(literal),
        }
    }
}

/// The nodes that `glob` names, in the order of the tree.
pub fn find<'a>(root: Node<'a>, glob: &str) -> Vec<Found<'a>> {
    let mut found = vec![Found { path: String::new(), node: root }];
    for name in split_path(glob) {
        let component = Component::new(&name);
        let below = |parent: &Found<'a>| -> Vec<Found<'a>> {
            let child = |name: &str, node| Found { path: format!("{}/{}", parent.path, escape(name)), node };
            match &component {
                Component::Literal(name) => parent.node.child(name).map(|node| child(name, node)).into_iter().collect(),
                Component::Pattern(pattern) => {
                    let children = parent.node.children().into_iter().filter(|(name, _)| pattern.is_match(name));
                    children.map(|(name, node)| child(&name, node)).collect()
                }
            }
        };
        found = found.iter().flat_map(below).collect();
    }
    found
}

/// The same; none at all is an error that says how far the path goes.
pub fn find_any<'a>(root: Node<'a>, glob: &str) -> anyhow::Result<Vec<Found<'a>>> {
    let found = find(root, glob);
    if found.is_empty() { Err(not_found(root, glob).into()) } else { Ok(found) }
}

/// The nodes anywhere in the tree whose own name `glob` names, without what shows topics a second time.
pub fn find_named<'a>(root: Node<'a>, glob: &str) -> Vec<Found<'a>> {
    let component = Component::new(glob);
    let mut found = Vec::new();
    let mut visit = |path: &str, name: &str, node: Node<'a>| {
        let is_match = match &component {
            Component::Literal(literal) => literal == name,
            Component::Pattern(pattern) => pattern.is_match(name),
        };
        if is_match {
            found.push(Found { path: path.to_owned(), node });
        }
    };
    walk(&Found { path: String::new(), node: root }, &mut |path, name, node| visit(path, name, node));
    found
}

fn walk<'a>(parent: &Found<'a>, visit: &mut dyn FnMut(&str, &str, Node<'a>)) {
    for (name, node) in parent.node.children() {
        let path = format!("{}/{}", parent.path, escape(&name));
        if path == "/image/topics/byId" {
            continue;
        }
        visit(&path, &name, node);
        walk(&Found { path, node }, visit);
    }
}

/// Nothing is at `path`: how far it goes, and what is near.
pub fn not_found(root: Node<'_>, path: &str) -> Problem {
    let (mut node, mut so_far) = (root, String::new());
    for name in split_path(path) {
        let literal = match Component::new(&name) {
            Component::Literal(literal) => literal,
            Component::Pattern(_) => {
                let place = if so_far.is_empty() { "/" } else { &so_far };
                return Problem::new("not_found", format!("nothing in the tree is {path}"))
                    .hint(format!("no name in {place} matches '{name}'{}", listed(node)));
            }
        };
        let Some(child) = node.child(&literal) else {
            let place = if so_far.is_empty() { "/" } else { &so_far };
            let text = format!("nothing in the tree is {path}: {place} has no '{literal}'");
            let names = node.children().into_iter().map(|(name, _)| (distance(&literal, &name), name));
            let hint = match names.min() {
                Some((distance, near)) if distance <= 1 + literal.chars().count() / 4 => {
                    format!("did you mean '{so_far}/{}'?", escape(&near))
                }
                _ => format!("see what is there with: logdir metadata find {place}{}", listed(node)),
            };
            return Problem::new("not_found", text).hint(hint);
        };
        so_far = format!("{so_far}/{}", escape(&literal));
        node = child;
    }
    Problem::new("not_found", format!("nothing in the tree is {path}"))
}

/// A few of the names below a node.
fn listed(node: Node<'_>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = node.children().into_iter().take(SHOWN).map(|(name, _)| name).collect();
    if names.is_empty() { String::new() } else { format!("; it has: {}", names.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_those_of_the_shell() {
        let matches = |glob: &str, name: &str| match Component::new(glob) {
            Component::Literal(literal) => literal == name,
            Component::Pattern(pattern) => pattern.is_match(name),
        };
        for (glob, name, expected) in [
            ("abc", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("{orders,pay*}", "payments", true),
            ("{orders,pay*}", "refunds", false),
            ("a.c", "abc", false),
            (r"a\*c", "a*c", true),
            (r"a\*c*", "a*cd", true),
            ("a,b", "a,b", true),
            ("{a", "{a", true),
            ("user(al*)", "user(alice)", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }
}
