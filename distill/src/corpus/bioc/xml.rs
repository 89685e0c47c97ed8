//! BioC in XML.

use super::super::Defect;
use super::super::files::File;
use super::super::number;
use super::super::xml::{self, Node};
use super::{Annotation, Bioc, Infons, Passage, Relation};

/// The documents of one file.
pub(super) fn collection(file: &File, defects: &mut Vec<Defect>) -> Vec<Bioc> {
    let mut documents = Vec::new();
    let mut found = false;
    let result = xml::each(&file.text, "document", |node| {
        found = true;
        match document(file, &node) {
            Ok(document) => documents.push(document),
            Err(defect) => defects.push(defect),
        }
    });
    let unread = match result {
        Err((line, why)) => Some((line, why)),
        Ok(()) if !found => Some((1, "there is no element `document`; is it BioC?".to_owned())),
        Ok(()) => None,
    };
    if let Some((line, why)) = unread {
        let source = file.at(line);
        defects.push(Defect { source, why });
    }
    documents
}

fn document(file: &File, node: &Node) -> Result<Bioc, Defect> {
    let fail = |node: &Node, why: &str| Defect {
        source: file.at(node.line),
        why: why.to_owned(),
    };
    let id = node
        .child("id")
        .map(|id| id.text.trim())
        .filter(|id| !id.is_empty());
    let mut bioc = Bioc {
        source: file.at(node.line),
        id: id
            .ok_or_else(|| fail(node, "the document has no id"))?
            .to_owned(),
        passages: Vec::new(),
        annotations: Vec::new(),
        relations: Vec::new(),
        lost: Vec::new(),
    };
    let mut level = |node: &Node| {
        for child in node.children("annotation") {
            match annotation(file, child) {
                Ok(annotation) => bioc.annotations.push(annotation),
                Err(why) => {
                    let id = child.attribute("id").map(str::to_owned);
                    bioc.lost.push((id, fail(child, why)));
                }
            }
        }
        bioc.relations
            .extend(node.children("relation").map(|r| relation(file, r)));
    };
    for passage in node.children("passage") {
        level(passage);
        let sentences: Vec<&Node> = passage.children("sentence").collect();
        sentences.iter().for_each(|s| level(s));
        let parts = if sentences.is_empty() {
            vec![passage]
        } else {
            sentences
        };
        for part in parts {
            let offset = part.child("offset").and_then(|o| number(o.text.trim()));
            let text = part
                .child("text")
                .map(|t| t.text.clone())
                .unwrap_or_default();
            bioc.passages.push(Passage {
                source: file.at(part.line),
                offset: offset
                    .ok_or_else(|| fail(part, "no offset, or it is not a whole number"))?,
                text,
            });
        }
    }
    level(node);
    Ok(bioc)
}

fn infons(node: &Node) -> Infons {
    let pair = |infon: &Node| {
        Some((
            infon.attribute("key")?.to_owned(),
            infon.text.trim().to_owned(),
        ))
    };
    node.children("infon").filter_map(pair).collect()
}

fn annotation(file: &File, node: &Node) -> Result<Annotation, &'static str> {
    let location = |location: &Node| {
        let of = |name| location.attribute(name).and_then(|n| number(n.trim()));
        Some((of("offset")?, of("length")?))
    };
    let locations: Option<Vec<_>> = node.children("location").map(location).collect();
    Ok(Annotation {
        source: file.at(node.line),
        id: node
            .attribute("id")
            .ok_or("the annotation has no id")?
            .to_owned(),
        infons: infons(node),
        locations: locations.ok_or("a location's offset or length is not a whole number")?,
        text: node.child("text").map(|t| t.text.clone()),
    })
}

fn relation(file: &File, node: &Node) -> Relation {
    let end = |node: &Node| {
        let of = |name| node.attribute(name).unwrap_or_default().to_owned();
        (of("refid"), of("role"))
    };
    Relation {
        source: file.at(node.line),
        infons: infons(node),
        nodes: node.children("node").map(end).collect(),
    }
}
