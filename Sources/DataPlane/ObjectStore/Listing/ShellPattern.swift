internal import Glibc

/// Shell patterns as `fnmatch(3)` knows them: `*`, `?`, `[…]`. A `*` also crosses `/`, so `*.gguf` finds nested files.
package enum ShellPattern {
    package static func matches(_ pattern: String, _ text: String) -> Bool {
        fnmatch(pattern, text, 0) == 0
    }
}
