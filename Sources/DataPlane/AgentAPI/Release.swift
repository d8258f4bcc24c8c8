/// The release that these sources are.
public enum Release {
    /// A semantic version (semver.org) without a `v`: what `--version`, the agents' reports and the user agent say.
    /// `hack/generate` writes it into the chart, the manifests and the documents; a test compares them.
    public static let version = "0.1.0"
}
