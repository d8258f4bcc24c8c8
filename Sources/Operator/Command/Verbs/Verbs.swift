import ArgumentParser
import CRD
import Foundation

/// For config/crd and its test.
struct PrintCRDVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print-crd", abstract: "Print the CustomResourceDefinition of ModelCache as YAML.",
        shouldDisplay: false)

    @Option(
        help: "legacy: for servers from 1.20; current: with the CEL rules that servers from 1.25 check.",
        transform: { text in
            guard let level = CustomResourceDefinition.Level(rawValue: text) else {
                throw ValidationError("write legacy or current")
            }
            return level
        })
    var level: CustomResourceDefinition.Level = .legacy

    @Flag(help: "Print the patch that makes the current definition of the legacy one.")
    var rulesPatch = false

    func run() throws {
        let text = rulesPatch ? CustomResourceDefinition.rulesPatchYAML() : CustomResourceDefinition.yaml(level)
        try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    }
}

/// For tests that compare the operator's judgement with the API server's.
struct ValidateVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate", abstract: "Judge ModelCaches: JSON, one a line, in; a verdict a line out.",
        shouldDisplay: false)

    @Flag(help: .hidden)
    var allowLoopbackEndpoints = false

    func run() throws {
        let policy = ValidationPolicy(allowsLoopbackEndpoints: allowLoopbackEndpoints)
        while let line = readLine() {
            guard !line.allSatisfy(\.isWhitespace) else { continue }
            // At once: the one who asks may wait for this answer before the next question.
            try FileHandle.standardOutput.write(
                contentsOf: Data((Validation.check(json: line, policy).jsonLine + "\n").utf8))
        }
    }
}
