/// Why the operator ended, for the person who reads its last line, and its exit code (sysexits.h).
struct OperatorFailure: Error, CustomStringConvertible {
    let description: String
    let code: Int32

    static func leaseLost(_ text: String) -> Self { Self(description: text, code: 1) }
    static func unexpected(_ text: String) -> Self { Self(description: text, code: 1) }
    static func wrongFlag(_ text: String) -> Self { Self(description: text, code: 64) }
    static func unreachable(_ text: String) -> Self { Self(description: text, code: 69) }
    static func notAllowed(_ text: String) -> Self { Self(description: text, code: 77) }
    static func wrongSetting(_ text: String) -> Self { Self(description: text, code: 78) }
}
