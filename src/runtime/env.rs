//! The process's one ONNX Runtime: where it is looked for, which versions are let in, and its environment.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::{Error, Result};
use crate::ffi::probe;

/// ONNX Runtime's name beside libbie: one of its own, so that it is never taken for the host's.
const FILE_NAME: &str = "libbie_onnxruntime.so";
/// The environment variable that names ONNX Runtime's file where nothing else does.
const VARIABLE: &str = "BIE_RUNTIME";
/// Turns the telemetry of ONNX Runtime 1.29 and newer off, if it is set before the process starts.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";
/// The version for which this library is made.
const SUPPORTED: (u32, u32) = (1, 28);

struct Opened {
    path: PathBuf,
    environment: Environment,
}

/// Never dropped: ONNX Runtime allows one environment in the life of a process.
static OPENED: Mutex<Option<Opened>> = Mutex::new(None);
/// The process that opened ONNX Runtime; 0 before.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// The environment of this process; the first call opens ONNX Runtime.
///
/// It is looked for in `runtime_path`, then beside the library as `libbie_onnxruntime.so`, then where the environment variable
/// `BIE_RUNTIME` says. Only 1.28 is let in: newer official builds send telemetry as soon as a session is made, so they are refused
/// unless `ORT_DISABLE_TELEMETRY=1` was set for the process. Its log is silenced and its telemetry switched off.
///
/// Errors: [`Error::Runtime`], also if the process already uses another file or was forked from one that uses ONNX Runtime.
pub fn environment(runtime_path: Option<&Path>) -> Result<Environment> {
    check_process()?;
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = opened.as_ref() {
        let same =
            runtime_path.is_none_or(|path| resolved(path).is_ok_and(|path| path == opened.path));
        return if same {
            Ok(opened.environment.clone())
        } else {
            Err(Error::Runtime(format!(
                "this process already uses the ONNX Runtime at {}; a process can use one, so give every engine the same option `runtime_path` or none",
                opened.path.display()
            )))
        };
    }
    let path = locate(runtime_path)?;
    let refuse = |why: String| {
        Error::Runtime(format!(
            "cannot use {} as ONNX Runtime: {why}",
            path.display()
        ))
    };
    let version = probe::runtime_version(&path)
        .map_err(|why| refuse(format!("{why}; give the file of ONNX Runtime 1.28")))?;
    admit(
        &version,
        std::env::var_os(NO_TELEMETRY).is_some_and(|value| value == "1"),
    )
    .map_err(refuse)?;
    let environment = ort::init_from(&path)
        .map_err(|why| refuse(why.to_string()))?
        .with_name("bie")
        .with_telemetry(false)
        .with_logger(Arc::new(
            |_: LogLevel, _: &str, _: &str, _: &str, _: &str| {},
        ))
        .build()
        .map_err(|why| refuse(why.to_string()))?;
    environment.set_log_level(LogLevel::Fatal); // the logger drops everything; this saves the making of it
    OWNER.store(std::process::id(), Ordering::Release);
    *opened = Some(Opened {
        path,
        environment: environment.clone(),
    });
    Ok(environment)
}

/// Whether this process may touch ONNX Runtime: in a forked child its locks and threads are not what they were.
pub(super) fn check_process() -> Result<()> {
    match OWNER.load(Ordering::Acquire) {
        0 => Ok(()),
        owner if owner == std::process::id() => Ok(()),
        _ => Err(Error::Runtime(
            "this process was forked from one that had opened an engine, and ONNX Runtime does not survive that; open the first engine after the fork".into(),
        )),
    }
}

fn locate(runtime_path: Option<&Path>) -> Result<PathBuf> {
    let named = |path: &Path, by: &str| {
        resolved(path).map_err(|why| {
            Error::Runtime(format!(
                "cannot find ONNX Runtime at {} ({by}): {why}; correct it or remove it",
                path.display()
            ))
        })
    };
    if let Some(path) = runtime_path {
        return named(path, "option `runtime_path`");
    }
    if let Some(beside) = probe::module_dir()
        .map(|dir| dir.join(FILE_NAME))
        .filter(|path| path.is_file())
    {
        return named(&beside, "beside the library");
    }
    match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(value) => named(Path::new(&value), "environment variable BIE_RUNTIME"),
        None => Err(Error::Runtime(format!(
            "ONNX Runtime was not found: put {FILE_NAME} (version 1.28) beside the library, or give its path with the option `runtime_path` or the environment variable {VARIABLE}"
        ))),
    }
}

/// The absolute path without links, by which two names of one file are equal.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    path.canonicalize()
}

fn admit(version: &str, telemetry_is_off: bool) -> std::result::Result<(), String> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next().flatten(), parts.next().flatten());
    let (Some(major), Some(minor)) = (major, minor) else {
        return Err(format!(
            "its version `{}` is unknown; give ONNX Runtime 1.28",
            version.escape_debug()
        ));
    };
    if (major, minor) < SUPPORTED {
        return Err(format!(
            "it is version {version}, which is too old; give ONNX Runtime 1.28"
        ));
    }
    if (major, minor) > SUPPORTED && !telemetry_is_off {
        return Err(format!(
            "it is version {version}, and official builds from 1.29 on send telemetry over the network; give ONNX Runtime 1.28, or start the process with {NO_TELEMETRY}=1 in its environment"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert!(admit("1.28.0", false).is_ok() && admit("1.28.1", true).is_ok());
        for old in ["1.27.3", "1.9.0", "0.30.0", "", "x.y", "1"] {
            assert!(admit(old, true).is_err(), "{old}");
        }
        for new in ["1.29.0", "1.31.1", "2.0.0"] {
            assert!(admit(new, false).unwrap_err().contains(NO_TELEMETRY));
            assert!(admit(new, true).is_ok());
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        let message = locate(Some(Path::new("/nonexistent/ort.so")))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("/nonexistent/ort.so") && message.contains("runtime_path"),
            "{message}"
        );
    }
}
