# Completion of `workflow` for bash 4.4 and later. Made by: workflow completion bash
_workflow_completion() {
    local kind text _
    COMPREPLY=()
    # The program of the PATH, and not what the line names: ./workflow may be anybody's. The line goes through a pipe,
    # for arguments of a process can be read by every user of the machine.
    while IFS=$'\t' read -r kind text _; do
        case $kind in
            word) COMPREPLY+=("$text") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(printf '%s' "${COMP_LINE:0:COMP_POINT}" | command workflow completion bash --answer 2>/dev/null)
}
complete -o nosort -F _workflow_completion workflow autokestra
