import Glibc

/// The wall clock, which signatures carry.
enum SystemClock {
    /// Seconds since 1970 (UTC).
    static var unixTime: Int64 { Int64(time(nil)) }
}
