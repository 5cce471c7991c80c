//! Patterns that are legal and yet hardly what was meant: a letter of the wrong case.

/// What a pattern does, and what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What the pattern says.
    pub what: &'static str,
    /// What to write instead.
    pub remedy: &'static str,
}

/// The first doubt about a pattern of dates and times.
pub fn doubt(pattern: &str) -> Option<Doubt> {
    let mut letters = String::new();
    for (at, part) in pattern.split('\'').enumerate() {
        // Every other part is quoted text.
        letters.push_str(if at % 2 == 0 { part } else { " " });
    }
    let has = |wanted: &[char]| letters.contains(wanted);
    let doubt = |what, remedy| Some(Doubt { what, remedy });
    if has(&['y', 'd']) && has(&['m']) && !has(&['M', 'L', 'D']) {
        return doubt("`mm` is the minutes, and there is no month", "months are written MM: yyyy-MM-dd");
    }
    if letters.contains(":MM") {
        return doubt("`MM` after the hours is the month", "minutes are written mm: HH:mm:ss");
    }
    if has(&['D']) && has(&['M', 'L']) && !has(&['d']) {
        return doubt("`D` is the day of the year", "the day of the month is written dd: yyyy-MM-dd");
    }
    if letters.contains(":SS") && !has(&['s']) {
        return doubt("`SS` is a fraction of the second", "seconds are written ss: HH:mm:ss");
    }
    if has(&['h', 'K']) && !has(&['a', 'H', 'k']) {
        return doubt("`hh` goes from 1 to 12, and AM or PM is not said", "write HH for 0 to 23, or add a: hh:mm a");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_case_are_seen() {
        let what = |pattern| doubt(pattern).map(|doubt| doubt.what);
        assert!(what("yyyy-mm-dd HH:MM:SS").unwrap().contains("month"));
        assert!(what("yyyy-mm-dd").unwrap().contains("no month"));
        assert!(what("yyyy-MM-dd HH:MM:ss").unwrap().contains("after the hours"));
        assert!(what("yyyy-MM-DD").unwrap().contains("day of the year"));
        assert!(what("HH:mm:SS").unwrap().contains("fraction"));
        assert!(what("yyyy-MM-dd hh:mm:ss").unwrap().contains("AM or PM"));
        for good in [
            "yyyy-MM-dd HH:mm:ss",
            "yyyy-MM-dd'T'HH:mm:ss.SSS",
            "h:mm a",
            "mm:ss",
            "yyyyDDD",
            "MMM d, yyyy",
            "yyyy",
            "HH:mm 'o''clock Dm'",
        ] {
            assert_eq!(what(good), None, "{good}");
        }
    }
}
