import ArgumentParser
import Foundation
import Glibc

/// How a verb shows the agent's state: once or repeatedly, for people or for programs.
struct RepeatedView: ParsableArguments {
    @Flag(help: "Show again every second until interrupted.")
    var watch = false

    @Flag(help: "Print JSON.")
    var json = false

    /// Shows the results of `ask` until it returns nil; only one without `--watch`.
    func show<Value: Encodable>(_ ask: () throws -> Value?, text: (Value) -> String) throws {
        repeat {
            guard let value = try ask() else { return }
            if watch && !json && isatty(1) == 1 { print("\u{1b}[H\u{1b}[2J", terminator: "") }
            if json {
                try printJSON(value)
            } else {
                print(text(value))
            }
            fflush(nil)
            if watch { Thread.sleep(forTimeInterval: 1) }
        } while watch
    }
}

/// The output of `--json`: indented, members sorted by name.
func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}
