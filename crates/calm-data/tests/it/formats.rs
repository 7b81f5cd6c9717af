//! Files of examples in every format that is read.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use calm_data::jsonl::PromptTarget;
use calm_data::{ExampleForm, ExampleReader, Record};
use flate2::write::GzEncoder;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

fn pair(prompt: &str, target: &str) -> Record {
    Record::PromptTarget(PromptTarget {
        prompt: prompt.to_owned(),
        target: target.to_owned(),
        mask: None,
    })
}

/// The rows that every format holds.
fn expected() -> [Record; 2] {
    [pair("a, \"b\"\nc", "1"), pair("é", "2")]
}

const LINES: &str = "{\"question\": \"a, \\\"b\\\"\\nc\", \"answer\": \"1\"}\n\n{\"question\": \"é\", \"answer\": 2}\n";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Result<Vec<Record>, String> {
        let read = ExampleReader::read(&self.0.path().join(name), &ExampleForm::default(), None);
        read.map_err(|error| error.to_string())
    }

    fn refused(&self, name: &str, parts: &[&str]) {
        let error = self.read(name).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

/// A Parquet file of questions, and of answers as numbers, one in each row group.
fn write_parquet(path: &Path, compression: Compression, rows: &[(&str, Option<i64>)]) {
    let schema = "message rows { required binary question (UTF8); optional int64 answer; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for (question, answer) in rows {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let values = [ByteArray::from(*question)];
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let levels = [i16::from(answer.is_some())];
        let values: Vec<i64> = answer.iter().copied().collect();
        column
            .typed::<Int64Type>()
            .write_batch(&values, Some(&levels), None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn every_format_holds_the_same_examples() {
    let folder = Folder::new();
    folder.write("rows.jsonl", LINES);
    folder.write("rows.JSON", LINES);
    folder.write("rows.data", LINES);
    let list = LINES.trim().replace("\n\n", ",");
    folder.write("list.json", format!("\u{feff} [{list}]\n"));
    folder.write(
        "rows.csv",
        "\u{feff}question,answer\r\n\"a, \"\"b\"\"\nc\",1\r\né,2\r\n",
    );
    folder.write(
        "points.csv",
        "id;question;answer\n0;\"a, \"\"b\"\"\nc\";1\n1;é;2\n",
    );
    folder.write(
        "rows.tsv",
        "question\tanswer\n\"a, \"\"b\"\"\nc\"\t1\né\t2\n",
    );
    for name in ["rows.jsonl", "list.json", "rows.csv"] {
        let text = fs::read_to_string(folder.0.path().join(name)).unwrap();
        folder.write(&format!("{name}.gz"), packed(&text));
    }
    let rows = [("a, \"b\"\nc", Some(1)), ("é", Some(2))];
    for (name, compression) in [
        ("plain.parquet", Compression::UNCOMPRESSED),
        ("snappy.parquet", Compression::SNAPPY),
        ("lz4.parquet", Compression::LZ4_RAW),
        ("no-ending", Compression::SNAPPY),
    ] {
        write_parquet(&folder.0.path().join(name), compression, &rows);
    }
    for entry in fs::read_dir(folder.0.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let found = folder
            .read(&name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found, expected(), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_row() {
    let folder = Folder::new();
    folder.write("a.csv", "question,answer\nx,1\ny\n");
    folder.refused(
        "a.csv",
        &["a.csv, line 3", "has 1 columns, and the header 2"],
    );
    folder.write("b.csv", "ask,reply\nx,1\n");
    folder.refused(
        "b.csv",
        &[
            "b.csv, line 2",
            "`ask`, `reply`",
            "--prompt-field",
            "--target-field",
        ],
    );
    folder.write("c.json", "[{\"text\": \"a\"}, {\"txt\": \"b\"}]");
    folder.refused("c.json", &["c.json, row 2", "`txt`"]);
    folder.write("d.json", "[{\"text\": \"a\"},\n oops]");
    folder.refused("d.json", &["d.json, line 2"]);
    folder.write("e.jsonl", "{\"text\": \"a\"}\n[1]\n");
    folder.refused("e.jsonl", &["e.jsonl, line 2", "no JSON object"]);
    write_parquet(
        &folder.0.path().join("f.parquet"),
        Compression::SNAPPY,
        &[("x", Some(1)), ("y", None)],
    );
    folder.refused("f.parquet", &["f.parquet, row 2", "`question`, `answer`"]);
    folder.write("g.parquet", LINES);
    folder.refused("g.parquet", &["is no Parquet file"]);
    let whole = fs::read(folder.0.path().join("f.parquet")).unwrap();
    folder.write("h.parquet", &whole[..whole.len() - 20]);
    folder.refused("h.parquet", &["is a damaged Parquet file"]);
    folder.write("i.jsonl", "\n");
    folder.refused("i.jsonl", &["holds no example"]);
    folder.write("j.csv", b"question,answer\nx,\xff\n");
    folder.refused("j.csv", &["j.csv, line 2", "UTF-8"]);
    folder.refused("nowhere.jsonl", &["nowhere.jsonl"]);
}

/// Whatever bytes are damaged, a file is refused or read, without a panic.
#[test]
fn damaged_parquet_files_are_no_panic() {
    let folder = Folder::new();
    let rows = [("abc abc abc abc", Some(1)), ("é", Some(2))];
    write_parquet(
        &folder.0.path().join("whole.parquet"),
        Compression::SNAPPY,
        &rows,
    );
    let whole = fs::read(folder.0.path().join("whole.parquet")).unwrap();
    for position in 4..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x55;
        folder.write("bad.parquet", &bytes);
        let _ = folder.read("bad.parquet");
    }
}

#[test]
fn parts_are_read_in_the_order_of_their_names() {
    let folder = Folder::new();
    let line = |text: &str| format!("{{\"text\": \"{text}\"}}\n");
    folder.write("train-00001-of-00002.jsonl", line("b"));
    folder.write("train-00000-of-00002.jsonl", line("a"));
    folder.write("test.jsonl", line("c"));
    let text = |text: &str| Record::Text(text.to_owned());
    assert_eq!(folder.read("train").unwrap(), [text("a"), text("b")]);
    assert_eq!(folder.read("").unwrap(), [text("c"), text("a"), text("b")]);
    let form = ExampleForm::default();
    let first = ExampleReader::read(&folder.0.path().join("train"), &form, Some(1)).unwrap();
    assert_eq!(first, [text("a")]);
    let hash = |name: &str| ExampleReader::sha256_of(&folder.0.path().join(name)).unwrap();
    let mut reader = ExampleReader::open(&folder.0.path().join("train"), &form).unwrap();
    while reader.next_row().unwrap().is_some() {}
    assert_eq!(reader.sha256(), hash("train"));
    assert_ne!(hash("train"), hash("train-00000-of-00002.jsonl"));
    let one = calm_files::sha256_file(folder.0.path().join("test.jsonl")).unwrap();
    assert_eq!(hash("test.jsonl"), one);
}
