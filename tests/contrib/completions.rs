//! Completions of the command line for shells, made of its tables.

use std::fmt::Write;

use patchmesh::internals::config::{
    Argument, ArgumentKind, COMMANDS, CommandEntry, Count, Flag, flags,
};

const COMMENT: &str = "\
# Completions of the patchmesh command. Made of the tables in src/config by
#     PATCHMESH_REWRITE=1 cargo test --test contrib
";

/// All commands but the one that runs a node.
fn named() -> impl Iterator<Item = &'static CommandEntry> {
    COMMANDS.iter().copied().filter(|command| !command.name.is_empty())
}

fn run() -> &'static CommandEntry {
    COMMANDS.iter().find(|command| command.name.is_empty()).expect("one runs a node")
}

fn joined(names: impl Iterator<Item = String>, separator: &str) -> String {
    names.collect::<Vec<_>>().join(separator)
}

/// The names of all flags whose value is of the kind.
fn of_kind(is_kind: impl Fn(ArgumentKind) -> bool) -> String {
    let of_kind = flags().filter(|flag| flag.value.is_some_and(|value| is_kind(value.kind)));
    joined(of_kind.map(|flag| format!("--{}", flag.name)), "|")
}

/// For bash, from 3.2 on and without its package of completions: it takes words apart at `:` and `=`, so that places are
/// counted in the line itself.
pub fn bash() -> String {
    let mut text = format!("{COMMENT}{BASH_HEAD}");
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes all");
    line(format!("            {})", of_kind(|_| true)));
    line("                flag=${before[index]}; ((index++)) ;;".into());
    line("            -*) ;;".into());
    line(format!("            {})", joined(named().map(|command| command.name.to_owned()), "|")));
    line(BASH_PLACE.trim_end().into());
    line(format!("        {}) kind=file ;;", of_kind(|kind| kind == ArgumentKind::File)));
    line(format!("        {}) kind=directory ;;", of_kind(|kind| kind == ArgumentKind::Directory)));
    for flag in flags() {
        if let Some(ArgumentKind::Words(words)) = flag.value.map(|value| value.kind) {
            line(format!("        --{}) words='{}' ;;", flag.name, words.join(" ")));
        }
    }
    line("        ?*) ;;".into());
    line("        *) case $word in -*) kind=flag ;; *) case $command:$place in".into());
    let commands = joined(named().map(|command| command.name.to_owned()), " ");
    line(format!("            :0) words='{commands}' ;;"));
    for command in named() {
        for (place, argument) in command.arguments.iter().enumerate() {
            let action = match argument.value.kind {
                ArgumentKind::Text => continue,
                ArgumentKind::File => "kind=file".to_owned(),
                ArgumentKind::Directory => "kind=directory".to_owned(),
                ArgumentKind::Words(words) => format!("words='{}'", words.join(" ")),
            };
            line(format!("            {}:{place}) {action} ;;", command.name));
        }
    }
    line("        esac ;; esac ;;".into());
    line("    esac".into());
    line("    if [[ $kind == flag ]]; then case $command in".into());
    for command in COMMANDS {
        let names = joined(command.flags().map(|flag| format!("--{}", flag.name)), " ");
        let pattern = if command.name.is_empty() { "''" } else { command.name };
        line(format!("        {pattern}) words='{names} --help' ;;"));
    }
    text.push_str(BASH_TAIL);
    text
}

const BASH_HEAD: &str = r#"
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
"#;

const BASH_PLACE: &str = r#"
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
"#;

const BASH_TAIL: &str = r#"    esac; fi
    local IFS=$'\n'
    case $kind in
        file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")) ;;
        directory) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "${words// /$'\n'}" -- "$word")) ;;
    esac
}

complete -F _patchmesh patchmesh
"#;

