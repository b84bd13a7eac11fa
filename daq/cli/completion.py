"""`daq completion`: what a shell needs to complete commands, and what only the daemon knows."""

from __future__ import annotations

import click

__all__ = ["completion"]

_BASH = r"""_daq_completion() {
    local line=${COMP_LINE:0:COMP_POINT} kind value current
    local -a words
    # Not COMP_WORDS: bash also divides at `=` and `:`, within points=5 and localhost:50051.
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    if [[ ${words[0]##*/} == python* ]]; then
        if [[ ${words[1]} != -m || ${words[2]} != daq || ${#words[@]} -lt 4 ]]; then
            declare -F _python > /dev/null && _python "$@"
            return
        fi
        local -a command=("${words[0]}" -m daq)
        words=(daq "${words[@]:3}")
    else
        local -a command=("${words[0]}")
    fi
    current=${words[-1]}
    local divided=${current%"${current##*[=:]}"}
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                [[ $value == *= ]] && compopt -o nospace
                COMPREPLY+=("${value#"$divided"}")
                ;;
        esac
    done < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \
        _DAQ_COMPLETE=bash_complete "${command[@]}" 2> /dev/null)
}
complete -o nosort -F _daq_completion daq
complete -o nosort -o default -o bashdefault -F _daq_completion python python3
"""

_ZSH = r"""#compdef daq
_daq_completion() {
    local -a response described plain command typed
    local kind key help
    if [[ ${words[1]:t} == python* ]]; then
        if [[ $words[2] != -m || $words[3] != daq || $CURRENT -lt 4 ]]; then
            (( $+functions[_python] )) && _python "$@" || _files
            return
        fi
        command=($words[1] -m daq)
        typed=(daq "${(@)words[4,CURRENT]}")
    else
        command=($words[1])
        typed=("${(@)words[1,CURRENT]}")
    fi
    response=("${(@f)$(COMP_WORDS="${typed[*]}" COMP_CWORD=$(($#typed - 1)) \
        _DAQ_COMPLETE=zsh_complete $command 2> /dev/null)}")
    for kind key help in ${response}; do
        case $kind in
            plain)
                if [[ $help == _ ]]; then plain+=("$key"); else described+=("$key:$help"); fi ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
}
(( $+functions[compdef] )) || { autoload -Uz compinit; compinit }
compdef _daq_completion daq python python3
"""

_FISH = r"""function _daq_completion
    set -l command $argv
    set -l typed (commandline -cp | string replace -r '^\S*python\S*\s+-m\s+' '')
    for line in (env COMP_WORDS="$typed" COMP_CWORD=(commandline -t) \
            _DAQ_COMPLETE=fish_complete $command 2> /dev/null)
        set -l parts (string split -m 1 "," $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
function _daq_by_python
    string match -qr '^\S*python\S*\s+-m\s+daq\s' -- (commandline -cp)
end
complete --no-files --command daq --arguments "(_daq_completion daq)"
for python in python python3
    complete --no-files --command $python --condition _daq_by_python \
        --arguments "(_daq_completion $python -m daq)"
end
"""


_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command()
@click.argument("shell", type=click.Choice(list(_SCRIPTS)))
def completion(shell: str) -> None:
    """Print the completion script of SHELL, for `daq` and `python -m daq`.

    It completes commands, options and files, and what the daemon knows: devices, parameters,
    scripts, executions, runs and presets.

    \b
    bash, in ~/.bashrc:   eval "$(daq completion bash)"
    zsh, in ~/.zshrc:     eval "$(daq completion zsh)"
    fish, once:           daq completion fish > ~/.config/fish/conf.d/daq.fish
    """  # noqa: D301 - click knows the paragraph that it may not fill by this character
    click.echo(_SCRIPTS[shell], nl=False)
