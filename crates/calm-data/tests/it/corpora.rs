//! Corpora of every format, as a manifest names them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use calm_data::DataError;
use calm_data::corpus::{Chunk, CorporaManifest, CorporaReader, CorpusRecord, Skip};
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::TempDir;

struct Corpora(TempDir);

impl Corpora {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path().join(name), bytes).unwrap();
        self
    }

    /// Opens the corpora that a manifest of this `[[corpora]]` and more names.
    fn open(&self, corpus: &str) -> Result<CorporaReader, DataError> {
        let text = format!("layout = 1\n[[corpora]]\nlicence = \"none\"\n{corpus}");
        self.write("corpora.toml", text);
        CorporaReader::open(&CorporaManifest::read(&self.path().join("corpora.toml"))?)
    }

    fn chunks(&self, corpus: &str) -> Result<Vec<Chunk>, DataError> {
        self.open(corpus)?.collect()
    }

    fn records(&self, corpus: &str) -> Vec<CorpusRecord> {
        let chunks = self
            .chunks(corpus)
            .unwrap_or_else(|error| panic!("{error}"));
        chunks.into_iter().flat_map(|chunk| chunk.records).collect()
    }

    /// Texts of all sides.
    fn texts(&self, corpus: &str) -> Vec<[String; 2]> {
        let texts = |record: CorpusRecord| {
            let target = record.target.map(|target| target.text);
            [record.source.text, target.unwrap_or_default()]
        };
        self.records(corpus).into_iter().map(texts).collect()
    }

    /// The error is one line with these parts.
    fn refused(&self, corpus: &str, parts: &[&str]) {
        let error = match self.chunks(corpus) {
            Ok(_) => panic!("{corpus} is read"),
            Err(error) => error.to_string(),
        };
        assert!(!error.contains('\n'), "{error:?}");
        for part in parts {
            assert!(error.contains(part), "{error:?} has not {part:?}");
        }
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

/// A Parquet file with a group of two texts in each row.
fn write_parquet(path: &Path, rows: &[[Option<&[u8]>; 2]]) {
    let schema = "message rows { optional group translation { optional binary ny; optional binary en; } required binary id (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for side in 0..3 {
        let mut column = group.next_column().unwrap().unwrap();
        let cells = rows
            .iter()
            .map(|row| row.get(side).copied().unwrap_or(Some(b"1")));
        let cells: Vec<Option<&[u8]>> = cells.collect();
        let values: Vec<ByteArray> = cells
            .iter()
            .flatten()
            .map(|cell| ByteArray::from(cell.to_vec()))
            .collect();
        let levels: Vec<i16> = cells
            .iter()
            .map(|cell| 1 + i16::from(cell.is_some()))
            .collect();
        let levels = (side < 2).then_some(&*levels);
        let typed = column.typed::<ByteArrayType>();
        typed.write_batch(&values, levels, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

const PAIR: &str = "languages = [\"nya_Latn\", \"eng_Latn\"]\n";
const ONE: &str = "languages = [\"nya_Latn\"]\n";

fn expected() -> Vec<[String; 2]> {
    let pairs = [
        ["moni", "hello"],
        ["zikomo \"x\"", "thanks \"x\""],
        ["", "one-sided"],
        ["madzi", "water"],
    ];
    pairs.map(|pair| pair.map(str::to_owned)).to_vec()
}

const TMX: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd" [<!ENTITY lol "lol"><!ENTITY lots "&lol;&lol;">]>
<tmx version="1.4"><header srclang="en" datatype="PlainText"><note>&amp; of no matter &lots;</note></header>
<body>
  <tu tuid="1"><note>x</note><tuv xml:lang="EN-gb"><seg>hello</seg></tuv><tuv xml:lang="ny"><prop type="p">no</prop><seg>moni</seg></tuv></tu>
  <tu><tuv xml:lang="fr"><seg>merci</seg></tuv><tuv xml:lang="en"><seg>thanks</seg></tuv></tu>
  <tu>
    <tuv xml:lang="ny"><seg>zi<bpt i="1" x="1">&lt;b&gt;<sub>note</sub></bpt>ko<hi type="b">mo</hi><ept i="1"/> <![CDATA["x"]]></seg></tuv>
    <tuv xml:lang="en"><seg>th&#97;nks<ph>&unknown;</ph> &quot;x&#x22;</seg></tuv>
    <tuv xml:lang="en"><seg>another translation</seg></tuv>
  </tu>
  <tu><tuv xml:lang="ny"><seg/></tuv><tuv lang="en"><seg>one-sided</seg></tuv></tu>
  <tu><tuv xml:lang="ny"><seg>madzi</seg></tuv><tuv xml:lang="en"><seg>water</seg></tuv></tu>
</body></tmx>
"#;

#[test]
fn every_format_gives_the_same_records() {
    let corpora = Corpora::new();
    let (ny, en) = (
        "moni\nzikomo \"x\"\n\nmadzi\n",
        "hello\nthanks \"x\"\none-sided\nwater",
    );
    corpora.write("a.ny", ny).write("a.en", en);
    corpora
        .write("b.ny", gzip(ny))
        .write("b.en", zstd(&en.replace('\n', "\r\n")));
    let marked = format!("\u{feff}{ny}");
    corpora.write("c.ny", marked);
    for files in [
        "'a.ny', 'a.en'",
        "'b.ny', 'a.en'",
        "'a.ny', 'b.en'",
        "'c.ny', 'b.en'",
    ] {
        let corpus = format!("format = 'moses'\nfiles = [{files}]\n{PAIR}");
        assert_eq!(corpora.texts(&corpus), expected(), "{files}");
    }
    corpora.write("a.tsv", "en\tid\tny\nhello\t1\tmoni\nthanks \"x\"\t2\tzikomo \"x\"\none-sided\t3\t\nwater\t4\tmadzi\n");
    let corpus = format!("format = 'tsv'\nfiles = ['a.tsv']\nfields = ['ny', 'en']\n{PAIR}");
    assert_eq!(corpora.texts(&corpus), expected());
    corpora.write("q.tsv", "moni\thello\r\n\"zikomo \"\"x\"\"\"\t\"thanks \"\"x\"\"\"\r\n\tone-sided\r\nmadzi\twater\r\n");
    let corpus = format!(
        "format = 'tsv'\nfiles = ['q.tsv']\nquoting = true\nheader = ['ny', 'en']\nfields = ['ny', 'en']\n{PAIR}"
    );
    assert_eq!(corpora.texts(&corpus), expected());
    let lines = "{\"t\": {\"ny\": \"moni\", \"en\": \"hello\"}}\n{\"t\": {\"ny\": \"zikomo \\\"x\\\"\", \"en\": \"thanks \\\"x\\\"\"}, \"more\": [1]}\n\n{\"t\": {\"ny\": null, \"en\": \"one-sided\"}}\n{\"t\": {\"ny\": \"madzi\", \"en\": \"water\"}}";
    corpora.write("a.jsonl.zst", zstd(lines));
    let corpus =
        format!("format = 'jsonl'\nfiles = ['a.jsonl.zst']\nfields = ['t.ny', 't.en']\n{PAIR}");
    assert_eq!(corpora.texts(&corpus), expected());
    write_parquet(
        &corpora.path().join("a.parquet"),
        &[
            [Some(b"moni"), Some(b"hello")],
            [Some(b"zikomo \"x\""), Some(b"thanks \"x\"")],
            [None, Some(b"one-sided")],
            [Some(b"madzi"), Some(b"water")],
        ],
    );
    let corpus = format!(
        "format = 'parquet'\nfiles = ['a.parquet']\nfields = ['translation.ny', 'translation.en']\n{PAIR}"
    );
    assert_eq!(corpora.texts(&corpus), expected());
    let mut wide = vec![0xff, 0xfe];
    wide.extend(
        TMX.replace("UTF-8", "utf-16")
            .encode_utf16()
            .flat_map(u16::to_le_bytes),
    );
    corpora
        .write("a.tmx", TMX)
        .write("b.tmx.gz", gzip(TMX))
        .write("c.tmx", wide);
    for name in ["a.tmx", "b.tmx.gz", "c.tmx"] {
        let corpus = format!(
            "format = 'tmx'\nfiles = ['{name}']\ntags = {{ ny = 'nya_Latn', en = 'eng_Latn' }}\n{PAIR}"
        );
        assert_eq!(corpora.texts(&corpus), expected(), "{name}");
    }
}

#[test]
fn a_record_knows_its_languages_and_where_it_stands() {
    let corpora = Corpora::new();
    corpora
        .write("a.tmx", TMX)
        .write("x1.txt", "moni\n\n\nmadzi\n")
        .write("x2.txt", "nyumba");
    let corpus = format!(
        "format = 'tmx'\nfiles = ['a.tmx']\ntags = {{ ny = 'nya_Latn', en = 'eng_Latn' }}\n{PAIR}
        [[corpora]]\nlicence = 'none'\nformat = 'text'\nname = 'x'\nfiles = ['x*.txt']\n{ONE}"
    );
    let records = corpora.records(&corpus);
    let origins = records.iter().map(|record| record.origin);
    let origins: Vec<_> = origins
        .map(|origin| (origin.corpus, origin.file, origin.place))
        .collect();
    assert_eq!(
        origins,
        [
            (0, 0, 1),
            (0, 0, 3),
            (0, 0, 4),
            (0, 0, 5),
            (1, 0, 1),
            (1, 0, 4),
            (1, 1, 1)
        ]
    );
    let languages: Vec<&str> = records[0]
        .sides()
        .map(|side| side.language.as_str())
        .collect();
    assert_eq!(languages, ["nya_Latn", "eng_Latn"]);
    assert!(records[6].target.is_none());
    let mut reader = corpora.open(&corpus).unwrap();
    let skipped: Vec<_> = reader
        .by_ref()
        .flat_map(|chunk| chunk.unwrap().skipped)
        .collect();
    assert_eq!(skipped, [((0, Skip::OtherLanguage), 1)]);
    let inputs = reader.inputs();
    assert_eq!(inputs[0][0].sha256, calm_files::sha256(TMX));
    assert_eq!(inputs[1].iter().map(|file| file.bytes).sum::<u64>(), 19);
}

#[test]
fn rows_may_tell_their_languages() {
    let corpora = Corpora::new();
    // Sentences of Tatoeba, without a header.
    corpora.write(
        "sentences.tsv",
        "1\tnya\tmoni\n2\tfra\tsalut\n3\t\\N\t?\n4\teng\thello\n",
    );
    let corpus = "format = 'tsv'\nfiles = ['sentences.tsv']\nheader = ['id', 'lang', 'text']\nfields = ['text']\n\
        language-fields = ['lang']\ntags = { nya = 'nya_Latn', eng = 'eng_Latn' }\n";
    let languages = |records: &[CorpusRecord]| -> Vec<String> {
        records
            .iter()
            .map(|record| format!("{} {}", record.source.language, record.source.text))
            .collect()
    };
    assert_eq!(
        languages(&corpora.records(corpus)),
        ["nya_Latn moni", "eng_Latn hello"]
    );
    let only = format!("{corpus}{ONE}");
    assert_eq!(languages(&corpora.records(&only)), ["nya_Latn moni"]);
    // The same as JSON Lines, in pairs, either way round.
    corpora.write("pairs.jsonl", "{\"a\":\"moni\",\"la\":\"nya\",\"b\":\"hello\",\"lb\":\"eng\"}\n{\"b\":\"madzi\",\"lb\":\"nya\",\"a\":\"water\",\"la\":\"eng\"}\n");
    let corpus = format!(
        "format = 'jsonl'\nfiles = ['pairs.jsonl']\nfields = ['a', 'b']\nlanguage-fields = ['la', 'lb']\n\
        tags = {{ nya = 'nya_Latn', eng = 'eng_Latn' }}\n{PAIR}"
    );
    assert_eq!(
        corpora.texts(&corpus),
        [["moni", "hello"], ["madzi", "water"]]
    );
    corpora.refused(
        &corpus.replace("nya = ", "ny = "),
        &["comes out empty: its 2 records are in other languages"],
    );
}

#[test]
fn texts_that_are_not_utf_8_are_an_error_or_left_out() {
    let corpora = Corpora::new();
    corpora
        .write("a.ny", b"moni\nzi\xffkomo\nmadzi\n")
        .write("a.en", "hello\nthanks\nwater\n");
    corpora.write(
        "a.tsv",
        b"ny\ten\nmoni\thello\nzi\xffkomo\tthanks\nmadzi\twater\n",
    );
    corpora.write("a.jsonl", b"{\"ny\":\"moni\",\"en\":\"hello\"}\n{\"ny\":\"\xff\",\"en\":\"thanks\"}\n{\"ny\":\"madzi\",\"en\":\"water\"}\n");
    corpora.write("b.jsonl", "{\"ny\":\"moni\",\"en\":\"hello\"}\n{\"ny\":\"\\ud83d\",\"en\":\"thanks\"}\n{\"ny\":\"madzi\",\"en\":\"water\"}\n");
    let unit = |ny: &[u8], en: &str| {
        [
            b"<tu><tuv xml:lang='ny'><seg>",
            ny,
            format!("</seg></tuv><tuv xml:lang='en'><seg>{en}</seg></tuv></tu>\n").as_bytes(),
        ]
        .concat()
    };
    let tmx = [
        b"<tmx>\n".to_vec(),
        unit(b"moni", "hello"),
        unit(b"zi\xffko&amp;mo", "thanks"),
        unit(b"madzi", "water"),
        b"</tmx>".to_vec(),
    ]
    .concat();
    corpora.write("a.tmx", tmx);
    write_parquet(
        &corpora.path().join("a.parquet"),
        &[
            [Some(b"moni"), Some(b"hello")],
            [Some(b"zi\xffkomo"), Some(b"thanks")],
            [Some(b"madzi"), Some(b"water")],
        ],
    );
    for (corpus, place) in [
        (
            "format = 'moses'\nfiles = ['a.ny', 'a.en']\n",
            "a.ny, line 2: is not UTF-8 at byte 3;",
        ),
        (
            "format = 'tsv'\nfiles = ['a.tsv']\nfields = ['ny', 'en']\n",
            "a.tsv, line 3: column 1: is not UTF-8 at byte 3;",
        ),
        (
            "format = 'jsonl'\nfiles = ['a.jsonl']\nfields = ['ny', 'en']\n",
            "a.jsonl, line 2: is not UTF-8 at byte 8;",
        ),
        (
            "format = 'jsonl'\nfiles = ['b.jsonl']\nfields = ['ny', 'en']\n",
            "b.jsonl, line 2: ",
        ),
        (
            "format = 'tmx'\nfiles = ['a.tmx']\ntags = { ny = 'nya_Latn', en = 'eng_Latn' }\n",
            "a.tmx, line 3: is not UTF-8 at byte 128;",
        ),
        (
            "format = 'parquet'\nfiles = ['a.parquet']\nfields = ['translation.ny', 'translation.en']\n",
            "a.parquet, row 2: is not UTF-8 at byte 3;",
        ),
    ] {
        let corpus = format!("{corpus}{PAIR}");
        corpora.refused(&corpus, &[place]);
        let lenient = format!("{corpus}[steps]\ninvalid-utf8 = true\n");
        assert_eq!(
            corpora.texts(&lenient),
            [["moni", "hello"], ["madzi", "water"]],
            "{corpus}"
        );
        let chunks = corpora.chunks(&lenient).unwrap();
        assert_eq!(chunks[0].skipped[&(0, Skip::InvalidUtf8)], 1);
    }
}

#[test]
fn files_of_unequal_length_are_told_with_both_counts() {
    let corpora = Corpora::new();
    corpora
        .write("a.ny", "1\n2\n3\n4")
        .write("a.en", gzip("1\n2\n"));
    let corpus = format!("format = 'moses'\nfiles = ['a.ny', 'a.en']\n{PAIR}");
    corpora.refused(
        &corpus,
        &[
            "a.ny has 4 lines and ",
            "a.en has 2; one of them is cut short",
        ],
    );
    corpora.write("a.ny", "1\n2\n").write("a.en", "1\n2\n\n");
    corpora.refused(&corpus, &["a.ny has 2 lines and ", "a.en has 3;"]);
}

#[test]
fn broken_files_are_told_with_their_places() {
    let corpora = Corpora::new();
    let whole = gzip(
        &(0..9000)
            .map(|number| format!("text {number}\n"))
            .collect::<String>(),
    );
    corpora.write("half.txt.gz", &whole[..whole.len() / 2]);
    let text = |name: &str| format!("format = 'text'\nfiles = ['{name}']\n{ONE}");
    corpora.refused(
        &text("half.txt.gz"),
        &[
            "half.txt.gz, line ",
            "what gzip packed is cut short or damaged here",
        ],
    );
    corpora.write("half.zst", &zstd("moni\n")[..9]);
    corpora.refused(
        &text("half.zst"),
        &["half.zst: what Zstandard packed is cut short"],
    );
    corpora.write("wide.txt", b"\xff\xfem\0");
    corpora.refused(&text("wide.txt"), &["wide.txt: is UTF-16"]);
    corpora.write("empty.txt", "\n \n");
    corpora.refused(&text("empty.txt"), &["empty.txt: corpus 'empty' is empty"]);
    corpora.refused(&text("absent.txt"), &["absent.txt: No such file"]);
    corpora.refused(&text("."), &["is a directory; name its files"]);
    corpora.refused(&text("/dev/null"), &["/dev/null: is a pipe or a device"]);
    corpora.write("long.txt", "x".repeat((16 << 20) + 1));
    corpora.refused(
        &text("long.txt"),
        &["long.txt, line 1: is longer than 16777216 bytes"],
    );
}

#[test]
fn broken_rows_are_told_with_their_places() {
    let corpora = Corpora::new();
    let rows = |format: &str, name: &str, more: &str| {
        format!("format = '{format}'\nfiles = ['{name}']\nfields = ['ny', 'en']\n{more}{PAIR}")
    };
    corpora.write("a.tsv", "my\ten\nmoni\thello\n");
    corpora.refused(&rows("tsv", "a.tsv", ""), &["a.tsv, line 1: has no column 'ny'; did you mean 'my'? It has my, en; if its first line is no header"]);
    corpora.write("b.tsv", "ny\ten\nmoni\thello\nmadzi\n");
    corpora.refused(
        &rows("tsv", "b.tsv", ""),
        &["b.tsv, line 3: has 1 columns, and the header 2"],
    );
    corpora.write(
        "c.tsv",
        format!("ny\ten\nmoni\t\"hello\n{}", "x\ty\n".repeat(5 << 20)),
    );
    corpora.refused(
        &rows("tsv", "c.tsv", "quoting = true\n"),
        &["c.tsv, line 2: is longer than 16777216 bytes; is its end lost?"],
    );
    corpora.write(
        "a.jsonl",
        "{\"ny\": \"a\", \"en\": \"b\"}\n{\"my\": \"a\", \"en\": \"b\"}\n",
    );
    corpora.refused(
        &rows("jsonl", "a.jsonl", ""),
        &["a.jsonl, line 2: has no field 'ny'; did you mean 'my'?"],
    );
    corpora.write(
        "b.jsonl",
        "{\"ny\": \"a\", \"en\": \"b\"}\n{\"ny\": \"a\", \"en",
    );
    corpora.refused(
        &rows("jsonl", "b.jsonl", ""),
        &["b.jsonl, line 2: EOF while parsing a string"],
    );
    write_parquet(
        &corpora.path().join("a.parquet"),
        &[[Some(b"moni"), Some(b"hello")]],
    );
    let parquet = |field: &str| {
        format!("format = 'parquet'\nfiles = ['a.parquet']\nfields = ['{field}']\n{ONE}")
    };
    corpora.refused(
        &parquet("translations.ny"),
        &["a.parquet: has no column 'translations'; did you mean 'translation'?"],
    );
    corpora.refused(
        &parquet("translation.my"),
        &["a.parquet, row 1: has no column 'my'; did you mean 'ny'?"],
    );
    corpora.refused(
        &parquet("translation"),
        &["a.parquet, row 1: ", "name one of them"],
    );
    corpora.refused(&parquet("id.x"), &["column 'id' has no columns in it"]);
    corpora.write("b.parquet", "PAR1 no");
    corpora.refused(
        &parquet("id").replace("a.parquet", "b.parquet"),
        &["b.parquet: is a damaged Parquet file"],
    );
}

#[test]
fn broken_xml_is_told_with_line_and_byte() {
    let corpora = Corpora::new();
    let corpus = format!(
        "format = 'tmx'\nfiles = ['x.tmx']\ntags = {{ ny = 'nya_Latn', en = 'eng_Latn' }}\n{PAIR}"
    );
    let cut = TMX.find("another").unwrap();
    let one = |seg: &str| {
        format!(
            "<tmx>\n<tu><tuv xml:lang='ny'><seg>a</seg></tuv>\n<tuv xml:lang='en'><seg>{seg}</seg></tuv></tu></tmx>"
        )
    };
    for (text, parts) in [
        (
            TMX[..cut].to_owned(),
            &["x.tmx, line 10: ", "is cut short", "before byte"][..],
        ),
        (TMX[..cut + 20].to_owned(), &["line 10: is no XML: "]),
        (
            TMX.replace("<seg/></tuv><tuv lang", "<seg/><tuv lang"),
            &["line 12: is no XML: ", "expected `</tuv>`, but `</tu>`"],
        ),
        (
            one("&lol;"),
            &["line 3: has the entity &lol;, which only a DTD could explain"],
        ),
        (one("&#xd800;"), &["line 3: is no XML: "]),
        (one("a & b"), &["line 3: is no XML: "]),
        (
            one("a").replace(" xml:lang='en'", ""),
            &["line 3: has a <tuv> without `xml:lang`"],
        ),
        (
            one("a").replace("'en'", "'fr'"),
            &[
                "none of its 1 units has a text in nya_Latn and one in eng_Latn",
                "fr (1), ny (1)",
            ],
        ),
        (one(&"<hi>".repeat(100)), &["line 3: is nested too deep"]),
        (
            one(&"x".repeat((16 << 20) + 1)),
            &["line 3: is longer than 16777216 bytes; is its end lost?"],
        ),
        (
            "<html><body/></html>".to_owned(),
            &["line 1: is no TMX: its first element is not <tmx>"],
        ),
        ("moni\n".to_owned(), &["is no TMX: it has no element"]),
        (String::new(), &["is no TMX"]),
        ("<tmx/>".to_owned(), &["corpus 'x' is empty"]),
        (
            one("a").replace("<tmx>", "<?xml version='1.0' encoding='ISO-8859-1'?><tmx>"),
            &["says that it is in ISO-8859-1; convert it to UTF-8"],
        ),
    ] {
        corpora.write("x.tmx", text);
        corpora.refused(&corpus, parts);
    }
}
