import CRD
import Foundation
import Glibc

/// Standard output, and the terminal behind it.
enum Terminal {
    static var isInteractive: Bool {
        isatty(STDOUT_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    }

    /// Columns and rows; the usual values where the terminal cannot be asked.
    static var size: (columns: Int, rows: Int) {
        var window = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0, window.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(window.ws_col), Int(window.ws_row))
    }

    /// Exits silently when its reader exits, as programs in pipes do.
    static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                exit(1)
            }
            rest = rest.dropFirst(count)
        }
    }

    static func complain(_ text: String) {
        FileHandle.standardError.write(Data("kubectl modelcache: \(Texts.plain(text))\n".utf8))
    }
}

/// A page that is redrawn over the page before.
struct LivePage {
    private var height = 0

    mutating func draw(_ lines: [String]) {
        var text = height > 0 ? "\u{1b}[\(height)A" : ""
        for line in lines { text += "\u{1b}[2K\(line)\n" }
        // Removes the rest of an earlier, longer page.
        text += "\u{1b}[J"
        height = lines.count
        Terminal.write(text)
    }
}
