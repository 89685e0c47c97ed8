//! The C interface, used as a vendor uses it: compiled with the system's compiler against `include/` and the shared
//! library that cargo built.
//!
//! Programs print nothing and end with 0; whatever they or the library print is a failure.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bundle() -> PathBuf {
    root().join("tests/data/tiny.bundle")
}

/// The shared library of this build: cargo puts it beside the test programs.
fn library() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("libbie.so");
    assert!(
        path.is_file(),
        "{} is missing; cargo builds it with the test",
        path.display()
    );
    path
}

/// A folder with the library under the names that linker and loader ask for.
fn installed() -> TempDir {
    let dir = TempDir::new().unwrap();
    for name in ["libbie.so", "libbie.so.0"] {
        symlink(library(), dir.path().join(name)).unwrap();
    }
    dir
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn succeed(command: &mut Command) -> Output {
    let output = run(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

fn silently(command: &mut Command) {
    let output = succeed(command);
    let printed = [output.stdout, output.stderr].concat();
    assert!(
        printed.is_empty(),
        "{command:?} printed: {}",
        String::from_utf8_lossy(&printed)
    );
}

/// Compiles a program of C or C++ sources into `dir` and links it with the library there.
fn compile(dir: &Path, name: &str, sources: &[&str]) -> PathBuf {
    let program = dir.join(name);
    let cpp = sources.iter().any(|source| source.ends_with(".cpp"));
    let mut command = Command::new(if cpp { "c++" } else { "cc" });
    command
        .arg(if cpp { "-std=c++17" } else { "-std=c11" })
        .args(WARNINGS)
        .args(["-g", "-pthread"]);
    command
        .arg("-I")
        .arg(root().join("include"))
        .args(sources.iter().map(|source| root().join(source)));
    command
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(dir)
        .arg("-lbie");
    command.arg(format!("-Wl,-rpath,{}", dir.display()));
    silently(&mut command);
    program
}

fn test_program(name: &str) {
    let dir = installed();
    let program = compile(dir.path(), name, &[&format!("tests/c/{name}.c")]);
    silently(Command::new(program).arg(bundle()));
}

/// A tool that a developer's machine may lack, but not that of the continuous integration.
fn tool(name: &str) -> bool {
    let there = Command::new(name).arg("--version").output().is_ok();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "{name} is missing on this CI machine; install it"
    );
    if !there {
        eprintln!("skipped: {name} is not installed");
    }
    there
}

#[test]
fn smoke() {
    test_program("smoke");
}

#[test]
fn misuse() {
    test_program("misuse");
}

#[test]
fn batch() {
    test_program("batch");
}

#[test]
fn threads() {
    test_program("threads");
}

#[test]
fn lifetime() {
    test_program("lifetime");
}

#[test]
fn fork() {
    test_program("fork");
}

#[test]
fn extreme() {
    test_program("extreme");
}

/// Everything about explanations, with a bundle that is another only by its name beside the one that explains.
#[test]
fn explain() {
    let dir = installed();
    let program = compile(dir.path(), "explain", &["tests/c/explain.c"]);
    let other = renamed_bundle();
    silently(Command::new(program).arg(bundle()).arg(other.path()));
}

/// The tiny bundle under another model id, so that its hash is another.
fn renamed_bundle() -> TempDir {
    use sha2::Digest;
    let dir = TempDir::new().unwrap();
    for entry in std::fs::read_dir(bundle()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let manifest = std::fs::read_to_string(dir.path().join("manifest.json")).unwrap();
    let renamed = manifest.replacen("\"mini\"", "\"other\"", 1);
    assert_ne!(renamed, manifest);
    let hash: String = sha2::Sha256::digest(&renamed)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    std::fs::write(dir.path().join("manifest.json"), renamed).unwrap();
    std::fs::write(
        dir.path().join("manifest.json.sha256"),
        format!("{hash}  manifest.json\n"),
    )
    .unwrap();
    dir
}

/// With the tiny bundle, and with the default one where it is there.
#[test]
fn identity() {
    let dir = installed();
    let program = compile(dir.path(), "identity", &["tests/c/identity.c"]);
    let default = root().join("models/default");
    if !default.is_dir() {
        eprintln!("skipped: no models/default");
    }
    for bundle in [bundle(), default].iter().filter(|path| path.is_dir()) {
        silently(
            Command::new(&program)
                .arg(bundle)
                .arg(root().join("examples/abstract.txt")),
        );
    }
}

#[test]
fn loaded_at_run_time() {
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("dynamic");
    let mut command = Command::new("cc");
    command
        .arg("-std=c11")
        .args(WARNINGS)
        .arg("-Wno-unused-function");
    command.arg("-I").arg(root().join("include"));
    // The library is not linked: what check.h would call of it must not be asked for.
    command.args(["-ffunction-sections", "-Wl,--gc-sections", "-O1"]);
    command.arg(root().join("tests/c/dynamic.c"));
    silently(command.arg("-o").arg(&program).arg("-ldl"));
    silently(Command::new(program).arg(bundle()).arg(library()));
}

/// The header alone, in every language it promises, from two files of one program, and for 32 bits.
#[test]
fn header_compiles_alone() {
    let languages = [
        ("cc", "c", "-std=c99"),
        ("cc", "c", "-std=c11"),
        ("cc", "c", "-std=c17"),
        ("cc", "c", "-std=c2x"),
        ("c++", "c++", "-std=c++17"),
        ("c++", "c++", "-std=c++20"),
    ];
    let dir = TempDir::new().unwrap();
    let object = |number: usize| dir.path().join(format!("{number}.o"));
    let compile = |compiler: &str, language: &str, flags: &[&str], object: &Path| {
        let mut command = Command::new(compiler);
        command
            .args(["-x", language])
            .args(flags)
            .args(WARNINGS)
            .arg("-I")
            .arg(root().join("include"));
        command
            .arg("-c")
            .arg(root().join("tests/c/layout.c"))
            .arg("-o")
            .arg(object);
        command
    };
    for (number, (compiler, language, standard)) in languages.into_iter().enumerate() {
        silently(&mut compile(
            compiler,
            language,
            &[standard],
            &object(number),
        ));
    }
    // All of these objects in one: nothing that the header defines may clash.
    let objects = (0..languages.len()).map(object);
    silently(
        Command::new("ld")
            .arg("-r")
            .args(objects)
            .arg("-o")
            .arg(dir.path().join("all.o")),
    );

    let narrow = ["-m32", "-ffreestanding", "-std=c99"];
    let mut probe = Command::new("cc");
    probe.args([
        "-m32",
        "-ffreestanding",
        "-x",
        "c",
        "-c",
        "/dev/null",
        "-o",
        "/dev/null",
    ]);
    if run(&mut probe).status.success() {
        silently(&mut compile("cc", "c", &narrow, &object(99)));
    } else {
        eprintln!("skipped: this compiler knows no 32 bits");
    }
}

#[test]
fn cpp_wrapper() {
    let dir = installed();
    let program = compile(
        dir.path(),
        "wrapper",
        &["tests/cpp/wrapper.cpp", "tests/cpp/other.cpp"],
    );
    silently(Command::new(program).arg(bundle()));
}

/// The examples of the README, in both languages, say the same about a real file and fail with one line.
#[test]
fn examples() {
    let dir = installed();
    let text = dir.path().join("text.txt");
    std::fs::write(
        &text,
        "Aspirin may cause nausea in patients with heart failure (HF).\n",
    )
    .unwrap();
    for (source, sign) in [
        ("examples/extract.c", "Chemical"),
        ("examples/extract.cpp", "Chemical"),
        ("examples/explain.c", "    without "),
        ("examples/explain.cpp", "    without "),
    ] {
        let program = compile(dir.path(), "example", &[source]);
        let output = succeed(Command::new(&program).arg(bundle()).arg(&text));
        assert!(output.stderr.is_empty());
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains(sign), "{printed}");

        std::fs::write(dir.path().join("bad.txt"), b"\xFF").unwrap();
        let output = run(Command::new(&program)
            .arg(bundle())
            .arg(dir.path().join("bad.txt")));
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.contains("byte 0") && message.lines().count() == 1,
            "{message}"
        );
        assert_eq!(run(&mut Command::new(&program)).status.code(), Some(2));
    }
}

/// The library exports what the header declares and nothing else: no Rust, no ONNX Runtime, no tokenizer.
#[test]
fn exported_symbols() {
    let output = succeed(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(library()),
    );
    let names = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = names
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    let listed = std::fs::read_to_string(root().join("include/bie.symbols")).unwrap();
    assert_eq!(names, listed.lines().collect::<Vec<_>>());
}

#[test]
fn soname_and_flags() {
    let output = succeed(
        Command::new("readelf")
            .args(["-d", "--wide"])
            .arg(library()),
    );
    let dynamic = String::from_utf8(output.stdout).unwrap();
    assert!(dynamic.contains("soname: [libbie.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    let needed: Vec<&str> = dynamic
        .lines()
        .filter(|line| line.contains("NEEDED"))
        .collect();
    for line in &needed {
        let known = [
            "libc.so",
            "libm.so",
            "libgcc_s.so",
            "ld-linux",
            "libdl.so",
            "libpthread.so",
        ];
        assert!(
            known.iter().any(|name| line.contains(name)),
            "needs more than the system's base: {line}"
        );
    }
}

/// Every file of the bundle, missing, cut, and with one bit changed.
#[test]
fn damaged_bundles() {
    const IO: i32 = 100;
    const BUNDLE_FORMAT: i32 = 101;
    const CHECKSUM: i32 = 103;
    let dir = installed();
    let program = compile(dir.path(), "open", &["tests/c/open.c"]);
    let expect = |what: &str, bundle: &Path, status: i32| {
        let output = run(Command::new(&program).arg(bundle).arg(status.to_string()));
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && printed.is_empty(),
            "{what}: {printed}"
        );
    };
    let files: Vec<PathBuf> = std::fs::read_dir(bundle())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let original = std::fs::read(file).unwrap();
        // The line that holds the hash is all there is to that file: less of it is no such line.
        let shorter = if name.ends_with(".sha256") {
            BUNDLE_FORMAT
        } else {
            CHECKSUM
        };
        let middle = original.len() / 2;
        let mut altered = original.clone();
        altered[middle] = if altered[middle] == b'0' { b'1' } else { b'0' };
        let damages = [
            ("missing", None, IO),
            ("empty", Some(Vec::new()), shorter),
            ("cut", Some(original[..middle].to_vec()), shorter),
            ("altered", Some(altered), CHECKSUM),
        ];
        for (damage, bytes, status) in damages {
            let copy = TempDir::new().unwrap();
            for other in &files {
                std::fs::copy(other, copy.path().join(other.file_name().unwrap())).unwrap();
            }
            match bytes {
                Some(bytes) => std::fs::write(copy.path().join(&name), bytes).unwrap(),
                None => std::fs::remove_file(copy.path().join(&name)).unwrap(),
            }
            expect(&format!("{name} {damage}"), copy.path(), status);
        }
    }
    let copy = TempDir::new().unwrap();
    silently(Command::new("mkfifo").arg(copy.path().join("manifest.json")));
    expect("a pipe without a writer", copy.path(), IO);
    expect("a file", &bundle().join("manifest.json"), IO);
    expect("an empty folder", TempDir::new().unwrap().path(), IO);
}

/// Files that are not the ONNX Runtime we need: each is refused before it can do harm, and the right one opens afterwards.
#[test]
fn wrong_runtimes() {
    let dir = installed();
    let program = compile(dir.path(), "runtime", &["tests/c/runtime.c"]);
    let fake = |name: &str, version: &str, has_base: u8| {
        let path = dir.path().join(name);
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC"]).args(WARNINGS);
        command
            .arg(format!("-DVERSION={version}"))
            .arg(format!("-DHAS_BASE={has_base}"));
        silently(
            command
                .arg(root().join("tests/c/fake_runtime.c"))
                .arg("-o")
                .arg(&path),
        );
        path
    };
    let text = dir.path().join("text.so");
    std::fs::write(&text, "not a library").unwrap();
    let cut = dir.path().join("cut.so");
    std::fs::write(&cut, &std::fs::read(library()).unwrap()[..4096]).unwrap();
    let pipe = dir.path().join("pipe.so");
    silently(Command::new("mkfifo").arg(&pipe));
    let wrong = [
        pipe,
        PathBuf::from("/no/such/file.so"),
        PathBuf::from("relative/none.so"),
        dir.path().to_path_buf(),
        text,
        cut,
        library(), // a library without OrtGetApiBase
        fake("no_base.so", "\"1.28.0\"", 0),
        fake("no_version.so", "NULL", 1),
        fake("old.so", "\"1.17.0\"", 1),
        fake("telemetry.so", "\"1.29.0\"", 1),
        fake("no_number.so", "\"x\"", 1),
        fake("no_api.so", "\"1.28.0\"", 1),
    ];
    silently(Command::new(program).arg(bundle()).args(wrong));
}

/// The same programs with the compiler's own checks of memory and undefined behaviour, and of leaks at exit.
#[test]
fn sanitizers() {
    const FLAGS: &str = "-fsanitize=address,undefined";
    let dir = installed();
    let empty = dir.path().join("empty.c");
    std::fs::write(&empty, "int main(void) { return 0; }\n").unwrap();
    let mut probe = Command::new("cc");
    probe
        .arg(FLAGS)
        .arg(&empty)
        .arg("-o")
        .arg(dir.path().join("empty"));
    if !run(&mut probe).status.success() {
        assert!(
            std::env::var_os("CI").is_none(),
            "this CI machine's compiler lacks the sanitizers; install them"
        );
        eprintln!("skipped: the compiler lacks the sanitizers");
        return;
    }
    let other = renamed_bundle();
    for name in ["misuse", "batch", "threads", "lifetime", "explain"] {
        let program = dir.path().join(name);
        let mut command = Command::new("cc");
        command.args([
            "-std=c11",
            "-g",
            "-fno-sanitize-recover=all",
            "-pthread",
            FLAGS,
        ]);
        command.arg("-I").arg(root().join("include"));
        command
            .arg(root().join(format!("tests/c/{name}.c")))
            .arg("-o")
            .arg(&program);
        command.arg("-L").arg(dir.path()).arg("-lbie");
        silently(command.arg(format!("-Wl,-rpath,{}", dir.path().display())));
        let symbols = succeed(Command::new("nm").arg(&program)).stdout;
        assert!(
            String::from_utf8_lossy(&symbols).contains("__asan_init"),
            "{name} has no sanitizer in it"
        );
        let mut command = Command::new(program);
        command.arg(bundle());
        if name == "explain" {
            command.arg(other.path());
        }
        silently(&mut command);
    }
}

/// Reads and writes out of bounds, uses after free, leaks of ours.
#[test]
fn valgrind() {
    if !tool("valgrind") {
        return;
    }
    let dir = installed();
    for name in ["lifetime", "misuse"] {
        let program = compile(dir.path(), name, &[&format!("tests/c/{name}.c")]);
        let mut command = Command::new("valgrind");
        command.args([
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--show-leak-kinds=definite",
        ]);
        command.args(["--errors-for-leak-kinds=definite", "--num-callers=40"]);
        command.arg(format!(
            "--suppressions={}",
            root().join("tests/c/valgrind.supp").display()
        ));
        silently(command.arg(program).arg(bundle()));
    }
}

/// No socket, no file created or opened for writing, during a whole run.
#[test]
fn strace() {
    if !tool("strace") {
        return;
    }
    let dir = installed();
    let network = ["socket(", "connect(", "bind(", "sendto(", "getaddrinfo"];
    let written = [
        "O_CREAT",
        "O_WRONLY",
        "O_RDWR",
        "creat(",
        "mkdir",
        "rename",
        "unlink",
        "truncate",
        "link(",
        "linkat(",
        "memfd_create(",
    ];
    // What is opened at once, and what the first explanation opens.
    for (name, sign) in [("smoke", "manifest.json"), ("lifetime", "explain.onnx")] {
        let program = compile(dir.path(), name, &[&format!("tests/c/{name}.c")]);
        let log = dir.path().join("calls");
        let mut command = Command::new("strace");
        command
            .args([
                "-f",
                "-e",
                "trace=%network,%file,ftruncate,memfd_create",
                "-o",
            ])
            .arg(&log);
        silently(command.arg(program).arg(bundle()));
        let calls = std::fs::read_to_string(&log).unwrap();
        assert!(
            calls.contains(sign) && calls.contains("onnxruntime"),
            "strace saw no {sign} being opened: {calls}"
        );
        for call in calls.lines().filter(|line| !line.contains("readlink")) {
            let forbidden = network
                .iter()
                .chain(&written)
                .find(|word| call.contains(**word));
            assert!(forbidden.is_none(), "{call}");
        }
    }
}
