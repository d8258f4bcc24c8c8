/// Rules beyond a structural schema, in CEL, for servers from 1.25 on
/// (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules).
///
/// `Validation` checks the same, and the operator's webhook has it checked on servers of every version; a test compares
/// the two. The rules use nothing but standard CEL, so that 1.25 compiles them, and no loop over text whose length has
/// no bound: the server refuses a definition whose rules might cost too much.
enum Rules {
    typealias CELRule = SchemaNode.CELRule

    static let uriBucket = CELRule(
        rule: #"!self.matches('^[a-z0-9]+://[^/]*[.][.]')"#,
        message: "names a bucket with two dots in a row: write the bucket's name")
    /// `fnmatch` backtracks for each star: with many stars, one key takes for ever.
    static let includePattern = [
        CELRule(
            rule: "self.matches('^[^*]*([*][^*]*){0,\(SourceCheck.maximumStars)}$')",
            message: "has more than \(SourceCheck.maximumStars) stars: write a simpler pattern, or several"),
        CELRule(
            rule: "!self.startsWith('/')",
            message: "begins with a slash, which no key does: write it relative to the uri's prefix"),
        CELRule(
            rule: #"self.matches(r'^([^\\\[]|\\.|\[([!^].|[^!^])[^\]]*\])*$')"#,
            message: #"has a [ without its ], or ends in a backslash: close it, or write \[ for the character itself"#),
    ]
    static let includeOnce = CELRule(
        rule: "self.all(one, self.exists_one(other, other == one))", message: "names a pattern twice: remove one")

    static let addressing = [
        CELRule(
            rule: "!has(self.addressing) || self.addressing != 'CNAME' || has(self.endpoint)",
            message: "addressing is CNAME, but no endpoint is set: set endpoint to the bucket's own domain"),
        CELRule(
            rule: "!has(self.addressing) || self.addressing != 'Path' || !self.uri.startsWith('oss://')"
                + " || (has(self.endpoint) && !self.endpoint.endsWith('aliyuncs.com'))",
            message: "addressing is Path, which OSS refuses: remove it"),
    ]

    static let oneParty = CELRule(
        rule: "[has(self.secretRef), has(self.serviceAccount), has(self.node), has(self.anonymous)]"
            + ".filter(isSet, isSet).size() == 1",
        message: "must have exactly one of secretRef, serviceAccount, node and anonymous: set one, remove the others")
    static let provider = CELRule(
        rule: "!has(self.credentials) || !has(self.credentials.serviceAccount)"
            + " || !has(self.credentials.serviceAccount.roleARN)"
            + " || self.uri.startsWith('oss://') == has(self.credentials.serviceAccount.oidcProviderARN)",
        message: "credentials.serviceAccount.oidcProviderARN must be there for oss://, and for no other: "
            + "set the ARN of the cluster's OIDC provider in RAM, or remove it")
    static let ownRole = CELRule(
        rule: "has(self.roleARN) || (!has(self.oidcProviderARN) && !has(self.sessionSeconds))",
        message: "roleARN must be there with oidcProviderARN and sessionSeconds: set it, or remove these")

    static let toleration = [
        CELRule(
            rule: "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
            message: "operator must be Exists where key is empty: set key, or write Exists to tolerate every taint"),
        CELRule(
            rule: "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            message: "value must be empty with Exists: remove it, or write Equal"),
        CELRule(
            rule: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            message: "effect must be NoExecute where tolerationSeconds is set: write it, or remove tolerationSeconds"),
    ]

    static let notEmpty = CELRule(
        rule: "size(self) > 0", message: "is empty, and no node would match: write a term, or leave required… out")

    static let labelRequirement = [
        CELRule(
            rule: "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            message: "values is empty: write at least one value for In and NotIn"),
        CELRule(
            rule: "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
            message: "values must not be there: remove it, Exists and DoesNotExist take none"),
        CELRule(
            rule: "!(self.operator in ['Gt', 'Lt']) || (has(self.values) && size(self.values) == 1"
                + " && self.values[0].matches('^[+-]?[0-9]+$'))",
            message: "values must be one integer, as a string, for Gt and Lt"),
    ]

    static let fieldRequirement = [
        CELRule(
            rule: "self.key == 'metadata.name'",
            message: "key is no field that nodes are chosen by: write metadata.name"),
        CELRule(
            rule: "self.operator in ['In', 'NotIn']", message: "operator does not work on fields: write In or NotIn"),
        CELRule(
            rule: "has(self.values) && size(self.values) == 1", message: "values must be exactly one node's name"),
    ]
}
