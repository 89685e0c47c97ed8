//! Pages and pictures as a real browser shows them. The tests of `distill` look through this, too.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What `look.js` finds wrong in a real browser.
pub fn looked_at(
    pages: &[serde_json::Value],
    pictures: &[serde_json::Value],
    dark: bool,
) -> Vec<String> {
    let folder = tempfile::TempDir::new().unwrap();
    // `<` would end the script if a page holds `</script>`.
    let list = |values: &[serde_json::Value]| {
        serde_json::Value::from(values)
            .to_string()
            .replace('<', "\\u003c")
    };
    let harness = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><body><pre id=\"out\"></pre><script>const dark = {dark}, pages = {}, pictures = {};\n{}</script>",
        list(pages),
        list(pictures),
        include_str!("look.js")
    );
    let file = folder.path().join("harness.html");
    std::fs::write(&file, harness).unwrap();
    let dom = dump(&file, folder.path(), dark);
    let out = dom
        .split_once("<pre id=\"out\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"));
    let (out, _) = out.unwrap_or_else(|| panic!("the browser showed no result:\n{dom}"));
    let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
    assert_eq!(
        lines.pop().as_deref(),
        Some("done"),
        "the look did not end:\n{out}"
    );
    lines
}

/// The document that a headless browser makes of `file`.
fn dump(file: &Path, folder: &Path, dark: bool) -> String {
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-extensions",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--virtual-time-budget=60000",
            "--dump-dom",
        ])
        .arg(format!(
            "--blink-settings=preferredColorScheme={}",
            if dark { 0 } else { 1 }
        ))
        .arg(format!(
            "--user-data-dir={}",
            folder.join(format!("profile-{dark}")).display()
        ))
        .arg(file)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(folder.join("dom")).unwrap())
        .stderr(std::fs::File::create(folder.join("log")).unwrap());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("chromium: {error}; run scripts/setup.sh test-tools"));
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!(
                "chromium did not end in two minutes:\n{}",
                std::fs::read_to_string(folder.join("log")).unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::read_to_string(folder.join("dom")).unwrap()
}
