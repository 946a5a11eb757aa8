# Completions of the patchmesh command. Made of the tables in src/config by
#     PATCHMESH_REWRITE=1 cargo test --test contrib

_patchmesh() {
    local line=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]}
    local command='' place=0 flag='' kind='' words='' index current
    local -a before
    read -ra before <<<"$line"
    current=${line##*[[:space:]]}
    if [[ -n $current ]]; then unset "before[${#before[@]}-1]"; fi
    if [[ $word == '=' ]]; then word=''; fi
    # Which command it is, how many arguments stand before the word, and the flag whose value it is.
    for ((index = 1; index < ${#before[@]}; index++)); do
        flag=''
        case ${before[index]} in
            --source|--data|--keep|--horizon|--token|--token-file|--allow-origin|--tls-cert|--tls-key|--tls-ca|--threads|--max-connections|--log-format|--timeout|--transaction|--rebuild-from)
                flag=${before[index]}; ((index++)) ;;
            -*) ;;
            get|set|merge|patch|edit|remove|watch|import|export|status|wait|peers|promote|backup|restore|verify)

                if [[ -z $command && $place == 0 ]]; then
                    command=${before[index]}
                else
                    ((place++))
                fi ;;
            *) ((place++)) ;;
        esac
    done
    if ((index == ${#before[@]})); then flag=''; fi
    if [[ $current == --*=* ]]; then flag=${current%%=*}; fi
    case $flag in
        --token-file|--tls-cert|--tls-key|--tls-ca) kind=file ;;
        --data) kind=directory ;;
        --log-format) words='text json' ;;
        ?*) ;;
        *) case $word in -*) kind=flag ;; *) case $command:$place in
            :0) words='get set merge patch edit remove watch import export status wait peers promote backup restore verify' ;;
            set:2) kind=file ;;
            merge:2) kind=file ;;
            patch:2) kind=file ;;
            import:2) kind=file ;;
            export:2) kind=file ;;
            peers:0) words='list add remove' ;;
            backup:0) kind=directory ;;
            backup:1) kind=file ;;
            restore:0) kind=file ;;
            restore:1) kind=directory ;;
            verify:0) kind=directory ;;
        esac ;; esac ;;
    esac
    if [[ $kind == flag ]]; then case $command in
        '') words='--source --data --primary --keep --horizon --token --token-file --allow-origin --tls-cert --tls-key --tls-ca --threads --max-connections --log-format --help' ;;
        get) words='--committed --pretty --raw --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        set) words='--committed --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        merge) words='--committed --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        patch) words='--committed --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        edit) words='--committed --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        remove) words='--committed --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        watch) words='--raw --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        import) words='--committed --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        export) words='--committed --pretty --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        status) words='--json --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        wait) words='--transaction --committed --timeout --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        peers) words='--token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        promote) words='--token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        backup) words='--token --token-file --tls-ca --tls-cert --tls-key --help' ;;
        restore) words='--source --help' ;;
        verify) words='--new-life --rebuild-from --source --token --token-file --tls-ca --tls-cert --tls-key --help' ;;
    esac; fi
    local IFS=$'\n'
    case $kind in
        file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")) ;;
        directory) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "${words// /$'\n'}" -- "$word")) ;;
    esac
}

complete -F _patchmesh patchmesh
