/// Times as people read them.
public enum TimeText {
    /// `45s`, `3m20s`, `5h10m`; a second that has begun counts.
    public static func seconds(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded(.up))
        return whole >= 3600
            ? "\(whole / 3600)h\(whole % 3600 / 60)m" : whole >= 60 ? "\(whole / 60)m\(whole % 60)s" : "\(whole)s"
    }

    /// `0.4s`, and as ``seconds(_:)`` from ten seconds on.
    public static func milliseconds(_ milliseconds: Int64) -> String {
        guard milliseconds < 9950 else { return seconds((Double(milliseconds) / 1000).rounded()) }
        let tenths = (max(0, milliseconds) + 50) / 100
        return "\(tenths / 10).\(tenths % 10)s"
    }
}