/// A text in single quotes, for fish.
fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// For fish, which has the same commands, flags and descriptions in a line each.
pub fn fish() -> String {
    let names = joined(named().map(|command| command.name.to_owned()), " ");
    let mut text = format!("{COMMENT}\ncomplete -c patchmesh -f\n");
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes all");
    for command in named() {
        let summary = fish_quoted(command.summary);
        line(format!(
            "complete -c patchmesh -n __fish_use_subcommand -a {} -d {summary}",
            command.name
        ));
    }
    for command in named() {
        for (place, argument) in command.arguments.iter().enumerate() {
            let values = match argument.value.kind {
                ArgumentKind::Text => continue,
                ArgumentKind::File => "-F".to_owned(),
                ArgumentKind::Directory => "-a '(__fish_complete_directories)'".to_owned(),
                ArgumentKind::Words(words) => format!("-a '{}'", words.join(" ")),
            };
            let condition = format!(
                "__fish_seen_subcommand_from {}; and test (count (commandline -opc | string match -v -- \"-*\")) = {}",
                command.name,
                place + 2
            );
            line(format!("complete -c patchmesh -n {} {values}", fish_quoted(&condition)));
        }
    }
    for flag in flags() {
        let takers = COMMANDS
            .iter()
            .copied()
            .filter(|command| command.flags().any(|taken| taken.name == flag.name));
        let (of_node, others): (Vec<&CommandEntry>, Vec<&CommandEntry>) =
            takers.partition(|command| command.name.is_empty());
        let others = joined(others.iter().map(|command| command.name.to_owned()), " ");
        let value = match flag.value.map(|value| value.kind) {
            None => String::new(),
            Some(ArgumentKind::Text) => " -x".to_owned(),
            Some(ArgumentKind::File) => " -r -F".to_owned(),
            Some(ArgumentKind::Directory) => " -x -a '(__fish_complete_directories)'".to_owned(),
            Some(ArgumentKind::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
        };
        let described = format!("-l {}{value} -d {}", flag.name, fish_quoted(flag.help));
        if !of_node.is_empty() {
            line(format!(
                "complete -c patchmesh -n 'not __fish_seen_subcommand_from {names}' {described}"
            ));
        }
        if !others.is_empty() {
            line(format!(
                "complete -c patchmesh -n '__fish_seen_subcommand_from {others}' {described}"
            ));
        }
    }
    line("complete -c patchmesh -s h -l help -d 'print this'".into());
    line("complete -c patchmesh -s V -l version -d 'print the version'".into());
    text
}

/// A text in single quotes, in which `_arguments` of zsh sees no marks of its own.
fn zsh_quoted(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if ":[]\\".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped.replace('\'', "'\\''")
}

fn zsh_action(kind: ArgumentKind) -> String {
    match kind {
        ArgumentKind::Text => " ".to_owned(),
        ArgumentKind::File => "_files".to_owned(),
        ArgumentKind::Directory => "_files -/".to_owned(),
        ArgumentKind::Words(words) => format!("({})", words.join(" ")),
    }
}

fn zsh_flag(flag: &Flag) -> String {
    let repeated = if flag.is_repeated { "*" } else { "" };
    let excludes = flag.excludes.map(|other| format!("(--{other})")).unwrap_or_default();
    let (name, help) = (flag.name, zsh_quoted(flag.help));
    match flag.value {
        None => format!("'{excludes}{repeated}--{name}[{help}]'"),
        Some(value) => format!(
            "'{excludes}{repeated}--{name}=[{help}]:{}:{}'",
            zsh_quoted(value.name),
            zsh_action(value.kind)
        ),
    }
}

fn zsh_argument(place: usize, argument: &Argument) -> String {
    let place = match argument.count {
        Count::One => format!("{place}:"),
        Count::Optional => format!("{place}::"),
        Count::Some | Count::Any => "*:".to_owned(),
    };
    let message = format!("{}, {}", argument.value.name, argument.help);
    format!("'{place}{}:{}'", zsh_quoted(&message), zsh_action(argument.value.kind))
}

fn zsh_arguments(command: &CommandEntry) -> String {
    let flags = command.flags().map(zsh_flag);
    let arguments = command.arguments.iter().enumerate();
    let arguments = arguments.map(|(place, argument)| zsh_argument(place + 1, argument));
    let help = "'(- *)'{-h,--help}'[print this]'".to_owned();
    joined(flags.chain([help]).chain(arguments), " \\\n                ")
}

/// For zsh: a file of a folder in its `fpath`.
pub fn zsh() -> String {
    let mut text = format!(
        "#compdef patchmesh\n{COMMENT}\n_patchmesh() {{\n    local -a commands\n    commands=(\n"
    );
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes all");
    for command in named() {
        line(format!("        '{}:{}'", command.name, zsh_quoted(command.summary)));
    }
    line("    )".into());
    line("    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then".into());
    line("        _describe -t commands command commands".into());
    line("        _message 'ADDRESS, host:port to listen on'".into());
    line("        return".into());
    line("    fi".into());
    line("    case $words[2] in".into());
    for command in named() {
        line(format!("        {})", command.name));
        line("            shift words; (( CURRENT-- ))".into());
        line(format!(
            "            _arguments -S \\\n                {}\n            ;;",
            zsh_arguments(command)
        ));
    }
    line(format!(
        "        *)\n            _arguments -S \\\n                {}\n            ;;",
        zsh_arguments(run())
    ));
    line("    esac".into());
    line("}".into());
    line("\n_patchmesh \"$@\"".into());
    text
}
