/// Names of a model's parts as `llama-gguf-split` makes them: `%s-%05d-of-%05d.gguf`, numbered from 1.
///
/// https://github.com/ggml-org/llama.cpp/blob/master/src/llama.cpp (`llama_split_path`): llama.cpp is given the first
/// part and finds the others beside it. A pure value.
enum SplitModel {
    /// More than a model has; a name that says otherwise is one file's.
    static let maximumParts = 4096

    /// The names of all parts, the first included; nil: `name` is no first part of several.
    static func parts(ofFirst name: String) -> [String]? {
        guard name.hasSuffix(".gguf") else { return nil }
        let stem = name.dropLast(5)
        let end = stem.utf8.suffix(15)
        let digits = end.dropFirst(10)
        guard end.count == 15, end.starts(with: "-00001-of-".utf8), digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let count = Int(Substring(digits)), (2...maximumParts).contains(count)
        else { return nil }
        let base = Substring(stem.utf8.dropLast(15))
        return (1...count).map { "\(base)-\(fiveDigits($0))-of-\(fiveDigits(count)).gguf" }
    }

    private static func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
