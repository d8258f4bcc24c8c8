enum Golden {
    static let manifest = "?"
}
