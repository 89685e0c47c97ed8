//! Memory: how much this process holds, and amounts as people write them.

/// Bytes of this process that lie in memory now.
pub fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// The most bytes of this process that ever lay in memory.
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// A line of Linux's account of this process; none elsewhere.
fn status(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

const UNITS: [(&str, f64); 4] = [
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("MB", 1e6),
];

/// Reads "4GiB", "1.5 GB", "800MiB", "800 MB".
///
/// # Errors
/// It is none of these.
pub fn parse(text: &str) -> Result<u64, String> {
    let amount = UNITS.iter().find_map(|(unit, size)| {
        let number: f64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
        (number > 0.0 && number < 1e6).then_some((number * size) as u64)
    });
    amount.ok_or_else(|| "expected an amount such as 4GiB, 1.5GiB, 800MiB".to_owned())
}

/// "1.25 GiB" or "310 MiB".
pub fn show(bytes: u64) -> String {
    let mib = bytes as f64 / 1_048_576.0;
    match mib < 1023.5 {
        true => format!("{mib:.0} MiB"),
        false => format!("{:.2} GiB", mib / 1024.0),
    }
}

/// The least budget, as [`parse`] reads it, that holds so much.
pub fn budget(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown() {
        assert_eq!(parse("4GiB"), Ok(4 << 30));
        assert_eq!(parse(" 1.5 GB "), Ok(1_500_000_000));
        assert_eq!(parse("800MiB"), Ok(800 << 20));
        for bad in ["", "4", "GiB", "-1GiB", "0MB", "4 TiB", "nanGiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(show(1023 << 20), "1023 MiB");
        assert_eq!(show((1 << 30) + 1), "1.00 GiB");
        assert_eq!(budget((1 << 30) + 1), "1025MiB");
    }

    #[test]
    fn this_process_lies_in_memory() {
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let (Some(now), Some(most)) = (resident(), peak()) else {
            return; // not Linux
        };
        assert!(now >= block.len() as u64 && most >= now, "{now} {most}");
    }
}
