import Foundation
import Kubernetes

/// RFC 6902 as an API server applies it, written without a look at what makes the patches.
enum PatchApplier {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    static func apply(_ operations: [JSONPatchOperation], to document: JSONValue) throws -> JSONValue {
        try apply(JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(operations)), to: document)
    }

    static func apply(_ patch: JSONValue, to document: JSONValue) throws -> JSONValue {
        guard case .array(let operations) = patch else { throw Failure(description: "no list of operations") }
        var document = document
        for operation in operations {
            guard case .string(let op)? = operation["op"], case .string(let path)? = operation["path"] else {
                throw Failure(description: "an operation without op or path")
            }
            guard path.isEmpty || path.hasPrefix("/") else { throw Failure(description: "\(path) is no pointer") }
            let steps = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map {
                $0.replacingOccurrences(of: "~1", with: "/").replacingOccurrences(of: "~0", with: "~")
            }
            document = try edit(document, Array(steps), op: op, value: operation["value"], path: path)
        }
        return document
    }

    private static func edit(_ node: JSONValue, _ steps: [String], op: String, value: JSONValue?, path: String) throws -> JSONValue {
        guard let step = steps.first else { throw Failure(description: "\(op) of the whole document") }
        let isLast = steps.count == 1
        func need(_ value: JSONValue?) throws -> JSONValue {
            guard let value else { throw Failure(description: "\(op) \(path): no value") }
            return value
        }
        switch node {
        case .object(var members):
            if !isLast {
                guard let child = members[step] else { throw Failure(description: "\(path): there is no \(step)") }
                members[step] = try edit(child, Array(steps.dropFirst()), op: op, value: value, path: path)
                return .object(members)
            }
            switch op {
            case "add": members[step] = try need(value)
            case "replace":
                guard members[step] != nil else { throw Failure(description: "replace \(path): nothing there") }
                members[step] = try need(value)
            case "remove":
                guard members.removeValue(forKey: step) != nil else { throw Failure(description: "remove \(path): nothing there") }
            case "test":
                guard members[step] == value else { throw Failure(description: "test \(path) failed") }
            default: throw Failure(description: "unknown operation \(op)")
            }
            return .object(members)
        case .array(var elements):
            if isLast, op == "add", step == "-" {
                elements.append(try need(value))
                return .array(elements)
            }
            guard let index = Int(step), index >= 0, String(index) == step,
                index < elements.count || (isLast && op == "add" && index == elements.count)
            else { throw Failure(description: "\(op) \(path): no index \(step)") }
            if !isLast {
                elements[index] = try edit(elements[index], Array(steps.dropFirst()), op: op, value: value, path: path)
                return .array(elements)
            }
            switch op {
            case "add": elements.insert(try need(value), at: index)
            case "replace": elements[index] = try need(value)
            case "remove": elements.remove(at: index)
            default: throw Failure(description: "unknown operation \(op)")
            }
            return .array(elements)
        default: throw Failure(description: "\(path): \(step) of something that has no members")
        }
    }
}
