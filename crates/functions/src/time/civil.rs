//! The proleptic Gregorian calendar in whole numbers.

use crate::interval::MICROS_PER_DAY;

/// A moment of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Proleptic year, 0 = 1 BC.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 to 999,999.
    pub micro: u32,
}

/// Days since 1970-01-01 of a date that is known to be valid. Algorithm: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
#[inline]
pub fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    let y = i64::from(year) - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let shifted = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468) as i32
}

/// Year, month and day of days since 1970-01-01.
#[inline]
pub fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    let year = (year_of_era + era * 400 + i64::from(month <= 2)) as i32;
    (year, month, day)
}

/// Length of a month; `month` is 1 to 12.
#[inline]
pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Has the year 366 days?
#[inline]
pub(crate) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days since 1970 and µs of the day.
#[inline]
pub fn split_micros(us: i64) -> (i32, i64) {
    (us.div_euclid(MICROS_PER_DAY) as i32, us.rem_euclid(MICROS_PER_DAY))
}

impl Civil {
    /// The wall clock at `us` µs since 1970 (of that same wall clock).
    #[inline]
    pub fn from_micros(us: i64) -> Self {
        let (days, of_day) = split_micros(us);
        let (year, month, day) = civil_from_days(days);
        let seconds = (of_day / 1_000_000) as u32;
        Self {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micro: (of_day % 1_000_000) as u32,
        }
    }

    /// µs since 1970; nothing where the fields are no date or time.
    #[inline]
    pub fn to_micros(self) -> Option<i64> {
        if self.month.wrapping_sub(1) > 11
            || self.day == 0
            || self.day > days_in_month(self.year, self.month)
            || self.hour > 23
            || self.minute > 59
            || self.second > 59
            || !(-290_000..=290_000).contains(&self.year)
        {
            return None;
        }
        let days = i64::from(days_from_civil(self.year, self.month, self.day));
        let seconds = days * 86_400 + i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        seconds.checked_mul(1_000_000)?.checked_add(i64::from(self.micro))
    }

    /// Day of the year, from 1.
    pub fn day_of_year(&self) -> u32 {
        (days_from_civil(self.year, self.month, self.day) - days_from_civil(self.year, 1, 1) + 1) as u32
    }
}

/// 0 = Monday to 6 = Sunday.
#[inline]
pub(crate) fn weekday(days: i32) -> u32 {
    (days + 3).rem_euclid(7) as u32
}

/// ISO week number, 1 to 53, and the year it belongs to.
pub(crate) fn iso_week(days: i32) -> (i32, u32) {
    let thursday = days - weekday(days) as i32 + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, ((thursday - days_from_civil(year, 1, 1)) / 7 + 1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-1_000_000..1_000_000).step_by(37) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2024, 2, 29), 19_782);
        assert_eq!(weekday(0), 3);
        assert_eq!(iso_week(days_from_civil(2021, 1, 3)), (2020, 53));
    }
}
