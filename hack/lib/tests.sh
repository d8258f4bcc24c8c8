# What hack/test and hack/lib/tests-need both know. To be sourced after common.sh.

# tests_python FOLDER: prints the python that runs the tests of this folder, and makes its environment where there is none.
tests_python() {
    local requirements=("$repository"/Tests/{System,ControlPlane}/requirements.txt) own=$repository/$1/requirements.txt
    # One environment for all parts but the one that brings clients of its own.
    [[ " ${requirements[*]} " == *" $own "* ]] || [ ! -e "$own" ] || requirements+=("$own")
    python_environment tests "${requirements[@]}"
}
