//! The public corpora.

use super::*;

/// A corpus's counts: documents, mentions (of these repeated), relations, discontinuous spans, defects.
type Whole = (usize, usize, usize, usize, usize);

/// The public corpora are read whole, with the counts of their provenance; skipped where they are not there. Repeated mentions (same span
/// and label) and defective ones count as the provenance counts them.
#[test]
fn the_public_corpora_are_read_whole() {
    let folder = Path::new("../../shared/corpora");
    let io = |outside: &str| Options {
        tags: Some(Scheme::Io),
        outside: Some(outside.into()),
        ..Options::default()
    };
    let csv = |text: &str, id: &str| Options {
        text_column: Some(text.into()),
        id_column: Some(id.into()),
        ..Options::default()
    };
    let plain = Options::default;
    let cases: Vec<(&str, Format, Options, Whole)> = vec![
        (
            "bc5cdr/CDR_TrainingSet.PubTator.txt.gz",
            Format::Pubtator,
            plain(),
            (500, 5203 + 4182, 1038, 0, 0),
        ),
        (
            "bc5cdr/CDR_DevelopmentSet.PubTator.txt.gz",
            Format::Pubtator,
            plain(),
            (500, 5347 + 4244, 1012, 0, 0),
        ),
        // The provenance counts the document that stands twice, with its 11 mentions.
        (
            "ncbi-disease/NCBItrainset_corpus.txt.gz",
            Format::Pubtator,
            plain(),
            (593 - 1, 5145 - 11, 0, 0, 0),
        ),
        (
            "ncbi-disease/NCBIdevelopset_corpus.txt.gz",
            Format::Pubtator,
            plain(),
            (100, 787, 0, 0, 0),
        ),
        // Relations of composite concepts become several.
        (
            "biored/Train.PubTator.gz",
            Format::Pubtator,
            plain(),
            (346, 11413, 3680 + 4, 0, 0),
        ),
        (
            "biored/Dev.PubTator.gz",
            Format::Pubtator,
            plain(),
            (84, 2907, 981, 0, 0),
        ),
        // Of the 1796 discontinuous spans of the whole corpus 1504 are in the part that is here, one of them defective.
        (
            "chia/chia_without_scope.dev.zip",
            Format::Brat,
            plain(),
            (1702, 37827, 17162, 1504 - 1, 3),
        ),
        // 4021 interactions, one without a type; 38 of the 49 discontinuous entities are here, one of them defective.
        (
            "ddi2013/DDICorpus-2013.train.zip",
            Format::Ddi,
            plain(),
            (714, 12929 + 1836, 4021, 38 - 1, 2),
        ),
        (
            "phee/phee2_train.json.gz",
            Format::Phee,
            plain(),
            (2880, 18422, 5268, 380, 0),
        ),
        (
            "phee/phee2_dev.json.gz",
            Format::Phee,
            plain(),
            (957, 6255, 1782, 126, 0),
        ),
        (
            "drugprot/DrugProt-500.train.json.gz",
            Format::Drugprot,
            plain(),
            (516, 1419 + 1284, 1403, 0, 0),
        ),
        (
            "drugprot/DrugProt-200.train.json.gz",
            Format::Drugprot,
            plain(),
            (224, 585 + 540, 598, 0, 0),
        ),
        (
            "mtl-bio-ner/AnatEM.train.tsv.gz",
            Format::Conll,
            plain(),
            (5861, 6946, 0, 0, 0),
        ),
        (
            "mtl-bio-ner/AnatEM.devel.tsv.gz",
            Format::Conll,
            plain(),
            (2118, 2139, 0, 0, 0),
        ),
        (
            "mtl-bio-ner/BC2GM.train.tsv.gz",
            Format::Conll,
            plain(),
            (12574, 15197, 0, 0, 0),
        ),
        (
            "mtl-bio-ner/BC2GM.devel.tsv.gz",
            Format::Conll,
            plain(),
            (2519, 3061, 0, 0, 0),
        ),
        (
            "mtl-bio-ner/CRAFT.train.tsv.gz",
            Format::Conll,
            plain(),
            (10875, 29026, 0, 0, 0),
        ),
        (
            "mtl-bio-ner/CRAFT.devel.tsv.gz",
            Format::Conll,
            plain(),
            (3730, 9727, 0, 0, 0),
        ),
        (
            "ebm-nlp/scibert-split.dev.txt.gz",
            Format::Conll,
            io("O"),
            (960, 16561, 0, 0, 0),
        ),
        (
            "ebm-nlp/devkotasabin.acl_dev.txt.gz",
            Format::Conll,
            io("N"),
            (960, 17152, 0, 0, 0),
        ),
        (
            "clinical-notes/aci-bench.train.csv.gz",
            Format::Csv,
            csv("note", "encounter_id"),
            (67, 0, 0, 0, 0),
        ),
        (
            "clinical-notes/mts-dialog.train.csv.gz",
            Format::Csv,
            csv("section_text", "ID"),
            (1201, 0, 0, 0, 0),
        ),
    ];
    for (file, format, options, expected) in cases {
        let path = folder.join(file);
        if !path.exists() {
            println!("skipped: {} is not there", path.display());
            continue;
        }
        let corpus = examine(&path, format, &options).unwrap();
        let note = |begin: &str| {
            corpus
                .notes
                .iter()
                .filter(|(n, _)| n.starts_with(begin))
                .map(|(_, c)| c)
                .sum::<usize>()
        };
        let count = |f: fn(&Document) -> usize| corpus.documents.iter().map(f).sum::<usize>();
        let defective = |of: &str| corpus.defects.iter().filter(|d| d.why.contains(of)).count();
        let found = (
            corpus.documents.len(),
            count(|d| d.mentions.len()) + note("repeated mentions") + defective("surface form"),
            count(|d| d.relations.len()) + defective("interaction has no type"),
            note("discontinuous"),
            corpus.defects.len(),
        );
        assert_eq!(found, expected, "{file}");
    }
}
