/// The files that are being checked, each by one check at a time. A pure value.
///
/// A chunk may be lost and fetched again while its file is checked. The check then says that the file is not complete,
/// and nothing else would begin another.
struct RunningChecks: Sendable {
    private var running: Set<Int> = []
    /// Files whose last chunk came while they were being checked.
    private var again: Set<Int> = []

    var isEmpty: Bool { running.isEmpty }

    /// All chunks of the file are there. Returns whether a check begins now; false: another follows the present one.
    mutating func begin(_ file: Int) -> Bool {
        guard running.insert(file).inserted else {
            again.insert(file)
            return false
        }
        return true
    }

    /// Returns whether the file's last chunk came meanwhile.
    mutating func ended(_ file: Int) -> Bool {
        precondition(running.remove(file) != nil, "a check ends once")
        return again.remove(file) != nil
    }
}
