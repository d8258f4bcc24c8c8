/// Writes a tree as YAML, the same text for equal trees: members sorted, two spaces a level.
enum YAMLText {
    static func document(_ tree: JSONTree) -> String {
        var text = ""
        write(tree, indent: 0, into: &text)
        return text
    }

    private static func write(_ tree: JSONTree, indent: Int, into text: inout String) {
        let margin = String(repeating: " ", count: indent)
        switch tree {
        case .object(let members):
            for key in members.keys.sorted() {
                guard let value = members[key] else { continue }
                text += margin + scalar(key) + ":"
                writeValue(value, indent: indent, into: &text)
            }
        case .array(let elements):
            for element in elements {
                guard case .object(let members) = element, !members.isEmpty else {
                    text += margin + "-"
                    writeValue(element, indent: indent, into: &text)
                    continue
                }
                // The first member follows the dash, which replaces two spaces of its indentation.
                var inner = ""
                write(element, indent: indent + 2, into: &inner)
                text += margin + "- " + inner.dropFirst(indent + 2)
            }
        default:
            text += margin + flow(tree) + "\n"
        }
    }

    private static func writeValue(_ value: JSONTree, indent: Int, into text: inout String) {
        switch value {
        case .object(let members) where !members.isEmpty:
            text += "\n"
            write(value, indent: indent + 2, into: &text)
        case .array(let elements) where !elements.isEmpty:
            text += "\n"
            write(value, indent: indent, into: &text)
        default:
            text += " " + flow(value) + "\n"
        }
    }

    private static func flow(_ value: JSONTree) -> String {
        switch value {
        case .null: "null"
        case .boolean(let flag): flag ? "true" : "false"
        case .integer(let number): String(number)
        case .number(let number): String(number)
        case .string(let text): scalar(text)
        case .array: "[]"
        case .object: "{}"
        }
    }

    /// Plain where every reader of YAML 1.1 or 1.2 takes it for this text, else double-quoted as in JSON.
    static func scalar(_ text: String) -> String {
        let words: Set<String> = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        let first = text.utf8.first ?? 0
        let isLetter = (0x41...0x5a).contains(first) || (0x61...0x7a).contains(first)
        let isPlain =
            isLetter && !words.contains(text.lowercased()) && text.last != " "
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || " -_./()".utf8.contains(byte)
            }
        guard !isPlain else { return text }
        // JSON allows characters that YAML forbids or reads as a line's end.
        return JSONTree.string(text).text().unicodeScalars.reduce(into: "") { quoted, scalar in
            switch scalar.value {
            case 0x7f...0x9f, 0x2028, 0x2029, 0xfeff:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default:
                quoted.unicodeScalars.append(scalar)
            }
        }
    }
}
