# Completion of `workflow` for fish 3.2 and later. Made by: workflow completion fish
function __workflow_completion
    # The program of the PATH, and not what the line names: ./workflow may be anybody's. The line goes through a pipe,
    # for arguments of a process can be read by every user of the machine.
    for line in (commandline -cp | command workflow completion fish --answer 2>/dev/null)
        set -l part (string split -m 2 \t -- $line)
        switch $part[1]
            case word
                printf '%s\t%s\n' $part[2] $part[3]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end
complete --command workflow --no-files --keep-order --arguments '(__workflow_completion)'
complete --command autokestra --no-files --keep-order --arguments '(__workflow_completion)'
