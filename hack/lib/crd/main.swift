// Compiled together with Sources/CRD by hack/lib/crd/build: the definition and the check, without the whole operator.
import Foundation

let arguments = CommandLine.arguments.dropFirst()
switch arguments.first {
case "definition":
    guard let level = CustomResourceDefinition.Level(rawValue: arguments.dropFirst().first ?? "") else {
        FileHandle.standardError.write(Data("usage: crd definition current|legacy\n".utf8))
        exit(64)
    }
    print(CustomResourceDefinition.yaml(level), terminator: "")
case "rules":
    print(CustomResourceDefinition.rulesPatchYAML(), terminator: "")
case "validate":
    // JSON lines in, a verdict a line out.
    while let line = readLine() {
        FileHandle.standardOutput.write(Data((Validation.check(json: line).jsonLine + "\n").utf8))
    }
default:
    FileHandle.standardError.write(Data("usage: crd definition current|legacy, crd rules, crd validate < lines of JSON\n".utf8))
    exit(64)
}
