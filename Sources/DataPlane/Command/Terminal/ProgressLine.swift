import Agent
import Foundation
import Glibc
import Models

/// One line of progress: on a terminal a redrawn bar with rate and remaining time, otherwise a plain line now and then.
struct ProgressLine {
    private let isTerminal = isatty(2) == 1
    private var lastPlain: ContinuousClock.Instant?

    static func text(present: Int64, total: Int64, bytesPerSecond: Double, remainingSeconds: Double?, width: Int)
        -> String
    {
        let share = total > 0 ? min(1, Double(present) / Double(total)) : 1
        let figures =
            "\(ByteCount.fixed(share * 100, decimals: 0))%  \(ByteCount.format(present)) of \(ByteCount.format(total))"
            + (bytesPerSecond > 0 ? "  \(ByteCount.format(Int64(bytesPerSecond)))/s" : "")
            + (remainingSeconds.map { "  \(TimeText.seconds($0)) left" } ?? "")
        guard width > 0 else { return figures }
        let cells = max(10, min(40, width - figures.count - 4))
        let filled = Int(share * Double(cells))
        return "[" + String(repeating: "█", count: filled) + String(repeating: "·", count: cells - filled) + "] "
            + figures
    }

    mutating func show(_ status: ModelStatus, done: Bool) {
        let now = ContinuousClock.now
        if isTerminal {
            let line = Self.text(
                present: status.presentBytes, total: status.totalBytes, bytesPerSecond: status.bytesPerSecond,
                remainingSeconds: status.remainingSeconds, width: Self.terminalWidth)
            write("\r\u{1b}[K\(line)\(done ? "\n" : "")")
        } else if done || lastPlain.map({ $0.duration(to: now) >= .seconds(2) }) ?? true {
            lastPlain = now
            write(
                Self.text(
                    present: status.presentBytes, total: status.totalBytes, bytesPerSecond: status.bytesPerSecond,
                    remainingSeconds: status.remainingSeconds, width: 0) + "\n")
        }
    }

    private static var terminalWidth: Int {
        ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) } ?? 80
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
