//! `calm report`.

use serde_json::Value;

use crate::common::{Workshop, fixtures};

/// A workshop with the directory of an experiment.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.copy(&fixtures("calm-experiments").join("report"), "table1");
    workshop
}

#[test]
fn a_table_is_shown_in_every_form() {
    let workshop = workshop();
    let shown = workshop.calm("report table1").done();
    assert!(
        shown.starts_with("Table 1: key-value arithmetic\n"),
        "{shown:?}"
    );
    assert!(shown.contains("▲ m_A⊕B is better than m_B"), "{shown:?}");
    let markdown = workshop.calm("report table1 --markdown").done();
    let csv = workshop.calm("report table1 --csv").done();
    for (name, text) in [("t.md", &markdown), ("t.csv", &csv)] {
        let written = workshop.calm(&format!("report table1 --out {name}")).done();
        assert_eq!(written, format!("written to  {name}\n"));
        assert_eq!(&workshop.text(name), text, "{name}");
    }
    let json = workshop.calm("report table1/table.json --json").json();
    assert_eq!(json["frame"]["name"], "table1");
    workshop.calm("report table1 --out t.json").done();
    let written: Value = serde_json::from_str(&workshop.text("t.json")).unwrap();
    assert_eq!(written["cells"], json["cells"]);
}

#[test]
fn a_page_is_made_again_from_itself() {
    let workshop = workshop();
    let markdown = workshop
        .calm("report table1 --out a.html --markdown")
        .done();
    workshop.calm("report a.html --out b.html").done();
    assert!(workshop.bytes("a.html") == workshop.bytes("b.html"));
    assert_eq!(workshop.calm("report a.html --markdown").done(), markdown);
    let json = workshop.calm("report a.html --out c.html --json").json();
    assert_eq!(json["out"], "c.html");
}

#[test]
fn what_makes_no_report_is_told_in_a_line() {
    let workshop = workshop();
    workshop.write("page.html", "<html></html>");
    workshop.write("other.json", r#"{"schema": 2}"#);
    workshop.refuses(
        "report",
        &[
            ("", &["required arguments were not provided"]),
            ("nowhere", &["nowhere: "]),
            (
                "anchor",
                &["anchor: holds neither an evaluation nor a trained model"],
            ),
            ("page.html", &["page.html: is no report of calm"]),
            (
                "other.json",
                &["other.json: the table has layout 2; this version reads layout 1"],
            ),
            (
                "table1 page.html",
                &["page.html: is a file, of which a report shows one alone"],
            ),
            (
                "table1 --out report.pdf",
                &["report.pdf", "ends in .html, .md, .csv or .json"],
            ),
            ("table1 --out report", &["report: ", "ends in .html"]),
            ("table1 --out gone/report.html", &["gone/report.html"]),
            ("table1 --csv --markdown", &["cannot be used with"]),
        ],
    );
}
