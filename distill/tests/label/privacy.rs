//! What leaves the machine, to whom, and what stands in files.

use std::sync::Arc;

use crate::mini::data;
use crate::place::{Gold, Place, gold_server, quiet};
use crate::server::{Server, answer};

#[test]
fn nothing_leaves_the_machine_unless_it_may() {
    let place = Place::new("https://192.0.2.1/v1", "entities", "");
    let said = place.run("out", &[], 2);
    assert!(
        said.contains(
            "192.0.2.1 is not this machine: the text of 24 documents would leave it; --allow-remote"
        ),
        "{said}"
    );
    assert!(!place.path("out").exists());
    let output = place.label("out", &["--dry-run"]).output().unwrap();
    let said = quiet(&output, 0);
    assert!(
        said.contains("THE TEXT OF 24 DOCUMENTS LEAVES THIS MACHINE")
            && said.contains("192.0.2.1, encrypted"),
        "{said}"
    );
    assert!(output.stdout.is_empty() && !place.path("out").exists());
    // The prompt holds the text, so it goes to stdout, and only when asked for.
    let output = place
        .label("out", &["--dry-run", "--show-prompt"])
        .output()
        .unwrap();
    quiet(&output, 0);
    let prompt = String::from_utf8(output.stdout).unwrap();
    assert!(
        prompt.contains("Aspirin caused gastric ulcer")
            && prompt.contains("A disease, symptom or sign."),
        "{prompt}"
    );
    assert_eq!(
        place
            .label("out", &["--show-prompt"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
    // A dry run sends nothing, wherever the server is.
    let server = gold_server();
    place.task(
        &server.base_url(),
        "entities",
        "[prices]\nprompt_per_million = 1000.0\ncompletion_per_million = 0.0\ncurrency = \"EUR\"",
    );
    let said = place.run("out", &["--dry-run"], 0);
    assert!(
        said.contains("would send") && said.contains("EUR"),
        "{said}"
    );
    assert!(server.seen().is_empty());
}

#[test]
fn proxies_are_for_other_machines() {
    let gold = Gold::new();
    let proxy = Server::new(move |request| answer(&gold.entities(request).to_string()));
    let url = format!("http://{}", proxy.address);
    // To this machine: not through it.
    let server = gold_server();
    let place = Place::new(&server.base_url(), "entities", "");
    let mut command = place.label("out", &["--limit", "2"]);
    quiet(
        &command
            .env("HTTP_PROXY", &url)
            .env("ALL_PROXY", &url)
            .output()
            .unwrap(),
        0,
    );
    assert_eq!((proxy.seen().len(), server.seen().len()), (0, 2));
    // To another one: through it, and that is said. The name is resolved by nobody.
    place.task("http://teacher.invalid:8000/v1", "entities", "tries = 1");
    let mut command = place.label("other", &["--limit", "2", "--allow-remote"]);
    let output = command
        .env("ALL_PROXY", &url)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let said = quiet(&output, output.status.code().unwrap());
    assert!(
        said.contains("teacher.invalid:8000, NOT ENCRYPTED")
            && said.contains(&format!("through the proxy {}", proxy.address)),
        "{said}"
    );
    assert!(!proxy.seen().is_empty());
}

#[test]
fn the_key_is_sent_and_stands_nowhere() {
    let server = gold_server();
    let place = Place::new(
        &server.base_url(),
        "entities",
        "api_key_env = \"DISTILL_TEST_KEY\"",
    );
    let said = place.run("out", &[], 3);
    assert!(
        said.contains("DISTILL_TEST_KEY") && said.contains("is not set"),
        "{said}"
    );
    let mut command = place.label("out", &["--limit", "2"]);
    let said = quiet(
        &command
            .env("DISTILL_TEST_KEY", "sesame-42")
            .output()
            .unwrap(),
        0,
    );
    assert!(
        server
            .seen()
            .iter()
            .all(|r| r.headers["authorization"] == "Bearer sesame-42")
    );
    assert!(!said.contains("sesame"));
    for file in ["answers.jsonl", "labels.jsonl", "report.json"] {
        let text = String::from_utf8(place.bytes(&format!("out/{file}"))).unwrap();
        assert!(!text.contains("sesame"), "{file}");
    }
}

/// A server at https://localhost with the certificate of the test data.
fn secure_server() -> Server {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = CertificateDer::from_pem_file(data().join("localhost-cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(data().join("localhost-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let gold = Gold::new();
    Server::secure(config, move |request| {
        answer(&gold.entities(request).to_string())
    })
}

#[test]
fn https_works_with_the_systems_roots_and_with_nobody_elses() {
    let server = secure_server();
    let url = format!("https://localhost:{}/v1", server.address.port());
    let place = Place::new(&url, "entities", "");
    let root = data().join("localhost-cert.pem");
    let mut command = place.label("out", &["--limit", "2"]);
    quiet(&command.env("SSL_CERT_FILE", &root).output().unwrap(), 0);
    assert_eq!((server.seen().len(), place.labels("out").len()), (2, 2));
    server.forget();
    let mut command = place.label("other", &["--limit", "2"]);
    let said = quiet(&command.env_remove("SSL_CERT_FILE").output().unwrap(), 1);
    assert!(
        said.contains("TLS: ") && said.contains("root certificates"),
        "{said}"
    );
    assert!(server.seen().is_empty());
}
