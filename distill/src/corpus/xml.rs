//! XML as corpora use it: elements, attributes, text. No entity is expanded but XML's own five, so nothing grows.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::errors::Error as XmlError;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::lines::Lines;

/// Elements within elements.
const DEEPEST: usize = 100;

/// An element.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    /// The text directly in it.
    pub(super) text: String,
    pub(super) children: Vec<Node>,
    /// Line of its start tag.
    pub(super) line: usize,
}

impl Node {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |c| c.name == name)
    }

    pub(super) fn child<'a>(&'a self, name: &'a str) -> Option<&'a Node> {
        self.children(name).next()
    }
}

/// Hands on every element called `name`, one after another; only one of them is in memory at a time.
///
/// The error is a line and why the XML cannot be read further; it quotes nothing.
pub(super) fn each(
    text: &str,
    name: &str,
    mut visit: impl FnMut(Node),
) -> Result<(), (usize, String)> {
    let lines = Lines::new(text);
    let mut reader = Reader::from_str(text);
    // Elements that are open; those outside of `name` keep no children.
    let mut open: Vec<Node> = Vec::new();
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let line = lines.of(at);
        let bad = |why: &str| (line, format!("the XML cannot be read from here: {why}"));
        let event = reader.read_event().map_err(|e| {
            let at = usize::try_from(reader.error_position()).unwrap_or(at);
            (
                lines.of(at),
                format!("the XML cannot be read from here: {}", said(&e)),
            )
        })?;
        match event {
            Event::Start(tag) if open.len() >= DEEPEST => {
                let _ = tag;
                return Err(bad("elements within elements, more than 100 deep"));
            }
            Event::Start(tag) => open.push(node(&tag, line).map_err(|why| bad(&why))?),
            Event::Empty(tag) => {
                let node = node(&tag, line).map_err(|why| bad(&why))?;
                close(node, &mut open, name, &mut visit);
            }
            Event::End(_) => {
                if let Some(node) = open.pop() {
                    close(node, &mut open, name, &mut visit);
                }
            }
            Event::Text(text) => append(&mut open, &text.xml10_content()),
            Event::CData(text) => append(&mut open, &text.xml10_content()),
            Event::GeneralRef(entity) => {
                let mut buffer = [0; 4];
                let character =
                    resolved(&entity, &mut buffer).ok_or_else(|| bad(UNKNOWN_ENTITY))?;
                append(&mut open, character);
            }
            Event::DocType(text) if text.contains('[') => {
                return Err(bad(
                    "it declares entities or elements of its own; take the declaration out",
                ));
            }
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().and_then(Result::ok);
                let known = |e: &str| {
                    matches!(
                        e.to_lowercase().as_str(),
                        "utf-8" | "utf8" | "ascii" | "us-ascii"
                    )
                };
                if !encoding.is_none_or(|e| known(&e)) {
                    return Err(bad(
                        "it declares another encoding than UTF-8; convert the file",
                    ));
                }
            }
            Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => {
                return match open.pop() {
                    Some(node) => Err((
                        node.line,
                        "the element that begins here is not closed; the file is cut off"
                            .to_owned(),
                    )),
                    None => Ok(()),
                };
            }
        }
    }
}

const UNKNOWN_ENTITY: &str = "an entity that XML does not define; write `&` as `&amp;`";

/// What is wrong, without the name or value that the library would quote.
fn said(e: &XmlError) -> &'static str {
    match e {
        XmlError::Syntax(_) => "a tag, a comment or an entity is not closed",
        XmlError::IllFormed(_) => {
            "start and end tags do not match; write `<` as `&lt;`, `&` as `&amp;`"
        }
        XmlError::InvalidAttr(_) => "an attribute is malformed",
        XmlError::Escape(_) => UNKNOWN_ENTITY,
        _ => "it is not XML",
    }
}

fn node(tag: &BytesStart, line: usize) -> Result<Node, String> {
    let mut node = Node {
        name: tag.local_name().as_ref().to_owned(),
        line,
        ..Node::default()
    };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| "an attribute is malformed".to_owned())?;
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|_| UNKNOWN_ENTITY.to_owned())?;
        let key = attribute.key.as_ref().to_owned();
        node.attributes.push((key, value.into_owned()));
    }
    Ok(node)
}

fn resolved<'b>(entity: &BytesRef, buffer: &'b mut [u8; 4]) -> Option<&'b str> {
    match entity.resolve_char_ref() {
        Ok(Some(character)) => Some(character.encode_utf8(buffer)),
        Ok(None) => resolve_xml_entity(&entity.xml10_content()),
        Err(_) => None,
    }
}

fn append(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(text);
    }
}

fn close(node: Node, open: &mut [Node], name: &str, visit: &mut impl FnMut(Node)) {
    if node.name == name {
        visit(node);
    } else if open.iter().any(|outer| outer.name == name)
        && let Some(parent) = open.last_mut()
    {
        parent.children.push(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Node>, (usize, String)> {
        let mut found = Vec::new();
        each(text, "d", |node| found.push(node)).map(|()| found)
    }

    #[test]
    fn elements_attributes_and_references_are_read() {
        let text = "<?xml version='1.0' encoding='UTF-8'?>\n<!DOCTYPE c SYSTEM 'c.dtd'>\n<c><d id='1'>a &lt; &#xb5;\n<![CDATA[<b>]]><e t='x&#10;&amp;\ny'/></d>\n<d/></c>\n";
        let nodes = read(text).unwrap();
        assert_eq!((nodes.len(), nodes[0].line, nodes[1].line), (2, 3, 6));
        assert_eq!(nodes[0].text, "a < µ\n<b>");
        assert_eq!(nodes[0].child("e").unwrap().attribute("t"), Some("x\n& y"));
    }

    #[test]
    fn damage_is_named_with_its_line_and_without_quoting() {
        for (text, line, why) in [
            ("<c>\n<d>secret</e>\n</c>", 2, "do not match"),
            ("<c>\n<d>\nAT&T secret;</d></c>", 3, "entity"),
            ("<c>\n<d>\n<secret", 3, "not closed"),
            ("<c>\n<d>\n", 2, "cut off"),
            ("<c>\n<d a='1' a='2'/></c>", 2, "malformed"),
            (
                "<!DOCTYPE c [\n<!ENTITY a 'aaaa'>]><c><d>&a;</d></c>",
                1,
                "entities",
            ),
            ("<?xml version='1.0' encoding='latin-1'?>\n<c/>", 1, "UTF-8"),
        ] {
            let (at, said) = read(text).unwrap_err();
            assert!(at == line && said.contains(why), "{text}: {at}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let deep = "<d>".repeat(1000);
        assert!(read(&deep).unwrap_err().1.contains("100 deep"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused_never_a_panic(text in "[<>/=\"'&;dx \\n!\\[\\]?-]{0,80}") {
            let _ = read(&text);
        }
    }
}
