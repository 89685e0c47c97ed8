//! How the command line fails: one line and an exit code.

use bie::{Error, Status};

/// What goes to stderr, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// 1 the input or the bundle is bad, 2 usage, 3 environment.
    pub exit: u8,
    /// One line: what is wrong, where, what to do.
    pub message: String,
}

/// Result with a [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The input or the bundle is bad.
    pub fn data(message: impl Into<String>) -> Failure {
        Failure {
            exit: 1,
            message: message.into(),
        }
    }

    /// The command is wrong.
    pub fn usage(message: impl ToString) -> Failure {
        Failure {
            exit: 2,
            message: format!("{}; see `bie --help`", message.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let exit = match error.status() {
            Status::UnknownOption | Status::InvalidArgument => 2,
            Status::Cpu | Status::Runtime | Status::OutOfMemory => 3,
            _ => 1,
        };
        Failure {
            exit,
            message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_status() {
        let exit = |error: Error| Failure::from(error).exit;
        assert_eq!(exit(Error::Runtime("x".into())), 3);
        assert_eq!(exit(Error::Cpu("x")), 3);
        assert_eq!(exit(Error::Checksum { file: "x".into() }), 1);
        assert_eq!(exit(Error::InvalidUtf8 { at: 0 }), 1);
        assert_eq!(exit(Error::InvalidArgument("x".into())), 2);
        assert_eq!(Failure::usage("x").exit, 2);
    }
}
