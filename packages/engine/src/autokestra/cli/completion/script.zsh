#compdef workflow autokestra
# Completion of `workflow` for zsh. Made by: workflow completion zsh
_workflow() {
    local kind text help files dirs
    local -a found
    # The program of the PATH, and not what the line names: ./workflow may be anybody's. The line goes through a pipe,
    # for arguments of a process can be read by every user of the machine.
    while IFS=$'\t' read -r kind text help; do
        case $kind in
            word) found+=("${text//:/\\:}${help:+:$help}") ;;
            file) files=1 ;;
            dir) dirs=1 ;;
        esac
    done < <(print -rn -- "${(j: :)words[1,CURRENT-1]} $PREFIX" | command workflow completion zsh --answer 2>/dev/null)
    (( $#found )) && _describe -V -t workflow workflow found
    [[ -n $files ]] && _files
    [[ -n $dirs ]] && _files -/
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _workflow "$@"
else
    compdef _workflow workflow autokestra
fi
