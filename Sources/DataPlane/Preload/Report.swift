import PreloadShim

/// Exit statuses of sysexits.h.
enum ExitStatus {
    /// A setting is wrong: the program must not start.
    static let configuration: Int32 = 78
    /// The agent or the store does not answer: the same command may succeed later.
    static let unavailable: Int32 = 69
    /// Bytes already given out turned out wrong.
    static let inputOutput: Int32 = 74
}

/// How much the library says on standard error (MODELCACHE_LOG). The library always reports an error that ends the
/// program.
enum Level: Int32 {
    case error = 0, warn, info, debug
}

/// Written once before the switch is turned on, only read afterwards.
nonisolated(unsafe) private var loudest = Level.warn

func setLevel() {
    guard let value = environment("MODELCACHE_LOG") else { return }
    if equal(value, "error") {
        loudest = .error
    } else if equal(value, "warn") {
        loudest = .warn
    } else if equal(value, "info") {
        loudest = .info
    } else if equal(value, "debug") {
        loudest = .debug
    } else {
        refuse("MODELCACHE_LOG", "is none of error, warn, info, debug; set it to one of them")
    }
}

/// Prints `libossc_preload: NAME: message` as one line on standard error. Secrets are never passed in.
func report(_ name: UnsafePointer<CChar>?, _ level: Level = .error, _ body: (inout Text) -> Void) {
    guard level.rawValue <= loudest.rawValue else { return }
    withPath { line in
        line.append("libossc_preload: ")
        if let name {
            line.append(c: name)
            line.append(": ")
        }
        body(&line)
        // One line, whatever a store's or an agent's message holds.
        for i in 0..<line.count where line.base[i] == 10 || line.base[i] == 13 { line.base[i] = 32 }
        if line.count == line.capacity - 1 { line.truncate(to: line.count - 1) }
        line.append(10)
        _ = ossc_write(2, line.base, line.count)
    }
}

/// Ends the program because a setting is wrong: `NAME: what is wrong; remedy`.
func refuse(_ name: StaticString, _ message: StaticString) -> Never {
    report(nil) {
        $0.append(name)
        $0.append(": ")
        $0.append(message)
    }
    ossc_exit(ExitStatus.configuration)
}
